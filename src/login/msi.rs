//! `--login msi`: a managed identity of the machine or service that kubelogin runs on.

mod arc;
mod host;
mod imds;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::outside_state::OutsideState;
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::Login;
use crate::options::Options;
use crate::retry::{self, Deadline};
use crate::secret::Secret;
use crate::system::{HttpResponse, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token, UNKNOWN_LIFE, expiry_claim, seconds};
use crate::token_cache::{CacheKey, Fingerprint};
use host::Host;

/// A managed identity at its host.
#[derive(Debug)]
pub struct ManagedIdentity {
    host: Host,
    identity: Identity,
    /// True if a resource ID was given and the client ID beats it.
    resource_id_is_unused: bool,
}

/// Which of the identities that are assigned to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The machine's own.
    System,
    /// A user-assigned one, by its client ID.
    ClientId(String),
    /// A user-assigned one, by its resource ID.
    ResourceId(String),
}

impl Identity {
    /// The query parameter that names it, given what the two kinds of ID are called.
    fn parameter<'a>(
        &'a self,
        client_id: &'a str,
        resource_id: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        match self {
            Self::System => None,
            Self::ClientId(id) => Some((client_id, id)),
            Self::ResourceId(id) => Some((resource_id, id)),
        }
    }
}

impl ManagedIdentity {
    /// The client ID beats the resource ID, as with the original.
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        let host = Host::detect(&host::IdentityHost::of(env))?;
        let resource_id = options.text(Flag::IdentityResourceId);
        let identity = match (&options.client_id, resource_id) {
            (Some(id), _) => Identity::ClientId(id.clone()),
            (None, Some(id)) => Identity::ResourceId(id.to_owned()),
            (None, None) => host.default_identity(),
        };
        host.check(&identity)?;
        Ok(Self {
            host,
            identity,
            resource_id_is_unused: options.client_id.is_some() && resource_id.is_some(),
        })
    }
}

impl Login for ManagedIdentity {
    fn identify(&self, key: CacheKey) -> CacheKey {
        let key = key.with("host", &self.host.place());
        match &self.identity {
            Identity::System => key,
            Identity::ClientId(id) => key.with("client", id),
            Identity::ResourceId(id) => key.with("resource", id),
        }
    }

    /// The machine and the app on it: each has an identity of its own, and their endpoints look alike.
    fn fingerprint(&self) -> Option<Fingerprint> {
        let mut place = OutsideState::default();
        place.add_machine().ok()?;
        if let Some(secret) = self.host.secret() {
            place.add(secret.expose());
        }
        Some(place.fingerprint())
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let Self { host, identity, .. } = self;
        let deadline = Deadline::after(system, timeout.duration);
        if self.resource_id_is_unused {
            system.tell("--identity-resource-id is not used: --client-id (or AZURE_CLIENT_ID) says which identity it is");
        }
        let request = host.request(scope.resource(), identity)?;
        let now = system.now();
        let answer = match host {
            Host::Imds => imds::send(system, &request, deadline),
            Host::Arc { key_folder, .. } => arc::send(system, request, key_folder, deadline),
            _ => retry::send(system, &request, host.via(), deadline).map_err(unreachable),
        };
        read(
            host,
            identity,
            &answer.map_err(|error| error.context(host))?,
            now,
        )
    }
}

/// The way out of a network error: no proxy is ever in play here.
fn unreachable(error: Error) -> Error {
    error.remedy("Azure sets IDENTITY_ENDPOINT, MSI_ENDPOINT and what belongs to them: check that they are of this machine or app, and still right.")
}

/// A token as every host sends it, with one of many kinds of expiry.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    expires_on: Value,
    #[serde(default)]
    expires_in: Value,
}

fn read(
    host: &Host,
    identity: &Identity,
    answer: &HttpResponse,
    asked_at: DateTime<Utc>,
) -> Result<Token, Error> {
    let status = answer.status();
    if !matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        return Err(refusal(host, identity, answer));
    }
    let body: Option<Answer> = serde_json::from_slice(answer.body()).ok();
    let body = body.filter(|body| !body.access_token.is_empty()).ok_or_else(|| {
        Error::refused("", format!("{host} answered {status} without a token"))
            .remedy("Something else may have answered: check the endpoint variables (IDENTITY_ENDPOINT, MSI_ENDPOINT) and the network.")
    })?;
    let life = || asked_at.checked_add_signed(TimeDelta::try_seconds(seconds(&body.expires_in)?)?);
    let expires_on = moment(&body.expires_on)
        .or_else(life)
        .or_else(|| expiry_claim(&body.access_token))
        .unwrap_or(asked_at + UNKNOWN_LIFE);
    Ok(Token {
        access_token: body.access_token,
        expires_on,
        refresh_token: None,
    })
}

/// Unix seconds, a date of RFC 3339, or one of the interface of 2017, in which some hosts put `PM` behind an hour of 24.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(seconds) = seconds(value) {
        return DateTime::from_timestamp(seconds, 0);
    }
    let text = value.as_str()?.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.to_utc());
    }
    let text = text.trim_end_matches("+00:00").trim_end();
    let parse = |text: &str, format| NaiveDateTime::parse_from_str(text, format).ok();
    let hour_of_24 = text.trim_end_matches(" AM").trim_end_matches(" PM");
    parse(text, "%m/%d/%Y %I:%M:%S %p")
        .or_else(|| parse(hour_of_24, "%m/%d/%Y %H:%M:%S"))
        .or_else(|| parse(text, "%Y-%m-%d %H:%M:%S"))
        .map(|naive| naive.and_utc())
}

/// Pieces of the hosts' messages, each with what to do.
#[rustfmt::skip]
const ADVICE: &[(&str, &str)] = &[
    ("Multiple user assigned identities",
     "Say which one: --client-id or --identity-resource-id."),
    ("dentity not found",
     "Assign that identity to this machine, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id; without them the machine's own is used."),
    ("No User Assigned or Delegated Managed Identity",
     "Assign that identity to this app, or check --client-id (AZURE_CLIENT_ID) and --identity-resource-id."),
    ("No managed identity",
     "Enable the managed identity of this machine or app, or name a user-assigned one with --client-id."),
    ("audience is not supported",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("not a supported MSI token audience",
     "Cloud Shell's own identity cannot sign in to Kubernetes: run az login --scope <server-id>/.default, and use --login azurecli."),
    ("unreachable",
     "Something between (Docker Desktop, a proxy) answers for the instance metadata service: this machine is not in Azure, so use another --login mode."),
];

/// The host's own words, if its answer is an error as one of them sends it; never another body, which may be anything.
fn refusal(host: &Host, identity: &Identity, answer: &HttpResponse) -> Error {
    let status = answer.status();
    if let Some(cloud) = imds::other_cloud(answer) {
        return imds::absent(&format!("the metadata service of {cloud} answered"));
    }
    let text = String::from_utf8_lossy(answer.body());
    let what = match message(answer.body()) {
        Some(message) => format!("{host} answered {status}: {message}"),
        None => format!("{host} answered {status}"),
    };
    let advice = ADVICE.iter().find(|(piece, _)| text.contains(piece));
    let remedy = match (advice, identity) {
        (Some((_, advice)), _) => advice,
        _ if retry::is_passing(status) || status == StatusCode::GONE => {
            "It is busy or being updated: try again in a minute; --timeout allows more time."
        }
        (None, Identity::System) if status == StatusCode::BAD_REQUEST => {
            "Enable the system-assigned managed identity here, or name a user-assigned one with --client-id."
        }
        _ => {
            "Check that this machine or app has a managed identity, and --client-id, --identity-resource-id and --server-id."
        }
    };
    let error = match retry::is_passing(status) || status == StatusCode::GONE {
        true => Error::outside(what),
        false => Error::refused("", what),
    };
    error.remedy(remedy)
}

/// `error_description`, `error.message`, `message` or `error` of a JSON answer.
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let places = [
        &body["error_description"],
        &body["error"]["message"],
        &body["message"],
        &body["error"],
    ];
    let message = places
        .iter()
        .find_map(|place| place.as_str().filter(|text| !text.is_empty()));
    message.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::login::tests::options;
    use crate::system::fake::FakeSystem;
    use crate::system::{NetworkError, NetworkErrorKind, Via};

    const TOKEN: &str = r#"{"access_token":"at","expires_on":"1767229200","token_type":"Bearer"}"#;
    const APP_SERVICE: &[(&str, &str)] = &[
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token?a=b"),
        ("IDENTITY_HEADER", "s3cret"),
    ];
    const FABRIC: &[(&str, &str)] = &[
        ("IDENTITY_ENDPOINT", "https://127.0.0.1:2377/metadata"),
        ("IDENTITY_HEADER", "s3cret"),
        (
            "IDENTITY_SERVER_THUMBPRINT",
            "00:112233445566778899AABBCCDDEEFF00112233",
        ),
    ];
    const ML: &[(&str, &str)] = &[
        ("MSI_ENDPOINT", "http://127.0.0.1:42/"),
        ("MSI_SECRET", "s3cret"),
    ];
    const CLOUD_SHELL: &[(&str, &str)] = &[("MSI_ENDPOINT", "http://localhost:50342/oauth2/token")];
    #[cfg(target_os = "linux")]
    const ARC: &[(&str, &str)] = &[
        (
            "IDENTITY_ENDPOINT",
            "http://127.0.0.1:40342/metadata/identity/oauth2/token",
        ),
        ("IMDS_ENDPOINT", "http://127.0.0.1:40342"),
    ];
    const TIMEOUT: Timeout = Timeout {
        duration: Duration::from_secs(60),
        is_given: false,
    };
    const CLIENT_ID: (Flag, &str) = (Flag::ClientId, "cid");
    const RESOURCE_ID: (Flag, &str) = (Flag::IdentityResourceId, "/subscriptions/s/x");

    fn login(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> Result<ManagedIdentity, Error> {
        ManagedIdentity::new(&options("msi", flags, env), &Env::of(env))
    }

    fn acquire_on(
        system: &FakeSystem,
        flags: &[(Flag, &str)],
        env: &[(&str, &str)],
    ) -> Result<Token, Error> {
        login(flags, env)?.acquire(&Scope::of_server("srv"), TIMEOUT, system)
    }

    /// `METHOD URL name=value...` of the only request, its headers in their order, and its body.
    fn request(flags: &[(Flag, &str)], env: &[(&str, &str)]) -> String {
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        acquire_on(&system, flags, env).expect("token");
        let [request] = &system.requests()[..] else {
            panic!("one request was expected");
        };
        let mut text = format!("{} {}", request.method(), request.uri());
        for (name, value) in request.headers() {
            text += &format!(" {name}={}", value.to_str().expect("text"));
        }
        text + " " + &system.forms()[0]
    }

    #[test]
    fn each_host_gets_its_own_kind_of_request() {
        let imds = "GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=srv";
        let app = "GET http://127.0.0.1:41/msi/token?a=b&api-version=2019-08-01&resource=srv";
        let ml = "GET http://127.0.0.1:42/?api-version=2017-09-01&resource=srv&clientid=";
        for (flags, env, expected) in [
            (&[][..], &[][..], format!("{imds} metadata=true ")),
            (&[CLIENT_ID], &[], format!("{imds}&client_id=cid metadata=true ")),
            (&[RESOURCE_ID], &[], format!("{imds}&msi_res_id=%2Fsubscriptions%2Fs%2Fx metadata=true ")),
            (&[], APP_SERVICE, format!("{app} x-identity-header=s3cret ")),
            (&[CLIENT_ID, RESOURCE_ID], APP_SERVICE, format!("{app}&client_id=cid x-identity-header=s3cret ")),
            (&[RESOURCE_ID], APP_SERVICE, format!("{app}&mi_res_id=%2Fsubscriptions%2Fs%2Fx x-identity-header=s3cret ")),
            (
                &[],
                FABRIC,
                "GET https://127.0.0.1:2377/metadata?api-version=2019-07-01-preview&resource=srv secret=s3cret accept=application/json ".to_owned(),
            ),
            (&[], ML, format!("{ml} secret=s3cret ")),
            (&[], &[ML, &[("DEFAULT_IDENTITY_CLIENT_ID", "d")]].concat(), format!("{ml}d secret=s3cret ")),
            (&[CLIENT_ID], ML, format!("{ml}cid secret=s3cret ")),
            (
                &[],
                CLOUD_SHELL,
                "POST http://localhost:50342/oauth2/token metadata=true content-type=application/x-www-form-urlencoded resource=srv".to_owned(),
            ),
        ] {
            assert_eq!(request(flags, env), expected);
        }
    }

    #[test]
    fn no_request_goes_through_a_proxy() {
        for (env, way) in [
            (&[][..], Via::Direct),
            (APP_SERVICE, Via::Direct),
            (ML, Via::Direct),
            (CLOUD_SHELL, Via::Direct),
            (FABRIC, Via::Pinned(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33")),
        ] {
            let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
            acquire_on(&system, &[], env).expect("token");
            assert_eq!(system.ways(), [way]);
        }
    }

    #[test]
    fn an_identity_that_the_host_cannot_name_is_refused_before_any_request() {
        for (flag, env, says) in [
            (RESOURCE_ID, ML, "Azure Machine Learning"),
            (CLIENT_ID, CLOUD_SHELL, "Cloud Shell"),
            (RESOURCE_ID, CLOUD_SHELL, "Cloud Shell"),
            (CLIENT_ID, FABRIC, "servicefabricmi"),
            #[cfg(target_os = "linux")]
            (CLIENT_ID, ARC, "Azure Arc"),
        ] {
            let error = login(&[flag], env).expect_err("refused").to_string();
            assert!(
                error.contains("doesn't support user-assigned managed identities"),
                "{error}"
            );
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_no_url_or_thumbprint_is_named() {
        let thumbprint = |digits| [FABRIC[0], FABRIC[1], ("IDENTITY_SERVER_THUMBPRINT", digits)];
        for (env, culprit) in [
            (
                &[("IDENTITY_ENDPOINT", "localhost"), ("IDENTITY_HEADER", "h")][..],
                "IDENTITY_ENDPOINT \"localhost\"",
            ),
            (
                &[("MSI_ENDPOINT", "file:///x")],
                "MSI_ENDPOINT \"file:///x\"",
            ),
            (&thumbprint("abc"), "IDENTITY_SERVER_THUMBPRINT \"abc\""),
            (
                &thumbprint("0011223344556677889900112233445566778g"),
                "IDENTITY_SERVER_THUMBPRINT",
            ),
        ] {
            let error = login(&[], env).expect_err("refused").to_string();
            assert!(error.contains(culprit), "{error}");
        }
    }

    #[test]
    fn a_client_id_that_beats_a_resource_id_is_said_to() {
        let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
        acquire_on(&system, &[CLIENT_ID, RESOURCE_ID], APP_SERVICE).expect("token");
        assert_eq!(system.told().len(), 1);
        assert!(system.told()[0].contains("--identity-resource-id is not used"));
    }

    #[test]
    fn every_form_of_expiry_is_read() {
        for (expiry, life) in [
            (r#","expires_on":"1767229200""#, 3600),
            (r#","expires_on":1767229200"#, 3600),
            (r#","expires_on":"1767229200","expires_in":"1""#, 3600),
            (r#","expires_in":"3599""#, 3599),
            (r#","expires_on":"2026-01-01T01:00:00+00:00""#, 3600),
            (r#","expires_on":"01/01/2026 01:00:00 +00:00""#, 3600),
            (r#","expires_on":"1/1/2026 1:00:00 AM +00:00""#, 3600),
            (r#","expires_on":"1/1/2026 1:00:00 PM +00:00""#, 13 * 3600),
            (
                r#","expires_on":"01/01/2026 13:00:00 PM +00:00""#,
                13 * 3600,
            ),
            (r#","expires_on":"01/01/2026 00:30:00 AM +00:00""#, 1800),
            (r#","expires_on":"2026-01-01 01:00:00""#, 3600),
            (r#","expires_on":"soon""#, 300),
            ("", 300),
        ] {
            let system = FakeSystem::new([FakeSystem::json(
                200,
                format!(r#"{{"access_token":"at"{expiry}}}"#),
            )]);
            let token = acquire_on(&system, &[], APP_SERVICE).expect(expiry);
            assert_eq!(
                (token.expires_on - FakeSystem::EPOCH).num_seconds(),
                life,
                "{expiry}"
            );
        }
    }

    #[test]
    fn the_host_s_own_words_are_shown_with_the_way_out() {
        for (status, body, env, says) in [
            (
                400,
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
                &[][..],
                &["IMDS", "Identity not found", "Assign"][..],
            ),
            (
                400,
                r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId"}"#,
                &[],
                &["--identity-resource-id"],
            ),
            (
                400,
                r#"{"error":"invalid_request"}"#,
                &[],
                &["invalid_request", "system-assigned"],
            ),
            (
                400,
                r#"{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found"}"#,
                APP_SERVICE,
                &["App Service answered 400", "Assign"],
            ),
            (
                400,
                r#"{"error":{"code":"AudienceNotSupported","message":"Audience srv is not a supported MSI token audience."}}"#,
                CLOUD_SHELL,
                &["Cloud Shell", "az login"],
            ),
            (
                403,
                "<html>connecting to 169.254.169.254:80: dial: unreachable</html>",
                &[],
                &["403", "Docker"],
            ),
            (403, "<html>hunter2</html>", &[], &["IMDS", "403"]),
            (200, "<html>hunter2</html>", &[], &["without a token"]),
            (
                200,
                r#"{"access_token":"","x":"hunter2"}"#,
                ML,
                &["Azure Machine Learning", "without a token"],
            ),
            (200, "null", CLOUD_SHELL, &["without a token"]),
        ] {
            let system = FakeSystem::new([FakeSystem::json(status, body)]);
            let error = acquire_on(&system, &[], env).expect_err(body).to_string();
            for piece in says {
                assert!(error.contains(piece), "{piece}: {error}");
            }
            assert!(
                !error.contains("hunter2") && error.lines().count() <= 3,
                "{error}"
            );
        }
    }

    fn unreachable_host() -> NetworkError {
        NetworkError {
            host: "169.254.169.254".into(),
            kind: NetworkErrorKind::Unreachable("connection timed out".into()),
        }
    }

    #[test]
    fn off_azure_one_try_says_so() {
        let system = FakeSystem::new([Err(unreachable_host())]);
        let error = acquire_on(&system, &[], &[])
            .expect_err("nobody there")
            .to_string();
        assert!(
            error.contains("not in Azure")
                && error.contains("169.254.169.254: connection timed out"),
            "{error}"
        );
        assert_eq!(system.naps(), [Duration::ZERO; 0]);
    }

    #[test]
    fn another_cloud_s_metadata_service_is_not_asked_twice() {
        for (header, value, cloud) in [
            ("server", "EC2ws", "AWS"),
            ("metadata-flavor", "Google", "Google Cloud"),
        ] {
            let answer = http::Response::builder().status(404).header(header, value);
            let system = FakeSystem::new([Ok(answer.body(Vec::new()).expect("an answer"))]);
            let error = acquire_on(&system, &[], &[])
                .expect_err("not ours")
                .to_string();
            assert!(
                error.contains("not in Azure") && error.contains(cloud),
                "{error}"
            );
        }
    }

    #[test]
    fn an_imds_that_is_busy_is_asked_as_microsoft_says() {
        let seconds = |system: &FakeSystem| {
            system
                .naps()
                .iter()
                .map(Duration::as_secs)
                .collect::<Vec<_>>()
        };
        for status in [404, 410, 429, 500, 503] {
            let system = FakeSystem::new([
                FakeSystem::json(status, ""),
                FakeSystem::json(status, ""),
                Err(unreachable_host()),
                FakeSystem::json(200, TOKEN),
            ]);
            acquire_on(&system, &[], &[]).expect("token");
            assert_eq!(seconds(&system), [1, 2, 4], "{status}");
        }
        let system = FakeSystem::new((0..8).map(|_| FakeSystem::json(410, "")));
        let timeout = Timeout {
            duration: Duration::from_secs(120),
            ..TIMEOUT
        };
        let identity = login(&[], &[]).expect("login");
        let error = identity
            .acquire(&Scope::of_server("srv"), timeout, &system)
            .expect_err("gone");
        assert!(error.to_string().contains("answered 410"), "{error}");
        assert_eq!(system.elapsed().as_secs(), 71);

        let system = FakeSystem::new((0..7).map(|_| FakeSystem::json(404, "")));
        acquire_on(&system, &[], &[]).expect_err("no time left");
        assert_eq!(system.elapsed().as_secs(), 31);
        for status in [400, 401, 403] {
            let system = FakeSystem::new([FakeSystem::json(status, "")]);
            acquire_on(&system, &[], &[]).expect_err("final");
            assert_eq!(system.naps(), [Duration::ZERO; 0], "{status}");
        }
    }
}
