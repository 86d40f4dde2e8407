//! What was typed, the environment and the defaults, merged once into [`Options`].

use std::path::PathBuf;

use crate::entra::authority::{AuthorityHost, Version};
use crate::entra::cloud::Cloud;
use crate::entra::is_application_id;
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes, is_unexpanded};
use crate::login_mode::LoginMode;
use crate::pop;
use crate::secret::Secret;
use crate::timeout::Timeout;
use crate::token_cache::CacheSettings;
use crate::variables::{self, Merged, Origin};

/// What all login modes share. A mode reads its own flags with [`Options::text`] and [`Options::secret`].
#[derive(Debug)]
pub struct Options {
    pub login: LoginMode,
    /// The server application, as given (`--server-id`).
    pub server_id: String,
    pub tenant_id: Option<String>,
    pub client_id: Option<String>,
    pub cloud: Cloud,
    /// The path in AZURE_ENVIRONMENT_FILEPATH.
    pub stack_file: Option<PathBuf>,
    /// Replaces the cloud's host.
    pub authority_host: Option<AuthorityHost>,
    /// Of the Entra ID endpoints: v1 with `--legacy`.
    pub version: Version,
    /// Set if a proof-of-possession token is wanted.
    pub pop_claims: Option<pop::Claims>,
    pub timeout: Timeout,
    pub cache: CacheSettings,
    given: Merged,
}

impl Options {
    /// Merges and checks, in the original's order, and adds what to tell the user about it.
    ///
    /// # Errors
    /// A value that is missing, is not valid or contradicts another.
    pub fn resolve(typed: &FlagValues, env: &Env) -> Result<(Self, Vec<String>), Error> {
        let mut given = Merged::new(typed, env);
        let mut notices = std::mem::take(&mut given.notices);
        let values = &given.values;
        let text = |flag: Flag| values.text(flag).map(str::to_owned);

        check_expanded(&given)?;
        let login = match values.is_cleared(Flag::Login) {
            true => LoginMode::parse(Some(""))?,
            false => LoginMode::parse(values.text(Flag::Login))?,
        };
        let authority_host = values
            .text(Flag::AuthorityHost)
            .map(AuthorityHost::parse)
            .transpose()?;
        let version = version(values, login, &mut notices);
        let pop_claims = pop_claims(values, login)?;
        let timeout = Timeout::of(values)?;
        let cloud = values
            .text(Flag::Environment)
            .map_or(Ok(Cloud::Public), Cloud::from_name)?;
        let options = Self {
            login,
            server_id: server_id(values, login)?,
            tenant_id: text(Flag::TenantId),
            client_id: text(Flag::ClientId),
            cloud,
            stack_file: env.get(env::AZURE_ENVIRONMENT_FILEPATH).map(PathBuf::from),
            authority_host,
            version,
            pop_claims,
            timeout,
            cache: CacheSettings::of(values, env)?,
            given,
        };
        Ok((options, notices))
    }

    /// The value of a flag that only some modes have, after merging the environment.
    pub fn text(&self, flag: Flag) -> Option<&str> {
        self.given.values.text(flag)
    }

    /// The same for a flag that takes a secret.
    pub fn secret(&self, flag: Flag) -> Option<Secret> {
        self.given.values.secret(flag)
    }

    /// True if this switch is on.
    pub fn is_on(&self, flag: Flag) -> bool {
        self.given.values.is_on(flag)
    }

    /// What was typed.
    pub fn typed(&self) -> &FlagValues {
        &self.given.typed
    }

    /// True if the flag was typed, whatever the environment says.
    pub fn is_typed(&self, flag: Flag) -> bool {
        self.given.typed.is_given(flag)
    }

    /// The error for a missing flag that the login mode requires.
    pub fn missing(&self, flag: Flag) -> Error {
        variables::missing(flag, self.login)
    }
}

/// The version of the endpoints that the login uses. In the modes that do not know v1, `--legacy` changes nothing, as in
/// the original.
fn version(values: &FlagValues, login: LoginMode, notices: &mut Vec<String>) -> Version {
    if !values.is_on(Flag::Legacy) {
        return Version::V2;
    }
    if login.speaks_v1() {
        return Version::V1;
    }
    notices.push(format!(
        "ignoring --legacy: it has no effect with --login {login}"
    ));
    Version::V2
}

/// `--pop-claims` as written, if such a token is wanted.
///
/// # Errors
/// One of `--pop-enabled` and `--pop-claims` is given without the other.
fn written_pop_claims(values: &FlagValues) -> Result<Option<&str>, Error> {
    match (values.is_on(Flag::PopEnabled), values.text(Flag::PopClaims)) {
        (false, None) => Ok(None),
        (true, Some(claims)) => Ok(Some(claims)),
        (true, None) => Err(Error::input("--pop-enabled needs --pop-claims")
            .remedy("Add the cluster's resource ID: --pop-claims u=/ARM/ID/OF/CLUSTER")),
        (false, Some(_)) => Err(
            Error::input("--pop-claims has no effect without --pop-enabled")
                .remedy("Add --pop-enabled, or leave out --pop-claims."),
        ),
    }
}

/// The claims of the proof-of-possession token, if one is wanted.
fn pop_claims(values: &FlagValues, login: LoginMode) -> Result<Option<pop::Claims>, Error> {
    let Some(claims) = written_pop_claims(values)? else {
        return Ok(None);
    };
    let claims = pop::Claims::parse(claims)?;
    if values.is_on(Flag::Legacy) {
        return Err(
            Error::input("--legacy and --pop-enabled cannot be used together").remedy(
                "Leave one of them out: the v1 endpoint does not issue proof-of-possession tokens.",
            ),
        );
    }
    check_pop_mode(login)?;
    Ok(Some(claims))
}

/// Checks that the login mode can prove the possession of a key.
pub fn check_pop_mode(login: LoginMode) -> Result<(), Error> {
    if login.proves_possession() {
        return Ok(());
    }
    let modes = LoginMode::words_of(LoginMode::proves_possession);
    Err(
        Error::input(format!("--pop-enabled does not work with --login {login}")).remedy(format!(
            "Leave out --pop-enabled, or use a login mode that supports it: {modes}."
        )),
    )
}

/// Checks the flags of a proof-of-possession token as [`Options::resolve`] does.
pub fn check_pop(values: &FlagValues, login: LoginMode) -> Result<(), Error> {
    pop_claims(values, login).map(|_| ())
}

/// The usual server ID.
pub const AKS_SERVER: &str =
    "AKS with managed Entra ID integration uses 6dae42f8-4368-4678-94ff-3960e28e3630.";

/// Refuses a value that is the name of a variable. Excludes the cache folder, which never fails a login, and secrets,
/// which may look like anything.
fn check_expanded(given: &Merged) -> Result<(), Error> {
    for definition in Flag::ALL {
        let flag = definition.flag;
        if !matches!(definition.takes, Takes::Value(_)) || flag == Flag::CacheDir {
            continue;
        }
        let Some(given) = given.given(flag).filter(|given| is_unexpanded(given.text)) else {
            continue;
        };
        let is_not = format!(
            "{:?}, which is the name of a variable and not its value",
            given.text
        );
        return Err(match given.origin {
            Origin::Flag => Error::input(format!("{} is {is_not}", flag.typed())).remedy(
                "Nothing expands variables in a kubeconfig's args: write the value, or leave the flag out and set one of the variables that kubelogin reads.",
            ),
            Origin::Variable(name) => Error::input(format!("{name} is {is_not}")).remedy(
                "Whatever runs kubelogin did not expand it: check that the variable is defined there and passed to this step.",
            ),
        });
    }
    Ok(())
}

/// The server application; slashes alone do not name one.
fn server_id(values: &FlagValues, login: LoginMode) -> Result<String, Error> {
    let id = values.text(Flag::ServerId);
    let id = id.filter(|id| !id.trim_matches(['/', ' ']).is_empty());
    let id = id.ok_or_else(|| variables::missing(Flag::ServerId, login).hint(AKS_SERVER))?;
    check_server_id(id)?;
    Ok(id.to_owned())
}

/// Checks the ID of the server application.
///
/// # Errors It has invalid characters.
pub fn check_server_id(id: &str) -> Result<(), Error> {
    if is_application_id(id) {
        return Ok(());
    }
    Err(Error::input(format!("server ID {id:?} is not valid"))
        .remedy("Set --server-id to the server application's GUID or URI.")
        .hint(AKS_SERVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(values: &[(Flag, &str)]) -> FlagValues {
        let mut typed = FlagValues::new();
        typed.set(Flag::ServerId, "srv");
        for (flag, value) in values {
            typed.set(*flag, *value);
        }
        typed
    }

    fn resolve(
        values: &[(Flag, &str)],
        env: &[(&str, &str)],
    ) -> Result<(Options, Vec<String>), Error> {
        Options::resolve(&typed(values), &Env::of(env))
    }

    fn failure(values: &[(Flag, &str)], env: &[(&str, &str)]) -> String {
        resolve(values, env).expect_err("refused").to_string()
    }

    #[test]
    fn legacy_changes_the_modes_that_know_v1_and_is_ignored_with_a_notice_by_the_others() {
        for mode in LoginMode::all() {
            let flags = [(Flag::Login, &*mode.to_string()), (Flag::Legacy, "true")];
            let (options, notices) = resolve(&flags, &[]).expect("resolved");
            if mode.speaks_v1() {
                assert_eq!((options.version, notices.len()), (Version::V1, 0), "{mode}");
            } else {
                assert_eq!(options.version, Version::V2, "{mode}");
                assert!(notices.len() == 1 && notices[0].starts_with("ignoring --legacy"));
            }
        }
    }

    #[test]
    fn the_defaults_are_devicecode_in_the_public_cloud_within_a_minute() {
        let (options, _) = resolve(&[], &[]).expect("resolved");
        assert_eq!(options.login, LoginMode::DeviceCode);
        assert_eq!(options.cloud, Cloud::Public);
        let timeout = Timeout {
            duration: std::time::Duration::from_secs(60),
            is_given: false,
        };
        assert_eq!(options.timeout, timeout);
    }

    #[test]
    fn a_wrong_value_is_named_with_the_fix() {
        assert!(failure(&[(Flag::Login, "password")], &[]).contains(&LoginMode::words()));
        assert!(failure(&[], &[(env::AAD_LOGIN_METHOD, "x")]).contains("AAD_LOGIN_METHOD"));
        assert!(failure(&[(Flag::Environment, "AzureMoon")], &[]).contains("AzureChinaCloud"));
        assert!(failure(&[(Flag::TokenCacheStorage, "vault")], &[]).contains("keyring, disk"));
        assert!(failure(&[(Flag::Timeout, "soon")], &[]).contains("--timeout"));
        let no_server = Options::resolve(&FlagValues::new(), &Env::of(&[])).expect_err("refused");
        assert!(no_server.to_string().contains("--server-id. AKS"));
        assert!(failure(&[(Flag::ServerId, " /")], &[]).contains("--server-id"));
    }

    /// AADSTS700038 or AADSTS90002, if it were sent.
    #[test]
    fn a_variable_s_name_in_place_of_its_value_is_refused_with_who_did_not_expand_it() {
        for value in ["$APP", "${APP}", "$(clientId)", "%APP%", "$HOME/app"] {
            for flag in [
                Flag::ClientId,
                Flag::TenantId,
                Flag::ServerId,
                Flag::FederatedTokenFile,
            ] {
                let error = failure(&[(flag, value)], &[]);
                assert!(
                    error.starts_with(&format!("{} is {value:?}", flag.typed())),
                    "{error}"
                );
                assert!(error.contains("kubeconfig's args"), "{error}");
            }
            let error = failure(&[(Flag::ClientId, "app")], &[(env::AZURE_CLIENT_ID, value)]);
            assert!(
                error.starts_with(&format!("AZURE_CLIENT_ID is {value:?}")),
                "{error}"
            );
        }
        for value in ["a$b", "$", "%", "100%", "$5-off", "$()", "%%"] {
            assert!(resolve(&[(Flag::ClientId, value)], &[]).is_ok(), "{value}");
        }
        assert!(
            resolve(&[(Flag::ClientSecret, "$ecret")], &[]).is_ok(),
            "it may be one"
        );
    }

    #[test]
    fn pop_needs_both_its_flags_a_mode_that_knows_it_and_v2() {
        let (on, claims) = ((Flag::PopEnabled, "true"), (Flag::PopClaims, "u=x"));
        assert!(failure(&[on], &[]).contains("--pop-claims"));
        assert!(failure(&[claims], &[]).contains("--pop-enabled"));
        let legacy = [on, claims, (Flag::Login, "spn"), (Flag::Legacy, "true")];
        let error = failure(&legacy, &[]);
        assert!(error.contains("--legacy and --pop-enabled"), "{error}");
        let modes = LoginMode::words_of(LoginMode::proves_possession);
        for mode in LoginMode::all() {
            let flags = [on, claims, (Flag::Login, &*mode.to_string())];
            match resolve(&flags, &[]) {
                Ok((options, _)) => {
                    assert!(mode.proves_possession() && options.pop_claims.is_some());
                }
                Err(error) => {
                    assert!(!mode.proves_possession() && error.to_string().contains(&modes));
                }
            }
        }
    }
}
