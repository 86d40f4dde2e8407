//! What the user sees in the browser: one self-contained page without scripts, in one response.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// What a page says.
pub enum Page<'a> {
    /// The token has arrived, for this account if the token names it.
    SignedIn(Option<&'a str>),
    /// The login is over, without a token.
    Failed(&'a Error),
    /// The answer belongs to another sign-in, or to none. The login goes on.
    NotThisSignIn,
    /// The page was opened before the sign-in was finished.
    Waiting,
}

/// The values for the template's placeholders; `body` is HTML, the others are our own words.
struct Content {
    status: &'static str,
    mood: &'static str,
    mark: &'static str,
    title: &'static str,
    body: String,
}

const CHECK: &str = "M14 25l7 7 14-15";
const CROSS: &str = "M16 16l16 16M32 16L16 32";
const HANDS_OF_A_CLOCK: &str = "M24 12v12l8 6";

impl Page<'_> {
    /// The whole HTTP response. It must not be stored or framed, and may load and run nothing.
    pub fn response(&self) -> String {
        let Content {
            status,
            mood,
            mark,
            title,
            body,
        } = self.content();
        let html = TEMPLATE
            .replace("{style}", STYLE)
            .replace("{title}", title)
            .replace("{mood}", mood)
            .replace("{mark}", mark)
            .replace("{body}", &body);
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: {}\r\n\
             Referrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n\
             \r\n\
             {html}",
            html.len(),
            *POLICY,
        )
    }

    fn content(&self) -> Content {
        match self {
            Self::SignedIn(account) => Content {
                status: "200 OK",
                mood: "good",
                mark: CHECK,
                title: "You are signed in",
                body: format!(
                    "{}<p>You can close this tab and return to the terminal, where your command continues.</p>",
                    account.map_or_else(String::new, |name| format!("<p>As {}.</p>", escape(name)))
                ),
            },
            Self::Failed(error) => Content {
                status: "400 Bad Request",
                mood: "bad",
                mark: CROSS,
                title: "You are not signed in",
                body: explanation(error),
            },
            Self::NotThisSignIn => Content {
                status: "400 Bad Request",
                mood: "bad",
                mark: CROSS,
                title: "This belongs to another sign-in",
                body: "<p>This response does not belong to the sign-in that is waiting now. \
                       It may come from an old tab.</p>\
                       <h2>What to do</h2>\
                       <p>Close this tab and open the address shown in the terminal.</p>"
                    .into(),
            },
            Self::Waiting => Content {
                status: "404 Not Found",
                mood: "open",
                mark: HANDS_OF_A_CLOCK,
                title: "Waiting for the sign-in",
                body: "<p>There is nothing to see here until you have signed in.</p>\
                       <h2>What to do</h2>\
                       <p>Finish the sign-in in the other tab, or open the address shown in the terminal.</p>"
                    .into(),
            },
        }
    }
}

/// The lines of an error: what failed, the fix, the reference for support.
fn explanation(error: &Error) -> String {
    let error = error.to_string();
    let mut lines = error.lines().map(escape);
    let mut body = format!(
        "<p class=\"reason\">{}</p>",
        lines.next().unwrap_or_default()
    );
    body.push_str("<h2>What to do</h2>");
    if let Some(remedy) = lines.next() {
        body.push_str(&format!("<p>{remedy}</p>"));
    }
    body.push_str("<p>You can close this tab; the terminal shows the same message.</p>");
    for reference in lines {
        body.push_str(&format!("<p class=\"quiet\">{reference}</p>"));
    }
    body
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Text from outside must not contain a placeholder of the template.
            '{' => escaped.push_str("&#123;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Content Security Policy Level 3: nothing but our own style, identified by its digest.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(ring::digest::digest(
        &ring::digest::SHA256,
        STYLE.as_bytes(),
    ));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: &str = "<script>alert('a')</script> & {mood} \"x\"";

    fn failed() -> String {
        Page::Failed(
            &Error::refused("x", FAILURE)
                .remedy(FAILURE)
                .reference(FAILURE),
        )
        .response()
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let page = failed();
        let escaped =
            "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt; &amp; &#123;mood} &quot;x&quot;";
        assert_eq!(page.matches(escaped).count(), 3, "{page}");
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn every_page_is_complete_and_loads_nothing_else() {
        let error = Error::input("x");
        for page in [
            Page::SignedIn(None),
            Page::SignedIn(Some("alice@x.example")),
            Page::Failed(&error),
            Page::NotThisSignIn,
            Page::Waiting,
        ] {
            let response = page.response();
            let (head, html) = response.split_once("\r\n\r\n").expect("a head and a body");
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", html.len())),
                "{head}"
            );
            for header in [
                "Cache-Control: no-store",
                "default-src 'none'",
                "Referrer-Policy: no-referrer",
                "Connection: close",
            ] {
                assert!(head.contains(header), "{header}: {head}");
            }
            for place in [
                "{title}", "{style}", "{mood}", "{mark}", "{body}", "<script", "http:", "https:",
                "url(",
            ] {
                assert!(!html.contains(place), "{place}: {html}");
            }
            let [mood, ..] = html
                .split("class=\"")
                .nth(1)
                .into_iter()
                .collect::<Vec<_>>()[..]
            else {
                panic!("{html}")
            };
            assert!(
                ["good\"", "bad\"", "open\""]
                    .iter()
                    .any(|known| mood.starts_with(known)),
                "{html}"
            );
        }
    }

    #[test]
    fn the_policy_has_the_digest_of_the_style_in_the_page() {
        let page = failed();
        let (_, rest) = page.split_once("<style>").expect("a style");
        let (style, _) = rest.split_once("</style>").expect("its end");
        let digest = STANDARD.encode(ring::digest::digest(
            &ring::digest::SHA256,
            style.as_bytes(),
        ));
        assert!(
            page.contains(&format!("style-src 'sha256-{digest}'")),
            "{page}"
        );
    }
}
