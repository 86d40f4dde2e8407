//! Kubeconfigs of any size, in the style of `az aks get-credentials --format azure` and `kubectl config`.

use std::fmt::Write;

/// A kubeconfig with this many clusters, contexts and users. Every user has kubectl's old built-in Azure login.
pub fn legacy_kubeconfig(users: usize) -> String {
    let mut text = String::from("apiVersion: v1\nclusters:\n");
    let certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t".repeat(12);
    for number in 0..users {
        let _ = write!(
            text,
            "- cluster:\n    certificate-authority-data: {certificate}\n    server: https://c{number}.hcp.westeurope.azmk8s.io:443\n  name: c{number}\n"
        );
    }
    text.push_str("contexts:\n");
    for number in 0..users {
        let _ = write!(
            text,
            "- context:\n    cluster: c{number}\n    user: clusterUser_rg_c{number}\n  name: c{number}\n"
        );
    }
    text.push_str("current-context: c0\nkind: Config\npreferences: {}\nusers:\n");
    for number in 0..users {
        let _ = write!(
            text,
            "- name: clusterUser_rg_c{number}\n  user:\n    auth-provider:\n      config:\n        \
             apiserver-id: 6dae42f8-4368-4678-94ff-3960e28e3630\n        \
             client-id: 80faf920-1908-4b52-b5ef-a8e7bedfc67a\n        config-mode: '1'\n        \
             environment: AzurePublicCloud\n        tenant-id: 11111111-2222-3333-4444-{number:012}\n      name: azure\n"
        );
    }
    text
}
