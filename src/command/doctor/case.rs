//! The facts that the checks judge, gathered once: files first, then the network and other programs in parallel, all
//! within a time limit.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::arm;
use super::checks::{Check, Need};
use super::entra::EntraProbe;
use super::plugin::PluginProbe;
use super::quiet::Quiet;
use crate::api_server::{ApiServer, Caller, Greeting, Refusal, Verdict};
use crate::cli::inspect::SubjectArgs;
use crate::command::explain::unauthorized;
use crate::command::subject::{self, NotOurs, Subject};
use crate::command::whoami::own::Own;
use crate::command::whoami::report::{ClusterSees, expected};
use crate::entra::access_token::claims::Claims;
use crate::entra::access_token::fit::Expected;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::kubeconfig::context::{ContextEntry, Contexts};
use crate::login_mode::Source;
use crate::options::Options;
use crate::sign_in::SignIn;
use crate::system::{NetworkError, System};
use crate::token::Token;
use crate::token_cache::{Health, Storage, TokenCache};

/// How long one step on the network may take.
pub const STEP: Duration = Duration::from_secs(4);
/// Time limit for another program, in parallel with everything else: az takes seconds to start on some machines.
const PROGRAM: Duration = Duration::from_secs(10);
/// Time limit for everything.
const ALL: Duration = Duration::from_secs(14);

pub struct Case<'a> {
    /// The kubeconfig that was typed, if one was.
    pub typed_kubeconfig: Option<&'a str>,
    pub env: &'a Env,
    pub system: &'a Quiet<'a>,
    pub now: DateTime<Utc>,
    /// `None` if flags alone describe the login.
    pub contexts: Option<Result<Contexts, Error>>,
    /// The name of the context, if one is chosen.
    pub context: Option<Result<String, Error>>,
    pub subject: Option<Result<Subject, NotOurs>>,
    pub options: Option<Result<Options, Error>>,
    pub health: Option<Health>,
    pub plugin: PluginProbe,
    pub entra: Option<EntraProbe>,
    pub token: Option<Result<Fetched, Error>>,
    pub api_server: Option<Result<ApiServer, Error>>,
    pub api: ApiProbe,
    pub arm: Option<arm::Answer>,
}

/// A token, and the one to send to the cluster: the same, or its envelope.
pub struct Fetched {
    pub token: Token,
    pub claims: Option<Claims>,
    pub for_cluster: Token,
}

/// The steps to a host, up to the first that failed.
#[derive(Default)]
pub struct Steps {
    /// The proxy for the host; if there is one, the steps go to it instead.
    pub proxy: Option<String>,
    pub dns: Option<Result<Vec<String>, NetworkError>>,
    pub tcp: Option<Result<(), NetworkError>>,
}

/// What the API server answered.
#[derive(Default)]
pub struct ApiProbe {
    pub steps: Steps,
    pub greeting: Option<Result<Greeting, NetworkError>>,
    /// Who it says the user is.
    pub sees: Option<ClusterSees>,
    pub may_list: Option<MayList>,
}

type MayList = Result<Verdict<Result<(), String>>, NetworkError>;

impl<'a> Case<'a> {
    /// Gathers everything that these checks need.
    pub fn gather(
        args: &'a SubjectArgs,
        checks: &[&Check],
        env: &'a Env,
        system: &'a Quiet<'a>,
    ) -> Self {
        let mut case = Self::local(args, env, system);
        let wants = |names: &[&str]| {
            checks.iter().any(|check| {
                names
                    .iter()
                    .any(|name| check.id == *name || check.area() == *name)
            })
        };
        let wants_arm = wants(&["arm"]);
        let wants_api = wants_arm || wants(&["api"]);
        let wants_auth = wants(&["api.auth", "api.authz"]);
        let wants_token = wants_auth || wants_arm || wants(&["login.token", "login.fit"]);
        let began = system.elapsed();
        let local = &case;
        let (plugin, entra, token, api) = thread::scope(|scope| {
            let plugin = scope.spawn(|| PluginProbe::of(local, wants(&["plugin"])));
            let entra = scope.spawn(|| wants(&["entra"]).then(|| EntraProbe::of(local)).flatten());
            let token = scope.spawn(|| wants_token.then(|| local.fetch_token()).flatten());
            let api = wants_api.then(|| ApiProbe::of(local));
            (plugin.join(), entra.join(), token.join(), api)
        });
        case.plugin = plugin.unwrap_or_default();
        case.entra = entra.unwrap_or_default();
        case.token = token.unwrap_or_default();
        case.api = api.unwrap_or_default();
        let left = (began + ALL).saturating_sub(system.elapsed());
        let asked = &case;
        let (answers, arm) = thread::scope(|scope| {
            let arm = scope.spawn(|| wants_arm.then(|| arm::ask(asked, left)).flatten());
            let answers = wants_auth.then(|| asked.ask_about_user(left.min(STEP)));
            (answers.flatten(), arm.join())
        });
        case.arm = arm.unwrap_or_default();
        if let Some((sees, may_list)) = answers {
            case.api.sees = Some(sees);
            case.api.may_list = may_list;
        }
        case
    }

    fn local(args: &'a SubjectArgs, env: &'a Env, system: &'a Quiet<'a>) -> Self {
        let mut case = Self {
            typed_kubeconfig: args.kubeconfig.as_deref(),
            env,
            system,
            now: system.now(),
            contexts: None,
            context: None,
            subject: None,
            options: None,
            health: None,
            plugin: PluginProbe::default(),
            entra: None,
            token: None,
            api_server: None,
            api: ApiProbe::default(),
            arm: None,
        };
        if subject::is_typed(args) {
            case.subject = Some(Ok(Subject::of_flags(&args.typed, env)));
        } else {
            let contexts = subject::contexts(args, env);
            if let Ok(contexts) = &contexts {
                let context = subject::chosen(args, contexts).map(str::to_owned);
                if let Ok(name) = &context {
                    case.subject = Some(Subject::of_context(contexts, name, &args.typed, env));
                }
                case.context = Some(context);
            }
            case.contexts = Some(contexts);
        }
        case.options = case.subject().map(Subject::options);
        if let Some(Ok(options)) = &case.options {
            let cache = TokenCache::new(&options.cache, system);
            case.health = cache.map(|cache| cache.health());
        }
        case.api_server = case.cluster_of_context().map(ApiServer::of);
        case
    }

    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()?.as_ref().ok()
    }

    pub fn options(&self) -> Option<&Options> {
        self.options.as_ref()?.as_ref().ok()
    }

    pub fn kubeconfig(&self) -> Option<&Contexts> {
        self.contexts.as_ref()?.as_ref().ok()
    }

    pub fn fetched(&self) -> Option<&Fetched> {
        self.token.as_ref()?.as_ref().ok()
    }

    pub fn server(&self) -> Option<&ApiServer> {
        self.api_server.as_ref()?.as_ref().ok()
    }

    /// The context to look at, whatever its user.
    pub fn entry(&self) -> Option<&ContextEntry> {
        let name = self.context.as_ref()?.as_ref().ok()?;
        self.kubeconfig()?.context(name)
    }

    /// The flags that a command about this context needs.
    pub fn context_flag(&self) -> String {
        let entry = self.entry();
        entry.map_or_else(String::new, |entry| subject::context_flag(&entry.name))
    }

    fn cluster_of_context(&self) -> Option<&crate::kubeconfig::context::Cluster> {
        self.kubeconfig()?
            .cluster(self.entry()?.cluster.as_deref()?)
    }

    /// What the token should be.
    pub fn expected(&self) -> Option<Expected<'_>> {
        Some(expected(self.options()?, &self.subject()?.env, self.now))
    }

    /// Why a check cannot run; `None` if it can.
    pub fn lacks(&self, need: Need) -> Option<&'static str> {
        let plugin = || {
            self.subject()
                .is_none_or(|subject| subject.exec().is_none())
        };
        let no_token = "no token: see login.token";
        let no_server = "no cluster with a usable server";
        match need {
            Need::Machine => None,
            Need::Kubeconfig => self.kubeconfig().is_none().then_some("no kubeconfig"),
            Need::Plugin => plugin().then_some("no context whose user runs this kubelogin"),
            Need::Login => self.options().is_none().then_some("no login"),
            Need::Entra => match self.options() {
                None => Some("no login"),
                Some(options) if options.login.source() != Source::Entra => {
                    Some("this login mode does not contact Entra ID itself")
                }
                Some(_) => None,
            },
            Need::Cluster => self.api_server.is_none().then_some(no_server),
            Need::Token => self.fetched().is_none().then_some(no_token),
            Need::Arm => match (self.server(), self.options()) {
                (None, _) => Some(no_server),
                (_, None) => Some("no login"),
                _ => None,
            },
            Need::ClusterAndToken => match (self.server(), self.fetched()) {
                (None, _) => Some(no_server),
                (_, None) if self.own().is_none() => Some(no_token),
                _ => None,
            },
        }
    }

    /// The credentials of a user who signs in without kubelogin.
    pub fn own(&self) -> Option<Own<'_>> {
        match &self.subject {
            Some(Err(NotOurs::Other(_))) => Own::of(self.kubeconfig()?, self.entry()?),
            _ => None,
        }
    }

    /// A token without prompting anyone: from the cache or by refresh if a person would have to sign in, otherwise from
    /// a new login, which is not cached.
    fn fetch_token(&self) -> Option<Result<Fetched, Error>> {
        let subject = self.subject()?;
        let mut options = subject.options().ok()?;
        options.timeout.duration = match options.login.source() {
            Source::Program(_) => PROGRAM,
            Source::Entra | Source::Host => STEP,
        };
        options.timeout.is_given = true;
        let fetched = self.fetch(&mut options, &subject.env);
        Some(fetched.map_err(|error| subject.explain(error)))
    }

    fn fetch(&self, options: &mut Options, env: &Env) -> Result<Fetched, Error> {
        if !SignIn::new(options, env, self.system)?.asks_a_person() {
            options.cache.storage = Storage::None;
        }
        let sign_in = SignIn::new(options, env, self.system)?;
        // The key of PoP tokens is created when first needed, not by doctor.
        if sign_in.lacks_pop_key(options) {
            return Err(Error::not_signed_in(None));
        }
        let cluster = sign_in.for_cluster(options)?;
        let token = sign_in.silent_token(&cluster.scope)?;
        let claims = Claims::read(&token.access_token);
        let for_cluster = cluster.envelope(token.clone(), self.system)?;
        Ok(Fetched {
            token,
            claims,
            for_cluster,
        })
    }

    /// Asks the cluster who the user is and, at the same time, what our token allows.
    fn ask_about_user(&self, timeout: Duration) -> Option<(ClusterSees, Option<MayList>)> {
        let server = self.server()?;
        let is_its_own = |greeting: &Greeting| greeting.oddity.is_none();
        // The token is sent only to a server that has proved to be the cluster.
        let may_be_asked = matches!(&self.api.greeting, Some(Ok(greeting)) if is_its_own(greeting));
        let system = self.system;
        let review = |server: &ApiServer, caller: &Caller| {
            let verdict = server.review(caller, system, timeout);
            verdict.map_err(|error| error.to_string())
        };
        if let Some(own) = self.own() {
            let sees = match own.shown(server) {
                Err(cause) => ClusterSees::Refused(cause),
                Ok(_) if !may_be_asked => return None,
                Ok(server) => own.seen(&server, review(&server, &own.caller())),
            };
            return Some((sees, None));
        }
        if !may_be_asked {
            return None;
        }
        let (fetched, expected) = (self.fetched()?, self.expected()?);
        let impersonation = self.subject().and_then(|subject| subject.user.as_ref());
        let caller = Caller {
            token: Some(&fetched.for_cluster.access_token),
            impersonation: impersonation.map_or(&[], |user| user.impersonation.as_slice()),
        };
        let namespace = self.entry().and_then(|entry| entry.namespace.as_deref());
        let namespace = namespace.unwrap_or("default");
        let (verdict, may_list) = thread::scope(|scope| {
            let verdict = scope.spawn(|| review(server, &caller));
            let may_list = server.may_list_pods(namespace, &caller, system, timeout);
            (verdict.join(), may_list)
        });
        let sees = ClusterSees::of(server, verdict.ok()?, |refusal| match refusal {
            Refusal::Unauthorized => Some(unauthorized(fetched.claims.as_ref(), &expected)),
            Refusal::Forbidden { .. } => None,
        });
        Some((sees, Some(may_list)))
    }

    /// True if the error only says that the user has to sign in.
    pub fn is_not_signed_in(error: &Error) -> bool {
        *error.kind() == ErrorKind::NotSignedIn
    }

    /// This program's own file.
    pub fn own_path() -> Option<PathBuf> {
        let path = std::env::current_exe().ok()?;
        Some(std::fs::canonicalize(&path).unwrap_or(path))
    }
}

/// A proxy's host and port; the part before an @ can be a password.
pub fn bare(proxy: &str) -> &str {
    proxy.rsplit('@').next().unwrap_or_default()
}

impl Steps {
    /// Resolves and connects to a host, or to the proxy on the way.
    pub fn to(uri: &http::Uri, proxy: Option<String>, system: &dyn System) -> Self {
        let proxy = proxy.or_else(|| system.proxy_of(uri));
        let target: http::Uri = match &proxy {
            Some(proxy) => format!("http://{}", bare(proxy))
                .parse()
                .unwrap_or_default(),
            None => uri.clone(),
        };
        let host = target.host().unwrap_or_default();
        let usual = if proxy.is_some() { 80 } else { 443 };
        let port = target.port_u16().unwrap_or(usual);
        let addresses = system.resolve(host, port, STEP);
        let tcp = addresses
            .as_ref()
            .ok()
            .map(|addresses| system.connect(host, addresses, STEP));
        let shown = addresses.map(|found| {
            found
                .iter()
                .map(|address| address.ip().to_string())
                .collect()
        });
        Self {
            proxy: proxy.map(|proxy| bare(&proxy).to_owned()),
            dns: Some(shown),
            tcp,
        }
    }

    /// True if there is a connection.
    pub fn is_connected(&self) -> bool {
        matches!(self.tcp, Some(Ok(())))
    }
}

impl ApiProbe {
    fn of(case: &Case) -> Self {
        let Some(server) = case.server() else {
            return Self::default();
        };
        let steps = Steps::to(server.uri(), server.proxy(), case.system);
        // Some servers require a client certificate for every request.
        let shown = case.own().and_then(|own| own.shown(server).ok());
        let greeted = shown.as_ref().unwrap_or(server);
        let greeting = steps
            .is_connected()
            .then(|| greeted.greet(case.system, STEP));
        Self {
            steps,
            greeting,
            ..Self::default()
        }
    }
}
