//! The token proxy of AKS identity bindings.

use super::*;

/// A pod with an AKS identity binding. Its token proxy has its own TLS name and certificate authority.
struct IdentityBinding {
    names: Arc<AnyName>,
    proxy: FakeHttp,
    folder: TempDir,
    kubelogin: Kubelogin,
}

impl IdentityBinding {
    fn new(answer: Reply) -> Self {
        let authority = Arc::new(Authority::new("the proxy's first CA"));
        let names = AnyName::new(Arc::clone(&authority));
        let proxy = FakeHttp::start_named(&names, move |_| answer.clone());
        let folder = TempDir::new();
        let entra = FakeEntra::start();
        let mut claims = claims_of(&entra.federated_token());
        claims["aud"] = json!("api://AKSIdentityBinding");
        let token = folder.file("token", entra.sign(&claims));
        let nowhere = "http://127.0.0.1:1";
        let kubelogin = of_client("workloadidentity")
            .storage("none")
            .env("AZURE_FEDERATED_TOKEN_FILE", token)
            .env("AZURE_KUBERNETES_TOKEN_PROXY", proxy.url() + "/base")
            .env("AZURE_KUBERNETES_SNI_NAME", "token-proxy.example")
            .env("AZURE_KUBERNETES_CA_FILE", folder.path().join("ca.pem"))
            // The pod has no outbound access, and reaches the token proxy directly.
            .env("HTTPS_PROXY", nowhere)
            .env("ALL_PROXY", nowhere);
        let binding = Self {
            names,
            proxy,
            folder,
            kubelogin,
        };
        binding.mount(&authority.pem);
        binding
    }

    fn of_token() -> Self {
        let token = json!({"access_token": "of-proxy", "token_type": "Bearer", "expires_in": 3600});
        Self::new(Reply::json(200, &token))
    }

    /// Replaces the CA file that the kubelet mounts.
    fn mount(&self, pem: &str) {
        std::fs::write(self.folder.path().join("ca.pem"), pem).unwrap();
    }

    /// Gives the proxy another certificate authority.
    fn rotate(&self) -> String {
        let authority = Arc::new(Authority::new("the proxy's next CA"));
        self.names.rotate(Arc::clone(&authority));
        authority.pem.clone()
    }
}

#[test]
fn an_identity_binding_s_proxy_gets_the_request_under_its_own_name() {
    let binding = IdentityBinding::of_token();
    let output = binding.kubelogin.run();
    assert_eq!((&*output.token(), &*output.stderr), ("of-proxy", ""));
    let requests = binding.proxy.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].path,
        format!("/base/{TENANT_ID}/oauth2/v2.0/token")
    );
}

/// The variables may come from a kubeconfig's exec entry, so the proxy may be hostile.
#[test]
fn an_ordinary_federated_token_is_not_sent_to_a_token_proxy() {
    let binding = IdentityBinding::of_token();
    let token = FakeEntra::start().federated_token();
    let file = binding.folder.file("ordinary", &token);
    let output = binding
        .kubelogin
        .clone()
        .env("AZURE_FEDERATED_TOKEN_FILE", file)
        .run();
    let error = output.error();
    assert!(
        error.contains("api://AKSIdentityBinding") && error.contains("--no-token-proxy"),
        "{error}"
    );
    output.hides(&[&token]);
    assert_eq!(binding.proxy.requests().len(), 0);
}

#[test]
fn a_proxy_whose_authority_is_renewed_is_trusted_as_soon_as_the_file_is() {
    let binding = IdentityBinding::of_token();
    binding.kubelogin.run().token();
    let next = binding.rotate();
    let error = binding.kubelogin.run().error();
    assert!(
        error.contains("token proxy") && error.contains("its issuer is not trusted"),
        "{error}"
    );
    // For a moment, the file is empty.
    binding.mount("");
    let running = binding.kubelogin.spawn();
    binding.mount(&next);
    assert_eq!(running.wait().token(), "of-proxy");
    let data = binding
        .kubelogin
        .clone()
        .env_remove("AZURE_KUBERNETES_CA_FILE")
        .env("AZURE_KUBERNETES_CA_DATA", next);
    assert_eq!(data.run().token(), "of-proxy");
}

#[test]
fn a_token_proxy_that_is_no_help_is_named_with_the_switch_that_leaves_it_out() {
    let binding = IdentityBinding::of_token();
    for (certificate, says) in [
        (Certificate::Untrusted, "its issuer is not trusted"),
        (Certificate::OtherHost, "it is for another host"),
        (Certificate::Expired, "it expired"),
    ] {
        binding.names.show(certificate);
        let error = binding.kubelogin.run().error();
        assert!(
            error.contains(says) && error.contains("--no-token-proxy"),
            "{error}"
        );
    }
    let refused = binding
        .kubelogin
        .clone()
        .env("AZURE_KUBERNETES_TOKEN_PROXY", "https://127.0.0.1:1")
        .args(["--timeout", "1s"]);
    let error = refused.run().error();
    assert!(error.contains("no connection to 127.0.0.1:1"), "{error}");
    let refusing = IdentityBinding::new(Reply::json(
        403,
        &json!({"error": "unauthorized_client", "error_description": "AADSTS700016: no binding"}),
    ));
    let error = refusing.kubelogin.run().error();
    assert!(error.contains("AADSTS700016"), "{error}");
}

#[test]
fn without_the_token_proxy_entra_itself_is_asked() {
    let entra = FakeEntra::start();
    let binding = IdentityBinding::of_token();
    let kubelogin = binding
        .kubelogin
        .clone()
        .through_proxy(&entra)
        .env(
            "AZURE_FEDERATED_TOKEN_FILE",
            binding.folder.file("own", entra.federated_token()),
        )
        .arg("--no-token-proxy");
    assert_eq!(
        claims_of(&kubelogin.run().token())["appid"],
        CONFIDENTIAL_CLIENT_ID
    );
    assert_eq!(binding.proxy.requests().len(), 0);
}
