//! Every host: its request, its answers, its errors.

use std::time::Duration;

use super::*;
use crate::login::tests::{NOBODY_WAITS, options};
use crate::system::fake::FakeSystem;
use crate::system::{NetworkError, NetworkErrorKind, Uptime, Via};

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
    login(flags, env)?.acquire(&Scope::of_server("srv"), TIMEOUT, system, NOBODY_WAITS)
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
fn an_identity_that_the_host_does_not_support_is_refused_before_any_request() {
    for (flag, env, says) in [
        (RESOURCE_ID, ML, "Azure Machine Learning"),
        (CLIENT_ID, CLOUD_SHELL, "Cloud Shell"),
        (RESOURCE_ID, CLOUD_SHELL, "Cloud Shell"),
        (CLIENT_ID, FABRIC, "servicefabricmi"),
    ] {
        let error = login(&[flag], env).expect_err("refused").to_string();
        assert!(
            error.contains("doesn't support user-assigned managed identities"),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_arc_machine_is_asked_for_the_identity_that_is_named_and_must_confirm_it() {
    for (flag, parameter, confirmed) in [
        (CLIENT_ID, "client_id=cid", r#""client_id":"CID""#),
        (
            RESOURCE_ID,
            "msi_res_id=%2Fsubscriptions%2Fs%2Fx",
            r#""msi_res_id":"/subscriptions/s/x""#,
        ),
    ] {
        let answer = format!(r#"{{"access_token":"at","expires_in":"3600",{confirmed}}}"#);
        let system = FakeSystem::new([FakeSystem::json(200, answer), FakeSystem::json(200, TOKEN)]);
        acquire_on(&system, &[flag], ARC).expect("token");
        let query = system.requests()[0].uri().query().map(str::to_owned);
        let expected = format!("api-version=2020-06-01&resource=srv&{parameter}");
        assert_eq!(query, Some(expected));
        acquire_on(&system, &[flag], ARC).expect_err("not confirmed");
    }
}

#[test]
fn a_variable_that_is_not_valid_is_named() {
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
        (
            &[
                ("IDENTITY_ENDPOINT", "http://h/"),
                ("IDENTITY_HEADER", "a\nb"),
            ],
            "IDENTITY_HEADER contains characters",
        ),
        (
            &[("MSI_ENDPOINT", "http://h/"), ("MSI_SECRET", "a\nb")],
            "MSI_SECRET contains characters",
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
fn a_client_id_beats_a_resource_id_with_a_notice() {
    let system = FakeSystem::new([FakeSystem::json(200, TOKEN)]);
    acquire_on(&system, &[CLIENT_ID, RESOURCE_ID], APP_SERVICE).expect("token");
    assert_eq!(system.told().len(), 1);
    assert!(system.told()[0].contains("ignoring --identity-resource-id"));
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
fn the_host_s_own_message_is_shown_with_the_fix() {
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

#[test]
fn an_answer_with_a_code_of_entra_gets_that_code_s_advice() {
    let body = r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application with identifier 'x' was not found in the directory. Trace ID: t Correlation ID: c-1 Timestamp: x"}"#;
    for env in [&[][..], APP_SERVICE] {
        let system = FakeSystem::new([FakeSystem::json(400, body)]);
        let error = acquire_on(&system, &[], env)
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("answered 400 Bad Request: AADSTS700016"),
            "{error}"
        );
        assert!(
            error.contains("The application does not exist in this tenant"),
            "{error}"
        );
        assert!(error.contains("Correlation ID: c-1"), "{error}");
        assert!(!error.contains("managed identity here"), "{error}");
    }
}

#[test]
fn an_identity_that_is_not_found_is_asked_for_again_only_on_a_machine_that_was_just_made() {
    let missing = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    for (seconds, waited) in [(Some(30), 7), (Some(3600), 0), (None, 0)] {
        let system = FakeSystem::new((0..4).map(|_| FakeSystem::json(400, missing)));
        system.set_uptime(seconds.map(|seconds| Uptime {
            machine: "m".into(),
            seconds,
        }));
        let error = acquire_on(&system, &[], &[])
            .expect_err("no such identity")
            .to_string();
        assert!(error.contains("takes a few minutes"), "{error}");
        assert_eq!(system.elapsed().as_secs(), waited);
    }
    let system = FakeSystem::new([FakeSystem::json(400, missing), FakeSystem::json(200, TOKEN)]);
    system.set_uptime(Some(Uptime {
        machine: "m".into(),
        seconds: 30,
    }));
    acquire_on(&system, &[], &[]).expect("it has arrived");
}

#[test]
fn an_id_of_the_other_kind_is_refused_with_the_flag_that_it_belongs_to() {
    let resource = "/Subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
    let guid = "00000000-0000-0000-0000-000000000001";
    for (flag, id, other) in [
        (Flag::ClientId, resource, "--identity-resource-id"),
        (Flag::IdentityResourceId, guid, "--client-id"),
        (Flag::IdentityResourceId, "foo", "--client-id"),
    ] {
        let error = login(&[(flag, id)], &[]).expect_err("refused").to_string();
        assert!(
            error.starts_with(&format!("{} {id:?}", flag.typed())),
            "{error}"
        );
        assert!(error.contains(&format!("as {other}")), "{error}");
    }
}

fn unreachable_host() -> NetworkError {
    NetworkError {
        host: "169.254.169.254".into(),
        kind: NetworkErrorKind::Unreachable("connection timed out".into()),
    }
}

#[test]
fn outside_azure_one_try_is_enough() {
    let system = FakeSystem::new([Err(unreachable_host())]);
    let error = acquire_on(&system, &[], &[])
        .expect_err("nobody there")
        .to_string();
    assert!(
        error.contains("not in Azure") && error.contains("169.254.169.254: connection timed out"),
        "{error}"
    );
    assert_eq!(system.naps(), [Duration::ZERO; 0]);
}

#[test]
fn another_cloud_s_metadata_service_is_not_retried() {
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
fn a_busy_imds_is_retried_as_microsoft_asks() {
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
        .acquire(&Scope::of_server("srv"), timeout, &system, NOBODY_WAITS)
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
