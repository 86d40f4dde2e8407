//! Which environment variable sets which flag, and the merge of flags and environment.
//!
//! The result records where each value came from, for messages.

use crate::env::{self, Env};
use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::login_mode::LoginMode;
use crate::timeout::parse_duration;

/// The public client that people sign in to AKS with: nobody's service principal.
pub const AKS_CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";
/// The Azure CLI's own public client, which `get-credentials` signs people in with.
pub const AZ_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// True if this client has no credentials of its own: people sign in with it.
pub fn is_client_of_people(client_id: &str) -> bool {
    [AKS_CLIENT, AZ_CLIENT]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(client_id))
}

/// When a variable applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// Unless `--use-azurerm-env-vars` is on.
    AzureNames,
    /// If `--use-azurerm-env-vars` is on.
    ArmNames,
    /// In this login mode, with or without `--use-azurerm-env-vars`.
    Mode(LoginMode),
    /// In this login mode, and only if neither the flag nor a row above gave a value: here the flag takes precedence.
    Fills(LoginMode),
}

/// How relevant a variable is to users of a login mode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    OfMode,
    Usual,
    WithArmNames,
}

impl When {
    fn holds(self, values: &FlagValues, flag: Flag) -> bool {
        let is_mode = |mode| LoginMode::parse(values.text(Flag::Login)) == Ok(mode);
        match self {
            Self::Always => true,
            Self::AzureNames => !values.is_on(Flag::UseAzurermEnvVars),
            Self::ArmNames => values.is_on(Flag::UseAzurermEnvVars),
            Self::Mode(mode) => is_mode(mode),
            Self::Fills(mode) => is_mode(mode) && !values.is_given(flag),
        }
    }

    /// Where a message lists the variable; `None` if this login mode never reads it.
    fn rank(self, login: LoginMode) -> Option<Rank> {
        match self {
            Self::Mode(mode) | Self::Fills(mode) => (mode == login).then_some(Rank::OfMode),
            Self::Always | Self::AzureNames => Some(Rank::Usual),
            Self::ArmNames => Some(Rank::WithArmNames),
        }
    }
}

/// Which variable sets which flag, in rising precedence: a later row overrides an earlier one, and each overrides the
/// flag (except those that only fill in). The login mode comes first because later rows depend on it.
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

/// Where the value of a flag came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was typed.
    Flag,
    /// This variable set it, whether or not the flag was typed too.
    Variable(&'static str),
}

/// The value of a flag, as people may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// `[redacted]` for a secret.
    pub text: &'a str,
    pub origin: Origin,
}

/// What was typed, merged with the environment.
#[derive(Debug)]
pub struct Merged {
    pub values: FlagValues,
    pub typed: FlagValues,
    /// The flags that a variable set, each once.
    set_by: Vec<(&'static str, Flag)>,
    /// What to tell the user about it.
    pub notices: Vec<String>,
}

impl Merged {
    /// Lets the environment override flags, as Azure/kubelogin does, unless `--disable-environment-override` is on.
    pub fn new(typed: &FlagValues, env: &Env) -> Self {
        let mut merged = Self {
            values: typed.clone(),
            typed: typed.clone(),
            set_by: Vec::new(),
            notices: Vec::new(),
        };
        if typed.is_on(Flag::DisableEnvironmentOverride) {
            return merged;
        }
        for &(variable, flag, when) in VARIABLES {
            if let Some(value) = env.get(variable)
                && when.holds(&merged.values, flag)
            {
                merged.set(variable, flag, value);
            }
        }
        for (variable, flag) in &merged.set_by {
            // AKS and `get-credentials` write a public client into every kubeconfig; the variable is meant to replace it.
            let is_default =
                *flag == Flag::ClientId && typed.text(*flag).is_some_and(is_client_of_people);
            if typed.is_given(*flag) && !typed.is_same(*flag, &merged.values) && !is_default {
                merged.notices.push(format!(
                    "{variable} overrides {}; to keep the flag, add --disable-environment-override",
                    flag.typed()
                ));
            }
        }
        merged
    }

    fn set(&mut self, variable: &'static str, flag: Flag, value: &str) {
        if flag == Flag::Timeout && parse_duration(value).is_err() {
            self.notices.push(format!(
                "ignoring {variable}: not a duration such as 30s or 2m"
            ));
            return;
        }
        self.values.set(flag, value);
        self.set_by.retain(|(_, earlier)| *earlier != flag);
        self.set_by.push((variable, flag));
    }

    /// The value of a flag and where it came from; `None` if its default applies.
    pub fn given(&self, flag: Flag) -> Option<Given<'_>> {
        if !self.values.is_given(flag) {
            return None;
        }
        let variable = self.set_by.iter().find(|(_, set)| *set == flag);
        Some(Given {
            text: match flag.definition().takes {
                Takes::Secret(_) => "[redacted]",
                Takes::Value(_) | Takes::Switch => self.values.text(flag)?,
            },
            origin: variable.map_or(Origin::Flag, |(name, _)| Origin::Variable(name)),
        })
    }
}

/// The error for a missing flag that a login mode requires. It names the variables that can set it, the usual one
/// first.
pub fn missing(flag: Flag, login: LoginMode) -> Error {
    let rows = VARIABLES.iter().rev().filter(|(_, set, _)| *set == flag);
    let mut rows: Vec<_> = rows
        .filter_map(|(name, _, when)| Some((when.rank(login)?, *name)))
        .collect();
    rows.sort_by_key(|(rank, _)| *rank);
    let mut variables: Vec<String> = Vec::new();
    for (rank, name) in rows {
        let name = match rank {
            Rank::WithArmNames => format!("{name} with {}", Flag::UseAzurermEnvVars.typed()),
            Rank::OfMode | Rank::Usual => name.to_owned(),
        };
        if !variables.contains(&name) {
            variables.push(name);
        }
    }
    let typed = flag.typed();
    let remedy = match &variables[..] {
        [] => format!("Pass {typed}."),
        [usual] => format!("Pass {typed} or set {usual}."),
        [usual, others @ ..] => {
            let others = others.join(", ");
            format!("Pass {typed} or set {usual} (also read: {others}).")
        }
    };
    let name = flag.definition().name;
    Error::input(format!("{name} is required for --login {login}")).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> Merged {
        let mut typed = FlagValues::new();
        for (flag, value) in flags {
            typed.set(*flag, *value);
        }
        Merged::new(&typed, &Env::of(env))
    }

    const ARM_NAMES: (Flag, &str) = (Flag::UseAzurermEnvVars, "true");
    const NO_OVERRIDE: (Flag, &str) = (Flag::DisableEnvironmentOverride, "true");

    #[test]
    fn each_variable_beats_its_flag_and_every_row_above_it() {
        for (number, &(variable, flag, when)) in VARIABLES.iter().enumerate() {
            let value = |name: &str| match flag {
                Flag::Login => "spn".to_owned(),
                Flag::Timeout => "7s".to_owned(),
                _ => format!("from {name}"),
            };
            let mode;
            let mut flags = vec![(flag, "typed")];
            match when {
                When::Always | When::AzureNames => {}
                When::ArmNames => flags.push(ARM_NAMES),
                When::Mode(own) => {
                    mode = own.to_string();
                    flags.push((Flag::Login, &mode));
                }
                When::Fills(_) => continue,
            }
            let above = rows_above(number, value);
            let above: Vec<_> = above
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let merged = merge(&flags, &above);
            assert!(
                merged.values.agrees_with(flag, &value(variable)),
                "{variable}"
            );
            let origin = merged.given(flag).map(|given| given.origin);
            assert_eq!(origin, Some(Origin::Variable(variable)));
            assert_eq!(merged.notices.len(), 1, "{variable}: {:?}", merged.notices);
            assert!(merged.notices[0].starts_with(&format!("{variable} overrides ")));
            assert!(
                !merged.notices[0].contains("from "),
                "{variable}: its value is shown"
            );

            let empty = merge(&flags, &[(variable, "")]);
            assert!(
                empty.values.agrees_with(flag, "typed"),
                "{variable} is set but empty"
            );
            flags.push(NO_OVERRIDE);
            let off = merge(&flags, &above);
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
            let mode = mode.to_string();
            let merged = |flags: &[(Flag, &str)], env: &[(&str, &str)]| {
                merge(&[&[(Flag::Login, &*mode)], flags].concat(), env)
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
            let off = merged(&[NO_OVERRIDE], &[(variable, "filled")]);
            assert!(!off.values.is_given(flag), "{variable}");
        }
    }

    #[test]
    fn a_row_of_one_mode_leaves_the_others_alone() {
        for &(variable, flag, when) in VARIABLES {
            let (When::Mode(own) | When::Fills(own)) = when else {
                continue;
            };
            for mode in LoginMode::all().iter().filter(|mode| **mode != own) {
                let flags = [(Flag::Login, &*mode.to_string()), ARM_NAMES];
                let merged = merge(&flags, &[(variable, "value")]);
                assert!(!merged.values.is_given(flag), "{variable} in {mode}");
            }
        }
    }

    /// Azure/kubelogin applies AZURE_CLIENT_ID once more for this mode, so that the webhook's value overrides
    /// Terraform's.
    #[test]
    fn workload_identity_reads_the_webhook_s_variables_even_with_terraform_s_names() {
        let flags = [ARM_NAMES, (Flag::Login, "workloadidentity")];
        let env = [
            (env::ARM_CLIENT_ID, "arm"),
            (env::AZURE_CLIENT_ID, "azure"),
            (env::AZURE_AUTHORITY_HOST, "https://login.example/"),
            (env::AZURE_FEDERATED_TOKEN_FILE, "/var/run/token"),
        ];
        let values = merge(&flags, &env).values;
        for (flag, value) in [
            (Flag::ClientId, "azure"),
            (Flag::FederatedTokenFile, "/var/run/token"),
            (Flag::AuthorityHost, "https://login.example/"),
        ] {
            assert_eq!(values.text(flag), Some(value));
        }
    }

    #[test]
    fn a_login_mode_from_the_environment_brings_its_own_rows() {
        let env = [
            (env::AAD_LOGIN_METHOD, "azurepipelines"),
            (env::AZURESUBSCRIPTION_TENANT_ID, "tenant"),
        ];
        let merged = merge(&[(Flag::Login, "spn")], &env);
        assert_eq!(merged.values.text(Flag::TenantId), Some("tenant"));
    }

    #[test]
    fn every_value_is_told_with_its_origin_and_no_secret_is() {
        let flags = [
            (Flag::TenantId, "typed"),
            (Flag::ClientSecret, "hunter2"),
            (Flag::Legacy, "true"),
        ];
        let merged = merge(&flags, &[(env::AZURE_TENANT_ID, "of the environment")]);
        let given = |flag| merged.given(flag).map(|given| (given.text, given.origin));
        let variable = Origin::Variable(env::AZURE_TENANT_ID);
        assert_eq!(
            given(Flag::TenantId),
            Some(("of the environment", variable))
        );
        assert_eq!(
            given(Flag::ClientSecret),
            Some(("[redacted]", Origin::Flag))
        );
        assert_eq!(given(Flag::Legacy), Some(("true", Origin::Flag)));
        assert_eq!(given(Flag::ClientId), None);
    }

    #[test]
    fn a_missing_value_names_the_usual_variable_first_and_each_once() {
        let remedy = |flag, login| missing(flag, login).parts().1.to_owned();
        for (flag, login, expected) in [
            (
                Flag::ClientId,
                LoginMode::Spn,
                "Pass --client-id or set AZURE_CLIENT_ID (also read: AAD_SERVICE_PRINCIPAL_CLIENT_ID, \
                 ARM_CLIENT_ID with --use-azurerm-env-vars).",
            ),
            (
                Flag::ClientId,
                LoginMode::WorkloadIdentity,
                "Pass --client-id or set AZURE_CLIENT_ID (also read: AAD_SERVICE_PRINCIPAL_CLIENT_ID, \
                 ARM_CLIENT_ID with --use-azurerm-env-vars).",
            ),
            (
                Flag::TenantId,
                LoginMode::AzurePipelines,
                "Pass --tenant-id or set AZURESUBSCRIPTION_TENANT_ID (also read: AZURE_TENANT_ID, \
                 ARM_TENANT_ID with --use-azurerm-env-vars).",
            ),
            (
                Flag::AzurePipelinesServiceConnectionId,
                LoginMode::AzurePipelines,
                "Pass --azure-pipelines-service-connection-id or set AZURESUBSCRIPTION_SERVICE_CONNECTION_ID.",
            ),
            (Flag::ServerId, LoginMode::Msi, "Pass --server-id."),
        ] {
            assert_eq!(remedy(flag, login), expected);
        }
    }

    #[test]
    fn terraform_s_names_count_only_when_asked_for_and_then_azure_s_do_not() {
        let env = [(env::ARM_CLIENT_ID, "arm"), (env::AZURE_CLIENT_ID, "azure")];
        for (flags, value) in [(&[][..], "azure"), (&[ARM_NAMES], "arm")] {
            assert!(merge(flags, &env).values.agrees_with(Flag::ClientId, value));
        }
    }

    #[test]
    fn readme_has_this_table() {
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
    fn a_variable_that_overrides_aks_s_public_client_is_not_mentioned() {
        let merged = merge(
            &[(Flag::ClientId, AKS_CLIENT)],
            &[(env::AZURE_CLIENT_ID, "c")],
        );
        assert_eq!(merged.notices, [""; 0]);
        assert_eq!(merged.values.text(Flag::ClientId), Some("c"));
    }

    #[test]
    fn a_variable_that_agrees_with_its_flag_is_not_mentioned() {
        let merged = merge(&[(Flag::ClientId, "c")], &[(env::AZURE_CLIENT_ID, "c")]);
        assert_eq!(merged.notices, [""; 0]);
    }

    #[test]
    fn az_s_timeout_is_ignored_with_a_notice_if_it_is_not_a_duration() {
        let merged = merge(&[], &[(env::AZURE_CLI_TIMEOUT, "30")]);
        assert!(!merged.values.is_given(Flag::Timeout));
        assert!(merged.notices[0].contains("AZURE_CLI_TIMEOUT"));
    }
}
