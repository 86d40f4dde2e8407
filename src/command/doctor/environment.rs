//! Checks the environment: overriding variables, the proxy, the browser.

use std::net::IpAddr;

use super::case::{Case, bare};
use super::{Outcome, entra, fine, good, skipped, warning};
use crate::api_server::ApiServer;
use crate::flag::Flag;
use crate::login_mode::{LoginMode, Source};
use crate::system::{System, has_browser};

/// Azure/kubelogin#427, #329, #538: a variable silently beats the flag.
pub fn overrides(case: &Case) -> Outcome {
    let Some(subject) = case.subject() else {
        return skipped("no login");
    };
    let values = subject.values();
    let overridden = values.iter().find_map(|value| {
        let variable = value.overridden_by?;
        Some((variable, &value.flag))
    });
    match overridden {
        Some((variable, flag)) => warning(format!("{variable} overrides {flag}")),
        None => good("no variable overrides a flag"),
    }
}

/// A variable meant for another application in this shell, which a login mode without flags uses.
pub fn foreign(case: &Case) -> Outcome {
    let (Some(options), Some(subject)) = (case.options(), case.subject()) else {
        return skipped("no login");
    };
    let watched = match options.login.source() {
        Source::Host => Some(Flag::ClientId),
        Source::Program(_) => Some(Flag::TenantId),
        Source::Entra => None,
    };
    let values = subject.values();
    if let Some(flag) = watched.filter(|flag| !subject.flags.is_given(*flag)) {
        let name = flag.typed();
        if let Some(value) = values.iter().find(|value| value.flag == name) {
            let origin = &value.origin;
            return warning(format!(
                "--login {} takes {name} from {origin}",
                options.login
            ));
        }
    }
    fine("no variable fills in an option of this login")
}

/// The proxies for Entra ID and the API server.
pub fn proxy(case: &Case) -> Outcome {
    let entra = case.options().and_then(entra::host);
    let server = case.server().map(|server| server.uri());
    let mut ways = Vec::new();
    for uri in entra.iter().chain(server) {
        let host = uri.host().unwrap_or_default();
        let is_server = Some(uri) == server;
        let chosen = case
            .server()
            .filter(|_| is_server)
            .and_then(ApiServer::proxy);
        let is_chosen = chosen.is_some();
        let Some(proxy) = chosen.or_else(|| case.system.proxy_of(uri)) else {
            continue;
        };
        let proxy = bare(&proxy);
        if is_server && is_private(host) && !is_chosen {
            return warning(format!(
                "requests to the private API server {host} go through the proxy {proxy}"
            ));
        }
        ways.push(format!("{host} through the proxy {proxy}"));
    }
    match ways.is_empty() {
        true => fine("no proxy for Entra ID and the API server"),
        false => good(ways.join(", ")),
    }
}

fn is_private(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback(),
        Ok(IpAddr::V6(address)) => address.is_loopback(),
        Err(_) => host.contains(".privatelink."),
    }
}

/// Without a display no browser can be opened, except through WSL and other openers.
pub fn browser(case: &Case) -> Outcome {
    let is_interactive = case
        .options()
        .is_some_and(|options| options.login == LoginMode::Interactive);
    if !is_interactive {
        return fine("this login mode opens no browser");
    }
    if has_browser(case.env) {
        return fine("a browser can be opened");
    }
    warning(format!(
        "--login interactive needs a browser, but none can be opened here: {}",
        match cfg!(any(windows, target_os = "macos")) {
            true => "this is a session over SSH, and BROWSER is not set",
            false => "BROWSER, DISPLAY and WAYLAND_DISPLAY are not set",
        }
    ))
}
