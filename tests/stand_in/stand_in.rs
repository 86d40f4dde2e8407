//! Tests of the fakes: what they serve and what they reject. A test against a lax fake proves nothing.

mod api_server; // which tokens the cluster accepts
mod grants; // how tokens are issued
mod requests; // what is served, and which requests are rejected

use reqwest::blocking::{Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn client_of(entra: &FakeEntra) -> reqwest::blocking::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default(); // an error in all tests but the first
    let ca = reqwest::Certificate::from_pem(entra.ca_pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
}

fn url(entra: &FakeEntra, path: &str) -> String {
    format!("{}{TENANT_ID}/{path}", entra.authority_host())
}

fn form(pairs: &[(&str, &str)]) -> String {
    oauth2::url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Posts a form to a path below the tenant.
fn post(entra: &FakeEntra, path: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
    let request = client_of(entra)
        .build()
        .unwrap()
        .post(url(entra, path))
        .header("Content-Type", FORM);
    read(request.body(form(pairs)).send().unwrap())
}

fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_slice(&response.bytes().unwrap()).unwrap(),
    )
}

fn token(entra: &FakeEntra, pairs: &[(&str, &str)]) -> (u16, Value) {
    post(entra, "oauth2/v2.0/token", pairs)
}

fn scope() -> String {
    format!("{SERVER_ID}/.default openid offline_access profile")
}

/// A valid form for a service principal.
fn by_secret<'a>(scope: &'a str, secret: &'a str) -> Vec<(&'a str, &'a str)> {
    let grant_type = ("grant_type", "client_credentials");
    vec![
        ("client_id", CONFIDENTIAL_CLIENT_ID),
        ("client_secret", secret),
        grant_type,
        ("scope", scope),
    ]
}

#[test]
fn the_temporary_home_is_empty_and_removed() {
    let kubelogin = Kubelogin::new().arg("--help");
    let home = kubelogin.home();
    assert!(home.starts_with(std::env::temp_dir()) && kubelogin.work() != home);
    let output = kubelogin.run();
    assert!(output.status.success(), "{output:?}");
    drop(kubelogin);
    assert!(!home.exists());
}
