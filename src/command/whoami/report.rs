//! What `whoami` found out about one login.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use super::Outcome;
use crate::api_server::{ApiServer, Caller, Identity, Refusal, Verdict};
use crate::cli::inspect::WhoamiArgs;
use crate::command::explain::{self, Cause};
use crate::command::subject::{Subject, Value};
use crate::entra::access_token::claims::{Claims, Groups, application_name};
use crate::entra::access_token::fit::{self, Expected, Mismatch};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::login_mode::Source;
use crate::options::Options;
use crate::secret::Secret;
use crate::sign_in::SignIn;
use crate::system::System;
use crate::token::Token;
use crate::token_cache::Storage;

/// How far to look.
#[derive(Clone, Copy)]
pub struct Look {
    pub asks_cluster: bool,
    /// False if it may not prompt.
    pub may_sign_in: bool,
    /// Time limit for the cluster, and for a silent renewal of the token.
    pub timeout: Duration,
}

impl Look {
    pub fn of(args: &WhoamiArgs, timeout: Duration) -> Self {
        Self {
            asks_cluster: !args.offline,
            may_sign_in: args.sign_in,
            timeout,
        }
    }
}

pub struct Report {
    pub context: Option<String>,
    pub server: Option<String>,
    pub values: Vec<Value>,
    pub who: Who,
    pub cluster: ClusterSees,
    pub mismatches: Vec<Mismatch>,
    pub now: DateTime<Utc>,
}

/// The credentials to show to the cluster.
pub enum Who {
    SignedIn(SignedIn),
    /// There is no token; why.
    Nobody(Error),
    /// The context's user without kubelogin, with a client certificate or a static token.
    Own(&'static str),
}

/// The token, as far as it may be shown.
pub struct SignedIn {
    pub claims: Option<Claims>,
    pub expires_on: DateTime<Utc>,
    pub is_renewable: bool,
}

/// What the cluster says about the token.
pub enum ClusterSees {
    /// Not asked: `--offline`, or there is no token or no cluster.
    Nothing,
    Identity(Identity),
    /// It accepts the token but cannot say more, because it is older than 1.26.
    SomeUser,
    /// It does not accept the user, or there is no valid certificate to show it.
    Refused(Cause),
    /// It could not be asked; why.
    Unreachable(String),
}

impl Report {
    /// Looks at a login.
    ///
    /// # Errors
    /// If the login itself is wrong: an option that is missing or not valid.
    pub fn of(subject: &Subject, look: Look, system: &dyn System) -> Result<Self, Error> {
        let mut options = subject.options()?;
        let now = system.now();
        let mut report = Self {
            context: subject.context.as_ref().map(|context| context.name.clone()),
            server: subject
                .cluster
                .as_ref()
                .and_then(|cluster| cluster.server.clone()),
            values: subject.values(),
            who: Who::Nobody(Error::not_signed_in(None)),
            cluster: ClusterSees::Nothing,
            mismatches: Vec::new(),
            now,
        };
        let Some(sign_in) = ready(&mut options, &subject.env, look, system)? else {
            return Ok(report);
        };
        let cluster = sign_in.for_cluster(&options)?;
        let token = match look.may_sign_in {
            true => sign_in.token(&cluster.scope),
            false => sign_in.silent_token(&cluster.scope),
        };
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                report.who = Who::Nobody(subject.explain(error));
                return Ok(report);
            }
        };
        let claims = Claims::read(&token.access_token);
        let expected = expected(&options, &subject.env, now);
        if let Some(claims) = &claims {
            report.mismatches = fit::mismatches(claims, &expected);
        }
        let envelope = cluster.envelope(token.clone(), system)?;
        if look.asks_cluster {
            report.cluster = ask(
                subject,
                &envelope.access_token,
                claims.as_ref(),
                &expected,
                look,
                system,
            );
        }
        report.who = Who::SignedIn(SignedIn::new(&token, claims));
        Ok(report)
    }

    pub fn outcome(&self) -> Outcome {
        match (&self.who, &self.cluster) {
            (Who::Nobody(error), _) if *error.kind() == ErrorKind::NotSignedIn => {
                Outcome::NotSignedIn
            }
            (Who::Nobody(_), _) => Outcome::NotAccepted,
            (_, ClusterSees::Refused(_) | ClusterSees::Unreachable(_)) => Outcome::NotAccepted,
            _ => Outcome::Accepted,
        }
    }

    /// The value of a flag, with its origin.
    pub fn value(&self, flag: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.flag == flag)
    }

    pub fn json(&self, with_claims: bool) -> Json {
        let outcome = self.outcome();
        let values: Vec<Json> = self.values.iter().map(value_json).collect();
        let mismatches: Vec<Json> = self
            .mismatches
            .iter()
            .map(|mismatch| json!({"fatal": mismatch.is_fatal, "what": mismatch.what, "remedy": mismatch.remedy}))
            .collect();
        let mut json = json!({
            "version": 1,
            "context": self.context,
            "server": self.server,
            "ownCredentials": null,
            "signedIn": null,
            "error": null,
            "options": values,
            "cluster": self.cluster.json(),
            "mismatches": mismatches,
            "exitCode": outcome as u8,
        });
        match &self.who {
            Who::SignedIn(signed_in) => {
                json["signedIn"] = signed_in.json();
                if with_claims {
                    let claims = signed_in.claims.as_ref().map(|claims| claims.all().clone());
                    json["claims"] = claims.map_or(Json::Null, Json::Object);
                }
            }
            Who::Own(own) => json["ownCredentials"] = (*own).into(),
            Who::Nobody(error) => {
                let (what, remedy) = error.parts();
                json["error"] = json!({"what": what, "remedy": remedy});
            }
        }
        json
    }
}

fn value_json(value: &Value) -> Json {
    json!({
        "flag": value.flag,
        "value": value.value,
        "origin": value.origin,
        "overriddenBy": value.overridden_by,
    })
}

impl SignedIn {
    fn new(token: &Token, claims: Option<Claims>) -> Self {
        Self {
            claims,
            expires_on: token.expires_on,
            is_renewable: token.refresh_token.is_some(),
        }
    }

    fn json(&self) -> Json {
        let mut json = json!({
            "expiresOn": self.expires_on.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "renewable": self.is_renewable,
        });
        let Some(claims) = &self.claims else {
            return json;
        };
        let time = |name| {
            claims
                .time(name)
                .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        };
        let more = json!({
            "name": claims.name(),
            "displayName": claims.text("name"),
            "kind": claims.kind().words(),
            "tenant": claims.text("tid"),
            "objectId": claims.text("oid"),
            "clientId": claims.client_id(),
            "application": claims.client_id().and_then(application_name),
            "audience": claims.text("aud"),
            "issuedAt": time("iat"),
            "groups": match claims.groups() {
                Groups::Listed(groups) => json!(groups),
                Groups::TooMany => Json::Null,
            },
        });
        if let (Json::Object(json), Json::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        json
    }
}

impl ClusterSees {
    /// The verdict from a response. `refused` explains why the cluster refuses; `None` if it authenticated the caller
    /// nevertheless.
    pub fn of(
        server: &ApiServer,
        answer: Result<Verdict<Identity>, String>,
        refused: impl FnOnce(Refusal) -> Option<Cause>,
    ) -> Self {
        match answer {
            Err(why) => Self::Unreachable(why),
            Ok(Verdict::Yes(identity)) => Self::Identity(identity),
            Ok(Verdict::NotOffered) => Self::SomeUser,
            Ok(Verdict::Odd(what)) => {
                Self::Unreachable(format!("{} answered with {what}", server.uri()))
            }
            Ok(Verdict::No(refusal)) => refused(refusal).map_or(Self::SomeUser, Self::Refused),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Nothing => Json::Null,
            Self::SomeUser => json!({"accepted": true}),
            Self::Identity(identity) => json!({
                "accepted": true,
                "username": identity.username,
                "uid": identity.uid,
                "groups": identity.groups,
                "extra": identity.extra,
            }),
            Self::Refused(cause) => {
                json!({"accepted": false, "what": cause.what, "remedy": cause.remedy})
            }
            Self::Unreachable(why) => json!({"accepted": false, "what": why, "remedy": null}),
        }
    }
}

/// The login, to inspect without leaving a trace; `None` if it would have to prompt but may not.
fn ready<'s>(
    options: &mut Options,
    env: &Env,
    look: Look,
    system: &'s dyn System,
) -> Result<Option<SignIn<'s>>, Error> {
    let is_of_program = matches!(options.login.source(), Source::Program(_));
    if !look.may_sign_in && !is_of_program && !options.timeout.is_given {
        options.timeout.duration = options.timeout.duration.min(look.timeout);
    }
    let sign_in = SignIn::new(options, env, system)?;
    if look.may_sign_in || !sign_in.lacks_pop_key(options) {
        return Ok(Some(sign_in));
    }
    if sign_in.asks_a_person() {
        return Ok(None);
    }
    // With a key for this run only.
    options.cache.storage = Storage::None;
    SignIn::new(options, env, system).map(Some)
}

/// What the token of these options should be.
pub fn expected<'o>(options: &'o Options, env: &Env, now: DateTime<Utc>) -> Expected<'o> {
    Expected {
        tenant: options.tenant_id.as_deref(),
        server: &options.server_id,
        version: options.version,
        is_bound: options.pop_claims.is_some(),
        now,
        is_ci: env.ci_variable().is_some(),
    }
}

fn ask(
    subject: &Subject,
    token: &Secret,
    claims: Option<&Claims>,
    expected: &Expected,
    look: Look,
    system: &dyn System,
) -> ClusterSees {
    let Some(cluster) = &subject.cluster else {
        return match &subject.context {
            Some(context) => ClusterSees::Unreachable(format!(
                "{}: context {:?} has no cluster, or one that does not exist",
                context.place, context.name
            )),
            None => ClusterSees::Nothing,
        };
    };
    let server = match ApiServer::of(cluster) {
        Ok(server) => server,
        Err(error) => return ClusterSees::Unreachable(error.to_string()),
    };
    let impersonation = subject
        .user
        .as_ref()
        .map(|user| user.impersonation.as_slice());
    let caller = Caller {
        token: Some(token),
        impersonation: impersonation.unwrap_or_default(),
    };
    let answer = review(&server, &caller, look.timeout, system);
    ClusterSees::of(&server, answer, |refusal| {
        Some(match refusal {
            Refusal::Unauthorized => explain::unauthorized(claims, expected),
            Refusal::Forbidden { user, by, .. } => {
                let context = subject.context_flag();
                explain::forbidden(by, user.as_deref(), claims, expected.now, &context)
                    .after("Forbidden")
            }
        })
    })
}

/// Asks the cluster within `timeout` who the caller is; if that fails, returns why.
pub fn review(
    server: &ApiServer,
    caller: &Caller,
    timeout: Duration,
    system: &dyn System,
) -> Result<Verdict<Identity>, String> {
    let end = system.elapsed() + timeout;
    // First a request without the token, which is sent only to a server that has proved to be the cluster's.
    let greeting = server.greet(system, timeout);
    let greeting = greeting.map_err(|error| error.to_string())?;
    if let Some(oddity) = greeting.oddity {
        return Err(format!("{} answered with {oddity}", server.uri()));
    }
    let left = end.saturating_sub(system.elapsed());
    let verdict = server.review(caller, system, left);
    verdict.map_err(|error| error.to_string())
}
