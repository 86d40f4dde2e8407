//! What a client exchanges for a token (RFC 6749 section 1.3), and the request by which a browser gets an authorization
//! code.

use oauth2::url::form_urlencoded::Serializer;
use oauth2::{CsrfToken, PkceCodeChallenge};

use super::authority::Version;
use crate::secret::Secret;

/// A grant for the token endpoint.
#[derive(Debug)]
pub enum Grant<'a> {
    /// RFC 6749 section 4.1.3, with the PKCE verifier (RFC 7636 section 4.5).
    AuthorizationCode {
        code: &'a Secret,
        code_verifier: &'a Secret,
        redirect_uri: &'a str,
    },
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 8628 section 3.4.
    DeviceCode(&'a Secret),
    /// RFC 6749 section 4.3.
    Password {
        username: &'a str,
        password: &'a Secret,
    },
    /// RFC 6749 section 6.
    RefreshToken(&'a Secret),
}

impl Grant<'_> {
    /// Adds its form fields.
    pub(super) fn add_to(&self, form: &mut Serializer<String>, version: Version) {
        let mut add = |fields: &[(&str, &str)]| {
            form.extend_pairs(fields);
        };
        match self {
            Self::AuthorizationCode {
                code,
                code_verifier,
                redirect_uri,
            } => add(&[
                ("grant_type", "authorization_code"),
                ("code", code.expose()),
                ("code_verifier", code_verifier.expose()),
                ("redirect_uri", redirect_uri),
            ]),
            Self::ClientCredentials => add(&[("grant_type", "client_credentials")]),
            Self::DeviceCode(device_code) => {
                let (grant_type, field) = match version {
                    Version::V1 => ("device_code", "code"),
                    Version::V2 => (
                        "urn:ietf:params:oauth:grant-type:device_code",
                        "device_code",
                    ),
                };
                add(&[("grant_type", grant_type), (field, device_code.expose())]);
            }
            Self::Password { username, password } => add(&[
                ("grant_type", "password"),
                ("username", username),
                ("password", password.expose()),
            ]),
            Self::RefreshToken(refresh_token) => add(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token.expose()),
            ]),
        }
    }

    /// The parts that no message may show.
    pub(super) fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::AuthorizationCode {
                code,
                code_verifier,
                ..
            } => vec![code, code_verifier],
            Self::ClientCredentials => vec![],
            Self::DeviceCode(secret) | Self::RefreshToken(secret) => vec![secret],
            Self::Password { password, .. } => vec![password],
        }
    }
}

/// The authorization request that a browser takes to Entra (RFC 6749 section 4.1.1).
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    pub redirect_uri: &'a str,
    /// The user name to fill in; without one, Entra shows the account picker.
    pub login_hint: Option<&'a str>,
    pub code_challenge: &'a PkceCodeChallenge,
    pub state: &'a CsrfToken,
}

/// How the browser delivers Entra's response (OAuth 2.0 Multiple Response Type Encoding Practices; OAuth 2.0 Form Post
/// Response Mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// As a posted form: the code shows up neither in the address bar nor in the browser's history.
    FormPost,
    /// In the address, from which you can copy it.
    Query,
}

impl ResponseMode {
    /// The value of `response_mode`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::FormPost => "form_post",
            Self::Query => "query",
        }
    }
}
