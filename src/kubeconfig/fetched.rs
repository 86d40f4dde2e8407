//! A kubeconfig that Azure made for one cluster: parsed in full, and refused if anything in it is unexpected.
//!
//! A kubeconfig names programs to run, files to read and hosts to send tokens to, so nothing unchecked gets past here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth2::url::Url;

use super::tree::{Node, Pair, Value};
use super::{Credentials, Kubeconfig};
use crate::error::{Error, one_line};
use crate::secret::Secret;

/// One cluster with its context and user.
pub struct Fetched {
    pub cluster: Cluster,
    pub context: String,
    pub namespace: Option<String>,
    pub user: String,
    pub login: Login,
}

pub struct Cluster {
    pub name: String,
    pub server: String,
    /// Base64 of PEM.
    pub certificate_authority_data: Option<String>,
    pub tls_server_name: Option<String>,
}

/// How its user signs in.
pub enum Login {
    Exec(Exec),
    /// The login that kubectl had built in, with its settings.
    AuthProvider(Vec<(&'static str, String)>),
    /// A client certificate, a token: the keys and values of the user.
    Own(Vec<(&'static str, Secret)>),
}

/// An exec plugin.
pub struct Exec {
    pub api_version: String,
    pub args: Vec<String>,
    /// The comment that a conversion left above the arguments.
    pub note: Option<String>,
    pub install_hint: Option<String>,
    pub interactive_mode: Option<String>,
}

/// The longest name, as for Kubernetes' own objects.
const LONGEST_NAME: usize = 253;
const TOP_LEVEL: &[&str] = &[
    "apiVersion",
    "clusters",
    "contexts",
    "current-context",
    "kind",
    "preferences",
    "users",
];
const CLUSTER: &[&str] = &[
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "server",
    "tls-server-name",
];
const CONTEXT: &[&str] = &["cluster", "namespace", "user"];
const OWN: &[&str] = &["client-certificate-data", "client-key-data", "token"];
const EXEC: &[&str] = &[
    "apiVersion",
    "args",
    "command",
    "env",
    "installHint",
    "interactiveMode",
    "provideClusterInfo",
];
/// The settings of kubectl's own login.
const AUTH_PROVIDER: &[&str] = &[
    "apiserver-id",
    "client-id",
    "config-mode",
    "environment",
    "tenant-id",
];

/// Why a kubeconfig is refused, to follow its name in a sentence.
type Odd = String;

impl Fetched {
    /// Reads `text`.
    pub fn read(text: &str) -> Result<Self, Error> {
        // A syntax error would quote the text around it, which may be a secret.
        let kubeconfig = Kubeconfig::parse("", text).map_err(|_| refused("is not YAML or JSON"))?;
        kubeconfig.fetched().map_err(|why| refused(&why))
    }
}

/// The error for a kubeconfig that is not used.
pub fn refused(why: &str) -> Error {
    Error::refused("", format!("the kubeconfig from Azure {}", one_line(why))).remedy(
        "Nothing was written. Check --environment and who manages the cluster; az aks get-credentials -f - shows the file.",
    )
}

impl<'t> Kubeconfig<'t> {
    fn fetched(&self) -> Result<Fetched, Odd> {
        let [document] = self.tree.documents() else {
            return Err("is not one YAML document".into());
        };
        if self.tree.aliases().next().is_some() {
            return Err("holds an alias".into());
        }
        let root = Self::pairs(document, "the file")?;
        check_keys(root, TOP_LEVEL)?;
        let cluster = self.only(root, "clusters", "cluster")?;
        let context = self.only(root, "contexts", "context")?;
        let (user, _) = self.only(root, "users", "user")?;
        check_keys(context.1, CONTEXT)?;
        let text = |key| self.value(context.1, key);
        if text("cluster")?.as_deref() != Some(cluster.0) || text("user")?.as_deref() != Some(user)
        {
            return Err("has a context for another cluster or user".into());
        }
        Ok(Fetched {
            context: context.0.to_owned(),
            namespace: text("namespace")?,
            user: user.to_owned(),
            login: self.login_of_only_user()?,
            cluster: self.fetched_cluster(cluster)?,
        })
    }

    /// The only item of a list: its name, and the keys of its value.
    fn only<'n>(
        &'n self,
        root: &'n [Pair<'t>],
        list: &str,
        key: &str,
    ) -> Result<(&'n str, &'n [Pair<'t>]), Odd> {
        let pair = self.tree.pair(root, list).map_err(|_| twice(list))?;
        let Some(Value::List(_, items)) = pair.map(|pair| &pair.value.value) else {
            return Err(format!("has no list of {list}"));
        };
        let [item] = &items[..] else {
            return Err(format!("has {} {list}, not one", items.len()));
        };
        let pairs = Self::pairs(item, list)?;
        check_keys(pairs, &["name", key])?;
        let name = self
            .text_of(pairs, "name")
            .ok()
            .flatten()
            .unwrap_or_default();
        check_name(name)?;
        let value = self.tree.pair(pairs, key).map_err(|_| twice(key))?;
        let value = value.ok_or_else(|| format!("has an empty {key}"))?;
        Ok((name, Self::pairs(&value.value, key)?))
    }

    fn pairs<'n>(node: &'n Node<'t>, what: &str) -> Result<&'n [Pair<'t>], Odd> {
        match &node.value {
            Value::Map(_, pairs) => Ok(pairs),
            _ => Err(format!("has {} in place of {what}", node.kind())),
        }
    }

    /// A value that is one line of text.
    fn value(&self, pairs: &[Pair<'t>], key: &str) -> Result<Option<String>, Odd> {
        let text = self.text_of(pairs, key).map_err(|_| twice(key))?;
        match text {
            Some(text) if text.contains(char::is_control) => {
                Err(format!("has control characters in its {key}"))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    fn fetched_cluster(&self, (name, pairs): (&str, &[Pair<'t>])) -> Result<Cluster, Odd> {
        check_keys(pairs, CLUSTER)?;
        if !matches!(
            self.value(pairs, "insecure-skip-tls-verify")?.as_deref(),
            None | Some("false")
        ) {
            return Err(
                "turns off TLS verification of the API server (insecure-skip-tls-verify)".into(),
            );
        }
        let server = self.value(pairs, "server")?.unwrap_or_default();
        let url = Url::parse(&server).ok();
        let is_good = url.is_some_and(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !is_good {
            return Err(format!(
                "has the server {server:?}, which is not an https address"
            ));
        }
        let certificate_authority_data = self.value(pairs, "certificate-authority-data")?;
        let is_base64 = |data: &String| STANDARD.decode(data).is_ok();
        if !certificate_authority_data.as_ref().is_none_or(is_base64) {
            return Err("has a certificate-authority-data that is not base64".into());
        }
        Ok(Cluster {
            name: name.to_owned(),
            server,
            certificate_authority_data,
            tls_server_name: self.value(pairs, "tls-server-name")?,
        })
    }

    fn login_of_only_user(&self) -> Result<Login, Odd> {
        let bad = |error: Error| error.parts().0.to_owned();
        let users = self.users().map_err(bad)?;
        let user = users.first().ok_or("has no user")?;
        let pairs = Self::pairs(user.value, "user")?;
        match self.credentials(user).map_err(bad)? {
            Credentials::Exec(exec) => {
                check_keys(pairs, &["exec"])?;
                self.fetched_exec(&exec).map(Login::Exec)
            }
            Credentials::AuthProvider(provider) => {
                check_keys(pairs, &["auth-provider"])?;
                check_keys(provider.config, AUTH_PROVIDER)?;
                if provider.name != "azure" {
                    return Err(format!("has the auth-provider {:?}", provider.name));
                }
                let mut settings = Vec::new();
                for key in AUTH_PROVIDER {
                    let value = self.value(provider.config, key)?;
                    settings.extend(value.map(|value| (*key, value)));
                }
                Ok(Login::AuthProvider(settings))
            }
            Credentials::Both(..) => Err("has both an auth-provider and an exec".into()),
            Credentials::Others => {
                check_keys(pairs, OWN)?;
                let mut own = Vec::new();
                for key in OWN {
                    let value = self.value(pairs, key)?.filter(|value| !value.is_empty());
                    own.extend(value.map(|value| (*key, Secret::new(value))));
                }
                match own.is_empty() {
                    true => Err("has a user without credentials".into()),
                    false => Ok(Login::Own(own)),
                }
            }
        }
    }

    fn fetched_exec(&self, exec: &super::Exec<'_, 't>) -> Result<Exec, Odd> {
        check_keys(exec.pairs, EXEC)?;
        if exec.command != "kubelogin" {
            return Err(format!("runs {:?}, not kubelogin", exec.command));
        }
        let env = self
            .tree
            .pair(exec.pairs, "env")
            .map_err(|_| twice("env"))?;
        let is_empty = |node: &Node| {
            node.is_null() || matches!(&node.value, Value::List(_, items) if items.is_empty())
        };
        if !env.is_none_or(|pair| is_empty(&pair.value)) {
            return Err("sets environment variables for kubelogin".into());
        }
        let args = self
            .args(exec)
            .map_err(|_| "has arguments that are not text")?;
        if args.iter().any(|arg| arg.contains(char::is_control)) {
            return Err("has control characters in its arguments".into());
        }
        // The hint has several lines, and kubectl prints it as it is.
        let hint = self.text_of(exec.pairs, "installHint").ok().flatten();
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if hint.is_some_and(|hint| hint.contains(is_odd)) {
            return Err("has control characters in its installHint".into());
        }
        Ok(Exec {
            api_version: exec.api_version.unwrap_or_default().to_owned(),
            args: args.into_iter().map(str::to_owned).collect(),
            note: self.note(exec).map(str::to_owned),
            install_hint: hint.filter(|hint| !hint.is_empty()).map(str::to_owned),
            interactive_mode: self.value(exec.pairs, "interactiveMode")?,
        })
    }
}

fn twice(key: &str) -> Odd {
    format!("has an odd {key}")
}

fn check_keys(pairs: &[Pair], known: &[&str]) -> Result<(), Odd> {
    for pair in pairs {
        let key = match &pair.key.value {
            Value::Scalar(scalar) => &*scalar.text,
            _ => "a key that is not text",
        };
        if !known.contains(&key) {
            return Err(format!("has the unexpected field {key:?}"));
        }
    }
    Ok(())
}

/// A name is shown in messages and in other programs' tables.
fn check_name(name: &str) -> Result<(), Odd> {
    let is_valid = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('-')
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "/\\\"'".contains(c));
    match is_valid {
        true => Ok(()),
        false => Err(format!(
            "has the name {name:?}, which contains unexpected characters or is too long"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC_USER: &str = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin, args: [get-token, --server-id, s], env: null, provideClusterInfo: false, installHint: hint}";

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    {cluster}\n  name: prod\ncontexts:\n- context: {{cluster: prod, user: u}}\n  name: prod\n\
             current-context: prod\nkind: Config\npreferences: {{}}\nusers:\n- name: u\n  user:\n    {user}\n"
        )
    }

    const SERVER: &str = "server: https://prod.hcp.westeurope.azmk8s.io:443";

    #[test]
    fn what_aks_writes_is_read() {
        let text = kubeconfig(
            &format!("{SERVER}\n    certificate-authority-data: YQ=="),
            EXEC_USER,
        );
        let fetched = Fetched::read(&text).expect("a kubeconfig");
        assert_eq!((&*fetched.context, &*fetched.user), ("prod", "u"));
        assert_eq!(
            fetched.cluster.certificate_authority_data.as_deref(),
            Some("YQ==")
        );
        let Login::Exec(exec) = fetched.login else {
            panic!("no exec")
        };
        assert_eq!(exec.args, ["get-token", "--server-id", "s"]);
        let own = kubeconfig(
            SERVER,
            "client-certificate-data: YQ==\n    client-key-data: Yg==\n    token: t",
        );
        let Login::Own(own) = Fetched::read(&own).expect("a kubeconfig").login else {
            panic!("no certificate")
        };
        assert_eq!(own.len(), 3);
        let old = kubeconfig(
            SERVER,
            "auth-provider: {name: azure, config: {apiserver-id: s, tenant-id: t}}",
        );
        assert!(matches!(
            Fetched::read(&old).expect("a kubeconfig").login,
            Login::AuthProvider(settings) if settings == [("apiserver-id", "s".to_owned()), ("tenant-id", "t".to_owned())]
        ));
    }

    #[test]
    fn whatever_is_out_of_the_ordinary_is_refused_with_its_reason() {
        let good = kubeconfig(SERVER, EXEC_USER);
        let change = |old: &str, new: &str| {
            assert!(good.contains(old), "{old}");
            good.replace(old, new)
        };
        for (text, why) in [
            (String::new(), "not one YAML document"),
            ("<html>hunter2".to_owned(), "in place of the file"),
            ("a: [hunter2".to_owned(), "is not YAML or JSON"),
            (format!("{good}---\n{good}"), "not one YAML document"),
            (
                change("command: kubelogin", "command: /tmp/kubelogin"),
                "runs \"/tmp/kubelogin\"",
            ),
            (change("command: kubelogin", "command: sh"), "runs \"sh\""),
            (
                change("env: null", "env: [{name: HTTPS_PROXY, value: x}]"),
                "environment variables",
            ),
            (change("https://", "http://"), "not an https address"),
            (
                change("https://", "https://user:hunter2@"),
                "not an https address",
            ),
            (
                change(
                    SERVER,
                    &format!("{SERVER}\n    insecure-skip-tls-verify: true"),
                ),
                "insecure-skip-tls-verify",
            ),
            (
                change(
                    SERVER,
                    &format!("{SERVER}\n    certificate-authority: /etc/passwd"),
                ),
                "\"certificate-authority\"",
            ),
            (
                change(
                    SERVER,
                    &format!("{SERVER}\n    proxy-url: http://evil.example"),
                ),
                "\"proxy-url\"",
            ),
            (
                change(
                    SERVER,
                    &format!("{SERVER}\n    certificate-authority-data: '%'"),
                ),
                "not base64",
            ),
            (change(EXEC_USER, "tokenFile: /etc/passwd"), "\"tokenFile\""),
            (change(EXEC_USER, "{}"), "without credentials"),
            (
                change(EXEC_USER, "auth-provider: {name: gcp}"),
                "auth-provider \"gcp\"",
            ),
            (
                change(EXEC_USER, "{client-certificate-data: YQ==, as: root}"),
                "\"as\"",
            ),
            (
                change("- name: u\n", "- name: v\n  user: {token: x}\n- name: u\n"),
                "2 users, not one",
            ),
            (change("user: u}", "user: v}"), "another cluster or user"),
            (
                change("name: prod\ncontexts", "name: \"prod\\e[31m\"\ncontexts"),
                "unexpected characters",
            ),
            (
                change("name: prod\ncontexts", "name: ../prod\ncontexts"),
                "unexpected characters",
            ),
            (
                change("--server-id, s", "\"--server-id\", \"s\\r\""),
                "control characters",
            ),
            (
                change("kind: Config", "kind: Config\nextensions: []"),
                "\"extensions\"",
            ),
        ] {
            let Err(error) = Fetched::read(&text) else {
                panic!("taken: {text}")
            };
            let error = error.to_string();
            assert!(error.contains(why), "{why}: {error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
    }
}
