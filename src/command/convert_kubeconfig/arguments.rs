//! The arguments of a converted user: which old ones stay, which new ones are added, and in which order. A table and pure
//! functions.

use super::before::Before;
use crate::entra::cloud::Cloud;
use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::login_mode::{LoginMode, Source};
use crate::options;
use crate::variables::is_client_of_people;

/// Where the value of a flag comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The typed value, else the user's own, else an error.
    Require,
    /// The typed value, else the user's own.
    Carry,
    /// The typed value, else the one typed before for this login mode.
    Given,
    /// Only the typed value: `get-token` would reject the user's own, so it is put aside.
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
        // The IDs that some mode may need, because we do not know which mode `auto` will choose.
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
pub(super) fn keep(mode: LoginMode, flag: Flag) -> Keep {
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
            // It decides where a secret is sent, so every mode keeps it.
            | Flag::Environment
            | Flag::AuthorityHost
            | Flag::Timeout
            | Flag::DisableEnvironmentOverride
            | Flag::UseAzurermEnvVars
            | Flag::DisableInstanceDiscovery,
        ) => Keep::Carry,
        // Not in the plan, but a typed flag is never dropped.
        (None, _) => Keep::Given,
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
    /// The flags in the arguments.
    pub values: FlagValues,
}

/// What was requested: a login mode and the typed flags.
pub struct Wanted<'a> {
    pub mode: LoginMode,
    pub typed: &'a FlagValues,
    /// True if the users belong to several tenants: az has only one, and a token from the wrong one is refused.
    pub has_several_tenants: bool,
}

impl Wanted<'_> {
    /// The user's new arguments.
    pub fn convert(&self, before: &Before) -> Result<After, Error> {
        let values = self.values(before)?;
        let mut args = vec![
            "get-token".to_owned(),
            Flag::Login.typed().to_owned(),
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
            values,
        })
    }

    /// Where a flag comes from.
    pub(super) fn keep(&self, flag: Flag) -> Keep {
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
        self.mode == LoginMode::Spn
            && flag == Flag::ClientId
            && (before.mode == Some(self.mode)
                || before
                    .sources()
                    .any(|(_, values)| self.is_public_client(flag, values)))
    }

    /// True for a public client that people sign in with, which is never a service principal.
    pub(super) fn is_public_client(&self, flag: Flag, source: &FlagValues) -> bool {
        self.mode == LoginMode::Spn
            && flag == Flag::ClientId
            && source.text(flag).is_some_and(is_client_of_people)
    }

    /// True for the default cloud where the original does not write it.
    fn is_default(&self, before: &Before, flag: Flag, source: &FlagValues) -> bool {
        flag == Flag::Environment
            && !(before.mode == Some(self.mode) && before.values.is_given(flag))
            && !plan(self.mode).iter().any(|(_, planned)| *planned == flag)
            && source.text(flag).map(Cloud::from_name) == Some(Ok(Cloud::Public))
    }

    /// The value of a flag that was not typed: what the user has or had with this login mode, else the latest value from any
    /// mode, if that is good enough.
    fn source<'o>(&self, before: &'o Before, flag: Flag, keep: Keep) -> Option<&'o FlagValues> {
        if keep == Keep::Never {
            return None;
        }
        let takes_any = matches!(keep, Keep::Require | Keep::Carry);
        // Users sign in with a public client, which an application cannot sign in as.
        let is_own_kind = |mode: Option<LoginMode>| {
            flag != Flag::ClientId
                || !self.mode.is_of_people()
                || mode.is_none_or(LoginMode::is_of_people)
        };
        let (mut of_own_kind, mut of_any) = (None, None);
        for (mode, values) in before.sources() {
            if !values.is_given(flag) || self.is_public_client(flag, values) {
                continue;
            }
            if mode == Some(self.mode) {
                return Some(values);
            }
            if takes_any && is_own_kind(mode) {
                of_own_kind = of_own_kind.or(Some(values));
            } else if takes_any {
                of_any = of_any.or(Some(values));
            }
        }
        of_own_kind.or(of_any)
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
}

/// Adds a flag with its value, if it has one.
pub(super) fn push(args: &mut Vec<String>, flag: Flag, values: &FlagValues) {
    let typed = flag.typed().to_owned();
    match flag.definition().takes {
        Takes::Switch => args.extend(values.is_on(flag).then_some(typed)),
        Takes::Value(_) => {
            if let Some(value) = values.text(flag) {
                args.extend([typed, value.to_owned()]);
            }
        }
        // The only place that writes a secret to a file, and only from a typed flag.
        Takes::Secret(_) => {
            if let Some(value) = values.secret(flag) {
                args.extend([typed, value.expose().to_owned()]);
            }
        }
    }
}
