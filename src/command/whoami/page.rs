//! The report as a page of text blocks.

use std::fmt::Write;

use chrono::{DateTime, Local, Utc};

use super::plain;
use super::report::{ClusterSees, Report, SignedIn, Who};
use crate::command::subject;
use crate::command::wrap::Width;
use crate::entra::access_token::claims::{Groups, application_name};
use crate::error::{ErrorKind, one_line, span};

/// How many group IDs are shown.
const GROUPS_SHOWN: usize = 5;

pub fn text(report: &Report, with_claims: bool, width: Width) -> String {
    let mut page = Page {
        text: String::new(),
        width,
    };
    page.heading("SIGNED IN AS");
    match &report.who {
        Who::Own(own) => page.row("name", &format!("unknown: the kubeconfig has {own}")),
        Who::SignedIn(signed_in) => signed_in_block(&mut page, report, signed_in),
        Who::Nobody(error) => {
            let (what, remedy) = error.parts();
            page.row("nobody", what);
            match *error.kind() == ErrorKind::NotSignedIn {
                true => page.row(
                    "",
                    &format!(
                        "Sign in: kubelogin whoami --sign-in{}",
                        context_flag(report)
                    ),
                ),
                false => page.row("", remedy),
            }
        }
    }
    if !report.values.is_empty() {
        page.heading("OPTIONS");
    }
    let flags = report.values.iter().map(|value| value.flag.len());
    let width = flags.max().unwrap_or(0);
    for value in &report.values {
        page.wide_row(value.flag, width, &value.told());
    }
    if !matches!(report.who, Who::Nobody(_)) {
        cluster_block(&mut page, report);
        mismatches_block(&mut page, report);
    }
    if let (
        true,
        Who::SignedIn(SignedIn {
            claims: Some(claims),
            ..
        }),
    ) = (with_claims, &report.who)
    {
        page.heading("CLAIMS");
        for (name, value) in claims.all() {
            page.row(name, &plain(value));
        }
    }
    page.text
}

/// The flags that a command about the same context needs.
fn context_flag(report: &Report) -> String {
    let context = report.context.as_deref();
    context.map(subject::context_flag).unwrap_or_default()
}

fn signed_in_block(page: &mut Page, report: &Report, signed_in: &SignedIn) {
    if let Some(claims) = &signed_in.claims {
        let display = claims.text("name").map(|name| format!("  ({name})"));
        page.row(
            "name",
            &format!("{}{}", claims.name(), display.unwrap_or_default()),
        );
        page.row("kind", claims.kind().words());
        page.row_of("tenant", claims.text("tid"));
        page.row_of("object ID", claims.text("oid"));
        page.row_of("resource", claims.text("xms_mirid"));
        if let Some(client) = claims.client_id() {
            let name = application_name(client).map(|name| format!("  ({name})"));
            page.row("client", &format!("{client}{}", name.unwrap_or_default()));
        }
        let issued = claims.time("iat");
        let groups = match claims.groups() {
            Groups::TooMany => "more than 200, which the token does not list".to_owned(),
            Groups::Listed(groups) => groups_text(&groups),
        };
        let as_of = issued.map(|issued| format!(", as of {} ago", span(report.now - issued)));
        page.row("groups", &format!("{groups}{}", as_of.unwrap_or_default()));
    } else {
        page.row("name", "unknown: the token is not a JWT");
    }
    let login = report
        .value("--login")
        .map_or("", |value| value.value.as_str());
    page.row("login mode", login);
    let renewal = match signed_in.is_renewable {
        true => ", then renewed without asking",
        false => "",
    };
    let left = span(signed_in.expires_on - report.now);
    page.row(
        "token until",
        &format!("{} (in {left}{renewal})", local(signed_in.expires_on)),
    );
}

fn cluster_block(page: &mut Page, report: &Report) {
    if matches!(report.cluster, ClusterSees::Nothing) {
        return;
    }
    page.heading("THE CLUSTER SEES");
    page.row_of("server", report.server.as_deref());
    match &report.cluster {
        ClusterSees::Nothing => {}
        ClusterSees::Identity(identity) => {
            page.row("user name", &identity.username);
            page.row("groups", &groups_text(&identity.groups));
            page.row_of("object ID", identity.object_id());
        }
        ClusterSees::SomeUser => {
            page.row(
                "user name",
                "unknown: Kubernetes before 1.26 cannot tell, but it accepts the token",
            );
        }
        ClusterSees::Refused(cause) => {
            page.row("nobody", &cause.what);
            page.row("", &cause.remedy);
        }
        ClusterSees::Unreachable(why) => {
            page.row("unknown", why);
            page.row(
                "",
                &format!("Run: kubelogin doctor{}", context_flag(report)),
            );
        }
    }
}

fn mismatches_block(page: &mut Page, report: &Report) {
    if report.mismatches.is_empty() {
        return;
    }
    page.heading("MISMATCHES");
    for mismatch in &report.mismatches {
        page.row(
            if mismatch.is_fatal {
                "wrong"
            } else {
                "doubtful"
            },
            &mismatch.what,
        );
        page.row("", &mismatch.remedy);
    }
}

fn groups_text(groups: &[String]) -> String {
    let shown = groups[..groups.len().min(GROUPS_SHOWN)].join(", ");
    match groups.len() {
        0 => "none".into(),
        count if count > GROUPS_SHOWN => format!("{count}: {shown}, .."),
        count => format!("{count}: {shown}"),
    }
}

fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local)
        .format("%Y-%m-%d %H:%M %:z")
        .to_string()
}

struct Page {
    text: String,
    width: Width,
}

impl Page {
    fn heading(&mut self, text: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{gap}{text}"); // writing to a String does not fail
    }

    fn row(&mut self, label: &str, value: &str) {
        self.wide_row(label, 12, value);
    }

    fn wide_row(&mut self, label: &str, width: usize, value: &str) {
        if value.is_empty() {
            return;
        }
        let value = one_line(value);
        let mut append = |start: &str, indent, text: &str| {
            self.width.append(&mut self.text, start, indent, text);
        };
        if self.width.is_narrow() {
            append(&format!("  {label}"), 2, "");
            append("", 4, &value);
        } else {
            append(&format!("  {label:<width$} "), width + 3, &value);
        }
    }

    fn row_of(&mut self, label: &str, value: Option<&str>) {
        self.row(label, value.unwrap_or_default());
    }
}
