//! Rules for every request.

use super::super::http1::{Pairs, Request};
use super::refusal::{Refusal, violation};

/// Checks parameters, body and headers.
pub fn check_shape(request: &Request) -> Result<(), Refusal> {
    let known: [(&str, &[&str]); 4] = [
        ("api-version", &[]),
        ("server-fqdn", &["public"]),
        ("format", &["exec", "azure"]),
        ("$skiptoken", &[]),
    ];
    for (number, (name, value)) in request.query.iter().enumerate() {
        let Some((_, values)) = known.iter().find(|(known, _)| known == name) else {
            return Err(violation(format!("unknown parameter {name}")));
        };
        if !values.is_empty() && !values.contains(&value.as_str()) {
            return Err(violation(format!("{name} is {value}")));
        }
        let earlier: &Pairs = &request.query;
        if earlier[..number].iter().any(|(other, _)| other == name) {
            return Err(violation(format!("repeated parameter {name}")));
        }
    }
    let is_graph = request.path.ends_with("/resources");
    let is_json = request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"));
    if request.method == "POST" && is_graph && !is_json {
        return Err(violation("a body without Content-Type: application/json"));
    }
    if !is_graph && !request.body.is_empty() {
        return Err(violation("an unexpected body"));
    }
    if request.method == "POST" && request.header("content-length").is_none() {
        return Err(violation("a POST without Content-Length"));
    }
    Ok(())
}
