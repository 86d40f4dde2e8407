//! The checks: one row each.

use super::case::Case;
use super::{Finding, Outcome, skipped};
use super::{api_server, arm, cache, entra, environment, kubeconfig, login, plugin};
use crate::error::{Error, did_you_mean};

/// What a check requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// This machine.
    Machine,
    /// A kubeconfig that can be read.
    Kubeconfig,
    /// A user of a context that runs kubelogin.
    Plugin,
    /// A login, from a context or from flags.
    Login,
    /// A login that goes to Entra ID itself.
    Entra,
    /// A cluster with an API server.
    Cluster,
    /// A token of the login.
    Token,
    /// Both.
    ClusterAndToken,
    /// A cluster, a login, and `--arm`: it contacts another service.
    Arm,
}

/// A check.
pub struct Check {
    /// `area.name`
    pub id: &'static str,
    /// What people see when it fails.
    pub symptom: &'static str,
    pub needs: Need,
    pub test: fn(&Case) -> Outcome,
    /// The one thing to do, unless the test knows a better one.
    pub advice: &'static str,
}

const fn check(
    id: &'static str,
    symptom: &'static str,
    needs: Need,
    test: fn(&Case) -> Outcome,
    advice: &'static str,
) -> Check {
    Check {
        id,
        symptom,
        needs,
        test,
        advice,
    }
}

#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    check("kubeconfig.files", "the wrong file is used or converted", Need::Machine, kubeconfig::files,
        "Write one: kubelogin get-credentials CLUSTER"),
    check("kubeconfig.mode", "others can read it", Need::Kubeconfig, kubeconfig::mode, ""),
    check("kubeconfig.context", "no context, user or cluster", Need::Kubeconfig, kubeconfig::context,
        "Choose another: kubectl config use-context NAME"),
    check("kubeconfig.user", "the login is incomplete or another program's", Need::Kubeconfig, kubeconfig::user,
        "Convert it: kubelogin convert-kubeconfig -l azurecli"),
    check("plugin.path", "exec: executable kubelogin not found", Need::Plugin, plugin::path,
        "Put the folder of kubelogin on the PATH of every program that runs kubectl, desktop programs included."),
    check("plugin.which", "unknown command \"convert-kubeconfig\"", Need::Machine, plugin::which,
        "Reorder the folders in PATH, or remove the other program."),
    check("plugin.policy", "plugin is not permitted by the credential plugin allowlist", Need::Plugin, plugin::policy,
        "Allow it: kubectl kuberc set --section credentialplugin --policy=Allowlist --allowlist-entry=command=kubelogin"),
    check("plugin.kubectl", "kubectl not found", Need::Plugin, plugin::kubectl,
        "Install kubectl: az aks install-cli"),
    check("plugin.apiversion", "exec plugin: invalid apiVersion", Need::Plugin, plugin::api_version,
        "Rewrite it: kubelogin convert-kubeconfig"),
    check("plugin.interactive", "exec plugin cannot support interactive mode", Need::Plugin, plugin::interactive,
        "Set interactiveMode: IfAvailable in the kubeconfig."),
    check("environment.override", "the wrong user is signed in", Need::Login, environment::overrides,
        "Unset the variable, or add --disable-environment-override to the args of the user."),
    check("environment.foreign", "another identity or tenant than expected", Need::Login, environment::foreign,
        "Unset the variable if it is another program's, or set the flag."),
    check("environment.proxy", "hangs, or uses the wrong proxy", Need::Login, environment::proxy,
        "Add the host to NO_PROXY, or correct the proxy."),
    check("environment.browser", "the browser does not open", Need::Login, environment::browser,
        "Set BROWSER, or use --login devicecode or azurecli here."),
    check("login.mode", "blocked by Conditional Access", Need::Login, login::mode,
        "Use the browser: kubelogin convert-kubeconfig -l interactive"),
    check("login.files", "AADSTS700027, expired certificate or federated token", Need::Login, login::files, ""),
    check("login.tool", "az is not signed in, or to another tenant", Need::Login, login::tool, ""),
    check("login.token", "the sign-in fails", Need::Login, login::token, ""),
    check("login.fit", "Unauthorized", Need::Token, login::fit, ""),
    check("cache.folder", "asks you to sign in on every call", Need::Login, cache::folder,
        "Make the folder writable, or choose another: --cache-dir DIR"),
    check("cache.key", "asks you to sign in on every call", Need::Login, cache::key,
        "Unlock the keyring, or set --token-cache-storage disk."),
    check("cache.entries", "asks you to sign in again", Need::Login, cache::entries,
        "Delete the token cache: kubelogin remove-cache-dir"),
    check("cache.lock", "waits for another kubelogin", Need::Login, cache::lock,
        "Finish or end the other sign-in."),
    check("entra.dns", "no such host", Need::Entra, entra::dns, "Check the name server, VPN and --authority-host."),
    check("entra.tcp", "i/o timeout", Need::Entra, entra::tcp, "Open the firewall to it, or set HTTPS_PROXY."),
    check("entra.tls", "certificate is not trusted", Need::Entra, entra::tls,
        "If your company's proxy inspects TLS, set SSL_CERT_FILE to a file with its CA certificate."),
    check("entra.tenant", "AADSTS90002", Need::Entra, entra::tenant, "Correct --tenant-id or --environment."),
    check("entra.clock", "AADSTS700024, 401 right after the sign-in", Need::Entra, entra::clock,
        "Set the clock: timedatectl set-ntp true, or on Windows w32tm /resync"),
    check("entra.imds", "hangs for 30 s with msi", Need::Login, entra::imds,
        "Run this in Azure, or use another login mode."),
    check("api.server", "the server URL is wrong", Need::Cluster, api_server::server, ""),
    check("api.dns", "no such host", Need::Cluster, api_server::dns,
        "Check VPN and name server for a private cluster, and that it runs: az aks show --query powerState"),
    check("api.tcp", "i/o timeout", Need::Cluster, api_server::tcp,
        "Add this machine to the authorised IP ranges, or use the VPN: az aks show --query apiServerAccessProfile"),
    check("api.tls", "x509: certificate signed by unknown authority", Need::Cluster, api_server::tls,
        "If the cluster was created again: kubelogin get-credentials CLUSTER --overwrite-existing"),
    check("api.auth", "Unauthorized", Need::ClusterAndToken, api_server::auth, ""),
    check("api.authz", "Forbidden", Need::ClusterAndToken, api_server::authz, ""),
    check("arm.reach", "the cluster is stopped, unreachable or in another tenant (only with --arm)", Need::Arm, arm::reach, ""),
];

/// The areas, in the order of the table.
pub fn areas(checks: &[&'static Check]) -> Vec<&'static str> {
    let mut areas = Vec::new();
    for check in checks {
        if !areas.contains(&check.area()) {
            areas.push(check.area());
        }
    }
    areas
}

/// Advice for an unknown check name: the check that was probably meant, if one is similar.
fn near(name: &str) -> String {
    const LIST: &str = "kubelogin doctor --list names them all.";
    let distance = |id: &&str| strsim::osa_distance(id, name);
    let ids = CHECKS.iter().flat_map(|check| [check.id, check.area()]);
    match ids.min_by_key(distance) {
        Some(id) if distance(&id) * 2 < id.len() => format!("{} {LIST}", did_you_mean(&[id])),
        _ => LIST.to_owned(),
    }
}

/// The checks of these names and areas; without any, all but those that ask Azure Resource Manager, unless `asks_arm`.
pub fn chosen(names: &[String], asks_arm: bool) -> Result<Vec<&'static Check>, Error> {
    for name in names {
        if !CHECKS.iter().any(|check| check.is_called(name)) {
            return Err(Error::input(format!("there is no check {name:?}")).remedy(near(name)));
        }
    }
    let is_wanted = |check: &&Check| {
        let is_of_arm = check.needs == Need::Arm;
        is_of_arm && asks_arm
            || !is_of_arm && names.is_empty()
            || names.iter().any(|name| check.is_called(name))
    };
    Ok(CHECKS.iter().filter(is_wanted).collect())
}

impl Check {
    pub fn area(&self) -> &'static str {
        self.id.split('.').next().unwrap_or_default()
    }

    fn is_called(&self, name: &str) -> bool {
        self.id == name || self.area() == name
    }

    /// Runs the check if its requirements are met.
    pub fn make(&'static self, case: &Case) -> Finding {
        let outcome = match case.lacks(self.needs) {
            Some(why) => skipped(why),
            None => (self.test)(case),
        };
        Finding {
            check: self,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_in_its_area() {
        for (number, check) in CHECKS.iter().enumerate() {
            let first = CHECKS.iter().position(|other| other.id == check.id);
            assert_eq!(first, Some(number), "{}", check.id);
            assert!(check.id.split('.').count() == 2, "{}", check.id);
        }
        let all: Vec<_> = CHECKS.iter().collect();
        let names: Vec<_> = areas(&all);
        let runs = CHECKS.chunk_by(|one, other| one.area() == other.area());
        assert_eq!(runs.count(), names.len(), "an area's rows stand together");
    }

    /// `kubelogin doctor entra api`
    #[test]
    fn the_readme_names_only_checks_that_there_are() {
        let readme = include_str!("../../../README.md");
        let commands = readme.split("`kubelogin doctor").skip(1);
        let commands = commands.filter_map(|rest| rest.split('`').next());
        let words = commands.flat_map(str::split_whitespace);
        let names: Vec<_> = words.filter(|word| !word.starts_with('-')).collect();
        assert!(names.len() > 3, "{names:?}");
        for name in names {
            assert!(CHECKS.iter().any(|check| check.is_called(name)), "{name}");
        }
    }

    #[test]
    fn checks_are_chosen_by_name_or_area_and_others_are_refused_with_the_nearest() {
        let ids = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let chosen = chosen(&names, false).map_err(|error| error.to_string())?;
            Ok::<_, String>(chosen.iter().map(|check| check.id).collect::<Vec<_>>())
        };
        let all = ids(&[]).expect("all");
        assert_eq!(all.len(), CHECKS.len() - 1);
        assert!(!all.contains(&"arm.reach"), "it has to be asked for");
        assert_eq!(ids(&["arm"]).expect("one"), ["arm.reach"]);
        let with_arm = super::chosen(&["cache.key".into()], true).expect("two");
        assert_eq!(with_arm.len(), 2);
        assert_eq!(
            ids(&["api.tls", "cache.key"]).expect("two"),
            ["cache.key", "api.tls"]
        );
        assert_eq!(ids(&["cache"]).expect("four").len(), 4);
        assert!(ids(&["api.tsl"]).expect_err("refused").contains("api.tls"));
        assert!(ids(&["cach"]).expect_err("refused").contains("mean cache?"));
        let unlike = ids(&["foo"]).expect_err("refused");
        assert!(
            !unlike.contains("mean") && unlike.contains("--list"),
            "{unlike}"
        );
    }
}
