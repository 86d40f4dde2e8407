//! The login that `whoami` and `doctor` look at: that of a kubeconfig context, or the one given by flags.

use std::path::PathBuf;

use crate::cli::OldArgs;
use crate::cli::inspect::SubjectArgs;
use crate::command::convert_kubeconfig::users;
use crate::env::Env;
use crate::error::Error;
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::context::{
    Cluster, ContextEntry, Contexts, ExecEntry, Place, UserCredentials, UserEntry,
};
use crate::kubeconfig::file;
use crate::kubeconfig::plugin::{is_int128, is_kubelogin};
use crate::login::auto::{self, Choice};
use crate::login_mode::LoginMode;
use crate::options::Options;
use crate::secret::Secret;
use crate::variables::{Merged, Origin};

/// A login that uses this kubelogin, with its cluster.
pub struct Subject {
    pub context: Option<ContextEntry>,
    pub cluster: Option<Cluster>,
    pub user: Option<UserEntry>,
    /// The flags of `get-token`: the context's, overridden by those typed here.
    pub flags: FlagValues,
    /// What was typed here.
    typed: FlagValues,
    /// The environment that the plugin runs in: this one, overridden by the variables of the context's user.
    pub env: Env,
}

/// The value of a flag and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub flag: &'static str,
    /// Never a secret.
    pub value: String,
    pub origin: String,
    /// The variable that overrides what the flag says, if one does.
    pub overridden_by: Option<&'static str>,
}

impl Value {
    /// The value with its origin, for people.
    pub fn told(&self) -> String {
        let overrides = match self.overridden_by {
            Some(variable) => format!("; {variable} overrides the flag"),
            None => String::new(),
        };
        format!("{} ({}{overrides})", self.value, self.origin)
    }
}

/// Why a context does not use this kubelogin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOurs {
    /// An error in the context or its user, with the fix.
    Broken(Error),
    /// Another program signs in, or none; a description.
    Other(String),
}

/// Reads the kubeconfig files in use.
pub fn contexts(args: &SubjectArgs, env: &Env) -> Result<Contexts, Error> {
    let paths: Vec<PathBuf> = file::paths(args.kubeconfig.as_deref(), env)?;
    Contexts::read(&paths)
}

/// True if the flags alone describe a login, and no kubeconfig is looked at.
pub fn is_typed(args: &SubjectArgs) -> bool {
    args.context.is_none() && args.kubeconfig.is_none() && args.typed.is_given(Flag::ServerId)
}

/// The login that the flags describe, or that of the chosen context. `advice` is for a context that another program
/// signs in for.
pub fn find(args: &SubjectArgs, env: &Env, advice: &str) -> Result<Subject, Error> {
    if is_typed(args) {
        return Ok(Subject::of_flags(&args.typed, env));
    }
    let contexts = contexts(args, env)?;
    let name = chosen(args, &contexts)?;
    let subject = Subject::of_context(&contexts, name, &args.typed, env);
    subject.map_err(|not_ours| match not_ours {
        NotOurs::Broken(error) => error,
        NotOurs::Other(_) => not_ours.explain(name).remedy(advice),
    })
}

impl NotOurs {
    /// The error for a command about this context.
    pub fn explain(self, name: &str) -> Error {
        match self {
            Self::Broken(error) => error,
            Self::Other(what) => Error::input(format!(
                "context {name:?} does not use this kubelogin but {what}"
            )),
        }
    }
}

/// The name of the requested context.
pub fn chosen<'c>(args: &'c SubjectArgs, contexts: &'c Contexts) -> Result<&'c str, Error> {
    if let Some(name) = &args.context {
        return Ok(name);
    }
    let current = contexts.current.as_ref().map(|(name, _)| name.as_str());
    current.ok_or_else(|| {
        if contexts.files.is_empty() {
            return no_context(contexts);
        }
        let remedy = match contexts.contexts.is_empty() {
            true => WRITE_ONE,
            false => "Pass --context NAME, or set one: kubectl config use-context NAME",
        };
        let what = format!("no current context is set in {}", paths(&contexts.files));
        Error::input(what).remedy(remedy)
    })
}

const WRITE_ONE: &str = "Write one (kubelogin get-credentials CLUSTER), or describe the login with flags as for get-token.";

/// The error where no kubeconfig has a context, or there is no kubeconfig.
pub fn no_context(contexts: &Contexts) -> Error {
    let what = match contexts.files.is_empty() {
        true => format!("there is no kubeconfig at {}", paths(&contexts.missing)),
        false => format!("there are no contexts in {}", paths(&contexts.files)),
    };
    Error::input(what).remedy(WRITE_ONE)
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// The context whose user has exactly these flags: the current one if it has them, else the only one.
pub fn context_of(flags: &FlagValues, env: &Env) -> Option<String> {
    let contexts = Contexts::read(&file::paths(None, env).ok()?).ok()?;
    let none = FlagValues::new();
    let has_them = |name: &str| {
        let subject = Subject::of_context(&contexts, name, &none, env);
        let is_same = |other: &FlagValues| {
            let mut all = Flag::ALL.iter();
            all.all(|definition| flags.is_same(definition.flag, other))
        };
        subject.is_ok_and(|subject| is_same(&subject.flags))
    };
    let current = contexts.current.as_ref().map(|(name, _)| name.as_str());
    if let Some(name) = current.filter(|name| has_them(name)) {
        return Some(name.to_owned());
    }
    let mut names = contexts.contexts.iter().map(|entry| entry.name.as_str());
    let mut names = names.by_ref().filter(|name| has_them(name));
    let first = names.next()?;
    names.next().is_none().then(|| first.to_owned())
}

/// ` --context NAME`, as it can be pasted into a shell.
pub fn context_flag(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-@:/+=,%".contains(c);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => format!(" --context {name}"),
        false => format!(" --context '{}'", name.replace('\'', r"'\''")),
    }
}

impl Subject {
    /// The login that flags alone describe.
    pub fn of_flags(typed: &FlagValues, env: &Env) -> Self {
        Self {
            context: None,
            cluster: None,
            user: None,
            flags: typed.clone(),
            typed: typed.clone(),
            env: env.clone(),
        }
    }

    /// The login of a context.
    pub fn of_context(
        contexts: &Contexts,
        name: &str,
        typed: &FlagValues,
        env: &Env,
    ) -> Result<Self, NotOurs> {
        let context = contexts
            .context(name)
            .ok_or_else(|| NotOurs::Broken(no_such_context(contexts, name)))?;
        let broken = |what: String, remedy: &str| {
            let place = &context.place;
            let what = format!("{place}: context {name:?} {what}");
            NotOurs::Broken(Error::input(what).remedy(remedy))
        };
        let again = "Choose another context, or write it again: kubelogin get-credentials CLUSTER";
        let user = context
            .user
            .as_deref()
            .ok_or_else(|| broken("has no user".into(), again))?;
        let user = contexts.user(user).ok_or_else(|| {
            broken(
                format!("refers to user {user:?}, which does not exist"),
                again,
            )
        })?;
        let exec = our_exec(user).map_err(NotOurs::Other)?;
        let args = flags_of(user, exec)?;
        let mut flags = args;
        for definition in Flag::ALL {
            if typed.is_given(definition.flag) {
                flags.copy(definition.flag, typed);
            }
        }
        let variables = exec.env.iter();
        let variables = variables.map(|(name, value)| (name.as_str(), value.expose()));
        Ok(Self {
            context: Some(context.clone()),
            cluster: context
                .cluster
                .as_deref()
                .and_then(|name| contexts.cluster(name))
                .cloned(),
            user: Some(user.clone()),
            flags,
            typed: typed.clone(),
            env: env.with(variables),
        })
    }

    /// The exec plugin of the context's user.
    pub fn exec(&self) -> Option<&ExecEntry> {
        match &self.user.as_ref()?.credentials {
            UserCredentials::Exec(exec) => Some(exec),
            _ => None,
        }
    }

    /// The `--context` flag for commands about this login; empty if flags alone describe it.
    pub fn context_flag(&self) -> String {
        let context = self.context.as_ref();
        context.map_or_else(String::new, |context| context_flag(&context.name))
    }

    pub fn options(&self) -> Result<Options, Error> {
        auto::resolve(&self.flags, &self.env).map(|resolved| resolved.options)
    }

    /// What `--login auto` chose, if that is the login mode.
    pub fn choice(&self) -> Option<Choice> {
        auto::resolve(&self.flags, &self.env).ok()?.choice
    }

    /// An error of the login, with why `--login auto` chose it if it did.
    pub fn explain(&self, error: Error) -> Error {
        auto::explain(self.choice().as_ref(), error)
    }

    /// The table of `--login auto` with the row that is taken; empty for another login mode.
    pub fn table(&self) -> Vec<auto::Line> {
        let table = auto::table(&self.flags, &self.env);
        table.ok().flatten().unwrap_or_default()
    }

    /// Every flag that has a value, with where it came from; and the login mode, which always has one.
    pub fn values(&self) -> Vec<Value> {
        let merged = Merged::new(&self.flags, &self.env);
        let mut values = Vec::new();
        for definition in Flag::ALL {
            let flag = definition.flag;
            let Some(given) = merged.given(flag) else {
                if flag == Flag::Login {
                    values.push(Value {
                        flag: flag.typed(),
                        value: LoginMode::DeviceCode.to_string(),
                        origin: "the default".into(),
                        overridden_by: None,
                    });
                }
                continue;
            };
            let (origin, variable) = match given.origin {
                Origin::Variable(name) => (self.origin_of_variable(name), Some(name)),
                Origin::Flag => (self.origin_of_flag(flag), None),
            };
            let overrides = self.flags.is_given(flag) && !self.flags.is_same(flag, &merged.values);
            values.push(Value {
                flag: flag.typed(),
                value: given.text.to_owned(),
                origin,
                overridden_by: variable.filter(|_| overrides),
            });
        }
        values
    }

    fn origin_of_variable(&self, name: &str) -> String {
        let in_exec = self.exec().filter(|exec| {
            let mut names = exec.env.iter().map(|(name, _)| name.as_str());
            names.any(|other| other == name)
        });
        match in_exec {
            Some(exec) => format!("{name} in env of the plugin, {}", exec.place),
            None => format!("the variable {name}"),
        }
    }

    fn origin_of_flag(&self, flag: Flag) -> String {
        match self.exec() {
            Some(exec) if !self.typed.is_given(flag) => format!("args, {}", exec.place),
            _ => "typed".into(),
        }
    }

    /// Where the login is defined.
    pub fn place(&self) -> Option<&Place> {
        self.exec().map(|exec| &exec.place)
    }
}

/// The exec plugin of a user, if it is this kubelogin; otherwise what it is.
pub fn our_exec(user: &UserEntry) -> Result<&ExecEntry, String> {
    match &user.credentials {
        UserCredentials::Exec(exec) if is_kubelogin(&exec.command) => {
            match is_int128(exec.args.iter().map(Secret::expose)) {
                true => Err("int128/kubelogin, another program of this name".into()),
                false => Ok(exec),
            }
        }
        UserCredentials::Exec(exec) => Err(format!("the program {:?}", exec.command)),
        UserCredentials::AuthProvider(name) if name == "azure" => Err(
            "kubectl's old Azure login, which was removed in 1.26 (convert it: kubelogin convert-kubeconfig)".into(),
        ),
        UserCredentials::AuthProvider(name) => Err(format!("kubectl's old {name:?} login")),
        UserCredentials::Own(what, _) => Err((*what).into()),
    }
}

fn flags_of(user: &UserEntry, exec: &ExecEntry) -> Result<FlagValues, NotOurs> {
    let words: Vec<&str> = exec.args.iter().map(Secret::expose).collect();
    let parsed = OldArgs::new().parse(&words);
    parsed.map(|(flags, _)| flags).map_err(|error| {
        let (what, _) = error.parts();
        let what = format!(
            "{}: user {:?}: args of kubelogin: {what}",
            exec.place, user.name
        );
        let remedy =
            "Correct that argument in the kubeconfig, or run: kubelogin convert-kubeconfig";
        NotOurs::Broken(Error::input(what).remedy(remedy))
    })
}

fn no_such_context(contexts: &Contexts, name: &str) -> Error {
    if contexts.contexts.is_empty() {
        return no_context(contexts);
    }
    let names = contexts.contexts.iter().map(|entry| entry.name.as_str());
    users::no_context(name, names.collect())
}
