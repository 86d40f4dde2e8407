//! The objects that are added, as kubectl and az write them: keys in the order of the alphabet.

use super::present::List;
use super::{Addition, ORIGIN, Origin, RESOURCE_ID};
use crate::error::Error;
use crate::kubeconfig::fetched::{Cluster, Exec, Fetched, Login};
use crate::kubeconfig::write::New;

/// An item of a list.
pub fn item(list: List, name: &str, value: New) -> New {
    match list {
        // In the order of the alphabet, as kubectl and az write them.
        List::Users => New::Map(vec![("name", name.into()), (list.item(), value)]),
        List::Clusters | List::Contexts => {
            New::Map(vec![(list.item(), value), ("name", name.into())])
        }
    }
}

pub fn new_cluster(addition: &Addition) -> New {
    let cluster = &addition.fetched.cluster;
    let Cluster { server, .. } = cluster;
    let mut pairs = Vec::new();
    if let Some(data) = &cluster.certificate_authority_data {
        pairs.push(("certificate-authority-data", data.as_str().into()));
    }
    let extensions = New::List {
        note: None,
        items: vec![marked(&addition.origin)],
    };
    pairs.push(("extensions", extensions));
    pairs.push(("server", server.as_str().into()));
    if let Some(name) = &cluster.tls_server_name {
        pairs.push(("tls-server-name", name.as_str().into()));
    }
    New::Map(pairs)
}

/// The extension that records where a cluster comes from.
pub fn marked(origin: &Origin) -> New {
    New::Map(vec![
        ("extension", extension(origin)),
        ("name", ORIGIN.into()),
    ])
}

pub fn extension(origin: &Origin) -> New {
    let mut pairs = vec![
        ("environment", origin.environment.as_str().into()),
        (RESOURCE_ID, origin.resource_id.as_str().into()),
    ];
    if let Some(tenant) = &origin.tenant_id {
        pairs.push(("tenantID", tenant.as_str().into()));
    }
    New::Map(pairs)
}

pub fn new_context(fetched: &Fetched) -> New {
    let mut pairs = vec![("cluster", fetched.cluster.name.as_str().into())];
    if let Some(namespace) = &fetched.namespace {
        pairs.push(("namespace", namespace.as_str().into()));
    }
    pairs.push(("user", fetched.user.as_str().into()));
    New::Map(pairs)
}

pub fn new_user(login: &Login) -> Result<New, Error> {
    match login {
        Login::Exec(exec) => Ok(New::Map(vec![("exec", new_exec(exec))])),
        Login::Own(own) => {
            let pairs = own.iter().map(|(key, value)| (*key, value.expose().into()));
            Ok(New::Map(pairs.collect()))
        }
        Login::AuthProvider(_) => Err(Error::input("the user was not converted")),
    }
}

fn new_exec(exec: &Exec) -> New {
    let args = exec.args.iter().cloned().map(New::Text).collect();
    let mut pairs = vec![
        ("apiVersion", exec.api_version.as_str().into()),
        (
            "args",
            New::List {
                note: exec.note.clone(),
                items: args,
            },
        ),
        ("command", "kubelogin".into()),
        ("env", New::Null),
    ];
    if let Some(hint) = &exec.install_hint {
        pairs.push(("installHint", hint.as_str().into()));
    }
    if let Some(mode) = &exec.interactive_mode {
        pairs.push(("interactiveMode", mode.as_str().into()));
    }
    pairs.push(("provideClusterInfo", New::Bool(false)));
    New::Map(pairs)
}

/// A whole kubeconfig, in the order in which kubectl writes one.
pub fn document([clusters, contexts, users]: [Vec<New>; 3], current: Option<&str>) -> New {
    let list = |items| New::List { note: None, items };
    New::Map(vec![
        ("apiVersion", "v1".into()),
        ("clusters", list(clusters)),
        ("contexts", list(contexts)),
        ("current-context", current.unwrap_or_default().into()),
        ("kind", "Config".into()),
        ("preferences", New::Map(Vec::new())),
        ("users", list(users)),
    ])
}
