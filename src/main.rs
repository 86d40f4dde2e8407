//! kubelogin signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID.

fn main() {}
