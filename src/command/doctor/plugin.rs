//! Checks the exec plugin as kubectl sees it: which program it starts, and whether that is allowed.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::case::{Case, STEP};
use super::{Outcome, failure, fine, good, skipped, warning};
use crate::env::{self, Env};
use crate::error::one_line;
use crate::kubeconfig::Kubeconfig;
use crate::kubeconfig::context::ExecEntry;
use crate::kubeconfig::file::{self, Found};
use crate::kubeconfig::tree::{Tree, Value};
use crate::system::{self, System, on_path};

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";
const V1ALPHA1: &str = "client.authentication.k8s.io/v1alpha1";

/// The programs on PATH and their versions.
#[derive(Default)]
pub struct PluginProbe {
    /// Every `kubelogin` on PATH, the first being the one that kubectl starts.
    kubelogins: Vec<(PathBuf, Kubelogin)>,
    kubectl: Option<PathBuf>,
    /// Its minor version.
    kubectl_minor: Option<u32>,
}

/// Which program of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kubelogin {
    This,
    /// This program, in another file.
    Another,
    Azure,
    Int128,
    Unknown,
}

impl Kubelogin {
    const fn words(self) -> &'static str {
        match self {
            Self::This => "this program",
            Self::Another => "another copy of this program",
            Self::Azure => "Azure/kubelogin, written in Go",
            Self::Int128 => "int128/kubelogin, another program of the same name",
            Self::Unknown => "an unknown program",
        }
    }

    /// Recognised by its `--version` output: this program's has the same format as Azure's.
    fn of(version: &str) -> Self {
        if version.contains("Rust version:") {
            Self::Another
        } else if version.contains("Go version:") || version.contains("git hash:") {
            Self::Azure
        } else if version.starts_with("kubelogin version v1") {
            Self::Int128
        } else {
            Self::Unknown
        }
    }
}

impl PluginProbe {
    pub fn of(case: &Case, is_wanted: bool) -> Self {
        if !is_wanted {
            return Self::default();
        }
        let own = Case::own_path();
        let which = |path: &PathBuf| {
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            match own.as_ref() == Some(&real) {
                true => Kubelogin::This,
                false => ask(path, &["--version"], case)
                    .map_or(Kubelogin::Unknown, |text| Kubelogin::of(&text)),
            }
        };
        let kubelogins = on_path("kubelogin", case.env);
        let kubectl = on_path("kubectl", case.env).into_iter().next();
        let minor = kubectl.as_ref().and_then(|path| {
            let text = ask(path, &["version", "--client", "-o", "json"], case)?;
            minor_version(&text)
        });
        Self {
            kubelogins: kubelogins
                .into_iter()
                .map(|path| (path.clone(), which(&path)))
                .collect(),
            kubectl,
            kubectl_minor: minor,
        }
    }
}

/// What a program prints on stdout.
fn ask(path: &Path, args: &[&str], case: &Case) -> Option<String> {
    let output = case.system.run_file(path, args, STEP / 2).ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn minor_version(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versions {
        client_version: Client,
    }
    #[derive(Deserialize)]
    struct Client {
        minor: String,
    }
    let versions: Versions = serde_json::from_str(text).ok()?;
    // "27+" from some vendors.
    versions
        .client_version
        .minor
        .trim_end_matches('+')
        .parse()
        .ok()
}

fn exec<'c>(case: &'c Case) -> Option<&'c ExecEntry> {
    case.subject()?.exec()
}

/// The file that kubectl starts for a command: from PATH, or relative to the kubeconfig's folder if the command
/// contains a folder.
fn resolve(exec: &ExecEntry, env: &Env) -> Option<PathBuf> {
    if exec.command.contains(['/', '\\']) {
        let folder = exec.place.file.parent().unwrap_or(Path::new(""));
        let path = folder.join(&exec.command);
        return system::is_program(&path).then_some(path);
    }
    let name = exec.command.trim_end_matches(".exe");
    on_path(name, env).into_iter().next()
}

/// Azure/kubelogin#161, lensapp/lens#7956.
pub fn path(case: &Case) -> Outcome {
    let Some(exec) = exec(case) else {
        return skipped("no exec plugin");
    };
    let Some(path) = resolve(exec, case.env) else {
        let command = &exec.command;
        let place = &exec.place;
        return match command.contains(['/', '\\']) {
            true => failure(format!(
                "{place}: there is no program {command}, which kubectl would start"
            ))
            .with("Correct command in the kubeconfig: kubelogin convert-kubeconfig"),
            false => failure(format!(
                "{place}: kubectl starts {command:?}, which is not on PATH"
            )),
        };
    };
    let known = case
        .plugin
        .kubelogins
        .iter()
        .find(|(other, _)| *other == path);
    let shown = path.display();
    match known.map(|(_, which)| *which) {
        Some(Kubelogin::Int128) => failure(format!(
            "kubectl starts {shown}, which is {}",
            Kubelogin::Int128.words()
        )),
        Some(which @ (Kubelogin::Azure | Kubelogin::Unknown)) => warning(format!(
            "kubectl starts {shown}, which is {}",
            which.words()
        )),
        Some(which) => good(format!("{shown} ({})", which.words())),
        None => good(shown.to_string()),
    }
}

/// Azure/kubelogin#280: int128's program first on PATH.
pub fn which(case: &Case) -> Outcome {
    let Some((first, which)) = case.plugin.kubelogins.first() else {
        return warning("kubelogin is not on PATH")
            .with("Put the folder of kubelogin on PATH: kubectl looks for it there.");
    };
    let first = first.display();
    if *which == Kubelogin::Int128 {
        return failure(format!(
            "the first kubelogin on PATH is {first}: {}",
            which.words()
        ));
    }
    let mut others = case.plugin.kubelogins[1..].iter();
    if let Some((path, other)) =
        others.find(|(_, other)| *other != *which && *other != Kubelogin::Another)
    {
        let path = path.display();
        return warning(format!("{first} hides {path} on PATH: {}", other.words()));
    }
    fine(format!("the first is {first}"))
}

/// KEP-3104: which programs kubectl 1.34 and newer allows a kubeconfig to start.
pub fn policy(case: &Case) -> Outcome {
    let (Some(exec), env) = (exec(case), case.env) else {
        return skipped("no exec plugin");
    };
    if env.get(env::KUBERC) == Some("off") || env.get(env::KUBECTL_KUBERC) == Some("false") {
        return fine("kuberc is turned off");
    }
    let path = match env.get(env::KUBERC) {
        Some(path) => PathBuf::from(path),
        None => match env.home() {
            Some(home) => home.join(".kube").join("kuberc"),
            None => return fine("no kuberc"),
        },
    };
    let Ok(Found::File(file)) = file::read(&path) else {
        return fine("no kuberc");
    };
    let shown = path.display().to_string();
    match Policy::read(&shown, &file.text) {
        Err(error) => warning(one_line(&error.to_string()))
            .with("Correct the file: kubectl does not read it either."),
        Ok(policy) => policy.judge(exec, env, &shown),
    }
}

#[derive(Default)]
struct Policy {
    policy: String,
    allowed: Vec<String>,
}

impl Policy {
    fn read(file: &str, text: &str) -> Result<Self, crate::error::Error> {
        let kuberc = Kubeconfig::parse(file, text)?;
        let tree = kuberc.tree();
        let mut policy = Self::default();
        for document in tree.documents() {
            let Value::Map(_, pairs) = &document.value else {
                continue;
            };
            if let Some(text) = kuberc.text_of(pairs, "credentialPluginPolicy")? {
                text.clone_into(&mut policy.policy);
            }
            if let Some(pair) = tree.pair(pairs, "credentialPluginAllowlist")? {
                policy.allowed = commands(&kuberc, tree, &pair.value)?;
            }
        }
        Ok(policy)
    }

    fn judge(&self, exec: &ExecEntry, env: &Env, file: &str) -> Outcome {
        let command = &exec.command;
        match self.policy.as_str() {
            "DenyAll" => failure(format!(
                "{file}: credentialPluginPolicy is DenyAll: kubectl starts no plugin"
            )),
            "Allowlist" => {
                let own = resolve(exec, env);
                let is_it = |entry: &String| {
                    entry == command
                        || own.as_deref() == Some(Path::new(entry))
                        || on_path(entry, env)
                            .into_iter()
                            .next()
                            .is_some_and(|path| Some(path) == own)
                };
                match self.allowed.iter().any(is_it) {
                    true => fine(format!("{file} allows it")),
                    false => failure(format!(
                        "{file}: credentialPluginAllowlist does not name {command}"
                    )),
                }
            }
            _ => fine(format!("{file} sets no policy")),
        }
    }
}

/// The commands of an allowlist; the key was `name` until kubectl 1.35.
fn commands<'t>(
    kuberc: &Kubeconfig<'t>,
    tree: &Tree<'t>,
    list: &crate::kubeconfig::tree::Node<'t>,
) -> Result<Vec<String>, crate::error::Error> {
    let mut commands = Vec::new();
    let Value::List(_, items) = &tree.resolve(list).value else {
        return Ok(commands);
    };
    for item in items {
        if let Value::Map(_, pairs) = &tree.resolve(item).value {
            for key in ["command", "name"] {
                commands.extend(kuberc.text_of(pairs, key)?.map(str::to_owned));
            }
        }
    }
    Ok(commands)
}

pub fn kubectl(case: &Case) -> Outcome {
    match (&case.plugin.kubectl, case.plugin.kubectl_minor) {
        (None, _) => warning("kubectl is not on PATH"),
        (Some(path), None) => good(format!("kubectl at {}, version unknown", path.display())),
        (Some(_), Some(minor)) => good(format!("kubectl 1.{minor}")),
    }
}

pub fn api_version(case: &Case) -> Outcome {
    let Some(exec) = exec(case) else {
        return skipped("no exec plugin");
    };
    let place = &exec.place;
    let minor = case.plugin.kubectl_minor;
    match (exec.api_version.as_deref(), minor) {
        (Some(V1), Some(minor)) if minor < 22 => failure(format!(
            "{place}: apiVersion {V1} is not known to kubectl 1.{minor}"
        )),
        (Some(version @ (V1 | V1BETA1)), _) => fine(version),
        (Some(V1ALPHA1), Some(minor)) if minor < 24 => failure(format!(
            "{place}: kubelogin does not support apiVersion {V1ALPHA1}"
        )),
        (Some(V1ALPHA1), _) => failure(format!(
            "{place}: apiVersion {V1ALPHA1} was removed in kubectl 1.24"
        )),
        (Some(other), _) => failure(format!(
            "{place}: apiVersion {other:?} is not an exec plugin API version"
        )),
        (None, _) => failure(format!("{place}: the exec plugin has no apiVersion")),
    }
}

pub fn interactive(case: &Case) -> Outcome {
    let Some(exec) = exec(case) else {
        return skipped("no exec plugin");
    };
    let place = &exec.place;
    match (
        exec.interactive_mode.as_deref(),
        exec.api_version.as_deref(),
    ) {
        (Some("Always"), _) => warning(format!(
            "{place}: interactiveMode is Always: programs without a terminal cannot use this user"
        )),
        (Some(mode @ ("IfAvailable" | "Never")), _) => fine(format!("interactiveMode {mode}")),
        (None, Some(V1)) => failure(format!(
            "{place}: interactiveMode is missing, which {V1} requires"
        )),
        (None, _) => fine("interactiveMode IfAvailable, the default"),
        (Some(other), _) => failure(format!(
            "{place}: interactiveMode {other:?} is not known to kubectl"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelogin_is_told_by_what_it_prints() {
        for (text, which) in [
            (
                "kubelogin version \ngit hash: v0.1.0/x\nRust version: 1.95\n",
                Kubelogin::Another,
            ),
            (
                "kubelogin version \ngit hash: v0.2.19/x\nGo version: go1.26\n",
                Kubelogin::Azure,
            ),
            (
                "kubelogin version v1.34.0 (go1.24.4 linux_amd64)",
                Kubelogin::Int128,
            ),
            ("", Kubelogin::Unknown),
        ] {
            assert_eq!(Kubelogin::of(text), which, "{text}");
        }
    }

    #[test]
    fn kubectl_s_version_is_read_in_every_form() {
        let json = |minor| format!(r#"{{"clientVersion":{{"major":"1","minor":"{minor}"}}}}"#);
        assert_eq!(minor_version(&json("33")), Some(33));
        assert_eq!(minor_version(&json("27+")), Some(27));
        assert_eq!(minor_version("error"), None);
    }

    #[test]
    fn an_allowlist_is_read_by_either_key() {
        let text = "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: a\n- name: b\n";
        let policy = Policy::read("kuberc", text).expect("read");
        assert_eq!(
            (policy.policy.as_str(), &policy.allowed[..]),
            ("Allowlist", &["a".to_owned(), "b".into()][..])
        );
    }
}
