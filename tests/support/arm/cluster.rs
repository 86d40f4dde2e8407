//! Clusters, and the kubeconfigs that AKS generates for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::entra::{PUBLIC_CLIENT_ID, SERVER_ID, TENANT_ID};
use super::super::http1::{Reply, Request};
use super::SUBSCRIPTION_ID;

/// A cluster as ARM knows it.
#[derive(Clone, Debug)]
pub struct FakeCluster {
    pub subscription: String,
    pub group: String,
    pub name: String,
    pub server: String,
    /// PEM.
    pub certificate_authority: String,
    pub login: ClusterLogin,
    pub is_stopped: bool,
    /// The user may see the cluster but not fetch its kubeconfig.
    pub is_denied: bool,
    pub has_local_accounts_disabled: bool,
    /// The tenant whose tokens it accepts.
    pub tenant: String,
    /// Replaces the kubeconfig that AKS would generate.
    pub kubeconfig: Option<String>,
}

/// How people sign in to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterLogin {
    Entra,
    /// One client certificate for all users.
    Certificate,
}

impl FakeCluster {
    pub fn new(group: &str, name: &str) -> Self {
        Self {
            subscription: SUBSCRIPTION_ID.into(),
            group: group.into(),
            name: name.into(),
            server: format!("https://{name}-{group}-0a1b2c3d.hcp.westeurope.azmk8s.io:443"),
            certificate_authority:
                "-----BEGIN CERTIFICATE-----\nZmFrZQ==\n-----END CERTIFICATE-----\n".into(),
            login: ClusterLogin::Entra,
            is_stopped: false,
            is_denied: false,
            has_local_accounts_disabled: false,
            tenant: TENANT_ID.into(),
            kubeconfig: None,
        }
    }

    pub fn id(&self) -> String {
        let Self {
            subscription,
            group,
            name,
            ..
        } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
        )
    }

    /// The API server's host.
    pub fn host(&self) -> &str {
        let address = self.server.split("://").nth(1).unwrap_or_default();
        address.split(':').next().unwrap_or_default()
    }

    fn power_state(&self) -> &'static str {
        if self.is_stopped {
            "Stopped"
        } else {
            "Running"
        }
    }

    /// The cluster as an entry in ARM's list.
    pub fn listed(&self) -> Value {
        json!({"id": self.id(), "name": self.name, "type": "Microsoft.ContainerService/ManagedClusters",
               "location": "westeurope", "properties": {"powerState": {"code": self.power_state()}}})
    }

    /// ARM's response to a GET of the cluster.
    pub fn details(&self) -> Value {
        let mut details = self.listed();
        let properties = json!({
            "fqdn": self.host(),
            "aadProfile": {"managed": true, "enableAzureRBAC": true, "tenantID": self.tenant, "adminGroupObjectIDs": null},
            "disableLocalAccounts": self.has_local_accounts_disabled,
            "apiServerAccessProfile": null,
        });
        for (name, value) in properties.as_object().into_iter().flatten() {
            details["properties"][name] = value.clone();
        }
        details
    }

    /// The cluster as a row from Resource Graph.
    pub fn row(&self) -> Value {
        json!({"id": self.id(), "location": "westeurope", "tenantId": TENANT_ID, "powerState": self.power_state()})
    }

    /// The response with its kubeconfig.
    pub fn credential(&self, request: &Request, is_admin: bool) -> Reply {
        let text = match &self.kubeconfig {
            Some(text) => text.clone(),
            None => self.usual_kubeconfig(request, is_admin),
        };
        let name = if is_admin {
            "clusterAdmin"
        } else {
            "clusterUser"
        };
        Reply::json(
            200,
            &json!({"kubeconfigs": [{"name": name, "value": STANDARD.encode(text)}]}),
        )
    }

    fn usual_kubeconfig(&self, request: &Request, is_admin: bool) -> String {
        let Self { group, name, .. } = self;
        let server = match request.parameter("server-fqdn") {
            Some(_) => self.server.replace(".privatelink.", ".public."),
            None => self.server.clone(),
        };
        let authority = STANDARD.encode(&self.certificate_authority);
        let role = if is_admin { "Admin" } else { "User" };
        let user = format!("cluster{role}_{group}_{name}");
        let login = match self.login {
            ClusterLogin::Entra if !is_admin => entra_login(request.parameter("format")),
            _ => certificate_login(name),
        };
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n  name: {name}\n\
             contexts:\n- context:\n    cluster: {name}\n    user: {user}\n  name: {name}\n\
             current-context: {name}\nkind: Config\npreferences: {{}}\nusers:\n- name: {user}\n  user:\n{login}"
        )
    }
}

/// The login as AKS writes it since Kubernetes 1.24, or before that with `format=azure`.
fn entra_login(format: Option<&str>) -> String {
    if format == Some("azure") {
        return format!(
            "    auth-provider:\n      config:\n        apiserver-id: {SERVER_ID}\n        client-id: {PUBLIC_CLIENT_ID}\n        config-mode: '1'\n        \
             environment: AzurePublicCloud\n        tenant-id: {TENANT_ID}\n      name: azure\n"
        );
    }
    format!(
        "    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - get-token\n      - --environment\n      - AzurePublicCloud\n      \
         - --server-id\n      - {SERVER_ID}\n      - --client-id\n      - {PUBLIC_CLIENT_ID}\n      - --tenant-id\n      - {TENANT_ID}\n      \
         - --login\n      - devicecode\n      command: kubelogin\n      env: null\n      installHint: |2\n\n        kubelogin is not installed.\n      provideClusterInfo: false\n"
    )
}

fn certificate_login(name: &str) -> String {
    let secret = |what: &str| STANDARD.encode(format!("{what} of {name}"));
    format!(
        "    client-certificate-data: {}\n    client-key-data: {}\n    token: static-token-of-{name}\n",
        secret("certificate"),
        secret("key")
    )
}
