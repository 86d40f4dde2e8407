//! Signs in with a device code against canned responses.

use super::*;
use crate::flag::{Flag, FlagValues};
use crate::system::fake::FakeSystem;
use tempfile::TempDir;

const CODE: &str = r#"{"device_code":"dev","user_code":"ABC","verification_uri":"https://microsoft.com/devicelogin",
    "expires_in":900,"interval":1,"message":"Open the page and enter ABC."}"#;
const DECLINED: &str = r#"{"error":"authorization_declined"}"#;

fn granted(token: &str) -> String {
    format!(r#"{{"access_token":"{token}","expires_in":3600,"refresh_token":"refresh {token}"}}"#)
}

/// How to ask, after how many minutes, the server's responses, and the expected message.
type Step<'a> = (Get, u64, &'a [(u16, &'a str)], &'a str);
type Get = fn(&SignIn, &Scope) -> Result<Token, Error>;

const ANY: Get = |sign_in, scope| sign_in.token(scope);
const RENEWED: Get = |sign_in, scope| sign_in.renewed_token(scope);
const SILENT: Get = |sign_in, scope| sign_in.silent_token(scope);

/// Signs in with `--login devicecode` the given minutes after the first moment; `answers` are the server's (a
/// status and a body). Returns the access token.
fn run_again(
    scratch: &TempDir,
    minutes: u64,
    answers: &[(u16, &str)],
) -> (Result<String, Error>, FakeSystem) {
    get(ANY, scratch, minutes, answers)
}

fn get(
    get: Get,
    scratch: &TempDir,
    minutes: u64,
    answers: &[(u16, &str)],
) -> (Result<String, Error>, FakeSystem) {
    let answers = answers
        .iter()
        .map(|(status, body)| FakeSystem::json(*status, *body));
    let system = FakeSystem::new(answers);
    system.sleep(Duration::from_secs(60 * minutes));
    let result = SignIn::new(&options(scratch), &Env::of(&[]), &system)
        .and_then(|sign_in| get(&sign_in, &Scope::of_server("srv")));
    assert_eq!(system.answers_left(), 0);
    let token = result.map(|token| token.access_token.expose().to_owned());
    (token, system)
}

fn options(scratch: &TempDir) -> Options {
    let mut typed = FlagValues::new();
    for (flag, value) in [
        (Flag::ServerId, "srv"),
        (Flag::ClientId, "app"),
        (Flag::TenantId, "ten"),
        (Flag::TokenCacheStorage, "disk"),
    ] {
        typed.set(flag, value);
    }
    typed.set(Flag::CacheDir, scratch.path().to_string_lossy());
    Options::resolve(&typed, &Env::of(&[])).expect("options").0
}

fn token_at(scratch: &TempDir, minutes: u64, answers: &[(u16, &str)]) -> String {
    run_again(scratch, minutes, answers).0.expect("a token")
}

fn signed_in() -> TempDir {
    let scratch = TempDir::new().expect("a folder");
    assert_eq!(
        token_at(&scratch, 0, &[(200, CODE), (200, &granted("1"))]),
        "1"
    );
    scratch
}

#[test]
fn an_expiring_token_is_renewed_by_its_refresh_token() {
    let scratch = signed_in();
    assert_eq!(token_at(&scratch, 54, &[]), "1");
    let (token, system) = run_again(&scratch, 56, &[(200, &granted("2"))]);
    assert_eq!(token, Ok("2".into()));
    assert_eq!(
        system.forms(),
        [
            "client_id=app&grant_type=refresh_token&refresh_token=refresh+1\
          &scope=srv%2F.default+openid+offline_access+profile"
        ]
    );
    assert_eq!(token_at(&scratch, 110, &[]), "2");
}

#[test]
fn a_clock_that_was_set_back_is_noticed() {
    let scratch = TempDir::new().expect("a folder");
    assert_eq!(
        token_at(&scratch, 90, &[(200, CODE), (200, &granted("1"))]),
        "1"
    );
    assert_eq!(token_at(&scratch, 60, &[(200, &granted("2"))]), "2");
    assert_eq!(token_at(&scratch, 60, &[]), "2");
}

#[test]
fn a_server_outage_costs_no_prompt_and_no_refresh_token() {
    let scratch = signed_in();
    let outage = [(503, ""); 4];
    let (alive, system) = run_again(&scratch, 57, &outage);
    assert_eq!(alive, Ok("1".into()));
    assert_eq!(system.told().len(), 1);
    let (dead, system) = run_again(&scratch, 61, &outage);
    assert!(dead.is_err());
    assert_eq!(system.prompts(), [""; 0]);
    assert_eq!(token_at(&scratch, 62, &[(200, &granted("2"))]), "2");
}

#[test]
fn an_odd_refusal_keeps_a_valid_token_and_replaces_an_expired_one() {
    let scratch = signed_in();
    for (minutes, odd) in [
        (57, (400, r#"{"error":"invalid_client"}"#)),
        (58, (200, "<html>")),
        (59, (404, "")),
    ] {
        assert_eq!(token_at(&scratch, minutes, &[odd]), "1");
    }
    let odd = (400, r#"{"error":"unauthorized_client"}"#);
    assert_eq!(
        token_at(&scratch, 61, &[odd, (200, CODE), (200, &granted("2"))]),
        "2"
    );
}

#[test]
fn a_revoked_refresh_token_costs_one_sign_in_and_is_not_tried_again() {
    for ended in [
        r#"{"error":"invalid_grant"}"#,
        r#"{"error":"interaction_required"}"#,
    ] {
        let scratch = signed_in();
        let answers = [(400, ended), (200, CODE), (400, DECLINED)];
        let (declined, system) = run_again(&scratch, 57, &answers);
        assert!(declined.is_err());
        let [why, code] = &system.prompts()[..] else {
            panic!("{:?}", system.prompts())
        };
        assert!(why.starts_with("You have to sign in again: Entra ID refused: "));
        assert!(code.starts_with("Open the page and enter ABC."));
        let again = [(200, CODE), (200, &*granted("2"))];
        assert_eq!(token_at(&scratch, 58, &again), "2");
    }
}

/// Two kubectl commands, and nobody to enter the codes: each would wait for the other's until each has tried five
/// times.
#[test]
fn a_client_that_tries_again_gets_its_error_though_another_process_is_signing_in() {
    let scratch = TempDir::new().expect("a folder");
    let expired = [(200, CODE), (400, r#"{"error":"expired_token"}"#)];
    let (first, _) = fails_for_kubectl(&scratch, 0, &expired);
    let names = std::fs::read_dir(scratch.path()).expect("a folder");
    let mut paths = names.map(|file| file.expect("a file").path());
    let is_lock = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".lock") && !name.contains("key")
    };
    let lock = std::fs::File::open(paths.find(is_lock).expect("a lock")).expect("opened");
    lock.lock().expect("locked");
    let (second, elapsed) = fails_for_kubectl(&scratch, 5, &[]);
    assert_eq!((second, elapsed), (first, Duration::from_secs(5)));
}

/// The same, which fails; by kubectl, which runs us again at once.
fn fails_for_kubectl(
    scratch: &TempDir,
    seconds: u64,
    answers: &[(u16, &str)],
) -> (Error, Duration) {
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#;
    let env = Env::of(&[(env::KUBERNETES_EXEC_INFO, info)]);
    let answers = answers
        .iter()
        .map(|(status, body)| FakeSystem::json(*status, *body));
    let system = FakeSystem::new(answers);
    system.sleep(Duration::from_secs(seconds));
    let sign_in = SignIn::new(&options(scratch), &env, &system).expect("a sign-in");
    let error = sign_in.token(&Scope::of_server("srv"));
    assert_eq!(system.answers_left(), 0);
    (error.expect_err("no token"), system.elapsed())
}

/// An IDE that closed the pipe and asks again at once.
#[test]
fn that_the_client_was_gone_is_no_error_of_the_next_one() {
    let scratch = TempDir::new().expect("a folder");
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#;
    let env = Env::of(&[(env::KUBERNETES_EXEC_INFO, info)]);
    let run = |answers: &[(u16, &str)], is_left: bool| {
        let answers = answers
            .iter()
            .map(|(status, body)| FakeSystem::json(*status, *body));
        let system = FakeSystem::new(answers);
        match is_left {
            true => system.lose_client_at(Duration::from_secs(1)),
            false => system.sleep(Duration::from_secs(3)),
        }
        let sign_in = SignIn::new(&options(&scratch), &env, &system).expect("a sign-in");
        sign_in.token(&Scope::of_server("srv"))
    };
    run(&[(200, CODE)], true).expect_err("nobody is left");
    run(&[(200, CODE), (200, &granted("1"))], false).expect("a token");
}

/// AADSTS530036: a new device code would be refused as well.
#[test]
fn a_blocked_device_code_session_is_dropped_and_asks_for_no_new_code_at_once() {
    let blocked = r#"{"error":"invalid_grant","error_description":"AADSTS530036: blocked."}"#;
    let scratch = signed_in();
    let (error, system) = run_again(&scratch, 61, &[(400, blocked)]);
    let error = error.expect_err("blocked").to_string();
    assert!(error.contains("-l interactive"), "{error}");
    assert_eq!(system.prompts(), [""; 0]);
    // A later attempt is allowed; the refresh token is not redeemed any more.
    assert_eq!(
        token_at(&scratch, 62, &[(200, CODE), (200, &granted("2"))]),
        "2"
    );
}

/// It runs us up to five times for one command.
#[test]
fn after_device_codes_were_blocked_kubectl_s_retries_ask_for_no_code() {
    let blocked = r#"{"error":"access_denied","error_description":"AADSTS530036: blocked."}"#;
    let scratch = signed_in();
    let (first, _) = fails_for_kubectl(&scratch, 3660, &[(400, blocked)]);
    for seconds in 3661..3665 {
        assert_eq!(fails_for_kubectl(&scratch, seconds, &[]).0, first);
    }
}

#[test]
fn a_silent_request_is_told_that_a_blocked_session_has_ended() {
    let blocked = r#"{"error":"invalid_grant","error_description":"AADSTS530036: blocked."}"#;
    let scratch = signed_in();
    let (error, _) = get(SILENT, &scratch, 61, &[(400, blocked)]);
    let error = error.expect_err("blocked");
    assert_eq!(*error.kind(), ErrorKind::NotSignedIn);
    assert!(error.to_string().contains("AADSTS530036"), "{error}");
}

#[test]
fn a_response_without_a_refresh_token_keeps_the_old_one() {
    let scratch = signed_in();
    let bare = r#"{"access_token":"2","expires_in":3600}"#;
    assert_eq!(token_at(&scratch, 60, &[(200, bare)]), "2");
    let (token, system) = run_again(&scratch, 120, &[(200, &granted("3"))]);
    assert_eq!(token, Ok("3".into()));
    assert!(system.forms()[0].contains("refresh+1"));
}

#[test]
fn a_forced_renewal_redeems_the_refresh_token_of_a_fresh_token() {
    let scratch = signed_in();
    let (token, system) = get(RENEWED, &scratch, 1, &[(200, &granted("2"))]);
    assert_eq!(token, Ok("2".into()));
    assert!(system.forms()[0].contains("refresh+1"));
    assert_eq!(token_at(&scratch, 2, &[]), "2");
}

#[test]
fn a_forced_renewal_that_fails_is_an_error_though_the_old_token_is_valid() {
    let scratch = signed_in();
    let (token, system) = get(RENEWED, &scratch, 1, &[(503, ""); 4]);
    assert!(token.is_err());
    assert_eq!(system.told(), [""; 0]);
    assert_eq!(token_at(&scratch, 2, &[]), "1");
}

#[test]
fn at_verbosity_1_it_says_how_a_token_came_about_for_whom_and_until_when() {
    let scratch = TempDir::new().expect("a folder");
    let alice = "e30.eyJ1cG4iOiJhbGljZUBjb250b3NvIn0.s"; // {"upn":"alice@contoso"}
    let revoked = r#"{"error":"invalid_grant"}"#;
    let history = |get: Get, minutes: u64, answers: &[(u16, &str)]| {
        let answers = answers
            .iter()
            .map(|(status, body)| FakeSystem::json(*status, *body));
        let system = FakeSystem::new(answers);
        system.sleep(Duration::from_secs(60 * minutes));
        system.set_verbosity(1);
        let sign_in = SignIn::new(&options(&scratch), &Env::of(&[]), &system).expect("a sign-in");
        get(&sign_in, &Scope::of_server("srv")).expect("a token");
        system.told().join(" | ")
    };
    let steps: [Step; 5] = [
        (
            ANY,
            0,
            &[(200, CODE), (200, &granted(alice))],
            "signed in, because no token was cached for these options; for alice@contoso, valid until 2026-01-01 01:00:01Z",
        ),
        (
            ANY,
            1,
            &[],
            "from the cache; for alice@contoso, valid until 2026-01-01 01:00:01Z",
        ),
        (
            RENEWED,
            2,
            &[(200, &granted(alice))],
            "refreshed, because a new token was asked for; for alice@contoso, valid until 2026-01-01 01:02:00Z",
        ),
        (
            ANY,
            60,
            &[(200, &granted("opaque"))],
            "refreshed, because the cached token expires at 2026-01-01 01:02:00Z; for an account it does not name, valid until 2026-01-01 02:00:00Z",
        ),
        (
            ANY,
            119,
            &[(400, revoked), (200, CODE), (200, &granted("1"))],
            "signed in, because the refresh token is no longer valid; for an account it does not name, valid until 2026-01-01 02:59:01Z",
        ),
    ];
    for (get, minutes, answers, line) in steps {
        assert_eq!(history(get, minutes, answers), format!("Token: {line}"));
    }
}

#[test]
fn a_silent_request_uses_the_cache_and_the_refresh_token_and_asks_nobody() {
    let scratch = TempDir::new().expect("a folder");
    let silent = |minutes, answers: &[(u16, &str)]| {
        let (token, system) = get(SILENT, &scratch, minutes, answers);
        assert_eq!(system.prompts(), [""; 0]);
        token.map_err(|error| (error.kind().clone(), error.parts().0.to_owned()))
    };
    let (kind, what) = silent(0, &[]).expect_err("nobody is signed in");
    assert_eq!(kind, ErrorKind::NotSignedIn);
    assert_eq!(what, "not signed in");
    assert_eq!(
        std::fs::read_dir(scratch.path()).expect("folder").count(),
        0
    );
    assert_eq!(
        token_at(&scratch, 0, &[(200, CODE), (200, &granted("1"))]),
        "1"
    );
    assert_eq!(silent(1, &[]), Ok("1".into()));
    assert_eq!(silent(56, &[(200, &granted("2"))]), Ok("2".into()));
    let revoked = r#"{"error":"invalid_grant","error_description":"AADSTS50173: revoked"}"#;
    for answers in [&[(400, revoked)][..], &[]] {
        let (kind, what) = silent(116, answers).expect_err("the sign-in has ended");
        assert_eq!(kind, ErrorKind::NotSignedIn);
        assert_eq!(what.contains("AADSTS50173"), !answers.is_empty(), "{what}");
    }
    // The failure does not count for a request that may ask a person.
    assert_eq!(
        token_at(&scratch, 116, &[(200, CODE), (200, &granted("3"))]),
        "3"
    );
}

#[test]
fn one_sign_in_serves_a_second_scope_by_its_refresh_token() {
    let scratch = TempDir::new().expect("a folder");
    let system = FakeSystem::new(
        [(200, CODE), (200, &granted("arm")), (200, &granted("1"))]
            .map(|(status, body)| FakeSystem::json(status, body)),
    );
    let options = options(&scratch);
    let sign_in = SignIn::new(&options, &Env::of(&[]), &system).expect("a sign-in");
    let arm = sign_in.token(&Scope::of_server("arm")).expect("a token");
    let server = Scope::of_server("srv");
    let token = sign_in.token_of_same_sign_in(&arm, &server);
    assert_eq!(token.expect("a token").access_token.expose(), "1");
    let form = system.forms().pop().expect("a request");
    assert!(form.contains("refresh+arm&scope=srv%2F.default"), "{form}");
    assert_eq!(token_at(&scratch, 1, &[]), "1");
}

#[test]
fn a_second_scope_that_the_client_may_not_have_leaves_its_own_entry_and_asks_nobody() {
    let scratch = signed_in();
    let second: Get = |sign_in, scope| {
        let first = Token {
            access_token: Secret::new("arm"),
            expires_on: FakeSystem::EPOCH,
            refresh_token: Some(Secret::new("refresh arm")),
        };
        sign_in.token_of_same_sign_in(&first, scope)
    };
    let refused = r#"{"error":"invalid_grant","error_description":"AADSTS65002: no"}"#;
    let (token, system) = get(second, &scratch, 61, &[(400, refused)]);
    let error = token.expect_err("refused");
    assert_eq!(*error.kind(), ErrorKind::NotSignedIn);
    assert!(error.to_string().contains("AADSTS65002"), "{error}");
    assert_eq!(system.prompts(), [""; 0]);
    assert_eq!(token_at(&scratch, 61, &[(200, &granted("2"))]), "2");
}

/// It may take long on a busy machine, and a key of our own would not find the other process's tokens.
#[test]
fn another_process_may_create_the_pop_key_until_the_timeout() {
    let scratch = TempDir::new().expect("a folder");
    let lock = std::fs::File::create(scratch.path().join("kubelogin-pop.key.lock"));
    let lock = lock.expect("a lock file");
    lock.lock().expect("it is free");
    let system = FakeSystem::new([]);
    let mut options = options(&scratch);
    options.pop_claims = Some(pop::Claims::parse("u=/cluster").expect("claims"));
    let sign_in = SignIn::new(&options, &Env::of(&[]), &system).expect("a sign-in");
    sign_in.for_cluster(&options).expect("a key for this run");
    assert!(system.elapsed() >= options.timeout.duration);
}
