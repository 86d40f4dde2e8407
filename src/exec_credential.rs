//! client-go's exec plugin protocol: KUBERNETES_EXEC_INFO in, one ExecCredential line out.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::env::{self, Env};
use crate::error::Error;
use crate::token::Token;

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

/// The last time that RFC 3339 can express, 9999-12-31T23:59:59Z: clients do not accept a five-digit year.
const LAST_MOMENT: DateTime<Utc> = DateTime::from_timestamp(253_402_300_799, 0).unwrap();

/// What the client that runs us says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecInfo {
    /// The API version it expects.
    api_version: &'static str,
}

impl ExecInfo {
    /// Reads KUBERNETES_EXEC_INFO. Without it, as when a person runs us, the version is v1beta1. The cluster in it, and any
    /// `config` there, is ignored. Errors do not show the value: it can contain the cluster's secrets.
    pub fn read(env: &Env) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            kind: Option<String>,
            api_version: Option<String>,
        }
        let Some(text) = env.get(env::KUBERNETES_EXEC_INFO) else {
            return Ok(Self {
                api_version: V1BETA1,
            });
        };
        let wrong = |why: &str| {
            Error::input(format!("KUBERNETES_EXEC_INFO {why}")).remedy(format!(
                "The client that runs kubelogin sets it; apiVersion must be {V1BETA1} or {V1}, in the kubeconfig too."
            ))
        };
        let wire: Wire =
            serde_json::from_str(text).map_err(|_| wrong("is not an ExecCredential in JSON"))?;
        if wire
            .kind
            .is_some_and(|kind| !matches!(kind.as_str(), "" | "ExecCredential"))
        {
            return Err(wrong("has a kind other than ExecCredential"));
        }
        match wire.api_version.as_deref() {
            None | Some("" | V1BETA1) => Ok(Self {
                api_version: V1BETA1,
            }),
            Some(V1) => Ok(Self { api_version: V1 }),
            Some(_) => Err(wrong("requests an unsupported API version")),
        }
    }

    /// The host of the cluster that the client connects to, if KUBERNETES_EXEC_INFO names it (`provideClusterInfo`); for
    /// messages only.
    pub fn cluster_host(exec_info: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Info {
            spec: Spec,
        }
        #[derive(Deserialize)]
        struct Spec {
            cluster: Cluster,
        }
        #[derive(Deserialize)]
        struct Cluster {
            server: String,
        }
        let info: Info = serde_json::from_str(exec_info).ok()?;
        let server: http::Uri = info.spec.cluster.server.parse().ok()?;
        server.host().map(str::to_owned)
    }

    /// Writes the token as one line, in a single write.
    pub fn write(self, token: &Token, out: &mut dyn Write) -> Result<(), Error> {
        let mut line = self.line(token);
        line.push('\n');
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| {
            Error::outside(format!("cannot write the token to stdout: {error}")).remedy(
                "The program that reads the token closed the pipe too early, or the disk is full.",
            )
        })
    }

    fn line(self, token: &Token) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ExecCredential<'a> {
            kind: &'a str,
            api_version: &'a str,
            spec: Spec,
            status: Status<'a>,
        }
        #[derive(Serialize)]
        struct Spec {
            interactive: bool,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Status<'a> {
            expiration_timestamp: String,
            token: &'a str,
        }
        let credential = ExecCredential {
            kind: "ExecCredential",
            api_version: self.api_version,
            spec: Spec { interactive: false },
            status: Status {
                expiration_timestamp: token
                    .expires_on
                    .min(LAST_MOMENT)
                    .to_rfc3339_opts(SecondsFormat::Secs, true),
                token: token.access_token.expose(),
            },
        };
        serde_json::to_string(&credential).expect("text and a bool are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::secret::Secret;

    fn read(text: &str) -> Result<ExecInfo, Error> {
        ExecInfo::read(&Env::of(&[(env::KUBERNETES_EXEC_INFO, text)]))
    }

    fn token() -> Token {
        Token {
            access_token: Secret::new("tok"),
            expires_on: DateTime::from_timestamp(1_700_000_000, 999_999_999).expect("time"),
            refresh_token: None,
        }
    }

    #[test]
    fn the_line_is_byte_for_byte_the_original_s() {
        for (asked, version) in [("", "v1beta1"), (V1BETA1, "v1beta1"), (V1, "v1")] {
            let info = read(&format!(r#"{{"apiVersion":"{asked}"}}"#)).expect("read");
            let mut out = Vec::new();
            info.write(&token(), &mut out).expect("written");
            let expected = format!(
                "{{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/{version}\",\
                 \"spec\":{{\"interactive\":false}},\"status\":{{\"expirationTimestamp\":\"2023-11-14T22:13:20Z\",\
                 \"token\":\"tok\"}}}}\n"
            );
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }

    #[test]
    fn a_token_that_never_expires_is_written_with_the_last_time_that_clients_can_read() {
        let endless = Token {
            expires_on: DateTime::from_timestamp(1_000_000_000_000, 0).expect("time"),
            ..token()
        };
        let line = read("{}").expect("read").line(&endless);
        assert!(line.contains(r#""9999-12-31T23:59:59Z""#), "{line}");
    }

    /// Azure/kubelogin#150: a missing or empty variable broke pipelines; a cluster with `config` broke every login.
    #[test]
    fn what_real_clients_send_is_accepted() {
        assert!(ExecInfo::read(&Env::of(&[])).is_ok());
        for text in [
            "",
            "{}",
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{}}"#,
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}"#,
            r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x","config":{"audience":"06e3","k":[1]}},"interactive":false}}"#,
            r#"{"spec":{"cluster":{"config":7}}}"#,
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error_that_does_not_show_the_value() {
        for text in [
            "hunter2",
            "null",
            "[]",
            r#""hunter2""#,
            r#"{"apiVersion":"client.authentication.k8s.io/hunter2"}"#,
            r#"{"apiVersion":2}"#,
            r#"{"kind":"hunter2"}"#,
            r#"{"spec":{"cluster":"hunter2"#,
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(
                error.contains("KUBERNETES_EXEC_INFO") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_closed_stdout_is_an_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = read("{}")
            .expect("read")
            .write(&token(), &mut Closed)
            .expect_err("closed");
        assert!(error.to_string().contains("stdout"));
    }
}
