//! `--login azd`: the account that the Azure Developer CLI is signed in with.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::azurecli;
use super::outside_state::{Account, OutsideState, SignedIn, fingerprint, folder, read};
use super::program::{self, Product, Standing, argument};
use crate::entra::answer::without_bom;
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::Flag;
use crate::login::{HandOn, Login};
use crate::options::Options;
use crate::secret::Secret;
use crate::system::{Program, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

#[rustfmt::skip]
const AZURE_DEVELOPER_CLI: Product = Product {
    name: "azd",
    title: "the Azure Developer CLI",
    install: "https://aka.ms/azd-install",
    sign_in: "azd auth login",
    tenant_flag: "--tenant-id",
    advice: &[
        ("auth login", "Run: azd auth login --scope <scope>"),
        ("not logged in", "Run: azd auth login --scope <scope>"),
        ("certificate", "azd does not trust the TLS certificate it was shown; add your company's CA to this machine's trust store."),
    ],
};

/// azd, with the arguments of the request.
#[derive(Debug)]
pub struct Azd {
    tenant_id: Option<String>,
    /// azd's state, the absolute path of AZD_CONFIG_DIR or `~/.azd`; `None` without a home.
    folder: Option<PathBuf>,
    /// True if an editor signs in for it (AZD_AUTH_ENDPOINT).
    has_host: bool,
    /// az's state: azd can be configured to get its tokens from az (`auth.useAzCliAuth`).
    az: azurecli::State,
}

/// What azd prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: Secret,
    #[serde(default)]
    expires_on: Value,
}

impl Login for Azd {
    fn identify(&self, key: CacheKey) -> CacheKey {
        key.with("tenant", self.tenant_id.as_deref().unwrap_or_default())
            .with_folder(self.folder.as_deref())
    }

    /// `None` if the state cannot be read; then no token may be cached.
    fn fingerprint(&self) -> Option<Fingerprint> {
        fingerprint(|state| self.collect(state))
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        let product = &AZURE_DEVELOPER_CLI;
        let output = program::ask(&self.program(scope), product, scope, timeout, system)?;
        let answer: Answer =
            program::json_object(&output).ok_or_else(|| program::no_token(product))?;
        let expires_on = answer.expires_on.as_str().and_then(moment);
        let tenant = self.tenant_id.as_deref();
        program::token(product, answer.token, expires_on, tenant, system)
    }
}

impl Azd {
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        argument(options, Flag::ServerId)?;
        Ok(Self {
            tenant_id: argument(options, Flag::TenantId)?,
            folder: folder(env, env::AZD_CONFIG_DIR, ".azd"),
            has_host: env.get(env::AZD_AUTH_ENDPOINT).is_some(),
            az: azurecli::State::new(env),
        })
    }

    fn program(&self, scope: &Scope) -> Program {
        let mut args = vec!["auth", "token", "--output", "json", "--no-prompt"];
        args.extend(["--scope", scope.as_str()]);
        if let Some(tenant) = &self.tenant_id {
            args.extend(["--tenant-id", tenant]);
        }
        let variable = |folder: &PathBuf| (env::AZD_CONFIG_DIR, folder.clone());
        Program {
            name: AZURE_DEVELOPER_CLI.name,
            args: args.into_iter().map(str::to_owned).collect(),
            // Makes azd use the folders that `collect` reads.
            environment: self
                .folder
                .iter()
                .map(variable)
                .chain(self.az.variable())
                .collect(),
        }
    }

    /// Who is signed in (`auth.json`), whether az signs in (`config.json`), and az's own state: what `azd auth login` and
    /// `azd auth logout` change. Not azd's token cache in `auth/`, which changes with every refresh.
    fn collect(&self, state: &mut OutsideState) -> io::Result<()> {
        let folder = self.folder.as_ref().filter(|_| !self.has_host);
        let folder = folder.ok_or(io::ErrorKind::NotFound)?;
        state.add(folder.as_os_str().as_encoded_bytes());
        state.add_file(&folder.join("auth.json"))?;
        state.add_file(&folder.join("config.json"))?;
        self.az.collect(state)
    }
}

/// Whether a user is signed in to azd (azd, `pkg/auth/manager.go`), or to az or an editor in its place. azd's files say
/// neither which user nor which tenant.
pub fn standing(env: &Env) -> Standing {
    let folder = folder(env, env::AZD_CONFIG_DIR, ".azd");
    let auth = |file: &str| {
        let path = folder.as_ref()?.join(file);
        let config: Value = serde_json::from_slice(without_bom(&read(&path).ok()??)).ok()?;
        config.get("auth").cloned()
    };
    let config = auth("config.json").unwrap_or_default();
    let has_user = |auth: &Value| auth["account"]["currentUser"].is_object();
    let signed_in = if env.get(env::AZD_AUTH_ENDPOINT).is_some() {
        SignedIn::As(Account::default())
    } else if config["useAzCliAuth"] == "true" {
        azurecli::standing(env, None).signed_in
    } else if has_user(&config) || auth("auth.json").is_some_and(|auth| has_user(&auth)) {
        SignedIn::As(Account::default())
    } else {
        SignedIn::Nobody
    };
    Standing {
        product: &AZURE_DEVELOPER_CLI,
        signed_in,
        file: folder.map(|folder| folder.join("auth.json")),
    }
}

/// `2026-01-01T00:00:00Z`
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    Some(moment.to_utc())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::login::tests::{NOBODY_WAITS, options};
    use crate::system::fake::FakeSystem;

    fn login(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> (Azd, Timeout) {
        let options = options("azd", flags, env);
        (
            Azd::new(&options, &Env::of(env)).expect("login"),
            options.timeout,
        )
    }

    fn acquire_with(flags: &[(Flag, &str)], system: &FakeSystem) -> Result<Token, Error> {
        let (azd, timeout) = login(flags, &[("HOME", "/home/alice")]);
        azd.acquire(&Scope::of_server("srv"), timeout, system, NOBODY_WAITS)
    }

    #[test]
    fn azd_gets_the_given_flags_and_no_more() {
        let bare = [
            "auth",
            "token",
            "--output",
            "json",
            "--no-prompt",
            "--scope",
            "srv/.default",
        ];
        for (flags, more) in [
            (&[][..], &[][..]),
            (&[(Flag::TenantId, "ten")], &["--tenant-id", "ten"]),
        ] {
            let output = r#"{"token":"at","expiresOn":"2026-01-01T01:00:00.25Z"}"#;
            let system = FakeSystem::with_outputs([FakeSystem::output(output)]);
            let token = acquire_with(flags, &system).expect("token");
            assert_eq!((token.expires_on - FakeSystem::EPOCH).num_seconds(), 3600);
            let program = &system.programs()[0];
            assert_eq!(
                (program.name, &program.args),
                (
                    "azd",
                    &[&bare, more]
                        .concat()
                        .iter()
                        .map(ToString::to_string)
                        .collect()
                )
            );
            let folders = ["/home/alice/.azd", "/home/alice/.azure"].map(PathBuf::from);
            assert_eq!(
                program.environment,
                [
                    (env::AZD_CONFIG_DIR, folders[0].clone()),
                    (env::AZURE_CONFIG_DIR, folders[1].clone())
                ]
            );
        }
    }

    #[test]
    fn unusable_output_is_an_error_that_shows_none_of_it() {
        for (output, says) in [
            (r#"{"accessToken":"hunter2"}"#, "returned no token"),
            (r#"{"token":""}"#, "an empty token"),
            (
                r#"{"token":"hunter2","expiresOn":"2025-12-31T23:59:59Z"}"#,
                "expired at",
            ),
        ] {
            let system = FakeSystem::with_outputs([FakeSystem::output(output)]);
            let error = acquire_with(&[], &system).expect_err(output).to_string();
            assert!(
                error.contains(says) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn azd_s_own_message_is_found_in_its_json() {
        let said = r#"{"type":"consoleMessage","timestamp":"x","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#;
        let system = FakeSystem::with_outputs([FakeSystem::failure(Some(1), said)]);
        let error = acquire_with(&[], &system).expect_err("refused").to_string();
        assert_eq!(
            error,
            "azd: not logged in, run `azd auth login` to login\nRun: azd auth login --scope srv/.default"
        );
    }

    #[test]
    fn a_sign_in_to_azd_or_az_changes_the_state() {
        let folders = [(); 2].map(|()| TempDir::new().expect("a folder"));
        let [azd, az] = folders.each_ref().map(TempDir::path);
        let env = [
            (env::AZD_CONFIG_DIR, azd.to_str().expect("UTF-8")),
            (env::AZURE_CONFIG_DIR, az.to_str().expect("UTF-8")),
        ];
        let state = || login(&[], &env).0.fingerprint().expect("seen");
        let mut states = vec![state()];
        for (file, content) in [
            (azd.join("auth.json"), "alice"),
            (azd.join("auth.json"), "bob"),
            (azd.join("config.json"), "az signs in"),
            (az.join("azureProfile.json"), "carol"),
        ] {
            fs::write(&file, content).expect("written");
            assert!(!states.contains(&state()), "{file:?}");
            states.push(state());
        }
        let host = (env::AZD_AUTH_ENDPOINT, "http://127.0.0.1:1");
        let hosted = login(&[], &[&env[..], &[host]].concat()).0;
        assert_eq!(hosted.fingerprint(), None, "an editor signs in");
    }
}
