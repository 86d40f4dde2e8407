//! Checks the token cache: why kubelogin asks you to sign in on every call (Azure/kubelogin#642, #698, #740, #762).

use chrono::{DateTime, TimeDelta, Utc};

use super::case::Case;
use super::{Outcome, failure, fine, good, skipped, warning};
use crate::entra::access_token::claims::Claims;
use crate::error::span;
use crate::token::Token;
use crate::token_cache::{Busy, Health, Storage};

fn health<'c>(case: &'c Case) -> Result<&'c Health, Outcome> {
    let Some(options) = case.options() else {
        return Err(skipped("no login"));
    };
    match (&case.health, options.cache.storage) {
        (_, Storage::None) => Err(skipped("--token-cache-storage none: nothing is cached")),
        (Some(health), _) => Ok(health),
        (None, _) => {
            Err(warning("tokens cannot be cached: HOME is not set")
                .with("Set HOME or --cache-dir."))
        }
    }
}

pub fn folder(case: &Case) -> Outcome {
    match health(case) {
        Err(outcome) => outcome,
        Ok(health) => match &health.problem {
            Some(why) => failure(format!(
                "tokens cannot be cached in {}: {why}",
                health.folder.display()
            )),
            None => good(health.folder.display().to_string()),
        },
    }
}

pub fn key(case: &Case) -> Outcome {
    let Ok(health) = health(case) else {
        return skipped("see cache.folder");
    };
    let storage = case.options().map(|options| options.cache.storage);
    match (&health.keyring_problem, storage) {
        (_, Some(Storage::Disk)) => good("tokens are protected by file permissions, as configured"),
        (None, _) => good("the keyring protects them"),
        (Some(why), Some(Storage::Keyring)) => failure(format!("tokens are not cached: {why}")),
        (Some(why), _) => warning(format!(
            "tokens are protected by file permissions only, because no keyring is available: {why}"
        ))
        .with("If that is enough, set --token-cache-storage disk to silence this warning."),
    }
}

pub fn entries(case: &Case) -> Outcome {
    let Ok(health) = health(case) else {
        return skipped("see cache.folder");
    };
    let all = health.remembered.len() + health.unreadable;
    match (all, health.unreadable) {
        (0, _) => good("no cached sign-in"),
        (_, 0) => good(format!(
            "{all} cached: {}",
            told(&health.remembered, case.now)
        )),
        (_, lost) => warning(format!(
            "{lost} of {all} cached sign-ins in {} cannot be decrypted: they are from another machine, or the key is lost",
            health.folder.display()
        )),
    }
}

/// Whose tokens these are, and how long they are valid.
fn told(tokens: &[Token], now: DateTime<Utc>) -> String {
    const SHOWN: usize = 3;
    let told = |token: &Token| {
        let claims = Claims::read(&token.access_token);
        let name = claims.as_ref().map_or("unknown", Claims::name);
        match (token.expires_on - now, &token.refresh_token) {
            (left, _) if left > TimeDelta::zero() => format!("{name} ({} left)", span(left)),
            (_, Some(_)) => format!("{name} (expired, renewable)"),
            (_, None) => format!("{name} (expired)"),
        }
    };
    let mut list: Vec<_> = tokens.iter().take(SHOWN).map(told).collect();
    if tokens.len() > SHOWN {
        list.push(format!("{} more", tokens.len() - SHOWN));
    }
    list.join(", ")
}

pub fn lock(case: &Case) -> Outcome {
    let Ok(health) = health(case) else {
        return skipped("see cache.folder");
    };
    let Some(Busy { path, process }) = health.busy.first() else {
        return fine("no other kubelogin is signing in");
    };
    let path = path.display();
    match process {
        Some(id) => warning(format!(
            "process {id} is signing in, and others are waiting for it ({path})"
        ))
        .with(format!(
            "Finish that sign-in, or end the process: {}",
            end(*id)
        )),
        None => warning(format!(
            "another kubelogin is signing in, and others are waiting for it ({path})"
        )),
    }
}

/// The command that kills a process.
fn end(id: u32) -> String {
    match cfg!(windows) {
        true => format!("taskkill /pid {id}"),
        false => format!("kill {id}"),
    }
}
