//! Federated tokens from a file, GitHub Actions and Azure Pipelines.

mod token_proxy; // the token proxy of AKS identity bindings

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::*;

const BEARER: &str = "the-job-s-own-token";

fn on_github(kubelogin: Kubelogin, github: &FakeHttp) -> Kubelogin {
    let url = format!("{}/token?api-version=2.0", github.url());
    kubelogin
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", url)
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER)
}

fn in_pipelines(entra: &FakeEntra, pipelines: &FakeHttp) -> Kubelogin {
    azurepipelines(entra, pipelines, BEARER)
}

/// A CI system that issues this token, in the format of GitHub Actions or Azure Pipelines.
fn gives(token: &str) -> FakeHttp {
    let answer = json!({"value": token, "oidcToken": token});
    let (github, pipelines) = (
        json!({"count": 1, "value": answer["value"]}),
        json!({"oidcToken": answer["oidcToken"]}),
    );
    FakeHttp::start(move |request| match request.method.as_str() {
        "GET" => Reply::json(200, &github),
        _ => Reply::json(200, &pipelines),
    })
}

fn token_file(folder: &TempDir, token: &str) -> PathBuf {
    folder.file("token", format!("{token}\n"))
}

#[test]
fn a_token_file_costs_one_request_and_is_not_read_again() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let file = token_file(&folder, &entra.federated_token());
    let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", &file);
    let first = kubelogin.run();
    assert_eq!(claims_of(&first.token())["appid"], CONFIDENTIAL_CLIENT_ID);
    assert_eq!((first.stderr.as_str(), entra.requests().len()), ("", 1));
    // The cached token outlives the assertion (Azure/kubelogin#353); only the assertion's subject still matters.
    let mut claims = claims_of(&entra.federated_token());
    claims["exp"] = json!(1_700_000_000);
    std::fs::write(&file, entra.sign(&claims)).unwrap();
    assert_eq!(kubelogin.run().token(), first.token());
    assert_eq!(entra.requests().len(), 1);
}

/// Two jobs on a runner share its account, and so the cache.
#[test]
fn a_job_without_a_token_file_of_its_own_is_not_served_another_job_s_token() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let file = token_file(&folder, &entra.federated_token());
    let kubelogin = workloadidentity(&entra).env("AZURE_FEDERATED_TOKEN_FILE", &file);
    kubelogin.run().token();
    let mut claims = claims_of(&entra.federated_token());
    claims["sub"] = json!("repo:me/fork:ref:refs/heads/main");
    std::fs::write(&file, entra.sign(&claims)).unwrap();
    assert!(kubelogin.run().error().contains("AADSTS70021"));
    std::fs::remove_file(&file).unwrap();
    assert!(kubelogin.run().error().contains("federated token file"));
    assert_eq!(entra.requests().len(), 2);
}

#[test]
fn another_job_of_the_same_ci_system_gets_a_token_of_its_own_and_the_same_job_does_not() {
    let entra = FakeEntra::start();
    let ci = gives(&entra.federated_token());
    let github = on_github(workloadidentity(&entra), &ci);
    let pipelines = in_pipelines(&entra, &ci);
    for (job, other) in [
        (
            &github,
            github
                .clone()
                .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "another"),
        ),
        (
            &pipelines,
            pipelines.clone().env("SYSTEM_ACCESSTOKEN", "another"),
        ),
        (
            &pipelines,
            pipelines
                .clone()
                .env("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "another"),
        ),
    ] {
        let before = ci.requests().len();
        for kubelogin in [job, job, &other, &other] {
            kubelogin.run().token();
        }
        assert_eq!(ci.requests().len() - before, 2);
    }
}

#[test]
fn github_costs_two_requests_and_the_second_run_none() {
    let entra = FakeEntra::start();
    let github = gives(&entra.federated_token());
    let kubelogin = on_github(workloadidentity(&entra), &github);
    let first = kubelogin.run();
    assert_eq!(kubelogin.run().token(), first.token());
    assert_eq!((github.requests().len(), entra.requests().len()), (1, 1));
    let asked = &github.requests()[0];
    assert_eq!(
        asked.parameter("audience"),
        Some("api://AzureADTokenExchange")
    );
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Bearer {BEARER}").as_str())
    );
    first.hides(&[BEARER]);
}

#[test]
fn another_cloud_gets_its_own_audience() {
    let entra = FakeEntra::start();
    let audience = "api://AzureADTokenExchangeUSGov";
    entra.change(|rules| {
        let trusted = &mut rules.client(CONFIDENTIAL_CLIENT_ID).federated[0];
        trusted.audience = audience.into();
    });
    let mut claims = claims_of(&entra.federated_token());
    claims["aud"] = json!(audience);
    let github = gives(&entra.sign(&claims));
    let kubelogin = on_github(workloadidentity(&entra), &github);
    kubelogin
        .args(["-e", "AzureUSGovernmentCloud"])
        .run()
        .token();
    assert_eq!(github.requests()[0].parameter("audience"), Some(audience));
    assert_eq!(entra.connects(), ["login.microsoftonline.us:443"]);
}

#[test]
fn the_file_flag_beats_github() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let github = gives("not this one");
    let file = token_file(&folder, &entra.federated_token());
    let kubelogin = on_github(workloadidentity(&entra), &github);
    kubelogin
        .arg("--federated-token-file")
        .arg(file)
        .run()
        .token();
    assert_eq!(github.requests().len(), 0);
}

#[test]
fn pipelines_cost_two_requests_and_need_no_flag() {
    let entra = FakeEntra::start();
    let pipelines = gives(&entra.federated_token());
    let kubelogin = in_pipelines(&entra, &pipelines);
    let first = kubelogin.run();
    assert_eq!(kubelogin.run().token(), first.token());
    assert_eq!((pipelines.requests().len(), entra.requests().len()), (1, 1));
    let asked = &pipelines.requests()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.parameter("serviceConnectionId"), Some("connection"));
    assert_eq!(asked.header("content-length"), Some("0"));
    first.hides(&[BEARER]);
}

#[test]
fn a_token_that_entra_does_not_trust_is_reported_with_its_claims() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let mut claims = claims_of(&entra.federated_token());
    claims["sub"] = json!("repo:me/fork:ref:refs/heads/main");
    let token = entra.sign(&claims);
    let output = workloadidentity(&entra)
        .env("AZURE_FEDERATED_TOKEN_FILE", token_file(&folder, &token))
        .run();
    let error = output.error();
    for part in [
        "AADSTS70021",
        "repo:me/fork",
        "issuer.example",
        "AzureADTokenExchange",
    ] {
        assert!(error.contains(part), "{error}");
    }
    output.hides(&[&token]);
}

#[test]
fn an_unusable_token_file_is_reported_before_any_request() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let mut claims = claims_of(&entra.federated_token());
    claims["exp"] = json!(1_700_000_000);
    let rows: [(PathBuf, &str); 5] = [
        (folder.path().join("missing"), "missing"),
        (folder.path().to_owned(), "is a directory"),
        (folder.file("empty", " \n"), "is empty"),
        (folder.file("opaque", "hunter2"), "not a JWT"),
        (
            folder.file("expired", entra.sign(&claims)),
            "expired at 2023-11-14T22:13:20Z",
        ),
    ];
    for (path, why) in rows {
        let output = workloadidentity(&entra)
            .env("AZURE_FEDERATED_TOKEN_FILE", &path)
            .run();
        let error = output.error();
        assert!(
            error.contains(why) && error.contains(path.to_str().unwrap()),
            "{error}"
        );
        output.hides(&["hunter2"]);
    }
    assert_eq!(entra.connections(), 0);
}

#[cfg(unix)]
#[test]
fn a_token_file_that_never_ends_is_not_waited_for() {
    let (entra, folder) = (FakeEntra::start(), TempDir::new());
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let output = workloadidentity(&entra)
        .env("AZURE_FEDERATED_TOKEN_FILE", &pipe)
        .args(["--timeout", "1s"])
        .run();
    assert!(
        output.error().contains("did not finish within 1 second"),
        "{output:?}"
    );
}

#[test]
fn missing_variables_are_named() {
    let entra = FakeEntra::start();
    let error = workloadidentity(&entra).run().error();
    assert!(
        error.contains("AZURE_FEDERATED_TOKEN_FILE") && error.contains("webhook"),
        "{error}"
    );
    let pipelines = gives("");
    for name in [
        "SYSTEM_ACCESSTOKEN",
        "SYSTEM_OIDCREQUESTURI",
        "AZURESUBSCRIPTION_CLIENT_ID",
        "AZURESUBSCRIPTION_TENANT_ID",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    ] {
        let error = in_pipelines(&entra, &pipelines)
            .env_remove(name)
            .run()
            .error();
        assert!(error.contains(name), "{error}");
    }
    assert_eq!(entra.connections() + pipelines.requests().len(), 0);
}

#[test]
fn a_ci_system_that_returns_no_token_is_reported_and_entra_is_not_asked() {
    let answers: [(Reply, &str); 7] = [
        (
            Reply::json(
                401,
                &json!({"text": "hunter2", "message": format!("TF1: no. {BEARER}")}),
            ),
            "401 Unauthorized: TF1: no. [redacted]",
        ),
        (Reply::json(404, &json!({"text": "hunter2"})), "404"),
        (Reply::redirect(302, "https://hunter2.example/"), "302"),
        (Reply::html(200, "hunter2"), "not the expected JSON"),
        (
            Reply::json(200, &json!({"value": "", "oidcToken": ""})),
            "not the expected JSON",
        ),
        (Reply::json(200, &json!({"value": ""})), "is empty"),
        (Reply::json(200, &Value::Null), "not the expected JSON"),
    ];
    for (answer, why) in answers {
        let entra = FakeEntra::start();
        let ci = FakeHttp::start(move |_| answer.clone());
        for kubelogin in [
            on_github(workloadidentity(&entra), &ci),
            in_pipelines(&entra, &ci),
        ] {
            let output = kubelogin.run();
            assert!(output.error().contains(why), "{output:?}");
            output.hides(&["hunter2", BEARER]);
        }
        assert_eq!(ci.requests().len(), 2, "{why}: each asks once");
        assert_eq!(entra.connections(), 0);
    }
}

#[test]
fn a_busy_ci_system_is_retried() {
    let entra = FakeEntra::start();
    for status in [429, 500] {
        let (token, asked) = (entra.federated_token(), AtomicUsize::new(0));
        let ci = FakeHttp::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Reply::html(status, "busy"),
            _ => Reply::json(200, &json!({"value": token})),
        });
        on_github(workloadidentity(&entra), &ci).run().token();
        in_pipelines(&entra, &ci).run().token();
        assert_eq!(ci.requests().len(), 4);
    }
}

#[test]
fn a_broken_ci_system_is_named_at_the_timeout() {
    let entra = FakeEntra::start();
    for (reply, why) in [
        (Reply::html(500, "hunter2"), "127.0.0.1 answered 500"),
        (Reply::Hang, "did not answer within 1 second"),
    ] {
        let ci = FakeHttp::start(move |_| reply.clone());
        for kubelogin in [
            on_github(workloadidentity(&entra), &ci),
            in_pipelines(&entra, &ci),
        ] {
            let output = kubelogin.args(["--timeout", "1s"]).run();
            let error = output.hides(&["hunter2"]).error();
            assert!(
                error.contains(why) && error.contains("federated token from"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_password_in_the_address_of_a_ci_system_is_not_shown() {
    let entra = FakeEntra::start();
    let output = workloadidentity(&entra)
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "http://user:hunter2@127.0.0.1:1/?sig=hunter2",
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER)
        .args(["--timeout", "100ms", "-v", "9"])
        .run();
    assert!(output.error().contains("127.0.0.1:1"), "{output:?}");
    output.hides(&["hunter2", BEARER]);
}

#[test]
fn twenty_concurrent_jobs_ask_once() {
    let entra = FakeEntra::start();
    let github = gives(&entra.federated_token());
    let kubelogin = on_github(workloadidentity(&entra), &github);
    let running: Vec<Running> = (0..20).map(|_| kubelogin.spawn()).collect();
    for one in running {
        one.wait().token();
    }
    assert_eq!((github.requests().len(), entra.logins()), (1, 1));
}

#[test]
fn the_token_is_taken_from_the_variable_that_is_named() {
    let entra = FakeEntra::start();
    let kubelogin = workloadidentity(&entra).args(["--federated-token-env", "GITLAB_OIDC_TOKEN"]);
    let output = kubelogin
        .clone()
        .env("GITLAB_OIDC_TOKEN", entra.federated_token())
        .run();
    assert_eq!(claims_of(&output.token())["appid"], CONFIDENTIAL_CLIENT_ID);
    output.hides(&[&entra.federated_token()]);
    let error = kubelogin.env("GITLAB_CI", "true").run().error();
    assert!(error.contains("GITLAB_OIDC_TOKEN"), "{error}");
}
