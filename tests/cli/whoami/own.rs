//! Users that sign in without kubelogin.

use super::*;

/// The kubeconfig that `get-credentials --admin` writes.
#[test]
fn a_user_with_a_certificate_or_token_of_its_own_is_shown_as_the_cluster_sees_it() {
    use base64::Engine as _;
    let encode = |pem: &String| base64::engine::general_purpose::STANDARD.encode(pem);
    let world = World::new();
    let token = world.entra.federated_token();
    let authority = Authority::new("the cluster's client CA");
    let [certificate, key] = authority.client("masterclient");
    let cluster = FakeApiServer::start_for_clients_of(&world.entra, &authority);
    let given =
        json!({"client-certificate-data": encode(&certificate), "client-key-data": encode(&key)});
    let folder = world.kubelogin.home().join(".kube");
    std::fs::write(folder.join("admin.crt"), &certificate).expect("written");
    std::fs::write(folder.join("admin.key"), &key).expect("written");
    let in_files = json!({"client-certificate": "admin.crt", "client-key": "admin.key"});
    for user in [given.clone(), in_files] {
        world.write(&cluster.kubeconfig(&user));
        let output = world.whoami(&[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        for words in [
            "a client certificate",
            "THE CLUSTER SEES",
            "masterclient",
            "system:masters",
        ] {
            assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
        }
        output.hides(&[key.lines().nth(1).expect("a line")]);
    }
    let (json, code) = world.json(&[]);
    assert_eq!(
        (code, &json["cluster"]["username"]),
        (Some(0), &json!("masterclient"))
    );
    assert_eq!(json["ownCredentials"], "a client certificate");
    assert_eq!(json["error"], serde_json::Value::Null);
    let all = world.whoami(&["--all-contexts"]);
    assert_eq!(all.status.code(), Some(0), "{all:?}");
    assert!(all.stdout.contains("accepts masterclient"), "{all:?}");
    let offline = world.whoami(&["--offline"]).error();
    assert!(offline.contains("a client certificate"), "{offline}");

    // After a rotation of the cluster's certificates.
    let [other_certificate, other_key] = Authority::new("another").client("masterclient");
    let mut wrong = given;
    wrong["client-key-data"] = encode(&other_key).into();
    world.write(&cluster.kubeconfig(&wrong));
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(1));
    let says = "client-key-data is not the key of client-certificate-data";
    assert!(output.stdout.contains(says), "{output:?}");
    let doctor = world.kubelogin.clone().args(["doctor", "api.auth"]).run();
    assert!(doctor.stdout.contains(says), "{doctor:?}");
    wrong["client-certificate-data"] = encode(&other_certificate).into();
    world.write(&cluster.kubeconfig(&wrong));
    let output = world.whoami(&[]);
    assert!(output.stdout.contains("no TLS connection to"), "{output:?}");
    assert!(!output.stdout.contains("TLS certificate of"), "{output:?}");
    world.write(&world.cluster.kubeconfig(&json!({ "token": token })));
    world.cluster.behave(Manner::Unauthorized);
    let output = world.whoami(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    output.hides(&[&token]);
    for words in ["a static token", "Unauthorized", "--overwrite-existing"] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
}
