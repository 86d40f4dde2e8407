//! Compares the account that the user signed in with to `--login-hint`.

use crate::entra::access_token::claims::Claims;
use crate::error::Error;
use crate::token::Token;
use crate::token_cache::CacheKey;

/// The claims that name a user.
const NAMES: &[&str] = &["upn", "unique_name", "preferred_username", "email"];

/// Adds the expected user.
pub fn identify(key: CacheKey, hint: Option<&str>) -> CacheKey {
    match hint {
        Some(hint) => key.with("login hint", hint),
        None => key,
    }
}

/// The name of the account that has signed in; `None` if the token does not say.
///
/// # Errors The account is not `hint`: a browser may have chosen it without asking.
pub fn check(token: &Token, hint: Option<&str>) -> Result<Option<String>, Error> {
    let Some(claims) = Claims::read(&token.access_token) else {
        return Ok(None);
    };
    let names: Vec<_> = NAMES.iter().filter_map(|name| claims.text(name)).collect();
    let Some(name) = names.first() else {
        return Ok(None);
    };
    // A hint that is not a user name is left to Entra.
    if let Some(hint) = hint.filter(|hint| hint.contains('@'))
        && !names.iter().any(|name| is_same(name, hint))
    {
        let what = format!("signed in as {name}, but --login-hint is {hint}");
        return Err(
            Error::refused("", what).remedy(format!("Sign in as {hint}, or change --login-hint."))
        );
    }
    Ok(Some((*name).to_owned()))
}

/// True if a claim names this user, in the tenant of its home or as a guest: `alice_home.example#EXT#@tenant`,
/// `live.com#alice@home.example`.
fn is_same(name: &str, user: &str) -> bool {
    let (name, user) = (name.to_lowercase(), user.to_lowercase());
    let guest = format!("{}#ext#", user.replace('@', "_"));
    name == user || name.starts_with(&guest) || name.ends_with(&format!("#{user}"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::Secret;
    use crate::system::fake::FakeSystem;

    fn token(claims: &Value) -> Token {
        let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        Token {
            access_token: Secret::new(jwt),
            expires_on: FakeSystem::EPOCH,
            refresh_token: None,
        }
    }

    #[test]
    fn the_account_that_signed_in_must_be_the_one_of_the_login_hint() {
        let alice = "Alice@home.example";
        for (claims, hint, is_she) in [
            (json!({"upn": "alice@home.example"}), Some(alice), true),
            (
                json!({"upn": "alice_home.example#EXT#@tenant.example"}),
                Some(alice),
                true,
            ),
            (
                json!({"unique_name": "live.com#alice@home.example"}),
                Some(alice),
                true,
            ),
            (
                json!({"upn": "a@tenant.example", "email": "alice@home.example"}),
                Some(alice),
                true,
            ),
            (json!({"upn": "bob@home.example"}), Some(alice), false),
            (json!({"upn": "malice@home.example"}), Some(alice), false),
            (json!({"upn": "bob@home.example"}), None, true),
            (json!({"upn": "bob@home.example"}), Some("any"), true),
        ] {
            match check(&token(&claims), hint) {
                Ok(Some(name)) => {
                    assert!(is_she, "{claims}");
                    assert!(name.contains('@'), "{name}");
                }
                Ok(None) => panic!("{claims}"),
                Err(error) => {
                    assert!(!is_she, "{claims}");
                    let error = error.to_string();
                    assert!(
                        error.contains("bob@") || error.contains("malice@"),
                        "{error}"
                    );
                    assert!(error.contains("--login-hint"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_token_that_names_nobody_is_not_judged() {
        for token in [
            token(&json!({"oid": "1"})),
            Token {
                access_token: Secret::new("at"),
                ..token(&json!({}))
            },
        ] {
            assert_eq!(check(&token, Some("a@b")), Ok(None));
        }
    }
}
