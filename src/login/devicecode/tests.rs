//! Canned responses play Entra; sleeping takes no time.

use super::*;
use crate::env;
use crate::flag::Flag;
use crate::login::tests::{CLIENT, NOBODY_WAITS, options};
use crate::system::fake::FakeSystem;

const CODE: &str = r#"{"device_code":"dev","user_code":"ABC","verification_uri":"https://microsoft.com/devicelogin",
    "expires_in":900,"interval":5,"message":"Open the page and enter ABC."}"#;
const PENDING: &str =
    r#"{"error":"authorization_pending","error_description":"AADSTS70016: pending"}"#;
const TOKEN: &str =
    r#"{"token_type":"Bearer","access_token":"at","expires_in":3600,"refresh_token":"rt"}"#;

fn login(system: &FakeSystem, timeout: Option<u64>) -> Result<Token, Error> {
    login_with(&[], system, timeout)
}

fn legacy_login(system: &FakeSystem) -> Result<Token, Error> {
    login_with(&[(Flag::Legacy, "true")], system, None)
}

fn login_with(
    flags: &[(Flag, &str)],
    system: &FakeSystem,
    timeout: Option<u64>,
) -> Result<Token, Error> {
    let mut options = options("devicecode", &[&CLIENT, flags].concat(), &[]);
    if let Some(seconds) = timeout {
        options.timeout = Timeout {
            duration: Duration::from_secs(seconds),
            is_given: true,
        };
    }
    let login = DeviceCode::new(&options, &Env::default()).expect("login");
    login.acquire(
        &Scope::of_server("srv"),
        options.timeout,
        system,
        NOBODY_WAITS,
    )
}

fn seconds(naps: &[Duration]) -> Vec<u64> {
    naps.iter().map(Duration::as_secs).collect()
}

#[test]
fn the_user_is_prompted_once_and_the_polls_keep_the_interval() {
    let system = FakeSystem::new([
        FakeSystem::json(200, CODE),
        FakeSystem::json(400, PENDING),
        FakeSystem::json(400, r#"{"error":"slow_down"}"#),
        FakeSystem::json(200, TOKEN),
    ]);
    let token = login(&system, None).expect("token");
    assert_eq!(token.access_token, Secret::new("at"));
    assert_eq!(token.refresh_token, Some(Secret::new("rt")));
    assert_eq!(
        system.prompts(),
        ["Open the page and enter ABC. (tenant ten)"]
    );
    assert_eq!(seconds(&system.naps()), [5, 5, 10]);
    assert_eq!(
        system.forms(),
        [
            "client_id=app&scope=srv%2F.default+openid+offline_access+profile",
            POLL_FORM,
            POLL_FORM,
            POLL_FORM
        ]
    );
}

const POLL_FORM: &str = "client_id=app&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code\
    &device_code=dev&scope=srv%2F.default+openid+offline_access+profile";

/// The original crashes without `message`, and polls without pause without `interval`.
#[test]
fn legacy_speaks_the_v1_form_and_reads_quoted_numbers() {
    let code = |more: &str| {
        format!(
            r#"{{"device_code":"dev","user_code":"ABC","verification_url":"https://microsoft.com/devicelogin","expires_in":"900"{more}}}"#
        )
    };
    for (more, prompt, interval) in [
        (
            r#","interval":"7","message":"Open and enter ABC.""#,
            "Open and enter ABC.",
            7,
        ),
        (
            "",
            "To sign in, open https://microsoft.com/devicelogin in a browser and enter the code ABC",
            5,
        ),
    ] {
        let system = FakeSystem::new([
            FakeSystem::json(200, code(more)),
            FakeSystem::json(400, PENDING),
            FakeSystem::json(
                200,
                r#"{"access_token":"at","expires_in":"3599","expires_on":"1767229199","refresh_token":"rt"}"#,
            ),
        ]);
        let token = legacy_login(&system).expect("token");
        let life = token.expires_on - FakeSystem::EPOCH;
        assert_eq!(life.num_seconds(), 2 * interval + 3599);
        assert_eq!(system.prompts(), [format!("{prompt} (tenant ten)")]);
        let uris: Vec<_> = system
            .requests()
            .iter()
            .map(|r| r.uri().to_string())
            .collect();
        let at = "https://login.microsoftonline.com/ten/oauth2";
        assert_eq!(uris[0], format!("{at}/devicecode?api-version=1.0"));
        assert_eq!(uris[1], format!("{at}/token?api-version=1.0"));
        let poll = "client_id=app&grant_type=device_code&code=dev&resource=srv";
        assert_eq!(system.forms(), ["client_id=app&resource=srv", poll, poll]);
    }
}

#[test]
fn legacy_s_own_error_for_an_expired_code_ends_the_login_with_the_fix() {
    let expired = r#"{"error":"code_expired","error_description":"AADSTS70020: It has expired."}"#;
    let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(400, expired)]);
    let error = legacy_login(&system).expect_err("expired").to_string();
    assert!(error.contains("run the command again"), "{error}");
}

#[test]
fn the_code_s_lifetime_limits_the_wait_unless_a_timeout_was_given() {
    for (timeout, end, says) in [
        (None, 900, "within 15 minutes"),
        (Some(70), 70, "within 70 seconds"),
        (Some(3600), 900, "within 15 minutes"),
    ] {
        let answers = std::iter::once(FakeSystem::json(200, CODE));
        let system =
            FakeSystem::new(answers.chain((0..200).map(|_| FakeSystem::json(400, PENDING))));
        let error = login(&system, timeout).expect_err("nobody came");
        assert_eq!(*error.kind(), ErrorKind::Unanswered);
        let error = error.to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(system.elapsed().as_secs(), end);
    }
}

#[test]
fn an_interval_of_zero_becomes_a_second() {
    let code = CODE.replace(r#""interval":5"#, r#""interval":0"#);
    let system = FakeSystem::new([
        FakeSystem::json(200, code),
        FakeSystem::json(400, PENDING),
        FakeSystem::json(200, TOKEN),
    ]);
    login(&system, None).expect("token");
    assert_eq!(seconds(&system.naps()), [1, 1]);
}

#[test]
fn a_network_that_is_down_for_a_while_does_not_end_the_login() {
    let mut answers = vec![FakeSystem::json(200, CODE)];
    answers.extend((0..4).map(|_| FakeSystem::json(503, "")));
    answers.push(FakeSystem::json(200, TOKEN));
    let system = FakeSystem::new(answers);
    assert!(login(&system, None).is_ok());
}

fn reset() -> Result<crate::system::HttpResponse, crate::system::NetworkError> {
    lost(NetworkErrorKind::Broken("connection reset".into()))
}

fn lost(
    kind: NetworkErrorKind,
) -> Result<crate::system::HttpResponse, crate::system::NetworkError> {
    let host = "login.microsoftonline.com".into();
    Err(crate::system::NetworkError { host, kind })
}

#[test]
fn after_an_error_or_a_lost_answer_the_next_poll_comes_after_the_interval_and_later_after_a_timeout()
 {
    let system = FakeSystem::new([
        FakeSystem::json(200, CODE),
        FakeSystem::json(429, ""),
        FakeSystem::json(500, ""),
        reset(),
        lost(NetworkErrorKind::TimedOut),
        FakeSystem::json(400, PENDING),
        FakeSystem::json(200, TOKEN),
    ]);
    login(&system, None).expect("token");
    assert_eq!(seconds(&system.naps()), [5, 5, 5, 5, 10, 10]);
}

/// Users who did enter the code must not be told that they did not.
#[test]
fn while_the_network_fails_the_error_says_what_the_last_poll_got_and_from_which_host() {
    for (answer, says) in [
        (
            FakeSystem::json(429, ""),
            "login.microsoftonline.com answered 429",
        ),
        (
            FakeSystem::json(500, "<html>"),
            "login.microsoftonline.com answered 500",
        ),
        (reset(), "connection reset"),
        (
            lost(NetworkErrorKind::Unreachable("refused".into())),
            "no connection to login.microsoftonline.com: refused",
        ),
        // A proxy, or the sign-in page of a hotel.
        (
            FakeSystem::json(200, "<html>"),
            "the token response from login.microsoftonline.com is not the expected JSON",
        ),
        (
            FakeSystem::json(200, "{}"),
            "the token response from login.microsoftonline.com contains no access token",
        ),
        (
            FakeSystem::json(403, "<html>"),
            "login.microsoftonline.com answered 403",
        ),
    ] {
        let polls = (0..200).map(|_| answer.clone());
        let pending = std::iter::once(FakeSystem::json(400, PENDING));
        let code = std::iter::once(FakeSystem::json(200, CODE));
        let system = FakeSystem::new(code.chain(pending).chain(polls));
        let error = login(&system, Some(60)).expect_err("no answer");
        assert_eq!(*error.kind(), ErrorKind::Outside);
        assert_eq!(system.elapsed().as_secs(), 60);
        let error = error.to_string();
        assert!(
            error.contains(says) && !error.contains("not entered"),
            "{error}"
        );
    }
}

#[test]
fn in_a_ci_job_the_code_is_waited_for_shortly_and_the_modes_without_a_person_are_named() {
    for variable in [
        env::GITHUB_ACTIONS,
        env::GITLAB_CI,
        env::TF_BUILD,
        env::CIRCLECI,
        env::JENKINS_URL,
        env::CI,
    ] {
        for person in [false, true] {
            let code = std::iter::once(FakeSystem::json(200, CODE));
            let pending = (0..200).map(|_| FakeSystem::json(400, PENDING));
            let mut system = FakeSystem::new(code.chain(pending));
            if person {
                system = system.with_typist(|_| vec![]);
            }
            let options = options("devicecode", &CLIENT, &[]);
            let env = Env::of(&[(variable, "true")]);
            let login = DeviceCode::new(&options, &env).expect("login");
            let error = login.acquire(
                &Scope::of_server("srv"),
                options.timeout,
                &system,
                NOBODY_WAITS,
            );
            let error = error.expect_err("nobody came").to_string();
            let (prompt, hint) = (&system.prompts()[0], "--login workloadidentity");
            assert_eq!(system.elapsed().as_secs(), if person { 900 } else { 120 });
            assert_eq!(prompt.contains(hint), !person, "{prompt}");
            assert_eq!(error.contains(hint), !person, "{error}");
            assert_eq!(prompt.contains(variable), !person, "{prompt}");
        }
    }
}

#[test]
fn the_prompt_names_the_tenant_the_cluster_and_the_account_that_is_wanted() {
    let info = r#"{"spec":{"cluster":{"server":"https://aks-1.hcp.eastus.azmk8s.io:443"}}}"#;
    let env = [(env::KUBERNETES_EXEC_INFO, info)];
    let hint = [&CLIENT[..], &[(Flag::LoginHint, "alice@x")]].concat();
    let options = options("devicecode", &hint, &env);
    let login = DeviceCode::new(&options, &Env::of(&env)).expect("login");
    let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(200, TOKEN)]);
    login
        .acquire(
            &Scope::of_server("srv"),
            options.timeout,
            &system,
            NOBODY_WAITS,
        )
        .expect("token");
    let prompt =
        "Open the page and enter ABC. (tenant ten, cluster aks-1.hcp.eastus.azmk8s.io, as alice@x)";
    assert_eq!(system.prompts(), [prompt]);
}

#[test]
fn an_answer_to_the_device_code_request_that_is_not_json_names_the_host() {
    let system = FakeSystem::new([FakeSystem::json(200, "<html>hush")]);
    let error = login(&system, None).expect_err("no code").to_string();
    assert!(
        error.contains("from login.microsoftonline.com is not") && !error.contains("hush"),
        "{error}"
    );
}

#[test]
fn a_refusal_ends_the_login() {
    let declined = r#"{"error":"authorization_declined","error_description":"AADSTS70016: The user said no."}"#;
    let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(400, declined)]);
    let error = login(&system, None).expect_err("refused");
    assert!(error.is_refused_with("authorization_declined"));
    assert_eq!(system.requests().len(), 2);
}

/// Entra ID redeems a device code once: the poll after a lost response is refused.
#[test]
fn a_refusal_after_a_lost_response_says_that_the_token_may_be_lost() {
    const REDEEMED: &str = r#"{"error":"invalid_grant","error_description":"AADSTS54005: The code was already redeemed."}"#;
    let polls: [(Vec<_>, bool); 3] = [
        (vec![], false),
        (vec![reset()], true),
        (vec![reset(), FakeSystem::json(400, PENDING)], false),
    ];
    for (earlier, may_be_lost) in polls {
        let number = earlier.len();
        let mut answers = vec![FakeSystem::json(200, CODE)];
        answers.extend(earlier);
        answers.push(FakeSystem::json(400, REDEEMED));
        let error = login(&FakeSystem::new(answers), None).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("already redeemed"), "{text}");
        let says = text.contains("connection reset") && text.contains("run the command again");
        assert_eq!(says, may_be_lost, "after {number} polls: {text}");
        assert!(text.lines().count() <= 3, "{text}");
    }
}

#[test]
fn garbage_between_two_polls_does_not_end_the_login() {
    let mut answers = vec![FakeSystem::json(200, CODE)];
    answers.extend([200, 302, 403, 404].map(|status| FakeSystem::json(status, "<html>")));
    answers.push(FakeSystem::json(200, TOKEN));
    let system = FakeSystem::new(answers);
    login(&system, None).expect("token");
    assert_eq!(seconds(&system.naps()), [5; 5]);
}

#[test]
fn a_code_that_expires_at_the_server_is_nobody_s_decision() {
    for expired in ["expired_token", "code_expired"] {
        let body = format!(r#"{{"error":"{expired}"}}"#);
        let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(400, body)]);
        let error = login(&system, None).expect_err("expired");
        assert_eq!(*error.kind(), ErrorKind::Unanswered, "{expired}");
    }
}

#[test]
fn nobody_is_polled_for_once_the_client_is_gone() {
    let pending = (0..200).map(|_| FakeSystem::json(400, PENDING));
    let system = FakeSystem::new(std::iter::once(FakeSystem::json(200, CODE)).chain(pending));
    system.lose_client_at(Duration::from_secs(12));
    let error = login(&system, None).expect_err("nobody is left");
    assert_eq!(*error.kind(), ErrorKind::Unanswered);
    assert_eq!(system.requests().len(), 1 + 2);
}

#[test]
fn those_who_wait_are_handed_the_prompt_and_how_long_it_is_of_use() {
    let system = FakeSystem::new([FakeSystem::json(200, CODE), FakeSystem::json(200, TOKEN)]);
    let options = options("devicecode", &CLIENT, &[]);
    let login = DeviceCode::new(&options, &Env::default()).expect("login");
    let handed = std::cell::RefCell::default();
    let hand_on = |prompt: &str, life| {
        handed.replace((prompt.to_owned(), life));
    };
    let scope = Scope::of_server("srv");
    login
        .acquire(&scope, options.timeout, &system, &hand_on)
        .expect("token");
    let (prompt, life) = handed.into_inner();
    assert_eq!([prompt], *system.prompts());
    assert_eq!(life, Duration::from_secs(900));
}

#[test]
fn without_a_message_the_prompt_has_the_code_and_the_page() {
    let code = CODE.replace(
        r#""message":"Open the page and enter ABC.""#,
        r#""message":"""#,
    );
    let system = FakeSystem::new([FakeSystem::json(200, code), FakeSystem::json(200, TOKEN)]);
    login(&system, None).expect("token");
    assert!(
        system.prompts()[0].contains("ABC")
            && system.prompts()[0].contains("https://microsoft.com/devicelogin")
    );
}
