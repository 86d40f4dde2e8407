//! `--login auto`: the first login that is set up here, so that one kubeconfig works on a laptop, in a pod and in a
//! pipeline.
//!
//! It is chosen by signals alone: flags, variables and files. Nothing is tried: no program is started and no host is
//! contacted. The first row of [`rows::ROWS`] whose signals are all there is the identity; if that then fails, the run
//! fails. A chain that falls through to the next identity would switch identities whenever something fails.

mod rows;
mod signals;

use std::fmt::Write as _;

use crate::env::{self, Env};
use crate::error::{Error, one_line};
use crate::flag::{Flag, FlagValues};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::system::System;
use crate::token::Scope;
use crate::token_cache::{CacheKey, TokenCache};
use rows::{Finding, Found, ROWS, Row};
use signals::{Machine, Signals};

/// The flags, the environment and the defaults, merged; with the login mode that `auto` stands for in the place of `auto`.
///
/// # Errors
/// As [`Options::resolve`], or nothing here says how to sign in.
pub fn resolve(typed: &FlagValues, env: &Env) -> Result<Resolved, Error> {
    if !is_asked_for(typed, env) {
        let (options, notices) = Options::resolve(typed, env)?;
        return Ok(Resolved {
            options,
            notices,
            choice: None,
        });
    }
    choose(&Signals::new(typed, env, Machine::this_one()))
}

/// As [`resolve`], for a token for this scope instead of the server of the flags. A choice counts as one of the calls
/// that `asked` is of, whatever was filled in meanwhile.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_for(
    scope: &Scope,
    asked: &Resolved,
    typed: &FlagValues,
    env: &Env,
) -> Result<Resolved, Error> {
    let Some(choice) = &asked.choice else {
        return resolve(typed, env);
    };
    let mut resolved = choose(&Signals::new(typed, env, Machine::this_one()).for_scope(scope))?;
    if let Some(new) = &mut resolved.choice {
        new.key.clone_from(&choice.key);
    }
    Ok(resolved)
}

/// What [`resolve`] gives.
#[derive(Debug)]
pub struct Resolved {
    pub options: Options,
    /// What to tell the user about the merge.
    pub notices: Vec<String>,
    /// Set if the login mode is `auto`.
    pub choice: Option<Choice>,
}

/// What `auto` chose, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub mode: LoginMode,
    /// The signal, as a clause: `az is signed in`.
    pub reason: String,
    /// The account or application, if it is known.
    pub who: Option<String>,
    /// True if there is nobody to prompt.
    pub is_silent: bool,
    /// What all calls for one kubeconfig user have in common, whatever was chosen.
    key: CacheKey,
}

/// One row of the table with what was found for it.
pub struct Line {
    pub is_taken: bool,
    pub row: &'static Row,
    pub finding: Finding,
}

/// The table with the row that is taken; `None` if the login mode is not `auto`.
///
/// # Errors
/// AZURE_TOKEN_CREDENTIALS is not valid.
pub fn table(typed: &FlagValues, env: &Env) -> Result<Option<Vec<Line>>, Error> {
    if !is_asked_for(typed, env) {
        return Ok(None);
    }
    lines(&Signals::new(typed, env, Machine::this_one())).map(Some)
}

/// True if these flags and variables ask for `auto`.
pub fn is_asked_for(typed: &FlagValues, env: &Env) -> bool {
    let variable = env
        .get(env::AAD_LOGIN_METHOD)
        .filter(|_| !typed.is_on(Flag::DisableEnvironmentOverride));
    let word = variable.or_else(|| typed.text(Flag::Login));
    word == Some(&LoginMode::Auto.to_string())
}

/// Every row, in order.
fn lines(signals: &Signals) -> Result<Vec<Line>, Error> {
    let filter = rows::Filter::of(signals.env())?;
    let mut is_over = false;
    let line = |row: &'static Row| {
        let finding = row.find(signals, &filter);
        let is_taken = finding.is_ok() && !std::mem::replace(&mut is_over, finding.is_ok());
        Line {
            is_taken,
            row,
            finding,
        }
    };
    Ok(ROWS.iter().map(line).collect())
}

fn choose(signals: &Signals) -> Result<Resolved, Error> {
    let filter = rows::Filter::of(signals.env())?;
    let mut rows = ROWS.iter();
    let taken = rows.find_map(|row| Some((row, row.find(signals, &filter).ok()?)));
    let Some((row, found)) = taken else {
        return Err(nothing_found(signals, &lines(signals)?));
    };
    let (typed, env) = signals.settled(row.mode, found.drops_tenant);
    let (options, notices) = Options::resolve(&typed, &env).map_err(|error| {
        let Found { reason, who, .. } = &found;
        because(error, row.mode, reason, who.as_deref())
    })?;
    Ok(Resolved {
        options,
        notices: signals.notices().chain(notices).collect(),
        choice: Some(Choice {
            mode: row.mode,
            is_silent: row.asks_a_person() && !signals.may_prompt(),
            reason: found.reason,
            who: found.who,
            key: signals.key(),
        }),
    })
}

/// The error of a login, with why it was chosen and how to choose another if `auto` chose it.
pub fn explain(choice: Option<&Choice>, error: Error) -> Error {
    match choice {
        Some(Choice {
            mode, reason, who, ..
        }) => because(error, *mode, reason, who.as_deref()),
        None => error,
    }
}

/// Adds to an error why `auto` chose this mode, and how to choose another.
fn because(error: Error, mode: LoginMode, reason: &str, who: Option<&str>) -> Error {
    let who = who.map(|who| format!(" ({who})")).unwrap_or_default();
    let (_, remedy) = error.parts();
    let why = format!(
        "--login auto chose {mode}{who} because {reason} (set --login to choose another). {remedy}"
    );
    error.remedy(why.trim_end())
}

/// The error if no row is taken: what is missing for each, the rows of one kind together.
fn nothing_found(signals: &Signals, lines: &[Line]) -> Error {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines {
        let Err(missing) = &line.finding else {
            continue;
        };
        match groups
            .iter_mut()
            .find(|(group, _)| *group == line.row.group)
        {
            Some((_, all)) if all.contains(&missing.as_str()) => {}
            Some((_, all)) => all.push(missing),
            None => groups.push((line.row.group, vec![missing])),
        }
    }
    let mut list = String::new();
    for (group, missing) in groups {
        let separator = if list.is_empty() { "" } else { "\n" };
        let missing = one_line(&missing.join("; "));
        let _ = write!(list, "{separator}  {group}: {missing}"); // writing to a String does not fail
    }
    let flag = Flag::DisableEnvironmentOverride;
    let ignored = match signals.plain().is_on(flag) {
        true => format!(" ({} ignores variables for flags)", flag.typed()),
        false => String::new(),
    };
    let remedy = format!("Set --login to one mode, or provide what one of these lacks{ignored}:");
    Error::input("--login auto found no way to sign in")
        .remedy(remedy)
        .example(list)
}

impl Line {
    /// The row in one line: `>` marks the chosen row, `+` others that were possible.
    pub fn told(&self) -> String {
        let mark = match (&self.finding, self.is_taken) {
            (_, true) => '>',
            (Ok(_), false) => '+',
            (Err(_), false) => '-',
        };
        let (mode, name) = (self.row.mode, self.row.name);
        let text = match &self.finding {
            Ok(found) => match &found.who {
                Some(who) => format!("{} ({who})", found.reason),
                None => found.reason.clone(),
            },
            Err(missing) => missing.clone(),
        };
        one_line(&format!("{mark} {mode}, {name}: {text}"))
    }
}

impl Choice {
    /// `azurecli (alice@example.com)`
    pub fn name(&self) -> String {
        match &self.who {
            Some(who) => format!("{} ({who})", self.mode),
            None => self.mode.to_string(),
        }
    }

    /// The identity that was chosen the last time, if it is remembered.
    pub fn before(&self, cache: Option<&TokenCache>) -> Option<String> {
        cache.and_then(|cache| cache.note(&self.key))
    }

    /// Tells if another identity was chosen the last time.
    pub fn tell_change(&self, before: Option<&str>, system: &dyn System) {
        if let Some(before) = before.filter(|before| *before != self.name()) {
            let (name, reason) = (self.name(), &self.reason);
            let line = format!("auto: now {name}, because {reason}; before: {before}");
            system.notice(&one_line(&line));
        }
    }

    /// Remembers the identity beside its token, for the next call.
    pub fn remember(&self, before: Option<&str>, cache: Option<&TokenCache>) {
        if let Some(cache) = cache
            && before != Some(&self.name())
        {
            cache.keep_note(&self.key, &self.name());
        }
    }
}

#[cfg(test)]
mod tests;
