//! Entra's error responses and how to fix them.
//!
//! The AADSTS codes are for advice only, because Microsoft changes them. What the program does next depends on the OAuth
//! `error` (RFC 6749 section 5.2, RFC 8628 section 3.5).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::Error;

/// An error response (RFC 6749 section 5.2) with Entra's additions, which are for people only.
#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: String,
    #[serde(default, deserialize_with = "or_absent")]
    error_description: String,
    #[serde(default, deserialize_with = "or_absent")]
    error_codes: Vec<u32>,
    #[serde(default, deserialize_with = "or_absent")]
    correlation_id: Option<String>,
}

/// A member of an unexpected type counts as absent, so that it cannot hide `error`, which decides.
fn or_absent<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads an error response; `None` if the body is not one.
pub fn read(body: &[u8]) -> Option<Error> {
    let answer: ErrorAnswer = serde_json::from_slice(body).ok()?;
    (!answer.error.is_empty()).then(|| explain(&answer))
}

/// The error in a text that quotes Entra's description, as az prints it; `None` if it does not.
pub fn in_text(text: &str) -> Option<Error> {
    let description = &text[text.find("AADSTS")?..];
    code_in(description)?;
    Some(explain(&ErrorAnswer {
        error: String::new(),
        error_description: description.to_owned(),
        error_codes: Vec::new(),
        correlation_id: None,
    }))
}

/// The error in a response to the redirect URI (RFC 6749 section 4.1.2.1).
pub fn of_redirect(error: &str, description: &str) -> Error {
    explain(&ErrorAnswer {
        error: error.to_owned(),
        error_description: description.to_owned(),
        error_codes: Vec::new(),
        correlation_id: None,
    })
}

/// Three lines: Entra's own first sentence, our explanation with the fix, and the reference for support.
fn explain(answer: &ErrorAnswer) -> Error {
    let code = answer.code();
    let what = match answer.first_sentence() {
        "" => format!("Entra ID refused: {}", answer.error),
        sentence => sentence.to_owned(),
    };
    let error = match answer.error.as_str() {
        "temporarily_unavailable" | "server_error" => Error::outside(what),
        // The only code that decides anything: a policy now blocks device codes, and with them this refresh token,
        // permanently. Whatever OAuth error comes with it, neither may be tried again.
        _ if code == Some(DEVICE_CODE_ENDED) => Error::refused(DEVICE_CODE_BLOCKED, what),
        refusal => Error::refused(refusal, what),
    };
    let error = error.remedy(advice(&answer.error, code));
    let reference = [
        answer
            .correlation_id()
            .map(|id| format!("Correlation ID: {id}")),
        code.map(|code| format!("more: https://login.microsoftonline.com/error?code={code}")),
    ];
    let reference: Vec<_> = reference.into_iter().flatten().collect();
    if reference.is_empty() {
        error
    } else {
        error.reference(reference.join("; "))
    }
}

impl ErrorAnswer {
    /// The AADSTS code: from `error_codes` if present, else from the text.
    fn code(&self) -> Option<u32> {
        self.error_codes
            .first()
            .copied()
            .or_else(|| code_in(&self.error_description))
    }

    /// `AADSTS...: ` and the first sentence, without the trace IDs that follow.
    fn first_sentence(&self) -> &str {
        let text = self
            .error_description
            .split(['\r', '\n'])
            .next()
            .unwrap_or_default();
        let text = text.split(" Trace ID:").next().unwrap_or_default().trim();
        text.find(". ").map_or(text, |end| &text[..=end])
    }

    fn correlation_id(&self) -> Option<&str> {
        let in_text = || {
            let (_, rest) = self.error_description.split_once("Correlation ID: ")?;
            // A description in JSON goes on after an escaped line end.
            let is_of_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let end = rest.find(|c| !is_of_id(c)).unwrap_or(rest.len());
            Some(&rest[..end]).filter(|id| !id.is_empty())
        };
        self.correlation_id
            .as_deref()
            .filter(|id| !id.is_empty())
            .or_else(in_text)
    }
}

/// AADSTS530036: a session that began with a device code, which Conditional Access does not allow any more (Microsoft,
/// "Conditional Access: Authentication flows", protocol tracking).
const DEVICE_CODE_ENDED: u32 = 530_036;
/// What stands for it in place of the OAuth error.
pub const DEVICE_CODE_BLOCKED: &str = "device_code_blocked";

/// The number in the first `AADSTS<number>` of a text; az prints these too.
pub fn code_in(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("AADSTS")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// True for an `error` of RFC 6749, RFC 8628 or OpenID Connect, and for those that Entra ID adds.
pub fn is_known(error: &str) -> bool {
    KNOWN_ERRORS.contains(&error) || OAUTH_ADVICE.iter().any(|(known, _)| *known == error)
}

const KNOWN_ERRORS: &[&str] = &[
    "authorization_pending",
    "consent_required",
    "interaction_required",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_resource",
    "invalid_scope",
    "login_required",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// True if a refusal says that an assertion or token is not valid yet or no longer.
pub fn is_about_time(text: &str) -> bool {
    matches!(
        code_in(text),
        Some(700024 | 50013 | 500133 | 501341 | 700023)
    )
}

/// What to do about an error. For a device code, the OAuth error says more than the AADSTS code that comes with it.
pub fn advice(oauth_error: &str, code: Option<u32>) -> &'static str {
    let by_error = OAUTH_ADVICE.iter().find(|(error, _)| *error == oauth_error);
    let by_code = || {
        CODE_ADVICE
            .iter()
            .find(|(codes, _)| code.is_some_and(|c| codes.contains(&c)))
    };
    if oauth_error == "access_denied"
        && let Some((_, advice)) = by_code()
    {
        // Entra reports every refusal in a browser like this; only the code says who refused.
        return advice;
    }
    by_error
        .map(|(_, advice)| *advice)
        .or_else(|| by_code().map(|(_, advice)| *advice))
        .unwrap_or(match code {
            Some(_) => "See the reason above; the link below explains the code.",
            None => "Entra ID gave no other details; check the flags and variables of this login.",
        })
}

/// Advice by OAuth error, for those that are clear without a code.
const OAUTH_ADVICE: &[(&str, &str)] = &[
    (
        "authorization_declined",
        "The sign-in was declined in the browser: run the command again and approve it.",
    ),
    (
        "access_denied",
        "The sign-in was declined in the browser: run the command again and approve it.",
    ),
    (
        "expired_token",
        "The device code has expired: run the command again for a new one.",
    ),
    // The v1 endpoint's name for it.
    (
        "code_expired",
        "The device code has expired: run the command again for a new one.",
    ),
    (
        "bad_verification_code",
        "The device code is no longer valid: run the command again for a new one.",
    ),
];

/// Advice by AADSTS code: what it means in plain words, and what a user of kubelogin can do.
#[rustfmt::skip]
const CODE_ADVICE: &[(&[u32], &str)] = &[
    (&[50034, 51004],
     "There is no such user in this tenant: check --username and --tenant-id; guests sign in to the tenant that owns the cluster."),
    (&[50020, 90072],
     "The account belongs to another tenant and is not a guest in this one: set --tenant-id to the cluster's tenant, or have the account invited."),
    (&[50126],
     "The user name or password is wrong (repeated attempts lock the account), or the user is federated and must use --login interactive or devicecode."),
    (&[50053],
     "The account is locked, or the sign-in came from a blocked IP address: wait a while, or have the account unlocked."),
    (&[50055, 50144],
     "The password has expired: change it in a browser, then sign in again."),
    (&[50056],
     "The password is missing or cannot be verified here: set --password or AZURE_PASSWORD; federated users need --login interactive or devicecode."),
    (&[50057, 7000112],
     "The user or application is disabled: ask your tenant administrator."),
    (&[50058, 50132, 50133, 50173, 70008, 70043, 70044, 700082, 700084],
     "The previous sign-in is no longer valid (password changed, session revoked, or unused for too long): sign in again."),
    (&[50072, 50074, 50076, 50078, 50079, 50158],
     "Multi-factor authentication is required: use --login interactive or devicecode (ropc does not support it); with azurecli, run: az login --scope <server-id>/.default"),
    (&[50097, 50131, 53000, 53001, 530003],
     "Conditional Access requires a managed or compliant device, which a device code cannot prove: use --login interactive or azurecli on such a device."),
    (&[53002, 53003, 530032, 530033, 500212, 500213],
     "A Conditional Access or cross-tenant policy blocks this sign-in: use --login interactive or azurecli from an allowed location, or send the correlation ID to your administrator."),
    (&[53004],
     "The account must register for multi-factor authentication first, which is not allowed from here: register on a trusted device."),
    (&[530036],
     "The sign-in began with a device code, which a policy no longer allows: run kubelogin convert-kubeconfig -l interactive (or azurecli); the old sign-in has been dropped."),
    (&[530084],
     "Conditional Access requires a token bound to the device, which a browser or device code cannot provide: use --login azurecli with az's broker."),
    (&[50105, 501051],
     "The user or application is not assigned to the server application: have it assigned under Enterprise applications in Entra ID."),
    (&[65001],
     "Nobody has consented to this application: ask an administrator to grant consent, or use another --client-id."),
    (&[65004],
     "Consent was declined: sign in again and accept it."),
    (&[650052, 500011, 50001],
     "The server application does not exist in this tenant: check --server-id, --tenant-id and --environment."),
    (&[650057],
     "The application has no permission to request tokens for this server: check that --client-id is the AKS client, or add the permission to it."),
    (&[700025],
     "The application is a public client, which has no secret and no federated credential: set --client-id (or AZURE_CLIENT_ID) to your own application, or use --login interactive or devicecode."),
    (&[700038],
     "The client ID is not an application's: set --client-id (or AZURE_CLIENT_ID) to its GUID; a kubeconfig's args are not expanded, so $NAME and %NAME% stay as they are."),
    (&[65002],
     "This client is not allowed to ask for that server, and no consent changes that: leave out --client-id, or set it to an application of your own."),
    (&[700016, 70001, 7000229],
     "The application does not exist in this tenant: check --client-id, --tenant-id and --environment."),
    (&[90002, 50128, 50059, 900023, 90019],
     "The tenant was not found: check --tenant-id; Azure China and Azure US Government have their own tenants (set --environment)."),
    (&[900432, 900439],
     "The account belongs to another Azure cloud: check --environment."),
    (&[50049],
     "The authority is unknown: check --authority-host."),
    (&[7000215],
     "The client secret is wrong (often it is the secret's ID instead of its value): check AZURE_CLIENT_SECRET or --client-secret."),
    (&[7000222],
     "The client secret has expired: create a new one for the application, and set AZURE_CLIENT_SECRET or --client-secret."),
    (&[7000218, 70002],
     "The application is not a public client: turn on \"Allow public client flows\" for it, or use --login spn with its secret."),
    (&[700027, 700030, 5000611],
     "The certificate is not registered for the application, or does not match the private key: upload it, and check --client-certificate."),
    (&[50027, 70023],
     "Entra ID cannot read the federated token: it must be the JWT exactly as its issuer wrote it, and from the issuer of the federated credential."),
    (&[700023, 700024, 500133, 50013],
     "The assertion has the wrong audience or is not valid now: check this machine's clock, and that the federated token has not expired."),
    (&[70021],
     "No federated credential of the application matches the token: issuer, subject and audience must be exactly the same in both."),
    (&[700211],
     "No federated credential of the application has the token's issuer: it must be exactly the same, with or without a slash at the end."),
    (&[700212],
     "No federated credential of the application has the token's audience: it must be exactly the same (each cloud has its own api://AzureADTokenExchange..)."),
    (&[700213],
     "No federated credential of the application has the token's subject: it must be exactly the same, in upper and lower case too."),
    (&[50011, 500113],
     "The redirect URI is not registered: add http://localhost under \"Mobile and desktop applications\", or set --redirect-url."),
    (&[54005, 70000],
     "The code or grant has already been used or is no longer valid: sign in again."),
    (&[9002325, 9002326, 900144, 9000411, 9002313, 90014, 900561],
     "Entra ID rejected the request as malformed, which is a bug in kubelogin: please report it with the correlation ID."),
    (&[70011, 1002012],
     "The scope is not valid: --server-id must be an application ID or an application ID URI."),
    (&[70016],
     "The sign-in is not finished yet: enter the code in the browser."),
    (&[70018, 70019, 70020],
     "The device code is wrong, expired or already used: run the command again for a new one."),
    (&[90033, 90024, 90025, 50196, 50197],
     "Entra ID is busy, or sees the same request in a loop: wait a while, then try again."),
    (&[16000, 50140],
     "Entra ID needs you to make a choice: use --login interactive."),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: &str, code: u32) -> String {
        serde_json::json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: Something is wrong. And more. Trace ID: t-1 Correlation ID: c-1 Timestamp: 2026-01-01 00:00:00Z"
            ),
            "error_codes": [code],
            "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": "t-1",
            "correlation_id": "c-1",
        })
        .to_string()
    }

    #[test]
    fn every_code_in_the_table_is_reported_in_three_lines_with_the_fix() {
        for (codes, advice) in CODE_ADVICE {
            for code in *codes {
                let error = read(answer("invalid_grant", *code).as_bytes()).expect("an error");
                let decides = match *code {
                    DEVICE_CODE_ENDED => DEVICE_CODE_BLOCKED,
                    _ => "invalid_grant",
                };
                assert!(error.is_refused_with(decides));
                let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
                assert_eq!(
                    lines,
                    [
                        format!("AADSTS{code}: Something is wrong."),
                        (*advice).to_owned(),
                        format!(
                            "Correlation ID: c-1; more: https://login.microsoftonline.com/error?code={code}"
                        ),
                    ]
                );
            }
        }
    }

    #[test]
    fn no_code_is_in_two_rows() {
        let mut codes: Vec<_> = CODE_ADVICE.iter().flat_map(|(codes, _)| *codes).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    /// Azure/kubelogin loses the text of a declined or expired code ("Response contained no body").
    #[test]
    fn a_declined_code_is_not_reported_as_pending() {
        let error = read(answer("authorization_declined", 70016).as_bytes()).expect("an error");
        assert!(error.to_string().contains("declined"), "{error}");
    }

    #[test]
    fn an_unknown_code_keeps_entra_s_sentence_and_the_correlation_id() {
        let error = read(answer("invalid_request", 4242).as_bytes())
            .expect("an error")
            .to_string();
        assert!(
            error.starts_with("AADSTS4242: Something is wrong.\n"),
            "{error}"
        );
        assert!(
            error.contains("c-1") && error.contains("code=4242"),
            "{error}"
        );
    }

    #[test]
    fn code_and_correlation_id_are_found_in_the_text_alone() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: t\r\nCorrelation ID: c-9\r\nTimestamp: x"}"#;
        let error = read(body.as_bytes()).expect("an error").to_string();
        assert!(
            error.contains("AZURE_CLIENT_SECRET") && error.contains("Correlation ID: c-9"),
            "{error}"
        );
    }

    #[test]
    fn a_response_without_text_names_the_oauth_error() {
        let error = read(br#"{"error":"invalid_scope"}"#)
            .expect("an error")
            .to_string();
        assert!(
            error.starts_with("Entra ID refused: invalid_scope"),
            "{error}"
        );
        assert!(!error.contains("below"), "there is no link: {error}");
        for body in [
            "",
            "<html>",
            "null",
            "[]",
            r#"{"message":"x"}"#,
            r#"{"error":""}"#,
            r#"{"error":{"code":"x"}}"#,
        ] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }

    /// A member that is not needed must not end the wait for a device code.
    #[test]
    fn malformed_members_do_not_hide_the_oauth_error() {
        for rest in [
            r#""error_description":null,"error_codes":null,"correlation_id":null"#,
            r#""error_description":7,"error_codes":["70016"],"correlation_id":{}"#,
            r#""error_codes":[-1],"correlation_id":[]"#,
        ] {
            let body = format!(r#"{{"error":"authorization_pending",{rest}}}"#);
            let error = read(body.as_bytes()).expect(rest);
            assert!(error.is_refused_with("authorization_pending"), "{rest}");
        }
        let quoted = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Bad.","error_codes":["7000215"]}"#;
        let error = read(quoted.as_bytes()).expect("an error").to_string();
        assert!(error.contains("AZURE_CLIENT_SECRET"), "{error}");
    }

    /// The most reported codes, each with its own fix: a missing row is noticed.
    #[test]
    fn the_codes_that_people_report_most_have_their_own_advice() {
        for (code, fix) in [
            (50_027, "exactly as its issuer wrote it"),
            (70_023, "exactly as its issuer wrote it"),
            (65_002, "no consent changes that"),
            (700_025, "your own application"),
            (700_038, "not expanded"),
            (7_000_215, "the secret's ID instead of its value"),
            (530_036, "convert-kubeconfig -l interactive"),
            (53_003, "--login interactive"),
            (700_211, "issuer"),
            (700_212, "audience"),
            (700_213, "subject"),
        ] {
            let advice = advice("invalid_request", Some(code));
            assert!(advice.contains(fix), "{code}: {advice}");
        }
    }

    #[test]
    fn a_session_by_device_code_that_a_policy_ended_is_known_whatever_the_oauth_error() {
        for oauth_error in ["access_denied", "interaction_required", "invalid_grant"] {
            let error = read(answer(oauth_error, 530_036).as_bytes()).expect("an error");
            assert!(error.is_refused_with(DEVICE_CODE_BLOCKED), "{oauth_error}");
            assert!(error.to_string().contains("-l interactive"), "{error}");
        }
    }

    #[test]
    fn the_correlation_id_ends_where_it_ends() {
        for rest in [
            "",
            " Timestamp: x",
            "\\r\\nTimestamp: x",
            "\",\"a\":1",
            ").",
        ] {
            let text = format!("ERROR: AADSTS4242: No. Correlation ID: c-9{rest}");
            let error = in_text(&text).expect("an error").to_string();
            assert!(error.contains("Correlation ID: c-9; more:"), "{error}");
        }
    }

    #[test]
    fn a_busy_service_is_not_a_refusal() {
        let error = read(answer("temporarily_unavailable", 90033).as_bytes()).expect("an error");
        assert_eq!(*error.kind(), crate::error::ErrorKind::Outside);
    }
}
