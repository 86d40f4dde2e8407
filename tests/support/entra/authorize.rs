//! The sign-in page: RFC 6749 section 4.1, RFC 7636 (PKCE), and loopback redirects (RFC 8252 section 7.3).

use oauth2::url::{Url, form_urlencoded};

use super::super::http1::{Reply, Request};
use super::super::jwt;
use super::refusal::{Refusal, refused, violation};
use super::rules::{Registration, SignIn};
use super::{Route, State, token};

/// An issued authorization code.
pub struct Session {
    login: token::Session,
    redirect_uri: String,
    code_challenge: String,
}

impl State {
    /// Redirects the browser with the response, in the response mode that the client asked for.
    pub fn authorize(&mut self, to: &Route, request: &Request) -> Result<Reply, Refusal> {
        let parameter = |name| request.parameter(name).unwrap_or_default();
        let client = self.registered(request.parameter("client_id"))?;
        let login = self.asked(to, request, &client)?;
        check_authorize(request)?;
        let state = parameter("state").to_owned();
        let answer = match self.rules.sign_in {
            SignIn::Decline => vec![
                ("error", "access_denied".to_owned()),
                (
                    "error_description",
                    "AADSTS65004: User declined to consent to access the app.".to_owned(),
                ),
                ("state", state),
            ],
            SignIn::Approve => {
                let hint = request
                    .parameter("login_hint")
                    .filter(|hint| self.user(hint).is_ok());
                let user = self.user(hint.unwrap_or(&self.rules.person))?;
                let nonce = request.parameter("nonce").map(str::to_owned);
                let session = Session {
                    login: token::Session {
                        user: Some(user),
                        nonce,
                        ..login
                    },
                    redirect_uri: parameter("redirect_uri").to_owned(),
                    code_challenge: parameter("code_challenge").to_owned(),
                };
                let code = format!("1.fake-authorization-code-{}", self.next_serial());
                self.authorization_codes.insert(code.clone(), session);
                vec![("code", code), ("state", state)]
            }
        };
        Ok(send_back(request, &answer))
    }

    pub fn redeem_authorization_code(
        &mut self,
        request: &Request,
        client: &Registration,
    ) -> Result<token::Session, Refusal> {
        let code = request.field("code").unwrap_or_default();
        let session = self
            .authorization_codes
            .remove(code)
            .ok_or_else(|| refused(54005, ""))?;
        if session.login.client_id != client.client_id {
            return Err(violation("another client's authorization code"));
        }
        if request.field("redirect_uri") != Some(session.redirect_uri.as_str()) {
            return Err(violation(format!(
                "redirect_uri is not the {} of the authorize request",
                session.redirect_uri
            )));
        }
        let verifier = request.field("code_verifier").unwrap_or_default();
        if jwt::sha256_base64url(verifier.as_bytes()) != session.code_challenge {
            return Err(violation(
                "code_verifier does not match code_challenge (AADSTS501481)",
            ));
        }
        Ok(session.login)
    }
}

fn check_authorize(request: &Request) -> Result<(), Refusal> {
    let parameter = |name| request.parameter(name).unwrap_or_default();
    for (name, allowed) in [
        ("response_type", &["code"][..]),
        ("code_challenge_method", &["S256"]),
        ("response_mode", &["", "query", "form_post"]),
        (
            "prompt",
            &["", "select_account", "login", "none", "consent"],
        ),
    ] {
        if !allowed.contains(&parameter(name)) {
            return Err(violation(format!("{name} is {:?}", parameter(name))));
        }
    }
    if parameter("code_challenge").len() != 43 {
        return Err(violation(
            "code_challenge is not a base64url SHA-256 digest",
        ));
    }
    let redirect_uri = Url::parse(parameter("redirect_uri")).ok();
    match redirect_uri
        .as_ref()
        .map(|url| (url.scheme(), url.host_str().unwrap_or_default()))
    {
        Some(("http", "localhost" | "127.0.0.1")) => Ok(()),
        _ => Err(refused(50011, parameter("redirect_uri"))),
    }
}

/// A redirect, or with `response_mode=form_post` a page with a form that submits itself.
fn send_back(request: &Request, answer: &[(&str, String)]) -> Reply {
    let redirect_uri = request.parameter("redirect_uri").unwrap_or_default();
    if request.parameter("response_mode") != Some("form_post") {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(answer)
            .finish();
        return Reply::redirect(302, &format!("{redirect_uri}?{query}"));
    }
    let inputs: String = answer
        .iter()
        .map(|(name, value)| format!(r#"<input type="hidden" name="{name}" value="{value}">"#))
        .collect();
    Reply::html(
        200,
        &format!(
            r#"<html><body onload="document.forms[0].submit()"><form method="post" action="{redirect_uri}">{inputs}</form></body></html>"#
        ),
    )
}
