//! Something broken for each check, with the expected words and exit code.

use super::*;

type Change = fn(&mut Patient);
type Situation = (&'static str, Change, &'static str, &'static [&'static str]);

/// For each check: what to break, the status, and the expected words.
#[rustfmt::skip]
const BROKEN: &[Situation] = &[
    ("kubeconfig.files", |p| p.env.push(("KUBECONFIG", "/no/such/config".into())), "warn",
        &["/no/such/config", "kubelogin get-credentials"]),
    ("kubeconfig.files", |p| p.args.extend(["--kubeconfig".into(), "/no/such/config".into()]), "fail",
        &["/no/such/config", "--kubeconfig"]),
    ("kubeconfig.files", |p| p.config = json!({"contexts": 7}), "fail", &["config:1", "contexts must be a list"]),
    #[cfg(unix)]
    ("kubeconfig.mode", |p| {
        use std::os::unix::fs::PermissionsExt as _;
        p.world.write("{}");
        let path = p.world.kubelogin.home().join(".kube/config");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    }, "warn", &["mode 644", "chmod 600"]),
    ("kubeconfig.context", |p| p.config["current-context"] = "fakes".into(), "fail", &["\"fakes\"", "Did you mean", "fake"]),
    ("kubeconfig.context", |p| p.config["contexts"][0]["context"] = json!({"user": "person"}), "fail", &["config:1", "has no cluster"]),
    ("kubeconfig.context", |p| p.config["contexts"][0]["context"]["user"] = "bob".into(), "fail", &["\"bob\"", "does not exist"]),
    ("kubeconfig.user", |p| p.config["users"][0]["user"] = json!({"auth-provider": {"name": "azure"}}), "fail",
        &["removed in 1.26", "convert-kubeconfig"]),
    ("kubeconfig.user", |p| p.exec()["args"] = json!(["get-token", "--login", "kerberos", "--server-id", "s"]), "fail", &["kerberos"]),
    ("kubeconfig.user", |p| p.exec()["args"] = json!(["get-token", "--login", "spn"]), "fail", &["config:1", "server-id is required"]),
    ("plugin.path", |p| p.exec()["command"] = "/opt/no/kubelogin".into(), "fail", &["/opt/no/kubelogin", "convert-kubeconfig"]),
    ("plugin.path", |p| std::fs::remove_file(p.bin().join(if cfg!(windows) { "kubelogin.exe" } else { "kubelogin" })).expect("removed"), "fail",
        &["\"kubelogin\"", "PATH"]),
    ("plugin.which", |p| p.script("kubelogin", "echo kubelogin version v1.34.0"), "fail", &["int128/kubelogin", "order"]),
    ("plugin.policy", |p| {
        let path = p.world.kubelogin.home().join(".kube/kuberc");
        std::fs::write(path, "kind: Preference\ncredentialPluginPolicy: DenyAll\n").expect("kuberc");
    }, "fail", &["kuberc: credentialPluginPolicy is DenyAll", "kubectl kuberc set"]),
    ("plugin.policy", |p| {
        let path = p.world.kubelogin.home().join("kuberc-of-mine");
        std::fs::write(&path, "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: aws}]\n").expect("kuberc");
        p.env.push(("KUBERC", path.display().to_string()));
    }, "fail", &["kuberc-of-mine", "does not name kubelogin"]),
    ("plugin.kubectl", |p| {
        std::fs::remove_file(p.bin().join(if cfg!(windows) { "kubectl.cmd" } else { "kubectl" })).expect("removed");
    }, "warn", &["kubectl is not on PATH"]),
    ("plugin.apiversion", |p| p.exec()["apiVersion"] = "client.authentication.k8s.io/v1alpha1".into(), "fail", &["v1alpha1", "1.24"]),
    ("plugin.apiversion", |p| {
        p.exec()["apiVersion"] = "client.authentication.k8s.io/v1".into();
        p.exec()["interactiveMode"] = "Never".into();
        p.script("kubectl", r#"echo '{"clientVersion":{"major":"1","minor":"21"}}'"#);
    }, "fail", &["kubectl 1.21"]),
    ("plugin.interactive", |p| p.exec()["interactiveMode"] = "Always".into(), "warn", &["interactiveMode is Always", "IfAvailable"]),
    ("environment.override", |p| p.env.push(("AZURE_CLIENT_ID", PUBLIC_CLIENT_ID.to_uppercase())), "warn",
        &["AZURE_CLIENT_ID overrides --client-id", "--disable-environment-override"]),
    ("environment.foreign", |p| {
        p.exec()["args"] = json!(["get-token", "--login", "msi", "--server-id", SERVER_ID]);
        p.env.push(("AZURE_CLIENT_ID", PUBLIC_CLIENT_ID.into()));
        p.env.push(("IDENTITY_ENDPOINT", "http://127.0.0.1:1/".into()));
        p.env.push(("IDENTITY_HEADER", "x".into()));
    }, "warn", &["--client-id from the variable AZURE_CLIENT_ID"]),
    ("environment.proxy", |p| {
        p.cluster()["server"] = "https://10.0.0.1".into();
        p.env.push(("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1".into()));
    }, "warn", &["10.0.0.1 go through the proxy 127.0.0.1:1", "NO_PROXY"]),
    #[cfg(target_os = "linux")]
    ("environment.browser", |p| p.exec()["args"].as_array_mut().expect("args").extend(["--login".into(), "interactive".into()]), "warn",
        &["needs a browser", "DISPLAY"]),
    ("login.mode", |p| {
        let args = p.exec()["args"].as_array_mut().expect("args");
        args.retain(|arg| arg != "--login" && arg != "devicecode");
    }, "warn", &["Conditional Access", "convert-kubeconfig -l interactive --context fake"]),
    ("login.files", |p| p.exec()["args"] = json!(["get-token", "--login", "spn", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id",
        TENANT_ID, "--client-certificate", "/no/such/cert.pem"]), "fail", &["/no/such/cert.pem"]),
    ("login.files", |p| p.exec()["args"] = json!(["get-token", "--login", "spn", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id",
        TENANT_ID, "--client-certificate", concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/certificates/expired.pem")]), "fail",
        &["expired on 2021-02-03", "AZURE_CLIENT_CERTIFICATE_PATH"]),
    ("login.files", |p| {
        let path = p.world.kubelogin.home().join("cert.pem");
        std::fs::write(&path, certificate_that_ends_in(10)).expect("a certificate");
        p.exec()["args"] = json!(["get-token", "--login", "spn", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id", TENANT_ID,
            "--client-certificate", path]);
    }, "warn", &["cert.pem with the thumbprint", "expires in", "register the new one"]),
    ("login.files", |p| {
        let path = p.world.kubelogin.home().join("token");
        let now = 1_000_000_000;
        let claims = json!({"iss": "https://issuer.example", "sub": "repo:x", "aud": "y", "exp": now});
        std::fs::write(&path, p.world.entra.sign(&claims)).expect("a token");
        p.exec()["args"] = json!(["get-token", "--login", "workloadidentity", "--server-id", SERVER_ID, "--client-id", "c", "--tenant-id",
            TENANT_ID, "--federated-token-file", path]);
    }, "fail", &["expired", "https://issuer.example", "repo:x"]),
    #[cfg(unix)]
    ("login.files", |p| p.exec()["args"] = json!(["get-token", "--login", "workloadidentity", "--server-id", SERVER_ID, "--client-id", "c",
        "--tenant-id", TENANT_ID, "--federated-token-file", "/dev/zero"]), "fail", &["/dev/zero", "larger than 1 MiB"]),
    ("login.tool", |p| p.exec()["args"] = json!(["get-token", "--login", "azurecli", "--server-id", SERVER_ID]), "fail",
        &["runs az", "PATH", "Install az"]),
    #[cfg(unix)]
    ("login.tool", |p| {
        p.script("az", "exit 1");
        p.exec()["args"] = json!(["get-token", "--login", "azurecli", "--server-id", SERVER_ID]);
    }, "fail", &["az is not signed in", "az login"]),
    #[cfg(unix)]
    ("login.tool", |p| {
        p.script("az", "exit 1");
        let folder = p.world.kubelogin.home().join(".azure");
        std::fs::create_dir(&folder).expect("a folder");
        let account = json!({"state": "Enabled", "tenantId": "99999999-aaaa-4aaa-8aaa-999999999999", "user": {"name": "bob", "type": "user"}});
        std::fs::write(folder.join("azureProfile.json"), json!({"subscriptions": [account]}).to_string()).expect("written");
        p.exec()["args"] = json!(["get-token", "--login", "azurecli", "--server-id", SERVER_ID, "--tenant-id", TENANT_ID]);
    }, "warn", &["az is signed in, but not to tenant", "az login --tenant"]),
    #[cfg(unix)]
    ("login.tool", |p| {
        p.script("pwsh", "exit 1");
        p.exec()["args"] = json!(["get-token", "--login", "azurepowershell", "--server-id", SERVER_ID, "--tenant-id", TENANT_ID]);
    }, "fail", &["pwsh is not signed in", "AzureRmContext.json", "Connect-AzAccount -Tenant"]),
    #[cfg(unix)]
    ("login.tool", |p| {
        p.script("azd", "exit 1");
        p.exec()["args"] = json!(["get-token", "--login", "azd", "--server-id", SERVER_ID]);
    }, "fail", &["azd is not signed in", "azd auth login"]),
    ("login.token", |p| drop(p.world.kubelogin.clone().arg("remove-cache-dir").run()), "warn",
        &["whoami --sign-in --context fake"]),
    ("login.fit", |p| {
        drop(p.world.kubelogin.clone().arg("remove-cache-dir").run());
        let mut claims = claims_of(&p.world.entra.federated_token());
        claims["aud"] = format!("spn:{SERVER_ID}").into();
        let answer = json!({"access_token": p.world.entra.sign(&claims), "expires_in": 3600});
        p.world.entra.next(Endpoint::Token, Reply::json(200, &answer));
        p.world.sign_in();
    }, "fail", &["spn:", "workloadidentity"]),
    #[cfg(unix)]
    ("cache.folder", |p| {
        let path = p.world.kubelogin.home().join("not-a-folder");
        std::fs::write(&path, "").expect("a file");
        p.exec()["args"].as_array_mut().expect("args").extend(["--cache-dir".into(), json!(path)]);
    }, "fail", &["not-a-folder", "--cache-dir"]),
    ("cache.entries", |p| {
        let cache = p.world.kubelogin.home().join(".kube/cache/kubelogin");
        std::fs::write(cache.join("kubelogin.key"), [7; 32]).expect("another key");
    }, "warn", &["1 of 1 cached sign-ins", "remove-cache-dir"]),
    ("entra.dns", |p| p.exec()["args"][2] = "https://login.invalid/".into(), "fail", &["login.invalid cannot be resolved"]),
    ("entra.tcp", |p| p.exec()["args"][2] = "https://127.0.0.1:1/".into(), "fail", &["127.0.0.1", "does not accept connections"]),
    ("entra.tls", |p| p.world.entra.show(Certificate::Untrusted), "fail", &["certificate", "SSL_CERT_FILE"]),
    ("entra.tenant", |p| p.exec()["args"].as_array_mut().expect("args").extend(["--tenant-id".into(), "99999999-aaaa-4aaa-8aaa-999999999999".into()]),
        "fail", &["AADSTS90002", "--tenant-id"]),
    ("entra.tenant", |p| {
        let reply = json!({"issuer": "x", "cloud_instance_name": "microsoftonline.us"});
        p.world.entra.next(Endpoint::Discovery, Reply::json(200, &reply));
    }, "fail", &["is in the cloud AzureUSGovernmentCloud", "--environment AzureUSGovernmentCloud"]),
    ("entra.tenant", |p| {
        let reply = json!({"issuer": "x", "cloud_instance_name": "sovcloud-identity.fr"});
        p.world.entra.next(Endpoint::Discovery, Reply::json(200, &reply));
    }, "fail", &["is in the cloud AzureBleuCloud", "--environment AzureBleuCloud"]),
    ("entra.clock", |p| entra_s_clock_is(p, chrono::TimeDelta::hours(1)), "fail", &["59 minutes behind", "timedatectl"]),
    ("entra.clock", |p| entra_s_clock_is(p, chrono::TimeDelta::hours(-1)), "fail", &["60 minutes ahead", "timedatectl"]),
    ("entra.clock", |p| entra_s_clock_is(p, chrono::TimeDelta::seconds(-90)), "warn", &["ahead", "timedatectl"]),
    ("entra.imds", |p| {
        p.exec()["args"] = json!(["get-token", "--login", "msi", "--server-id", SERVER_ID]);
        p.env.push(("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi".into()));
        p.env.push(("IDENTITY_HEADER", "x".into()));
    }, "fail", &["nothing answers at 127.0.0.1:1", "IDENTITY_ENDPOINT names", "If Azure set IDENTITY_ENDPOINT"]),
    ("api.server", |p| p.cluster()["server"] = "http://127.0.0.1:1".into(), "fail", &["config:1", "not an https URL"]),
    ("api.server", |p| p.cluster()["server"] = "not a URL".into(), "fail", &["config:1", "\"not a URL\", which is not a URL"]),
    ("api.server", |p| p.cluster()["certificate-authority-data"] = "***".into(), "fail", &["not base64"]),
    ("api.server", |p| p.cluster()["certificate-authority-data"] = "eA==".into(), "fail", &["contains no PEM certificate", "get-credentials"]),
    ("api.server", |p| p.cluster()["insecure-skip-tls-verify"] = true.into(), "warn", &["insecure-skip-tls-verify"]),
    ("api.dns", |p| p.cluster()["server"] = "https://gone.invalid".into(), "fail", &["gone.invalid cannot be resolved", "powerState"]),
    ("api.tcp", |p| p.cluster()["server"] = "https://127.0.0.1:1".into(), "fail", &["does not accept connections", "authorised IP ranges"]),
    ("api.tls", |p| p.world.cluster.show(Certificate::OtherHost), "fail", &["it is for another host", "--overwrite-existing"]),
    ("api.tls", |p| p.world.cluster.behave(Manner::WebPage), "fail", &["web page", "proxy-url"]),
    ("api.tls", |p| p.world.cluster.behave(Manner::Redirects("https://elsewhere.example/".into())), "fail", &["redirect"]),
    ("api.dns", |p| p.cluster()["proxy-url"] = "http://proxy.invalid:3128".into(), "fail", &["the proxy proxy.invalid"]),
    ("api.tls", |p| p.cluster()["proxy-url"] = p.world.entra.proxy_url().into(), "fail", &["the proxy 127.0.0.1:", "did not connect", "proxy-url"]),
    ("api.auth", |p| p.world.cluster.behave(Manner::Unauthorized), "fail", &["Unauthorized", "another tenant", "aadProfile"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Powerless(Rbac::Azure)), "warn", &["Azure RBAC", "az role assignment create"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Powerless(Rbac::Kubernetes)), "warn", &["Kubernetes RBAC", "clusterrolebinding"]),
    ("api.authz", |p| p.world.cluster.behave(Manner::Forbidden(Rbac::Kubernetes)), "fail", &["Forbidden", USER_NAME]),
    ("arm.reach", |p| p.known_to_azure(|cluster| cluster.is_stopped = true), "fail",
        &["prod is stopped", "az aks start --resource-group shop --name prod"]),
    ("arm.reach", |p| p.known_to_azure(|cluster| cluster.tenant = "99999999-aaaa-4aaa-8aaa-999999999999".into()), "fail",
        &["accepts tokens of tenant 99999999", TENANT_ID, "kubelogin get-credentials"]),
    ("arm.reach", |p| p.known_to_azure(|cluster| cluster.server = "https://elsewhere.example".into()), "warn",
        &["no cluster at 127.0.0.1", "Reader"]),
];

/// Sets Entra ID's clock ahead of ours.
fn entra_s_clock_is(patient: &mut Patient, ahead: chrono::TimeDelta) {
    let date = (chrono::Utc::now() + ahead).to_rfc2822();
    let reply = Reply::json(200, &json!({"issuer": "x"})).header("Date", &date);
    patient.world.entra.next(Endpoint::Discovery, reply);
}

#[test]
fn every_broken_situation_is_named_with_its_remedy_and_the_exit_code_says_so() {
    // Each waits a second for its device code; in parallel, all of them take a few seconds.
    std::thread::scope(|scope| {
        for situations in BROKEN.chunks(BROKEN.len().div_ceil(8)) {
            scope.spawn(move || situations.iter().for_each(is_named));
        }
    });
}

fn is_named((id, change, status, words): &Situation) {
    let mut patient = Patient::healthy();
    change(&mut patient);
    let (json, code) = patient.json();
    let checks = json["checks"].as_array().expect("checks");
    let check = checks
        .iter()
        .find(|check| check["id"] == *id)
        .expect("the check");
    assert_eq!(check["status"], *status, "{id}: {check:#}");
    let told = format!("{} Fix: {}", check["summary"], check["remedy"]).replace("\\\"", "\"");
    for word in *words {
        assert!(told.contains(word), "{id}, {word}: {told}");
    }
    let has_failed = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(
        (code, json["exitCode"] == 1),
        (Some(i32::from(has_failed)), has_failed),
        "{id}"
    );
    patient.world.entra.take_violations();
}

#[test]
fn there_is_a_broken_situation_for_each_check() {
    let output = Kubelogin::new().args(["doctor", "--list"]).run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // Failing keyrings and held locks have their own tests in bad_input.rs.
    let elsewhere = ["cache.key", "cache.lock"];
    for line in output.stdout.lines() {
        let id = line.split(' ').next().expect("an id");
        let is_tested = elsewhere.contains(&id) || BROKEN.iter().any(|(other, ..)| *other == id);
        let is_unix_only = cfg!(not(unix))
            && ["kubeconfig.mode", "cache.folder", "environment.browser"].contains(&id);
        assert!(is_tested || is_unix_only, "no test breaks {id}");
    }
}

/// A client certificate and its key.
fn certificate_that_ends_in(days: i64) -> String {
    use chrono::Datelike as _;
    let end = chrono::Utc::now() + chrono::TimeDelta::days(days);
    let (month, day) = (end.month() as u8, end.day() as u8);
    let mut certificate = rcgen::CertificateParams::new([]).expect("parameters");
    certificate.not_after = rcgen::date_time_ymd(end.year(), month, day);
    let rsa = include_str!("../../../fixtures/certificates/pkcs8-key-first.pem");
    let key = rsa.split_inclusive("-----END PRIVATE KEY-----").next();
    let key = rcgen::KeyPair::from_pem(key.expect("a block")).expect("a key");
    let signed = certificate.self_signed(&key).expect("a certificate");
    signed.pem() + &key.serialize_pem()
}
