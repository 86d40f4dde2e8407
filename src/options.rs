//! What was typed, what the environment says and the defaults, merged once into [`Options`].
//!
//! After [`Options::resolve`] nobody asks where a value came from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::entra::authority::{AuthorityHost, Cloud, Version};
use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues};
use crate::login_mode::LoginMode;
use crate::pop;
use crate::secret::Secret;

/// Everything `get-token` was asked for.
#[derive(Debug)]
pub struct Options {
    pub login: LoginMode,
    /// The server application, as given (`--server-id`).
    pub server_id: String,
    pub tenant_id: Option<String>,
    pub client_id: Option<String>,
    pub cloud: Cloud,
    /// Where AZURE_ENVIRONMENT_FILEPATH points.
    pub stack_file: Option<PathBuf>,
    /// Goes before the cloud's host.
    pub authority_host: Option<AuthorityHost>,
    /// `--identity-resource-id`
    pub identity_resource_id: Option<String>,
    /// What the host of a managed identity put into the environment.
    pub identity_host: IdentityHost,
    pub subscription: Option<String>,
    pub azure_clis: AzureClis,
    /// Of Entra's endpoints: v1 with `--legacy`.
    pub version: Version,
    /// Set if a proof-of-possession token is wanted.
    pub pop_claims: Option<pop::Claims>,
    pub timeout: Timeout,
    pub cache: CacheSettings,
    typed: FlagValues,
    values: FlagValues,
}

/// Where tokens are kept between runs, and what guards them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The absolute path of the cache folder; `None` if there is no place for one, as without HOME.
    pub folder: Option<PathBuf>,
    pub storage: Storage,
}

impl CacheSettings {
    /// What was typed and what the environment says, for a command that needs no more than the cache.
    pub fn resolve(typed: &FlagValues, env: &Env) -> Result<Self, Error> {
        Self::of(&merge_environment(typed, env).values, env)
    }

    fn of(values: &FlagValues, env: &Env) -> Result<Self, Error> {
        let storage = values.text(Flag::TokenCacheStorage);
        Ok(Self {
            folder: cache_folder(values, env)?,
            storage: storage.map_or(Ok(Storage::Auto), Storage::from_word)?,
        })
    }
}

/// What guards the tokens on disk (`--token-cache-storage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The keyring where one works, else the disk.
    Auto,
    /// The sealing key lives in the operating system's keyring; without one no token is kept.
    Keyring,
    /// The sealing key lives in a file beside the tokens that only the person can read.
    Disk,
    /// No token is kept and no disk is touched.
    None,
}

impl Storage {
    const WORDS: &[(&str, Self)] = &[
        ("auto", Self::Auto),
        ("keyring", Self::Keyring),
        ("disk", Self::Disk),
        ("none", Self::None),
    ];

    /// The words of `--token-cache-storage`.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Self::WORDS.iter().map(|(word, _)| *word)
    }

    fn from_word(word: &str) -> Result<Self, Error> {
        let known = Self::WORDS.iter().find(|(known, _)| *known == word);
        known.map(|(_, storage)| *storage).ok_or_else(|| {
            Error::input(format!("token cache storage {word:?} is not known")).remedy(
                "Set --token-cache-storage (or KUBELOGIN_TOKEN_CACHE_STORAGE) to auto, keyring, disk or none.",
            )
        })
    }
}

/// The variables by which Azure's services tell where a managed identity's tokens are.
#[derive(Debug)]
pub struct IdentityHost {
    pub identity_endpoint: Option<String>,
    pub identity_header: Option<Secret>,
    pub identity_server_thumbprint: Option<String>,
    pub imds_endpoint: Option<String>,
    pub msi_endpoint: Option<String>,
    pub msi_secret: Option<Secret>,
    pub default_identity_client_id: Option<String>,
    /// The folder of all programs of Windows; Arc's agent is found in it.
    pub program_data: Option<PathBuf>,
}

/// Where az and azd keep what decides about their tokens.
#[derive(Debug)]
pub struct AzureClis {
    /// The absolute path of AZURE_CONFIG_DIR or `~/.azure`; `None` without a home.
    pub az_folder: Option<PathBuf>,
    /// AZURE_CLOUD_NAME
    pub az_cloud: Option<String>,
    /// The absolute path of AZD_CONFIG_DIR or `~/.azd`; `None` without a home.
    pub azd_folder: Option<PathBuf>,
    /// True if an editor signs in for azd (AZD_AUTH_ENDPOINT).
    pub azd_has_host: bool,
}

impl IdentityHost {
    fn of(env: &Env) -> Self {
        let text = |name| env.get(name).map(str::to_owned);
        Self {
            identity_endpoint: text(env::IDENTITY_ENDPOINT),
            identity_header: env.get(env::IDENTITY_HEADER).map(Secret::new),
            identity_server_thumbprint: text(env::IDENTITY_SERVER_THUMBPRINT),
            imds_endpoint: text(env::IMDS_ENDPOINT),
            msi_endpoint: text(env::MSI_ENDPOINT),
            msi_secret: env.get(env::MSI_SECRET).map(Secret::new),
            default_identity_client_id: text(env::DEFAULT_IDENTITY_CLIENT_ID),
            program_data: env.get(env::PROGRAM_DATA).map(PathBuf::from),
        }
    }
}

impl AzureClis {
    fn of(env: &Env) -> Self {
        let folder = |variable, name| match env.get(variable) {
            Some(folder) => std::path::absolute(folder).ok(),
            None => Some(env.user_home()?.join(name)),
        };
        Self {
            az_folder: folder(env::AZURE_CONFIG_DIR, ".azure"),
            az_cloud: env.get(env::AZURE_CLOUD_NAME).map(str::to_owned),
            azd_folder: folder(env::AZD_CONFIG_DIR, ".azd"),
            azd_has_host: env.get(env::AZD_AUTH_ENDPOINT).is_some(),
        }
    }
}

/// How long a login may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    pub duration: Duration,
    /// True if the person asked for this bound: then it holds for waiting for a person too.
    pub is_given: bool,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// When a variable counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// Unless `--use-azurerm-env-vars` is on.
    AzureNames,
    /// If `--use-azurerm-env-vars` is on.
    ArmNames,
    /// In this login mode, whatever the names.
    Mode(LoginMode),
    /// In this login mode, and only if neither the flag nor a row above gave a value: here the flag wins.
    Fills(LoginMode),
}

impl When {
    fn holds(self, values: &FlagValues, flag: Flag) -> bool {
        let is_mode = |mode: LoginMode| values.text(Flag::Login) == Some(mode.word());
        match self {
            Self::Always => true,
            Self::AzureNames => !values.is_on(Flag::UseAzurermEnvVars),
            Self::ArmNames => values.is_on(Flag::UseAzurermEnvVars),
            Self::Mode(mode) => is_mode(mode),
            Self::Fills(mode) => is_mode(mode) && !values.is_given(flag),
        }
    }
}

/// Which variable sets which flag, in rising precedence: a later row beats an earlier one, and each beats the flag (but
/// those that only fill). The login mode stands first: later rows ask for it.
#[rustfmt::skip]
const VARIABLES: &[(&str, Flag, When)] = &[
    (env::AAD_LOGIN_METHOD, Flag::Login, When::Always),
    (env::KUBELOGIN_TOKEN_CACHE_STORAGE, Flag::TokenCacheStorage, When::Always),
    (env::AZURE_CLI_TIMEOUT, Flag::Timeout, When::Always),
    (env::AAD_SERVICE_PRINCIPAL_CLIENT_ID, Flag::ClientId, When::AzureNames),
    (env::AZURE_CLIENT_ID, Flag::ClientId, When::AzureNames),
    (env::ARM_CLIENT_ID, Flag::ClientId, When::ArmNames),
    (env::AAD_SERVICE_PRINCIPAL_CLIENT_SECRET, Flag::ClientSecret, When::AzureNames),
    (env::AZURE_CLIENT_SECRET, Flag::ClientSecret, When::AzureNames),
    (env::ARM_CLIENT_SECRET, Flag::ClientSecret, When::ArmNames),
    (env::AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE, Flag::ClientCertificate, When::AzureNames),
    (env::AZURE_CLIENT_CERTIFICATE_PATH, Flag::ClientCertificate, When::AzureNames),
    (env::ARM_CLIENT_CERTIFICATE_PATH, Flag::ClientCertificate, When::ArmNames),
    (env::AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD, Flag::ClientCertificatePassword, When::AzureNames),
    (env::AZURE_CLIENT_CERTIFICATE_PASSWORD, Flag::ClientCertificatePassword, When::AzureNames),
    (env::ARM_CLIENT_CERTIFICATE_PASSWORD, Flag::ClientCertificatePassword, When::ArmNames),
    (env::AZURE_TENANT_ID, Flag::TenantId, When::AzureNames),
    (env::ARM_TENANT_ID, Flag::TenantId, When::ArmNames),
    (env::AAD_USER_PRINCIPAL_NAME, Flag::Username, When::Always),
    (env::AZURE_USERNAME, Flag::Username, When::Always),
    (env::AAD_USER_PRINCIPAL_PASSWORD, Flag::Password, When::Always),
    (env::AZURE_PASSWORD, Flag::Password, When::Always),
    (env::AZURE_CLIENT_ID, Flag::ClientId, When::Mode(LoginMode::WorkloadIdentity)),
    (env::AZURE_FEDERATED_TOKEN_FILE, Flag::FederatedTokenFile, When::Mode(LoginMode::WorkloadIdentity)),
    (env::AZURE_AUTHORITY_HOST, Flag::AuthorityHost, When::Mode(LoginMode::WorkloadIdentity)),
    (env::AZURESUBSCRIPTION_CLIENT_ID, Flag::ClientId, When::Fills(LoginMode::AzurePipelines)),
    (env::AZURESUBSCRIPTION_TENANT_ID, Flag::TenantId, When::Fills(LoginMode::AzurePipelines)),
    (env::AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, Flag::AzurePipelinesServiceConnectionId, When::Fills(LoginMode::AzurePipelines)),
];

/// The values after the environment had its say, and what to tell the person about it.
pub struct Merged {
    pub values: FlagValues,
    pub notices: Vec<String>,
}

/// Lets the environment override what was typed, as the original does, unless `--disable-environment-override` is on.
pub fn merge_environment(typed: &FlagValues, env: &Env) -> Merged {
    let mut merged = Merged {
        values: typed.clone(),
        notices: Vec::new(),
    };
    if typed.is_on(Flag::DisableEnvironmentOverride) {
        return merged;
    }
    // Only the last of several variables for a flag wins: only that one is worth a word.
    let mut winners: Vec<(&str, Flag)> = Vec::new();
    for &(variable, flag, when) in VARIABLES {
        let Some(value) = env
            .get(variable)
            .filter(|_| when.holds(&merged.values, flag))
        else {
            continue;
        };
        if flag == Flag::Timeout && parse_duration(value).is_err() {
            merged.notices.push(format!(
                "{variable} is ignored: it is no duration like 30s or 2m"
            ));
            continue;
        }
        merged.values.set(flag, value);
        winners.retain(|(_, earlier)| *earlier != flag);
        winners.push((variable, flag));
    }
    for (variable, flag) in winners {
        let value = env.get(variable).unwrap_or_default();
        if typed.is_given(flag) && !typed.agrees_with(flag, value) {
            merged.notices.push(format!(
                "{variable} overrides {}; --disable-environment-override keeps the flag",
                flag.typed()
            ));
        }
    }
    merged
}

impl Options {
    /// Merges and checks; the checks stand in the original's order.
    pub fn resolve(typed: &FlagValues, env: &Env) -> Result<(Self, Vec<String>), Error> {
        let merged = merge_environment(typed, env);
        let (values, mut notices) = (merged.values, merged.notices);
        let text = |flag: Flag| values.text(flag).map(str::to_owned);

        let login = login_mode(&values)?;
        let authority_host = values
            .text(Flag::AuthorityHost)
            .map(AuthorityHost::parse)
            .transpose()?;
        let version = version(&values, login, &mut notices);
        let pop_claims = pop_claims(&values, login)?;
        let timeout = timeout(&values)?;
        let cloud = values
            .text(Flag::Environment)
            .map_or(Ok(Cloud::Public), Cloud::from_name)?;
        let server_id = server_id(&values, login)?;
        let options = Self {
            login,
            server_id,
            tenant_id: text(Flag::TenantId),
            client_id: text(Flag::ClientId),
            cloud,
            stack_file: env.get(env::AZURE_ENVIRONMENT_FILEPATH).map(PathBuf::from),
            authority_host,
            identity_resource_id: text(Flag::IdentityResourceId),
            identity_host: IdentityHost::of(env),
            subscription: text(Flag::Subscription),
            azure_clis: AzureClis::of(env),
            version,
            pop_claims,
            timeout,
            cache: CacheSettings::of(&values, env)?,
            typed: typed.clone(),
            values: values.clone(),
        };
        if login == LoginMode::Spn
            && values.is_given(Flag::ClientCertificate)
            && values.is_given(Flag::ClientSecret)
        {
            notices.push(
                "the client certificate is used and the client secret is not: give only one of them"
                    .into(),
            );
        }
        Ok((options, notices))
    }

    /// The value of a flag that one mode has for itself, after the environment had its say.
    pub fn text(&self, flag: Flag) -> Option<&str> {
        self.values.text(flag)
    }

    /// The same for a flag that takes a secret.
    pub fn secret(&self, flag: Flag) -> Option<Secret> {
        self.values.secret(flag)
    }

    /// True if the flag was typed, whatever the environment says.
    pub fn is_typed(&self, flag: Flag) -> bool {
        self.typed.is_given(flag)
    }
}

/// The cache folder: `--cache-dir`, else KUBECACHEDIR, else `.kube/cache/kubelogin` at home. As with the original,
/// KUBECACHEDIR is the flag's default: the flag beats it, and `--disable-environment-override` does not switch it off.
///
/// Only a typed path is taken relative to the working directory: no token may end up where a person happens to be
/// (Azure/kubelogin#108).
fn cache_folder(values: &FlagValues, env: &Env) -> Result<Option<PathBuf>, Error> {
    if let Some(typed) = values.text(Flag::CacheDir) {
        let path = at_home(typed, env);
        return std::path::absolute(&path)
            .map(Some)
            .map_err(|error| Error::input(format!("--cache-dir {typed:?} is no path: {error}")));
    }
    let variable = env.get(env::KUBECACHEDIR).map(|path| at_home(path, env));
    let default = || Some(env.home()?.join(".kube").join("cache").join("kubelogin"));
    Ok(variable
        .filter(|path| path.is_absolute())
        .or_else(|| default().filter(|path| path.is_absolute())))
}

/// `path` with a leading `~` put in full: a kubeconfig is read by no shell that would do it.
fn at_home(path: &str, env: &Env) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), env.home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The error for a flag that a mode cannot do without, with the variables that could have set it.
pub fn missing(flag: Flag, login: LoginMode) -> Error {
    let mut ways = vec![flag.typed()];
    for (name, set, when) in VARIABLES.iter().rev() {
        let is_of_mode = match when {
            When::Always | When::AzureNames | When::ArmNames => true,
            When::Mode(mode) | When::Fills(mode) => *mode == login,
        };
        let way = match when {
            When::ArmNames => format!("{name} with {}", Flag::UseAzurermEnvVars.typed()),
            _ => (*name).to_owned(),
        };
        if *set == flag && is_of_mode && !ways.contains(&way) {
            ways.push(way);
        }
    }
    Error::input(format!(
        "{} is required for --login {login}",
        flag.definition().name
    ))
    .remedy(format!(
        "Give {}.{}",
        ways.join(", or "),
        usual_source(login)
    ))
}

/// Where the values of a mode usually come from, for a person who expected them to be there.
const fn usual_source(login: LoginMode) -> &'static str {
    match login {
        LoginMode::WorkloadIdentity => {
            " In AKS the workload identity webhook sets the variables of a pod with the label azure.workload.identity/use: \
             \"true\", from the annotations of its service account; in GitHub Actions azure/login or env: does."
        }
        LoginMode::AzurePipelines => {
            " The tasks AzureCLI@2 and AzurePowerShell@5 set the variables of their service connection (azureSubscription); \
             in any other task give the flags."
        }
        _ => "",
    }
}

/// The version of the endpoints that the login speaks to. In the modes that know no v1 `--legacy` changes nothing, as in
/// the original.
fn version(values: &FlagValues, login: LoginMode, notices: &mut Vec<String>) -> Version {
    match values.is_on(Flag::Legacy) {
        true if login.speaks_v1() => Version::V1,
        true => {
            notices.push(format!(
                "--legacy is ignored: it has no meaning for --login {login}"
            ));
            Version::V2
        }
        false => Version::V2,
    }
}

/// The login mode that `values` ask for.
pub fn login_mode(values: &FlagValues) -> Result<LoginMode, Error> {
    let word = values
        .text(Flag::Login)
        .unwrap_or(LoginMode::DeviceCode.word());
    LoginMode::from_word(word).ok_or_else(|| {
        Error::input(format!("{word:?} is not a supported login method")).remedy(format!(
            "Set --login or AAD_LOGIN_METHOD to one of {}.",
            LoginMode::words()
        ))
    })
}

/// `--pop-claims` as written, if such a token is wanted; the two flags go together.
pub fn written_pop_claims(values: &FlagValues) -> Result<Option<&str>, Error> {
    match (values.is_on(Flag::PopEnabled), values.text(Flag::PopClaims)) {
        (false, None) => Ok(None),
        (true, Some(claims)) => Ok(Some(claims)),
        (true, None) => Err(Error::input("--pop-enabled needs --pop-claims")
            .remedy("Give the cluster's resource ID: --pop-claims u=/ARM/ID/OF/CLUSTER")),
        (false, Some(_)) => Err(
            Error::input("--pop-claims has no effect without --pop-enabled")
                .remedy("Add --pop-enabled, or leave --pop-claims out."),
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
            Error::input("--legacy and --pop-enabled exclude each other").remedy(
                "Leave one of them out: the v1 endpoint gives no proof-of-possession tokens.",
            ),
        );
    }
    if !login.proves_possession() {
        let modes = LoginMode::words_of(LoginMode::proves_possession);
        return Err(
            Error::input(format!("--pop-enabled does not go with --login {login}")).remedy(
                format!("Leave --pop-enabled out, or use one of the modes that know it: {modes}."),
            ),
        );
    }
    Ok(Some(claims))
}

/// The server application; slashes alone name none.
fn server_id(values: &FlagValues, login: LoginMode) -> Result<String, Error> {
    let id = values.text(Flag::ServerId);
    let id = id.filter(|id| !id.trim_matches(['/', ' ']).is_empty());
    id.map(str::to_owned)
        .ok_or_else(|| missing(Flag::ServerId, login))
}

/// How long a login may take by `values`.
pub fn timeout(values: &FlagValues) -> Result<Timeout, Error> {
    let Some(text) = values.text(Flag::Timeout) else {
        return Ok(Timeout {
            duration: DEFAULT_TIMEOUT,
            is_given: false,
        });
    };
    let wrong = |why: String| {
        Error::input(format!("--timeout {text:?} {why}")).remedy(
            "Give --timeout (or AZURE_CLI_TIMEOUT) a number and a unit, like 30s, 2m or 1h.",
        )
    };
    let nanoseconds = parse_duration(text).map_err(|why| wrong(why.into()))?;
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Ok(Timeout {
            duration: Duration::from_nanos(nanoseconds),
            is_given: true,
        }),
        _ => Err(wrong("is not valid: timeout must be greater than 0".into())),
    }
}

/// Nanoseconds of a Go duration (`time.ParseDuration`): signed decimal numbers, each with a unit, like `1h15m30.918s`.
fn parse_duration(text: &str) -> Result<i64, &'static str> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut total = 0.0;
    loop {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, tail) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        let number: f64 = number.parse().map_err(|_| "is not a duration")?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = factor.ok_or("is not a duration: a number lacks its unit")?;
        total += number * factor;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    // i64 holds 292 years of nanoseconds; a cast from f64 stops at its ends.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which is what a bound wants"
    )]
    Ok((sign * total) as i64)
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
    fn each_variable_beats_its_flag_and_every_row_above_it() {
        for (number, &(variable, flag, when)) in VARIABLES.iter().enumerate() {
            let value = |name: &str| match flag {
                Flag::Login => "spn".to_owned(),
                Flag::Timeout => "7s".to_owned(),
                _ => format!("from {name}"),
            };
            let mut flags = vec![(flag, "typed")];
            match when {
                When::Always | When::AzureNames => {}
                When::ArmNames => flags.push((Flag::UseAzurermEnvVars, "true")),
                When::Mode(mode) => flags.push((Flag::Login, mode.word())),
                When::Fills(_) => continue,
            }
            let above = rows_above(number, value);
            let above: Vec<_> = above
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let merged = merge_environment(&typed(&flags), &Env::of(&above));
            assert!(
                merged.values.agrees_with(flag, &value(variable)),
                "{variable}"
            );
            assert_eq!(merged.notices.len(), 1, "{variable}: {:?}", merged.notices);
            assert!(merged.notices[0].starts_with(&format!("{variable} overrides ")));
            assert!(
                !merged.notices[0].contains("from "),
                "{variable}: a value is told"
            );

            let empty = merge_environment(&typed(&flags), &Env::of(&[(variable, "")]));
            assert!(
                empty.values.agrees_with(flag, "typed"),
                "{variable} is set but empty"
            );
            flags.push((Flag::DisableEnvironmentOverride, "true"));
            let off = merge_environment(&typed(&flags), &Env::of(&above));
            assert!(
                off.values.agrees_with(flag, "typed") && off.notices.is_empty(),
                "{variable}"
            );
        }
    }

    /// The variables down to row `number` that set the same flag, each once, with a value of its own.
    fn rows_above(number: usize, value: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
        let flag = VARIABLES[number].1;
        let rows = VARIABLES[..=number].iter().filter(|row| row.1 == flag);
        rows.map(|(name, ..)| (*name, value(name))).collect()
    }

    #[test]
    fn a_variable_that_only_fills_yields_to_its_flag_and_every_row_above_it() {
        let rows = VARIABLES.iter().enumerate();
        for (number, &(variable, flag, when)) in rows {
            let When::Fills(mode) = when else { continue };
            let merged = |flags: &[(Flag, &str)], env: &[(&str, &str)]| {
                let login = [(Flag::Login, mode.word())];
                merge_environment(&typed(&[&login, flags].concat()), &Env::of(env))
            };
            let filled = merged(&[], &[(variable, "filled")]);
            assert!(filled.values.agrees_with(flag, "filled"), "{variable}");
            let typed_wins = merged(&[(flag, "typed")], &[(variable, "filled")]);
            assert!(typed_wins.values.agrees_with(flag, "typed"), "{variable}");
            assert_eq!(typed_wins.notices, [""; 0]);
            for (above, value) in rows_above(number, |name| format!("from {name}")) {
                let counts = VARIABLES.iter().any(|(name, other, when)| {
                    *name == above && *other == flag && *when == When::AzureNames
                });
                let env = [(above, value.as_str()), (variable, "filled")];
                if counts {
                    assert!(
                        merged(&[], &env).values.agrees_with(flag, &value),
                        "{above}"
                    );
                }
            }
            let off = [(Flag::DisableEnvironmentOverride, "true")];
            let off = merged(&off, &[(variable, "filled")]);
            assert!(!off.values.is_given(flag), "{variable}");
        }
    }

    #[test]
    fn a_row_of_one_mode_leaves_the_others_alone() {
        for &(variable, flag, when) in VARIABLES {
            let (When::Mode(own) | When::Fills(own)) = when else {
                continue;
            };
            for mode in LoginMode::ALL.iter().filter(|mode| **mode != own) {
                let merged = merge_environment(
                    &typed(&[
                        (Flag::Login, mode.word()),
                        (Flag::UseAzurermEnvVars, "true"),
                    ]),
                    &Env::of(&[(variable, "value")]),
                );
                assert!(!merged.values.is_given(flag), "{variable} in {mode}");
            }
        }
    }

    /// Azure/kubelogin applies AZURE_CLIENT_ID once more for this mode, so that the webhook's beats Terraform's.
    #[test]
    fn workload_identity_takes_the_webhook_s_variables_beside_terraform_s() {
        let flags = [
            (Flag::UseAzurermEnvVars, "true"),
            (Flag::Login, "workloadidentity"),
        ];
        let env = [
            (env::ARM_CLIENT_ID, "arm"),
            (env::AZURE_CLIENT_ID, "azure"),
            (
                env::AZURE_AUTHORITY_HOST,
                "https://login.microsoftonline.us/",
            ),
            (env::AZURE_FEDERATED_TOKEN_FILE, "/var/run/token"),
        ];
        let (options, _) = resolve(&flags, &env).expect("resolved");
        assert_eq!(options.client_id.as_deref(), Some("azure"));
        assert_eq!(
            options.text(Flag::FederatedTokenFile),
            Some("/var/run/token")
        );
        assert_eq!(
            options.authority_host,
            AuthorityHost::parse("https://login.microsoftonline.us/").ok()
        );
    }

    #[test]
    fn the_login_mode_of_the_environment_decides_about_rows_of_a_mode() {
        let env = [
            (env::AAD_LOGIN_METHOD, "azurepipelines"),
            (env::AZURESUBSCRIPTION_TENANT_ID, "tenant"),
        ];
        let (options, _) = resolve(&[(Flag::Login, "spn")], &env).expect("resolved");
        assert_eq!(options.tenant_id.as_deref(), Some("tenant"));
    }

    #[test]
    fn what_is_missing_is_told_with_the_variables_of_the_mode_each_once() {
        let text = |flag, login| missing(flag, login).to_string();
        let client = text(Flag::ClientId, LoginMode::WorkloadIdentity);
        assert_eq!(client.matches("AZURE_CLIENT_ID").count(), 1, "{client}");
        assert!(
            client.contains("ARM_CLIENT_ID with --use-azurerm-env-vars"),
            "{client}"
        );
        assert!(client.contains("webhook") && !client.contains("AZURESUBSCRIPTION"));
        let connection = text(
            Flag::AzurePipelinesServiceConnectionId,
            LoginMode::AzurePipelines,
        );
        assert!(connection.contains("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"));
        assert!(connection.contains("AzureCLI@2"), "{connection}");
    }

    #[test]
    fn legacy_is_for_the_modes_that_know_v1_and_the_others_say_so_in_one_line() {
        for mode in LoginMode::ALL {
            let flags = [(Flag::Login, mode.word()), (Flag::Legacy, "true")];
            let (options, notices) = resolve(&flags, &[]).expect("resolved");
            if mode.speaks_v1() {
                assert_eq!((options.version, notices.len()), (Version::V1, 0), "{mode}");
            } else {
                assert_eq!(options.version, Version::V2, "{mode}");
                assert!(notices.len() == 1 && notices[0].starts_with("--legacy is ignored"));
            }
        }
    }

    #[test]
    fn terraform_s_names_count_only_when_asked_for_and_then_azure_s_do_not() {
        let env = Env::of(&[(env::ARM_CLIENT_ID, "arm"), (env::AZURE_CLIENT_ID, "azure")]);
        let merged = |flags: &[(Flag, &str)]| merge_environment(&typed(flags), &env).values;
        assert_eq!(merged(&[]).text(Flag::ClientId), Some("azure"));
        assert_eq!(
            merged(&[(Flag::UseAzurermEnvVars, "true")]).text(Flag::ClientId),
            Some("arm")
        );
    }

    #[test]
    fn the_readme_s_table_is_this_table() {
        let is_in_table = |when: When| matches!(when, When::Always | When::AzureNames);
        let mut flags: Vec<Flag> = Vec::new();
        for (_, flag, when) in VARIABLES {
            if is_in_table(*when) && !flags.contains(flag) {
                flags.push(*flag);
            }
        }
        let readme = include_str!("../README.md");
        for flag in flags {
            let names: Vec<_> = VARIABLES
                .iter()
                .filter(|(_, other, when)| *other == flag && is_in_table(*when))
                .map(|(name, ..)| format!("`{name}`"))
                .collect();
            let row = format!("| `{}` | {} |", flag.typed(), names.join(", "));
            assert!(readme.contains(&row), "README.md lacks: {row}");
        }
        for (name, ..) in VARIABLES {
            assert!(
                readme.contains(&format!("`{name}`")),
                "README.md does not name {name}"
            );
        }
    }

    #[test]
    fn a_variable_that_says_the_same_as_the_flag_needs_no_word() {
        let (_, notices) =
            resolve(&[(Flag::ClientId, "c")], &[(env::AZURE_CLIENT_ID, "c")]).expect("resolved");
        assert_eq!(notices, [""; 0]);
    }

    #[test]
    fn the_defaults_are_devicecode_in_the_public_cloud_within_a_minute() {
        let (options, _) = resolve(&[], &[]).expect("resolved");
        assert_eq!(options.login, LoginMode::DeviceCode);
        assert_eq!(options.cloud, Cloud::Public);
        assert_eq!(
            options.timeout,
            Timeout {
                duration: DEFAULT_TIMEOUT,
                is_given: false
            }
        );
    }

    #[test]
    fn wrong_values_are_named_with_the_way_out() {
        assert!(failure(&[(Flag::Login, "password")], &[]).contains(&LoginMode::words()));
        assert!(failure(&[], &[(env::AAD_LOGIN_METHOD, "x")]).contains("AAD_LOGIN_METHOD"));
        assert!(failure(&[(Flag::Environment, "AzureMoon")], &[]).contains("AzureChinaCloud"));
        let (on, claims) = ((Flag::PopEnabled, "true"), (Flag::PopClaims, "u=x"));
        assert!(failure(&[on], &[]).contains("--pop-claims"));
        assert!(failure(&[claims], &[]).contains("--pop-enabled"));
        let both = failure(
            &[on, claims, (Flag::Login, "spn"), (Flag::Legacy, "true")],
            &[],
        );
        assert!(both.contains("--legacy and --pop-enabled"), "{both}");
        let modes = LoginMode::words_of(LoginMode::proves_possession);
        for mode in LoginMode::ALL {
            let result = resolve(&[on, claims, (Flag::Login, mode.word())], &[]);
            match result {
                Ok((options, _)) => {
                    assert!(mode.proves_possession() && options.pop_claims.is_some())
                }
                Err(error) => {
                    assert!(!mode.proves_possession() && error.to_string().contains(&modes));
                }
            }
        }
        let no_server = Options::resolve(&FlagValues::new(), &Env::of(&[])).expect_err("refused");
        assert!(no_server.to_string().contains("--server-id"));
        assert!(failure(&[(Flag::ServerId, " /")], &[]).contains("--server-id"));
        for timeout in [
            "0", "0s", "-5s", "30", "", "s", "1x", "1h30", "1..2s", "forever",
        ] {
            let result = resolve(&[(Flag::Timeout, timeout)], &[]);
            if timeout.is_empty() {
                assert!(result.is_ok(), "an empty flag is as good as none");
            } else {
                assert!(
                    result.expect_err(timeout).to_string().contains("--timeout"),
                    "{timeout}"
                );
            }
        }
    }

    #[test]
    fn durations_are_go_s() {
        for (text, nanoseconds) in [
            ("1h", 3_600_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("300ms", 300_000_000),
            ("+2s", 2_000_000_000),
            ("-2s", -2_000_000_000),
            ("1us1ns", 1_001),
        ] {
            assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn the_original_s_timeout_variable_is_ignored_with_a_word_if_it_is_no_duration() {
        let (options, notices) = resolve(&[], &[(env::AZURE_CLI_TIMEOUT, "30")]).expect("resolved");
        assert!(!options.timeout.is_given);
        assert!(notices[0].contains("AZURE_CLI_TIMEOUT"));
    }
}
