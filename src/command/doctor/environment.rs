//! Checks of the environment: which variables have a say, the proxy, the browser.

use super::case::Case;
use super::{Outcome, fine, good, skipped, warning};
use crate::env;
use crate::flag::Flag;
use crate::login_mode::{LoginMode, Source};
use crate::system::System;

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

/// A variable that an application in this shell needs, and that a mode without flags takes for its own.
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
    fine("no variable sets what this login leaves open")
}

pub fn proxy(case: &Case) -> Outcome {
    let uri = case.server().map(|server| server.uri().clone());
    let proxy = uri.as_ref().and_then(|uri| case.system.proxy_of(uri));
    let (Some(uri), Some(proxy)) = (uri, proxy) else {
        return fine("no proxy on the way to the API server");
    };
    let host = uri.host().unwrap_or_default();
    let is_private = |host: &str| match host.trim_matches(['[', ']']).parse() {
        Ok(std::net::IpAddr::V4(address)) => address.is_private() || address.is_loopback(),
        Ok(std::net::IpAddr::V6(address)) => address.is_loopback(),
        Err(_) => host.contains(".privatelink."),
    };
    let proxy = proxy.rsplit('@').next().unwrap_or_default();
    match is_private(host) && case.server().is_some_and(|server| server.proxy().is_none()) {
        true => warning(format!(
            "the way to the private API server {host} leads through the proxy {proxy}"
        )),
        false => good(format!("through the proxy {proxy}")),
    }
}

/// Without a display there is no browser to open, but by WSL's and other openers.
pub fn browser(case: &Case) -> Outcome {
    let is_interactive = case
        .options()
        .is_some_and(|options| options.login == LoginMode::Interactive);
    if !is_interactive || !cfg!(target_os = "linux") {
        return fine("this login opens none");
    }
    let has_one = [
        env::BROWSER,
        env::DISPLAY,
        env::WAYLAND_DISPLAY,
        env::WSL_DISTRO_NAME,
    ]
    .iter()
    .any(|name| case.env.get(name).is_some());
    match has_one {
        true => fine("there is one to open"),
        false => warning(
            "--login interactive opens a browser, and there is none here: DISPLAY and BROWSER are not set",
        ),
    }
}
