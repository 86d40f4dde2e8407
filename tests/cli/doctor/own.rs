//! Users that sign in without kubelogin.

use super::*;

/// Such a token can stop working unnoticed, like the certificate from `get-credentials --admin`.
#[test]
fn a_user_with_a_token_of_its_own_is_shown_to_the_cluster() {
    let mut patient = Patient::healthy();
    let mut claims = claims_of(&patient.world.entra.federated_token());
    for (name, value) in [("aud", SERVER_ID), ("tid", TENANT_ID), ("upn", "robot")] {
        claims[name] = value.into();
    }
    claims["iss"] = format!("https://sts.windows.net/{TENANT_ID}/").into();
    let token = patient.world.entra.sign(&claims);
    patient.config["users"][0]["user"] = json!({ "token": token });
    patient.world.cluster.behave(Manner::Unauthorized);
    let before = patient.world.cluster.requests().len();
    let (json, code) = patient.json();
    let requests = patient.world.cluster.requests();
    let mut paths: Vec<_> = requests[before..].iter().map(|one| &*one.path).collect();
    paths.sort_unstable();
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    assert_eq!(paths, [review, "/version"], "each is requested once");
    let told = findings(&json);
    assert_eq!((told.len(), code), (1, Some(1)), "{told:?}");
    assert_eq!(told[0].0, "api.auth");
    assert!(told[0].2.contains("a static token"), "{told:?}");
    assert!(told[0].2.contains("--overwrite-existing"), "{told:?}");
    patient.world.cluster.behave(Manner::Normal);
    let output = patient.run(&["api", "-v", "1"]);
    assert!(
        output.stdout.contains("the cluster sees robot"),
        "{output:?}"
    );
    output.hides(&[&token]);
}

#[test]
fn a_user_with_a_certificate_of_its_own_is_shown_to_the_cluster() {
    let mut patient = Patient::healthy();
    let authority = Authority::new("the cluster's client CA");
    let [certificate, key] = authority.client("masterclient");
    let cluster = FakeApiServer::start_for_clients_of(&patient.world.entra, &authority);
    let folder = patient.world.kubelogin.home().join(".kube");
    std::fs::write(folder.join("admin.crt"), certificate).expect("written");
    std::fs::write(folder.join("admin.key"), key).expect("written");
    let user = json!({"client-certificate": "admin.crt", "client-key": "admin.key"});
    patient.config = serde_json::from_str(&cluster.kubeconfig(&user)).expect("JSON");
    let output = patient.run(&["api", "-v", "1"]);
    let seen = "the cluster sees masterclient";
    assert!(output.stdout.contains(seen), "{output:?}");
    std::fs::remove_file(folder.join("admin.key")).expect("removed");
    let config = patient.world.cluster.kubeconfig(&user);
    patient.config = serde_json::from_str(&config).expect("JSON");
    let (json, code) = patient.json();
    let told = findings(&json);
    assert_eq!((told.len(), code), (1, Some(1)), "{told:?}");
    let (check, words) = (&told[0].0, &told[0].2);
    assert!(
        check == "api.auth" && words.contains("admin.key") && words.contains("get-credentials"),
        "{told:?}"
    );
}
