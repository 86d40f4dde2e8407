//! A cluster, and the clients that run kubelogin: kubectl and helm.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use crate::installed;
use crate::support::{CLIENT_SECRET, FakeApiServer, FakeEntra, TempDir};

/// A client's arguments, and what it prints if the cluster lets it in.
pub type Question<'q> = (&'q [&'q str], &'q str);

pub const NODES: Question<'static> = (&["get", "nodes"], "fake-node");
pub const RELEASES: Question<'static> = (&["list"], "fake-release");

pub struct Cluster {
    pub entra: FakeEntra,
    pub api_server: FakeApiServer,
    pub room: TempDir,
}

impl Cluster {
    pub fn start() -> Self {
        let entra = FakeEntra::start();
        let api_server = FakeApiServer::start(&entra);
        Self {
            entra,
            api_server,
            room: TempDir::new(),
        }
    }

    /// Runs a client with one kubeconfig or a list of them, and with kubelogin on PATH.
    pub fn run(&self, client: &str, args: &[&str], kubeconfig: impl AsRef<OsStr>) -> Output {
        let mut command = self.command(client, args, kubeconfig);
        command.output().expect("cannot start the client")
    }

    /// The command that [`Cluster::run`] runs.
    pub fn command(&self, client: &str, args: &[&str], kubeconfig: impl AsRef<OsStr>) -> Command {
        let kubelogin = Path::new(env!("CARGO_BIN_EXE_kubelogin"));
        let programs = kubelogin.parent().expect("a folder");
        let mut command = Command::new(installed(client));
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.room.path())
            .env("PATH", programs)
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
            .env("SSL_CERT_FILE", self.entra.ca_file())
            .env("HTTPS_PROXY", self.entra.proxy_url())
            .env("NO_PROXY", "127.0.0.1")
            .env("KUBELOGIN_TOKEN_CACHE_STORAGE", "disk");
        command
    }

    /// Runs a client as a user would, and checks that the cluster answered.
    #[track_caller]
    pub fn answers(
        &self,
        client: &str,
        (args, shown): Question,
        kubeconfig: impl AsRef<OsStr>,
    ) -> Output {
        let output = self.run(client, args, kubeconfig);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && stdout.contains(shown),
            "{client}: {output:?}"
        );
        output
    }
}
