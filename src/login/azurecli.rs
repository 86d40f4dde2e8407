//! `--login azurecli`: the account that the Azure CLI (az) is signed in with.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone as _, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::outside_state::{
    Account, OutsideState, SignedIn, fingerprint, folder, is_in_tenant, read,
};
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
use crate::token::{Scope, Token, seconds};
use crate::token_cache::{CacheKey, Fingerprint};

#[rustfmt::skip]
const AZURE_CLI: Product = Product {
    name: "az",
    title: "the Azure CLI",
    install: "https://aka.ms/installazurecli",
    sign_in: "az login",
    tenant_flag: "--tenant",
    advice: &[
        ("Tenant shouldn't be specified",
         "az is signed in with a managed identity, which has only one tenant; leave out --tenant-id (AZURE_TENANT_ID)."),
        ("only one of subscription and tenant",
         "A subscription belongs to one tenant; leave out --tenant-id (AZURE_TENANT_ID) or --subscription."),
        ("udience is not supported",
         "Cloud Shell's own identity cannot sign in to Kubernetes. Run: az login --scope <scope>"),
        ("not a supported MSI token audience",
         "Cloud Shell's own identity cannot sign in to Kubernetes. Run: az login --scope <scope>"),
        ("multiple accounts",
         "az has several accounts with that name. Run: az account clear, then: az login"),
        ("Multiple subscriptions",
         "Set --subscription to the ID instead of the name; az account list shows it."),
        ("doesn't exist in cloud",
         "Check --subscription against az account list, and the cloud with az cloud show."),
        ("not found. Check the spelling",
         "Check --subscription against az account list."),
        ("az account set",
         "az has no active subscription. Run: az account set --subscription ID"),
        ("az login",
         "Run: az login --scope <scope>"),
        ("CERTIFICATE_VERIFY_FAILED",
         "az does not trust the TLS certificate it was shown; set REQUESTS_CA_BUNDLE to your company's CA file."),
        ("Failed to connect to MSI",
         "az is signed in with a managed identity that does not exist here. Run: az login"),
        ("Max retries exceeded",
         "az cannot reach Entra ID; check the network and HTTPS_PROXY."),
    ],
};

/// az, with the arguments of the request.
#[derive(Debug)]
pub struct AzureCli {
    tenant_id: Option<String>,
    subscription: Option<String>,
    state: State,
}

/// Where az keeps who is signed in, and with which account and cloud.
#[derive(Debug)]
pub struct State {
    /// The absolute path of AZURE_CONFIG_DIR or `~/.azure`; `None` without a home.
    folder: Option<PathBuf>,
    /// AZURE_CLOUD_NAME
    cloud: Option<String>,
}

/// The account that az is signed in as.
pub fn standing(env: &Env, tenant: Option<&str>) -> Standing {
    let state = State::new(env);
    Standing {
        product: &AZURE_CLI,
        signed_in: state.signed_in(tenant),
        file: state.profile(),
    }
}

/// What az prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: Secret,
    /// Unix seconds, since az 2.54.
    #[serde(rename = "expires_on", default)]
    unix_time: Value,
    /// Local time without a zone: ambiguous for an hour in autumn.
    #[serde(default)]
    expires_on: Value,
}

impl Login for AzureCli {
    fn identify(&self, key: CacheKey) -> CacheKey {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        key.with("tenant", &text(&self.tenant_id))
            .with("subscription", &text(&self.subscription))
            .with_folder(self.state.folder.as_deref())
    }

    /// `None` if az's state cannot be read; then no token may be cached.
    fn fingerprint(&self) -> Option<Fingerprint> {
        fingerprint(|state| self.state.collect(state))
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        let output = program::ask(&self.program(scope), &AZURE_CLI, scope, timeout, system)?;
        let answer: Answer =
            program::json_object(&output).ok_or_else(|| program::no_token(&AZURE_CLI))?;
        let expires_on =
            unix_time(&answer.unix_time).or_else(|| local_time(answer.expires_on.as_str()?));
        let tenant = self.tenant_id.as_deref();
        program::token(&AZURE_CLI, answer.access_token, expires_on, tenant, system)
    }
}

impl AzureCli {
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        argument(options, Flag::ServerId)?;
        Ok(Self {
            tenant_id: argument(options, Flag::TenantId)?,
            subscription: argument(options, Flag::Subscription)?,
            state: State::new(env),
        })
    }

    fn program(&self, scope: &Scope) -> Program {
        let mut args = vec!["account", "get-access-token", "--output", "json"];
        args.extend(["--resource", scope.resource()]);
        if let Some(tenant) = &self.tenant_id {
            args.extend(["--tenant", tenant]);
        }
        if let Some(subscription) = &self.subscription {
            args.extend(["--subscription", subscription]);
        }
        Program {
            name: AZURE_CLI.name,
            args: args.into_iter().map(str::to_owned).collect(),
            environment: self.state.variable().into_iter().collect(),
        }
    }
}

fn unix_time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds(value)?, 0)
}

/// `2026-11-22 01:50:41.000000`; if ambiguous, the earlier time.
fn local_time(text: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Local
        .from_local_datetime(&naive)
        .earliest()
        .map(|local| local.to_utc())
}

impl State {
    pub fn new(env: &Env) -> Self {
        Self {
            folder: folder(env, env::AZURE_CONFIG_DIR, ".azure"),
            cloud: env.get(env::AZURE_CLOUD_NAME).map(str::to_owned),
        }
    }

    /// The file that says who is signed in.
    fn profile(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(PROFILE))
    }

    /// Who is signed in, to this tenant if one is named.
    fn signed_in(&self, tenant: Option<&str>) -> SignedIn {
        let profile = self.profile().and_then(|path| read(&path).ok()?);
        account(&profile.unwrap_or_default(), tenant)
    }

    /// The variable that makes az use the folder that [`State::collect`] reads.
    pub fn variable(&self) -> Option<(&'static str, PathBuf)> {
        Some((env::AZURE_CONFIG_DIR, self.folder.clone()?))
    }

    /// The accounts, which of them is active, and the active cloud, and when they were written: what `az login`, `az logout`, `az account set`,
    /// `az account clear` and `az cloud set` change. Not az's token cache, which changes with every refresh.
    pub fn collect(&self, state: &mut OutsideState) -> io::Result<()> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        state.add(folder.as_os_str().as_encoded_bytes());
        if is_of_machine(state.add_file(&folder.join(PROFILE))?) {
            state.add_machine()?;
        }
        // Custom clouds, and the active subscription of each cloud.
        state.add_file(&folder.join("clouds.config"))?;
        let config = read(&folder.join("config"))?.unwrap_or_default();
        let config = String::from_utf8_lossy(&config);
        let cloud = self.cloud.as_deref().or_else(|| configured_cloud(&config));
        state.add(cloud.unwrap_or("AzureCloud").as_bytes());
        Ok(())
    }
}

/// True if az is signed in with a managed identity (`az login --identity`): then its token depends on the machine.
fn is_of_machine(profile: &[u8]) -> bool {
    // `systemAssignedIdentity` or `userAssignedIdentity` in place of a user name.
    String::from_utf8_lossy(profile).contains("AssignedIdentity")
}

/// The file with az's accounts.
const PROFILE: &str = "azureProfile.json";

/// An account in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileAccount {
    tenant_id: Option<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    is_default: bool,
    #[serde(default)]
    user: ProfileUser,
}

#[derive(Default, Deserialize)]
struct ProfileUser {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl From<ProfileUser> for Account {
    fn from(user: ProfileUser) -> Self {
        Self {
            is_service_principal: user.kind == "servicePrincipal",
            // `az login --identity`, and the account of Cloud Shell.
            has_one_tenant: user.name.ends_with("AssignedIdentity")
                || user.name.starts_with("MSI@"),
            name: Some(user.name).filter(|name| !name.is_empty()),
        }
    }
}

/// The account of az for this tenant, or its default account without one.
fn account(profile: &[u8], tenant: Option<&str>) -> SignedIn {
    #[derive(Deserialize)]
    struct Profile {
        subscriptions: Vec<ProfileAccount>,
    }
    let profile: Option<Profile> = serde_json::from_slice(without_bom(profile)).ok();
    let mut accounts = profile.map_or(Vec::new(), |profile| profile.subscriptions);
    accounts.retain(|account| account.state == "Enabled");
    let is_empty = accounts.is_empty();
    accounts.retain(|account| is_in_tenant(account.tenant_id.as_deref(), tenant));
    let default = accounts.iter().position(|account| account.is_default);
    match accounts.into_iter().nth(default.unwrap_or_default()) {
        Some(account) => SignedIn::As(account.user.into()),
        None if is_empty => SignedIn::Nobody,
        None => SignedIn::Elsewhere,
    }
}

/// `name` of the section `[cloud]` (Python's configparser format).
fn configured_cloud(config: &str) -> Option<&str> {
    let mut lines = config
        .lines()
        .skip_while(|line| line.trim() != "[cloud]")
        .skip(1);
    let section = lines.by_ref().take_while(|line| !line.starts_with('['));
    let mut values = section.filter_map(|line| line.split_once(['=', ':']));
    let name = values.find(|(key, _)| key.trim().eq_ignore_ascii_case("name"));
    name.map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use chrono::TimeDelta;
    use tempfile::TempDir;

    use super::*;
    use crate::login::tests::{self, NOBODY_WAITS};
    use crate::system::ProgramError;
    use crate::system::fake::FakeSystem;

    const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";

    fn options(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> Options {
        let server = (Flag::ServerId, "6dae42f8-4368-4678-94ff-3960e28e3630");
        tests::options("azurecli", &[&[server], flags].concat(), env)
    }

    fn login_with(flags: &[(Flag, &str)], system: &FakeSystem) -> Result<Token, Error> {
        let env = [("HOME", "/home/alice")];
        let options = options(flags, &env);
        AzureCli::new(&options, &Env::of(&env))?.acquire(
            &Scope::of_server(SCOPE),
            options.timeout,
            system,
            NOBODY_WAITS,
        )
    }

    fn login(system: &FakeSystem) -> Result<Token, Error> {
        login_with(&[], system)
    }

    fn failure(stderr: &str) -> String {
        let system = FakeSystem::with_outputs([FakeSystem::failure(Some(1), stderr)]);
        login(&system).expect_err("refused").to_string()
    }

    fn answer(expiry: &str) -> String {
        format!(r#"{{"accessToken": "at", {expiry} "tenant": "t", "tokenType": "Bearer"}}"#)
    }

    #[test]
    fn az_gets_the_given_flags_and_no_more() {
        let bare = [
            "account",
            "get-access-token",
            "--output",
            "json",
            "--resource",
            "6dae42f8-4368-4678-94ff-3960e28e3630",
        ];
        for (flags, more) in [
            (&[][..], &[][..]),
            (
                &[(Flag::TenantId, "ten.example")],
                &["--tenant", "ten.example"],
            ),
            (
                &[(Flag::Subscription, "My Sub_1.0")],
                &["--subscription", "My Sub_1.0"],
            ),
            (
                &[(Flag::TenantId, "ten"), (Flag::Subscription, "sub")],
                &["--tenant", "ten", "--subscription", "sub"],
            ),
        ] {
            let system = FakeSystem::with_outputs([FakeSystem::output(answer(""))]);
            login_with(flags, &system).expect("token");
            let program = &system.programs()[0];
            assert_eq!(program.name, "az");
            assert_eq!(program.args, [&bare, more].concat());
            assert_eq!(
                program.environment,
                [("AZURE_CONFIG_DIR", "/home/alice/.azure".into())]
            );
        }
    }

    #[test]
    fn every_form_of_expiry_is_read() {
        let hour = TimeDelta::hours(1);
        let local = (FakeSystem::EPOCH + hour).with_timezone(&Local);
        let local = local.format("%Y-%m-%d %H:%M:%S.000000");
        let jwt = r#"{"accessToken": "e30.eyJleHAiOjE3NjcyMjkyMDB9.sig"}"#;
        for (output, life) in [
            (
                answer(r#""expires_on": 1767229200, "expiresOn": "2001-01-01 00:00:00.000000","#),
                hour,
            ),
            (answer(r#""expires_on": "1767229200","#), hour),
            (answer(&format!(r#""expiresOn": "{local}","#)), hour),
            (
                answer(&format!(r#""expires_on": 0, "expiresOn": "{local}","#)),
                hour,
            ),
            (answer(r#""expires_on": null,"#), TimeDelta::minutes(5)),
            (jwt.to_owned(), hour),
        ] {
            let system = FakeSystem::with_outputs([FakeSystem::output(output.clone())]);
            let token = login(&system).expect(&output);
            assert_eq!(token.expires_on - FakeSystem::EPOCH, life, "{output}");
        }
    }

    #[test]
    fn unusable_output_is_an_error_that_shows_none_of_it() {
        for (output, says) in [
            (String::new(), "returned no token"),
            ("null".to_owned(), "returned no token"),
            ("hunter2".to_owned(), "returned no token"),
            (
                r#"{"accessToken": null, "x": "hunter2"}"#.to_owned(),
                "returned no token",
            ),
            (
                r#"{"accessToken": "hunter2"#.to_owned(),
                "returned no token",
            ),
            (r#"{"accessToken": ""}"#.to_owned(), "an empty token"),
            (
                answer(r#""expires_on": 1767225600,"#),
                "expired at 2026-01-01T00:00:00Z",
            ),
        ] {
            let system = FakeSystem::with_outputs([FakeSystem::output(output.clone())]);
            let error = login(&system).expect_err(&output).to_string();
            assert!(error.contains(says), "{error}");
            assert!(
                !error.contains("hunter2") && error.lines().count() <= 3,
                "{error}"
            );
        }
    }

    #[test]
    fn az_s_own_message_is_shown_with_the_fix() {
        let error = failure(
            "WARNING: x\nERROR: \u{1b}[91mPlease run 'az login' to setup account.\u{1b}[0m\n",
        );
        assert_eq!(
            error,
            format!("az: Please run 'az login' to setup account.\nRun: az login --scope {SCOPE}")
        );
        for (stderr, says) in [
            (
                "ERROR: Tenant shouldn't be specified for managed identity account",
                "leave out --tenant-id",
            ),
            (
                "ERROR: Audience x/.default audience is not supported",
                SCOPE,
            ),
            (
                "ERROR: Subscription 'x' not found. Check the spelling and casing and try again.",
                "az account list",
            ),
            (
                "ERROR: Found multiple accounts with the same username",
                "az account clear",
            ),
            ("something odd", "az login"),
        ] {
            let error = failure(stderr);
            assert!(error.contains(says), "{error}");
            assert!(
                error.contains(stderr.trim_start_matches("ERROR: ")),
                "{error}"
            );
        }
        assert!(failure("").contains("exited with code 1"));
    }

    #[test]
    fn an_entra_error_that_az_quotes_gets_our_remedy_and_the_reference() {
        let error = failure(
            "ERROR: AADSTS70043: The refresh token has expired. More text. Trace ID: t Correlation ID: c-1 Timestamp: x\n\
             Interactive authentication is needed. Please run:\naz login --scope y\n",
        );
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines[0], "az: AADSTS70043: The refresh token has expired.");
        assert!(
            lines[1].ends_with(&format!("sign in again. Run: az login --scope {SCOPE}")),
            "{error}"
        );
        assert!(lines[2].contains("c-1"), "{error}");
    }

    #[test]
    fn an_az_that_cannot_run_to_its_end_is_named_with_the_fix() {
        let searched = "/usr/bin, then PATH=/a:/b".to_owned();
        for (outcome, says) in [
            (
                Err(ProgramError::NotFound { searched }),
                &["was not found", "PATH=/a:/b", "installazurecli"][..],
            ),
            (
                Err(ProgramError::NotStarted("/a/az: denied".into())),
                &["/a/az: denied"],
            ),
            (
                Err(ProgramError::TimedOut),
                &["within 60 seconds", "--timeout", "AZURE_CLI_TIMEOUT"],
            ),
            (Err(ProgramError::TooMuchOutput), &["too much output"]),
            (FakeSystem::failure(None, ""), &["killed"]),
        ] {
            let error = login(&FakeSystem::with_outputs([outcome]))
                .expect_err("no token")
                .to_string();
            for piece in says {
                assert!(error.contains(piece), "{piece}: {error}");
            }
            assert!(error.lines().count() <= 3, "{error}");
        }
    }

    #[test]
    fn a_token_of_another_tenant_than_the_flag_s_is_an_error_that_names_both() {
        let [own, other] = [1, 2].map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
        let claims = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            format!(r#"{{"tid":"{own}"}}"#),
        );
        let output = format!(r#"{{"accessToken": "e30.{claims}.sig", "expires_on": 1767229200}}"#);
        for (tenant, is_refused) in [(&*own, false), (&*other, true), ("contoso.example", false)] {
            let system = FakeSystem::with_outputs([FakeSystem::output(output.clone())]);
            let result = login_with(&[(Flag::TenantId, tenant)], &system);
            assert_eq!(result.is_err(), is_refused, "{tenant}");
            if let Err(error) = result {
                let error = error.to_string();
                assert!(
                    error.contains(&format!("token of tenant {own}, but --tenant-id")),
                    "{error}"
                );
                assert!(
                    error.contains(&format!("az login --tenant {other}")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn an_entra_error_in_json_is_explained_and_nothing_of_the_json_is_shown() {
        let error = failure(
            r#"ERROR: Get Token failed: {"error":"invalid_grant","error_description":"AADSTS70043: It has expired. More.\r\nTrace ID: t\r\nCorrelation ID: c-1\r\nTimestamp: x","error_codes":[70043],"hush":1}"#,
        );
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines[0], "az: AADSTS70043: It has expired.");
        assert!(lines[2].starts_with("Correlation ID: c-1; more"), "{error}");
        assert!(!error.contains("hush") && !error.contains('{'), "{error}");
    }

    #[test]
    fn a_value_that_az_could_misread_is_refused() {
        for (flag, value) in [
            (Flag::TenantId, "ten; rm"),
            (Flag::TenantId, "--debug"),
            (Flag::Subscription, "a\"b"),
            (Flag::Subscription, "-x"),
            (Flag::ServerId, "api://x;y"),
        ] {
            let system = FakeSystem::with_outputs([]);
            let error = login_with(&[(flag, value)], &system)
                .expect_err(value)
                .to_string();
            assert!(error.contains(flag.typed()), "{error}");
        }
    }

    fn state(folder: &Path, env: &[(&str, &str)]) -> Option<Fingerprint> {
        let folder = folder.to_str().expect("UTF-8");
        let env = [&[("AZURE_CONFIG_DIR", folder)], env].concat();
        AzureCli::new(&options(&[], &env), &Env::of(&env))
            .expect("login")
            .fingerprint()
    }

    #[test]
    fn a_change_of_account_or_cloud_changes_the_state() {
        let room = TempDir::new().expect("a folder");
        let folder = room.path();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
        let mut states = vec![state(folder, &[])];
        let mut is_new = |why: &str| {
            let now = state(folder, &[]);
            assert!(now.is_some(), "{why}");
            assert!(!states.contains(&now), "{why}");
            states.push(now);
        };
        write(
            "azureProfile.json",
            r#"{"subscriptions": [{"user": "alice"}]}"#,
        );
        is_new("az login");
        write(
            "azureProfile.json",
            r#"{"subscriptions": [{"user": "bob"}]}"#,
        );
        is_new("az login as another");
        write(
            "config",
            "[core]\nname = x\n[cloud]\nname = AzureChinaCloud\n",
        );
        is_new("az cloud set");
        write("clouds.config", "[AzureChinaCloud]\nsubscription = s\n");
        is_new("az account set");
        write("azureProfile.json", r#"{"subscriptions": []}"#);
        is_new("az account clear");

        let last = state(folder, &[]);
        write(
            "config",
            "[cloud]\nname = AzureChinaCloud\n[core]\noutput = table\n",
        );
        write("msal_token_cache.json", "refreshed");
        assert_eq!(
            state(folder, &[]),
            last,
            "neither is about who is signed in"
        );
        assert_eq!(
            state(folder, &[("AZURE_CLOUD_NAME", "AzureChinaCloud")]),
            last
        );
        assert_ne!(state(folder, &[("AZURE_CLOUD_NAME", "AzureCloud")]), last);
    }

    #[test]
    fn a_managed_identity_of_az_is_tied_to_this_machine() {
        for (user, expected) in [("systemAssignedIdentity", true), ("alice", false)] {
            let user = format!(r#"{{"subscriptions":[{{"user":{{"name":"{user}"}}}}]}}"#);
            assert_eq!(is_of_machine(user.as_bytes()), expected);
        }
    }

    #[test]
    fn another_folder_is_another_state_and_without_a_home_there_is_none() {
        let folders = [(); 2].map(|()| TempDir::new().expect("a folder"));
        let [one, two] = folders.each_ref().map(TempDir::path);
        assert_ne!(state(one, &[]), state(two, &[]));
        fs::create_dir(one.join("azureProfile.json")).expect("a folder in its place");
        assert_eq!(state(one, &[]), None);
        let homeless = AzureCli::new(&options(&[], &[]), &Env::default()).expect("login");
        assert_eq!(homeless.fingerprint(), None);
    }
}
