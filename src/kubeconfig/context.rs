//! What kubectl would use for a context: its cluster and its user, merged over the kubeconfig files.
//!
//! The first file that names a context, cluster or user wins, as for kubectl.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::file::{Found, KubeconfigFile};
use super::tree::{Pair, Value};
use super::{Credentials, Exec, Kubeconfig, Named, User};
use crate::error::Error;
use crate::secret::Secret;

/// All contexts, clusters and users of the kubeconfig files.
#[derive(Default)]
pub struct Contexts {
    /// The files that exist, in kubectl's order.
    pub files: Vec<PathBuf>,
    /// Files that are named but do not exist.
    pub missing: Vec<PathBuf>,
    /// `current-context`, and where it is set.
    pub current: Option<(String, Place)>,
    pub contexts: Vec<ContextEntry>,
    clusters: Vec<Cluster>,
    users: Vec<UserEntry>,
}

/// A line of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A context as it is written.
#[derive(Debug, Clone)]
pub struct ContextEntry {
    pub name: String,
    pub place: Place,
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub namespace: Option<String>,
}

/// A cluster as it is written. Nothing of it is a secret.
#[derive(Clone, Default)]
pub struct Cluster {
    pub name: String,
    pub place: Option<Place>,
    pub server: Option<String>,
    pub authority: Option<Pem>,
    pub skips_verification: bool,
    pub tls_server_name: Option<String>,
    pub proxy_url: Option<String>,
    /// The Azure resource ID that `get-credentials` left, unchecked.
    pub resource_id: Option<String>,
}

/// Where a cluster's certificate authority is, or a user's certificate. Has no `Debug`: it may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In the kubeconfig, decoded; `None` if it is not base64.
    Data(Option<Zeroizing<Vec<u8>>>),
    /// In a file, relative to the kubeconfig's folder.
    File(PathBuf),
}

/// A user's own credentials for the cluster.
#[derive(Clone)]
pub enum Proof {
    Certificate { certificate: Pem, key: Pem },
    Token(Secret),
}

/// A user as it is written.
#[derive(Clone)]
pub struct UserEntry {
    pub name: String,
    pub credentials: UserCredentials,
    /// The user to impersonate, as headers (`as`, `as-groups`, `as-uid`).
    pub impersonation: Vec<(&'static str, String)>,
}

/// How a user authenticates.
#[derive(Clone)]
pub enum UserCredentials {
    Exec(ExecEntry),
    /// kubectl's former built-in login plugins, by name.
    AuthProvider(String),
    /// A client certificate, a token, a password: in words, for a message; and what of it a cluster can be shown.
    Own(&'static str, Option<Proof>),
}

/// An exec plugin. Its arguments may hold a secret: they have no `Debug`.
#[derive(Clone)]
pub struct ExecEntry {
    pub command: String,
    pub args: Vec<Secret>,
    pub env: Vec<(String, Secret)>,
    pub api_version: Option<String>,
    pub interactive_mode: Option<String>,
    pub place: Place,
}

impl Contexts {
    /// Reads everything in these files.
    ///
    /// # Errors If one of them cannot be read or parsed: kubectl then reads none of them.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut contexts = Self::default();
        for path in paths {
            match super::file::read(path)? {
                Found::File(file) => contexts.add(&file)?,
                Found::Nothing(path) => contexts.missing.push(path),
            }
        }
        Ok(contexts)
    }

    fn add(&mut self, file: &KubeconfigFile) -> Result<(), Error> {
        let name = file.path.display().to_string();
        let kubeconfig = Kubeconfig::parse(&name, &file.text)?;
        let reader = Reader {
            kubeconfig: &kubeconfig,
            file,
        };
        if self.current.is_none() {
            self.current = reader.current_context()?;
        }
        for context in kubeconfig.contexts()? {
            if !self.contexts.iter().any(|other| other.name == context.name) {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                self.contexts.push(ContextEntry {
                    name: context.name.to_owned(),
                    place: reader.place(context.at),
                    cluster: owned(context.cluster),
                    user: owned(context.user),
                    namespace: owned(context.namespace),
                });
            }
        }
        for item in kubeconfig.named("clusters", "cluster")? {
            let cluster = reader.cluster(&item)?;
            if self.cluster(&cluster.name).is_none() {
                self.clusters.push(cluster);
            }
        }
        for user in kubeconfig.users()? {
            if self.user(user.name).is_none() {
                self.users.push(reader.user(&user)?);
            }
        }
        self.files.push(file.path.clone());
        Ok(())
    }

    /// The context of this name.
    pub fn context(&self, name: &str) -> Option<&ContextEntry> {
        self.contexts.iter().find(|context| context.name == name)
    }

    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    pub fn user(&self, name: &str) -> Option<&UserEntry> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Every user, in the order of the files.
    pub fn users(&self) -> &[UserEntry] {
        &self.users
    }
}

/// Reads the entries of one file.
struct Reader<'n, 't> {
    kubeconfig: &'n Kubeconfig<'t>,
    file: &'n KubeconfigFile,
}

impl<'n, 't> Reader<'n, 't> {
    fn place(&self, at: usize) -> Place {
        Place {
            file: self.file.path.clone(),
            line: self.kubeconfig.tree.line(at),
        }
    }

    fn current_context(&self) -> Result<Option<(String, Place)>, Error> {
        let kubeconfig = self.kubeconfig;
        for document in kubeconfig.tree.documents() {
            if document.is_null() {
                continue;
            }
            let pairs = kubeconfig.map(document, "a kubeconfig")?;
            let text = kubeconfig.text_of(pairs, "current-context")?;
            let pair = kubeconfig.tree.pair(pairs, "current-context")?;
            if let (Some(text), Some(pair)) = (text.filter(|text| !text.is_empty()), pair) {
                return Ok(Some((text.to_owned(), self.place(pair.key.start()))));
            }
        }
        Ok(None)
    }

    fn cluster(&self, item: &Named<'n, 't>) -> Result<Cluster, Error> {
        let fields = item.fields;
        let text = |key| self.text(fields, key);
        let authority = self.pem(
            fields,
            "certificate-authority-data",
            "certificate-authority",
        )?;
        Ok(Cluster {
            name: item.name.to_owned(),
            place: Some(self.place(item.entry.start())),
            server: text("server")?,
            authority,
            skips_verification: text("insecure-skip-tls-verify")?.as_deref() == Some("true"),
            tls_server_name: text("tls-server-name")?,
            proxy_url: text("proxy-url")?,
            resource_id: item
                .value
                .and_then(|value| self.kubeconfig.resource_id(value))
                .map(str::to_owned),
        })
    }

    /// Given in one field, or in a file that another field names; the data takes precedence, as for kubectl.
    fn pem(&self, fields: &'n [Pair<'t>], data: &str, file: &str) -> Result<Option<Pem>, Error> {
        if let Some(data) = self.text(fields, data)?.map(Zeroizing::new) {
            let data: Zeroizing<String> = Zeroizing::new(data.split_whitespace().collect());
            return Ok(Some(Pem::Data(
                STANDARD.decode(&*data).ok().map(Zeroizing::new),
            )));
        }
        let file = self.text(fields, file)?;
        Ok(file.map(|file| Pem::File(self.beside(&file))))
    }

    fn user(&self, user: &User<'n, 't>) -> Result<UserEntry, Error> {
        let fields = self.kubeconfig.map(user.value, "user")?;
        let credentials = match self.kubeconfig.credentials(user)? {
            Credentials::Exec(exec) => UserCredentials::Exec(self.exec(&exec)?),
            Credentials::AuthProvider(provider) => {
                UserCredentials::AuthProvider(provider.name.to_owned())
            }
            Credentials::Both(provider, _) => {
                return Err(self
                    .kubeconfig
                    .error_at_both(&provider)
                    .context(format!("user {:?}", user.name)));
            }
            Credentials::Others => self.own(fields)?,
        };
        let mut impersonation = Vec::new();
        for (key, header) in [("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")] {
            impersonation.extend(self.text(fields, key)?.map(|value| (header, value)));
        }
        for group in self.texts(fields, "as-groups")? {
            impersonation.push(("Impersonate-Group", group));
        }
        Ok(UserEntry {
            name: user.name.to_owned(),
            credentials,
            impersonation,
        })
    }

    fn own(&self, fields: &'n [Pair<'t>]) -> Result<UserCredentials, Error> {
        let pem = |data, file| self.pem(fields, data, file);
        let certificate = pem("client-certificate-data", "client-certificate")?;
        if let Some(certificate) = certificate {
            let key = pem("client-key-data", "client-key")?;
            let proof = key.map(|key| Proof::Certificate { certificate, key });
            return Ok(UserCredentials::Own("a client certificate", proof));
        }
        if let Some(token) = self.text(fields, "token")?.map(Secret::new) {
            return Ok(UserCredentials::Own(
                "a static token",
                Some(Proof::Token(token)),
            ));
        }
        for (key, what) in [("tokenFile", "a token file"), ("username", "a password")] {
            if self.text(fields, key)?.is_some() {
                return Ok(UserCredentials::Own(what, None));
            }
        }
        Ok(UserCredentials::Own("no credentials", None))
    }

    fn exec(&self, exec: &Exec<'n, 't>) -> Result<ExecEntry, Error> {
        let kubeconfig = self.kubeconfig;
        let args = kubeconfig.args(exec)?;
        Ok(ExecEntry {
            command: exec.command.to_owned(),
            args: args.into_iter().map(Secret::new).collect(),
            env: self.env(exec)?,
            api_version: exec.api_version.map(str::to_owned),
            interactive_mode: self.text(exec.pairs, "interactiveMode")?,
            place: self.place(exec.map.start()),
        })
    }

    /// The variables of an exec plugin.
    fn env(&self, exec: &Exec<'n, 't>) -> Result<Vec<(String, Secret)>, Error> {
        let kubeconfig = self.kubeconfig;
        let list = kubeconfig.tree.pair(exec.pairs, "env")?;
        let list = list.map(|pair| kubeconfig.tree.resolve(&pair.value));
        let Some(list) = list.filter(|list| !list.is_null()) else {
            return Ok(Vec::new());
        };
        let mut env = Vec::new();
        for item in kubeconfig.items(list, "env")? {
            let pairs = kubeconfig.map(item, "a variable")?;
            let name = self.text(pairs, "name")?.unwrap_or_default();
            let value = kubeconfig.text_of(pairs, "value")?.unwrap_or_default();
            env.push((name, Secret::new(value)));
        }
        Ok(env)
    }

    fn text(&self, pairs: &'n [Pair<'t>], key: &str) -> Result<Option<String>, Error> {
        let text = self.kubeconfig.text_of(pairs, key)?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    fn texts(&self, pairs: &'n [Pair<'t>], key: &str) -> Result<Vec<String>, Error> {
        let tree = &self.kubeconfig.tree;
        let Some(pair) = tree.pair(pairs, key)? else {
            return Ok(Vec::new());
        };
        Ok(match &tree.resolve(&pair.value).value {
            Value::List(_, items) => items
                .iter()
                .filter_map(|item| match &tree.resolve(item).value {
                    Value::Scalar(scalar) => Some(scalar.text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        })
    }

    /// A path as kubectl takes it: relative to the folder of the kubeconfig that names it.
    fn beside(&self, path: &str) -> PathBuf {
        let folder = self.file.path.parent().unwrap_or(Path::new(""));
        folder.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "\
current-context: a
contexts:
- name: a
  context: {cluster: c, user: u, namespace: n}
- name: lonely
clusters:
- name: c
  cluster:
    server: https://one.example:443/path
    certificate-authority: ca.pem
    certificate-authority-data: YWJj
    tls-server-name: other.example
    proxy-url: http://proxy.example:3128
users:
- name: u
  user:
    as: bob
    as-groups: [g1, g2]
    exec:
      command: kubelogin
      args: [get-token, --server-id, s]
      env:
      - {name: A, value: B}
      interactiveMode: Never
";

    fn contexts(texts: &[&str]) -> Contexts {
        let mut contexts = Contexts::default();
        for (number, text) in texts.iter().enumerate() {
            let file = KubeconfigFile::in_memory(&format!("/k/{number}"), *text);
            contexts.add(&file).expect("a kubeconfig");
        }
        contexts
    }

    #[test]
    fn a_context_is_read_with_its_cluster_and_its_user() {
        let all = contexts(&[FIRST]);
        assert_eq!(all.current.as_ref().expect("set").0, "a");
        let context = all.context("a").expect("there");
        assert_eq!(
            (context.place.line, context.namespace.as_deref()),
            (4 - 1, Some("n"))
        );
        let cluster = all.cluster("c").expect("there");
        assert_eq!(
            cluster.server.as_deref(),
            Some("https://one.example:443/path")
        );
        // The data takes precedence over the file, as for kubectl.
        let data = Pem::Data(Some(Zeroizing::new(b"abc".to_vec())));
        assert!(cluster.authority == Some(data));
        let user = all.user("u").expect("there");
        let UserCredentials::Exec(exec) = &user.credentials else {
            panic!("not an exec plugin");
        };
        let args: Vec<_> = exec.args.iter().map(Secret::expose).collect();
        assert_eq!(args, ["get-token", "--server-id", "s"]);
        assert_eq!(exec.env[0].0, "A");
        assert_eq!(exec.interactive_mode.as_deref(), Some("Never"));
        assert_eq!(user.impersonation.len(), 3);
    }

    #[test]
    fn the_first_file_that_names_something_wins() {
        let second = FIRST
            .replace("one.example", "two.example")
            .replace("current-context: a", "current-context: b");
        let all = contexts(&[FIRST, &second]);
        assert_eq!(all.current.as_ref().expect("set").0, "a");
        let cluster = all.cluster("c").expect("there");
        assert!(cluster.server.as_deref().expect("set").contains("one"));
        assert_eq!(all.contexts.len(), 2);
    }

    #[test]
    fn what_is_missing_is_none_and_no_error() {
        let all = contexts(&[
            "",
            "clusters:\n- name: c\nusers:\n- {name: t, user: {token: x}}\n",
        ]);
        assert!(all.current.is_none() && all.contexts.is_empty());
        assert!(all.cluster("c").expect("there").server.is_none());
        let user = all.user("t").expect("there");
        assert!(matches!(
            user.credentials,
            UserCredentials::Own("a static token", Some(Proof::Token(_)))
        ));
        assert!(
            contexts(&[FIRST])
                .context("lonely")
                .expect("there")
                .user
                .is_none()
        );
    }

    #[test]
    fn a_certificate_authority_that_is_a_file_lies_beside_its_kubeconfig() {
        let text = FIRST.replace("    certificate-authority-data: YWJj\n", "");
        let all = contexts(&[&text]);
        let file = Pem::File("/k/ca.pem".into());
        assert!(all.cluster("c").expect("there").authority == Some(file));
    }
}
