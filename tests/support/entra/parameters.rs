//! Which parameters each endpoint and grant accepts. An unknown, missing or repeated one is a violation.

use super::super::http1::{Pairs, Request};
use super::refusal::{Refusal, violation};
use super::{Endpoint, Route};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `resource`, numbers as strings, `?api-version=1.0`: what `--legacy` uses.
    V1,
    V2,
}

/// The required and optional parameters of a request.
struct Shape {
    must: &'static [&'static str],
    may: &'static [&'static str],
}

const CLIENT_AUTHENTICATION: [&str; 3] =
    ["client_secret", "client_assertion", "client_assertion_type"];
/// MSAL's own: user details in the response, proof of possession, and the claims that a resource requires.
const OF_MSAL: [&str; 4] = ["client_info", "token_type", "req_cnf", "claims"];
const NOTHING: Shape = Shape {
    must: &[],
    may: &[],
};

/// The grants of the token endpoint. All of them accept client authentication, and at v2.0 MSAL's own parameters.
fn grant(version: Version, grant_type: &str) -> Option<Shape> {
    let (must, may): (&[_], &[_]) = match (version, grant_type) {
        (Version::V2, "client_credentials") => (&["client_id", "grant_type", "scope"], &[]),
        (Version::V2, "device_code" | "urn:ietf:params:oauth:grant-type:device_code") => {
            (&["client_id", "grant_type", "device_code"], &["scope"])
        }
        (Version::V2, "authorization_code") => (
            &[
                "client_id",
                "grant_type",
                "code",
                "code_verifier",
                "redirect_uri",
            ],
            &["scope"],
        ),
        (Version::V2, "password") => (
            &["client_id", "grant_type", "username", "password", "scope"],
            &[],
        ),
        (Version::V2, "refresh_token") => {
            (&["client_id", "grant_type", "refresh_token"], &["scope"])
        }
        (Version::V1, "client_credentials") => (&["client_id", "grant_type", "resource"], &[]),
        (Version::V1, "device_code") => (&["client_id", "grant_type", "code", "resource"], &[]),
        (Version::V1, "password") => (
            &[
                "client_id",
                "grant_type",
                "username",
                "password",
                "resource",
            ],
            &[],
        ),
        (Version::V1, "refresh_token") => {
            (&["client_id", "grant_type", "refresh_token"], &["resource"])
        }
        _ => return None,
    };
    Some(Shape { must, may })
}

fn device_code(version: Version) -> Shape {
    match version {
        Version::V2 => Shape {
            must: &["client_id", "scope"],
            may: &["client_info", "claims"],
        },
        Version::V1 => Shape {
            must: &["client_id", "resource"],
            may: &[],
        },
    }
}

/// RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core section 3.1.2.1, and Microsoft's own parameters.
const AUTHORIZE: Shape = Shape {
    must: &[
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    ],
    may: &[
        "response_mode",
        "nonce",
        "prompt",
        "login_hint",
        "domain_hint",
        "client_info",
        "claims",
    ],
};

/// Checks everything about a request that does not depend on what is registered.
pub fn check(to: &Route, request: &Request) -> Result<(), Refusal> {
    let posts = matches!(to.endpoint, Endpoint::Token | Endpoint::DeviceCode);
    if request.method != if posts { "POST" } else { "GET" } {
        return Err(violation("wrong method"));
    }
    if posts && !request.is_form() {
        return Err(violation(format!(
            "{:?} is not a form",
            request.header("content-type")
        )));
    }
    if request.header("authorization").is_some() {
        return Err(violation(
            "an Authorization header: credentials belong in the form",
        ));
    }
    match to.endpoint {
        Endpoint::Authorize => check_pairs(&request.query, &AUTHORIZE, &[]),
        Endpoint::Discovery | Endpoint::Keys => check_pairs(&request.query, &NOTHING, &[]),
        Endpoint::Token | Endpoint::DeviceCode => {
            check_query(to.version, &request.query)?;
            check_form(to, request)
        }
    }
}

fn check_query(version: Version, query: &Pairs) -> Result<(), Refusal> {
    match version {
        Version::V2 => check_pairs(query, &NOTHING, &[]),
        Version::V1 if query.len() == 1 && query[0] == ("api-version".into(), "1.0".into()) => {
            Ok(())
        }
        Version::V1 => Err(violation("a v1 endpoint requires api-version=1.0")),
    }
}

fn check_form(to: &Route, request: &Request) -> Result<(), Refusal> {
    if to.endpoint == Endpoint::DeviceCode {
        return check_pairs(&request.form, &device_code(to.version), &[]);
    }
    let grant_type = request
        .field("grant_type")
        .ok_or_else(|| violation("no grant_type"))?;
    let shape = grant(to.version, grant_type)
        .ok_or_else(|| violation(format!("unknown grant_type {grant_type}")))?;
    let mut also = CLIENT_AUTHENTICATION.to_vec();
    if to.version == Version::V2 {
        also.extend(OF_MSAL);
    }
    check_pairs(&request.form, &shape, &also)?;
    check_together(request)
}

/// Parameters that require or exclude each other.
fn check_together(request: &Request) -> Result<(), Refusal> {
    let has = |name| request.field(name).is_some();
    if has("client_assertion") != has("client_assertion_type") {
        return Err(violation(
            "client_assertion and client_assertion_type go together",
        ));
    }
    if has("client_assertion") && has("client_secret") {
        return Err(violation("a client_secret and a client_assertion"));
    }
    if has("req_cnf") != (request.field("token_type") == Some("pop")) {
        return Err(violation("req_cnf and token_type=pop go together"));
    }
    if request
        .field("client_info")
        .is_some_and(|value| value != "1")
    {
        return Err(violation("client_info is not 1"));
    }
    Ok(())
}

fn check_pairs(pairs: &Pairs, shape: &Shape, also: &[&str]) -> Result<(), Refusal> {
    for (index, (name, value)) in pairs.iter().enumerate() {
        if ![shape.must, shape.may, also]
            .iter()
            .any(|names| names.contains(&name.as_str()))
        {
            return Err(violation(format!("unknown parameter {name}")));
        }
        if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(violation(format!("repeated parameter {name}")));
        }
        if value.is_empty() {
            return Err(violation(format!("empty parameter {name}")));
        }
    }
    match shape
        .must
        .iter()
        .find(|&&name| !pairs.iter().any(|(key, _)| key == name))
    {
        Some(name) => Err(violation(format!("missing parameter {name}"))),
        None => Ok(()),
    }
}
