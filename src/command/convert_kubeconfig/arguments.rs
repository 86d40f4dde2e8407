//! The arguments of a converted user: which old ones stay, which new ones are added, in which order. A table and pure
//! functions.

use crate::cli::{OldArgs, UnknownFlag};
use crate::entra::access_token::claims::AKS_CLIENT;
use crate::entra::authority::Cloud;
use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::kubeconfig::write::quoted;
use crate::login_mode::{LoginMode, Source};
use crate::options;

/// Where the value of a flag comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Typed, else what the user has, else an error.
    Require,
    /// Typed, else what the user has.
    Carry,
    /// Typed, else what was typed for the same login mode before.
    Given,
    /// Typed: what the user has is put aside, as `get-token` would refuse it.
    Never,
}

/// The flags of a converted user, in the original's order. `--login`, `--server-id` and `--cache-dir` come before
/// them, any other flag that was typed comes after them ([`keep`]).
#[rustfmt::skip]
fn plan(mode: LoginMode) -> &'static [(Keep, Flag)] {
    use Flag::*;
    use Keep::{Carry, Given, Require};
    match mode {
        LoginMode::DeviceCode => &[(Require, ClientId), (Require, TenantId), (Carry, Environment), (Carry, Legacy)],
        LoginMode::Interactive => &[
            (Require, ClientId), (Require, TenantId), (Carry, Environment), (Carry, PopEnabled), (Carry, PopClaims),
            (Carry, RedirectUrl), (Carry, LoginHint),
        ],
        LoginMode::Spn => &[
            (Require, ClientId), (Require, TenantId), (Carry, Environment), (Given, ClientSecret),
            (Given, ClientCertificate), (Given, ClientCertificatePassword), (Carry, Legacy), (Carry, PopEnabled),
            (Carry, PopClaims), (Carry, DisableEnvironmentOverride),
        ],
        LoginMode::Ropc => &[
            (Require, ClientId), (Require, TenantId), (Carry, Environment), (Given, Username), (Given, Password),
            (Carry, Legacy), (Carry, PopEnabled), (Carry, PopClaims),
        ],
        LoginMode::Msi => &[(Given, ClientId), (Given, IdentityResourceId)],
        LoginMode::AzureCli => &[(Given, TenantId), (Given, Subscription)],
        LoginMode::Azd | LoginMode::AzurePowerShell => &[(Given, TenantId)],
        LoginMode::WorkloadIdentity => &[
            (Given, ClientId), (Given, TenantId), (Carry, AuthorityHost), (Given, FederatedTokenFile),
        ],
        // The IDs that one of the modes may need: which one it will be is not known here.
        LoginMode::Auto => &[
            (Carry, ClientId), (Carry, TenantId), (Carry, Environment), (Carry, Legacy),
        ],
        LoginMode::AzurePipelines => &[(Require, TenantId), (Given, AzurePipelinesServiceConnectionId)],
    }
}

/// The flags that replace this one when typed: a new way to sign in replaces the old one, and a password belongs to its
/// certificate.
fn replaced_by(mode: LoginMode, flag: Flag) -> &'static [Flag] {
    match (mode, flag) {
        (LoginMode::Msi, Flag::ClientId) => &[Flag::IdentityResourceId],
        (LoginMode::Msi, Flag::IdentityResourceId) => &[Flag::ClientId],
        (LoginMode::Spn, Flag::ClientSecret) => &[Flag::ClientCertificate],
        (LoginMode::Spn, Flag::ClientCertificate) => &[Flag::ClientSecret],
        (LoginMode::Spn, Flag::ClientCertificatePassword) => {
            &[Flag::ClientSecret, Flag::ClientCertificate]
        }
        _ => &[],
    }
}

/// Where a flag of this mode comes from.
fn keep(mode: LoginMode, flag: Flag) -> Keep {
    let is_of_pop = matches!(flag, Flag::PopEnabled | Flag::PopClaims);
    if is_of_pop && !mode.proves_possession() {
        return Keep::Never;
    }
    let row = plan(mode).iter().find(|(_, planned)| *planned == flag);
    match (row, flag) {
        (Some((keep, _)), _) => *keep,
        (None, Flag::ServerId) => Keep::Require,
        (
            None,
            Flag::CacheDir
            | Flag::TokenCacheStorage
            // Where a secret is sent: every mode keeps it.
            | Flag::Environment
            | Flag::AuthorityHost
            | Flag::Timeout
            | Flag::DisableEnvironmentOverride
            | Flag::UseAzurermEnvVars
            | Flag::DisableInstanceDiscovery,
        ) => Keep::Carry,
        // In no row of the plan, but a flag that was typed is never dropped.
        (None, _) => Keep::Given,
    }
}

fn worth_keeping() -> impl Iterator<Item = Flag> {
    let safe = Flag::ALL
        .iter()
        .filter(|definition| !matches!(definition.takes, Takes::Secret(_)));
    safe.map(|definition| definition.flag)
        .filter(|flag| *flag != Flag::Login)
}

/// True for a flag whose value some login mode takes over from another.
fn is_of_any_mode(flag: Flag) -> bool {
    let mut keeps = LoginMode::all().iter().map(|mode| keep(*mode, flag));
    keeps.any(|keep| matches!(keep, Keep::Require | Keep::Carry))
}

/// A user before the conversion, as flags.
pub struct Before {
    /// The login mode's word.
    login: String,
    values: FlagValues,
    /// `-v`, which belongs to no login mode.
    verbosity: Option<i64>,
    /// What earlier conversions kept for other login modes.
    remembered: Remembered,
    note: Option<String>,
    /// Flags that were left out, each with the one that may have been meant.
    pub unknown: Vec<UnknownFlag>,
}

/// Flags that a converted user does not use, kept in a comment for a later conversion.
#[derive(Clone, Default)]
struct Remembered {
    /// Flags that fit any login mode.
    general: FlagValues,
    /// The flags of the login mode before this one, `--login` among them.
    former: FlagValues,
}

impl Before {
    /// For the login that kubectl had built in, which used a device code.
    pub fn of_auth_provider(values: FlagValues) -> Self {
        Self {
            login: LoginMode::default().to_string(),
            values,
            verbosity: None,
            remembered: Remembered::default(),
            note: None,
            unknown: Vec::new(),
        }
    }

    /// For an exec plugin's arguments and the comment that an earlier conversion left above them.
    pub fn of_exec(args: &[&str], note: Option<&str>, parser: &mut OldArgs) -> Result<Self, Error> {
        let (values, verbosity, unknown) = parser.parse_known(args)?;
        let remembered = note.and_then(|note| Remembered::read(note, parser));
        Ok(Self {
            login: values
                .text(Flag::Login)
                .map_or_else(|| LoginMode::default().to_string(), str::to_owned),
            values,
            verbosity,
            remembered: remembered.unwrap_or_default(),
            note: note.map(str::to_owned),
            unknown,
        })
    }

    /// The same user with the IDs of a login that was left behind, where it has none of its own.
    #[must_use]
    pub fn or(mut self, left_behind: &FlagValues) -> Self {
        let ids = [
            Flag::Environment,
            Flag::TenantId,
            Flag::ClientId,
            Flag::ServerId,
        ];
        for flag in ids {
            if !self.values.is_given(flag) {
                self.values.copy(flag, left_behind);
            }
        }
        self
    }

    /// The tenant that the user has, or had before its last conversion.
    pub fn tenant(&self) -> Option<&str> {
        let Remembered { general, former } = &self.remembered;
        let mut sources = [&self.values, former, general].into_iter();
        sources.find_map(|values| values.text(Flag::TenantId))
    }
}

impl Remembered {
    /// Reads our comment. If somebody broke it, what it held is lost, and nothing else.
    fn read(note: &str, parser: &mut OldArgs) -> Option<Self> {
        let words: Vec<String> = serde_json::from_str(note).ok()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (general, former) =
            words.split_at(words.iter().position(|word| *word == Flag::Login.typed())?);
        let mut values = |words: &[&str]| parser.parse(words).ok().map(|(values, _)| values);
        Some(Self {
            general: values(general)?,
            former: values(former)?,
        })
    }
}

/// True for a mode whose tokens come from a program that is signed in to one tenant.
pub fn is_of_program(mode: LoginMode) -> bool {
    matches!(mode.source(), Source::Program(_))
}

/// A user after the conversion.
pub struct After {
    pub args: Vec<String>,
    /// What to keep in a comment above them.
    pub note: Option<String>,
}

/// What was asked for: a login mode and the flags that were typed.
pub struct Wanted<'a> {
    pub mode: LoginMode,
    pub typed: &'a FlagValues,
    /// True where the users are of several tenants: az has only one, and a token of the wrong one is refused.
    pub has_several_tenants: bool,
}

impl Wanted<'_> {
    /// The arguments that a user gets.
    pub fn convert(&self, before: &Before) -> Result<After, Error> {
        let values = self.values(before)?;
        let mut args = vec![
            "get-token".to_owned(),
            Flag::Login.typed(),
            self.mode.to_string(),
        ];
        for flag in self.order() {
            push(&mut args, flag, &values);
        }
        if let Some(level) = before.verbosity.filter(|level| *level != 0) {
            args.extend(["-v".to_owned(), level.to_string()]);
        }
        Ok(After {
            args,
            note: self.note(before, &values),
        })
    }

    /// Where a flag comes from.
    fn keep(&self, flag: Flag) -> Keep {
        match (self.mode, flag) {
            (mode, Flag::TenantId) if self.has_several_tenants && is_of_program(mode) => {
                Keep::Carry
            }
            _ => keep(self.mode, flag),
        }
    }

    fn order(&self) -> impl Iterator<Item = Flag> {
        let planned = plan(self.mode);
        let others = Flag::ALL
            .iter()
            .map(|definition| definition.flag)
            .filter(move |flag| {
                !matches!(flag, Flag::Login | Flag::ServerId | Flag::CacheDir)
                    && !planned.iter().any(|(_, planned)| planned == flag)
            });
        [Flag::ServerId, Flag::CacheDir]
            .into_iter()
            .chain(planned.iter().map(|(_, flag)| *flag))
            .chain(others)
    }

    fn values(&self, before: &Before) -> Result<FlagValues, Error> {
        let typed = self.typed;
        let mut values = FlagValues::new();
        for flag in self.order() {
            let keep = self.keep(flag);
            if typed.is_given(flag) {
                values.copy(flag, typed);
            } else if !typed.is_cleared(flag)
                && let Some(source) = self.source(before, flag, keep)
                && !self.is_replaced(flag, source)
                && !self.is_default(before, flag, source)
            {
                values.copy(flag, source);
            }
            if keep == Keep::Require && !values.is_given(flag) && !self.is_optional(before, flag) {
                return Err(self.missing(flag));
            }
        }
        options::check_pop(&values, self.mode)?;
        Ok(values)
    }

    fn missing(&self, flag: Flag) -> Error {
        let (name, mode) = (flag.definition().name, self.mode);
        let error = Error::input(format!(
            "{name} is required for --login {mode}, but the user has none"
        ));
        let error = error.remedy(format!("Pass {}.", flag.typed()));
        if flag == Flag::ServerId {
            return error.hint(options::AKS_SERVER);
        }
        error
    }

    /// True for the client ID of a service principal that comes from AZURE_CLIENT_ID: the user had only that of a public
    /// client, or none.
    fn is_optional(&self, before: &Before, flag: Flag) -> bool {
        let Remembered { general, former } = &before.remembered;
        let mut sources = [&before.values, former, general].into_iter();
        self.mode == LoginMode::Spn
            && flag == Flag::ClientId
            && (before.login == self.mode.to_string()
                || sources.any(|source| self.is_public_client(flag, source)))
    }

    /// True for AKS's public client, which is never a service principal.
    fn is_public_client(&self, flag: Flag, source: &FlagValues) -> bool {
        self.mode == LoginMode::Spn
            && flag == Flag::ClientId
            && source
                .text(flag)
                .is_some_and(|id| id.eq_ignore_ascii_case(AKS_CLIENT))
    }

    /// True for the cloud that every mode uses without being told, where the original does not write it.
    fn is_default(&self, before: &Before, flag: Flag, source: &FlagValues) -> bool {
        flag == Flag::Environment
            && !(before.login == self.mode.to_string() && before.values.is_given(flag))
            && !plan(self.mode).iter().any(|(_, planned)| *planned == flag)
            && source.text(flag).map(Cloud::from_name) == Some(Ok(Cloud::Public))
    }

    /// Where a flag that was not typed takes its value from.
    fn source<'o>(&self, before: &'o Before, flag: Flag, keep: Keep) -> Option<&'o FlagValues> {
        let mode = self.mode.to_string();
        let Remembered { general, former } = &before.remembered;
        let is_same_mode = before.login == mode;
        let mut sources = Vec::new();
        if keep == Keep::Never {
            return None;
        }
        sources.extend(is_same_mode.then_some(&before.values));
        sources
            .extend((!is_same_mode && former.text(Flag::Login) == Some(&mode)).then_some(former));
        if matches!(keep, Keep::Require | Keep::Carry) {
            sources.extend([&before.values, former, general]);
        }
        sources
            .into_iter()
            .find(|values| values.is_given(flag) && !self.is_public_client(flag, values))
    }

    /// True if another flag that was typed replaces the user's value of this one.
    fn is_replaced(&self, flag: Flag, old: &FlagValues) -> bool {
        let typed = self.typed;
        if flag == Flag::PopClaims && typed.agrees_with(Flag::PopEnabled, "false") {
            return true;
        }
        let mut others = replaced_by(self.mode, flag).iter();
        others.any(|other| typed.is_given(*other) && !typed.is_same(*other, old))
    }

    /// What the new arguments do not use and another login mode will need again. Never a secret.
    fn note(&self, before: &Before, new: &FlagValues) -> Option<String> {
        let Remembered { general, former } = &before.remembered;
        let typed = self.typed;
        let mut words = Vec::new();
        let mut former_words = Vec::new();
        if before.login == self.mode.to_string() {
            let aside = |flag: &Flag| {
                let is_refused =
                    self.keep(*flag) == Keep::Never || self.is_public_client(*flag, &before.values);
                is_refused && before.values.is_given(*flag) && !new.is_given(*flag)
            };
            let aside: Vec<_> = worth_keeping().filter(aside).collect();
            if aside.is_empty() {
                return before.note.clone();
            }
            for flag in worth_keeping() {
                match aside.contains(&flag) {
                    true => push(&mut words, flag, &before.values),
                    false => push(&mut words, flag, general),
                }
                push(&mut former_words, flag, former);
            }
            let login = former.text(Flag::Login).unwrap_or(&before.login);
            return written_note(words, login, former_words);
        }
        let of_others = |flag: &Flag| {
            !before.values.is_given(*flag)
                && !typed.is_given(*flag)
                && !typed.is_cleared(*flag)
                && is_of_any_mode(*flag)
        };
        for flag in worth_keeping().filter(of_others) {
            let source = if former.is_given(flag) {
                former
            } else {
                general
            };
            if !new.is_same(flag, source) {
                push(&mut words, flag, source);
            }
        }
        // A value that is for the former mode only would not be taken from the new arguments, even if it is in them.
        let former_mode = LoginMode::from_word(&before.login);
        let is_own = |flag| former_mode.is_some_and(|mode| keep(mode, flag) == Keep::Given);
        let is_lost = |flag: &Flag| {
            !typed.is_cleared(*flag) && (is_own(*flag) || !new.is_same(*flag, &before.values))
        };
        for flag in worth_keeping().filter(is_lost) {
            push(&mut former_words, flag, &before.values);
        }
        written_note(words, &before.login, former_words)
    }
}

/// Our comment: flags for any login mode, then those of the mode `login`.
fn written_note(general: Vec<String>, login: &str, former: Vec<String>) -> Option<String> {
    if general.is_empty() && former.is_empty() {
        return None;
    }
    let login = [Flag::Login.typed(), login.to_owned()];
    let words = general.into_iter().chain(login).chain(former);
    let words: Vec<_> = words.map(|word| quoted(&word)).collect();
    Some(format!("[{}]", words.join(", ")))
}

/// Adds a flag with its value, if it has one.
fn push(args: &mut Vec<String>, flag: Flag, values: &FlagValues) {
    match flag.definition().takes {
        Takes::Switch if values.is_on(flag) => args.push(flag.typed()),
        Takes::Switch => {}
        Takes::Value(_) => {
            args.extend(
                values
                    .text(flag)
                    .into_iter()
                    .flat_map(|value| [flag.typed(), value.to_owned()]),
            );
        }
        // The only place that writes a secret to a file: only a flag that was typed gets it here.
        Takes::Secret(_) => {
            args.extend(
                values
                    .secret(flag)
                    .into_iter()
                    .flat_map(|value| [flag.typed(), value.expose().to_owned()]),
            );
        }
    }
}
