//! `--login azd`: the account that the Azure Developer CLI is signed in with.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::azurecli;
use super::outside_state::Collector;
use super::program::{self, Product};
use crate::env;
use crate::error::Error;
use crate::login::Login;
use crate::options::{Options, Timeout};
use crate::secret::Secret;
use crate::system::{Program, System};
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

const AZD: &str = "azd";

#[rustfmt::skip]
const AZURE_DEVELOPER_CLI: Product = Product {
    title: "the Azure Developer CLI",
    install: "https://aka.ms/azd-install",
    sign_in: "azd auth login",
    advice: &[
        ("auth login", "Run: azd auth login --scope <scope>"),
        ("not logged in", "Run: azd auth login --scope <scope>"),
        ("certificate", "azd does not trust the TLS certificate it sees: add your company's CA to the trust store of this machine."),
    ],
};

/// azd with what it is asked for.
#[derive(Debug)]
pub struct Azd {
    tenant_id: Option<String>,
    /// azd's state; `None` without a home.
    folder: Option<PathBuf>,
    /// True if an editor signs in for it.
    has_host: bool,
    /// az's state: azd may be told to leave its tokens to az (`auth.useAzCliAuth`).
    az: azurecli::State,
}

/// What azd prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: Secret,
    #[serde(default)]
    expires_on: Value,
}

impl Login for Azd {
    fn identify(&self, key: CacheKey) -> CacheKey {
        key.with("tenant", self.tenant_id.as_deref().unwrap_or_default())
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let mut collector = Collector::new();
        self.collect(&mut collector).ok()?;
        Some(collector.finish())
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let product = &AZURE_DEVELOPER_CLI;
        let output = program::ask(&self.program(scope), product, scope, timeout, system)?;
        let answer: Answer =
            program::json_object(&output).ok_or_else(|| program::no_token(AZD, product))?;
        let expires_on = answer.expires_on.as_str().and_then(moment);
        program::token(AZD, product, answer.token, expires_on, system)
    }
}

impl Azd {
    pub fn new(options: &Options) -> Result<Self, Error> {
        azurecli::check_server(options)?;
        Ok(Self {
            tenant_id: azurecli::check_tenant(options)?,
            folder: options.azure_clis.azd_folder.clone(),
            has_host: options.azure_clis.azd_has_host,
            az: azurecli::State::new(options),
        })
    }

    fn program(&self, scope: &Scope) -> Program {
        let mut args = vec!["auth", "token", "--output", "json", "--no-prompt"];
        args.extend(["--scope", scope.as_str()]);
        if let Some(tenant) = &self.tenant_id {
            args.extend(["--tenant-id", tenant]);
        }
        let variable = |folder: &PathBuf| (env::AZD_CONFIG_DIR, folder.clone());
        Program {
            name: AZD,
            args: args.into_iter().map(str::to_owned).collect(),
            // So that it looks where `outside_state` did.
            environment: self
                .folder
                .iter()
                .map(variable)
                .chain(self.az.variable())
                .collect(),
        }
    }

    /// Who is signed in (`auth.json`), whether az signs in (`config.json`), and az's own state: what `azd auth login` and
    /// `azd auth logout` change. Not the token cache in `auth/`, which changes with every refresh.
    fn collect(&self, collector: &mut Collector) -> io::Result<()> {
        let folder = self.folder.as_ref().filter(|_| !self.has_host);
        let folder = folder.ok_or(io::ErrorKind::NotFound)?;
        collector.add(folder.as_os_str().as_encoded_bytes());
        collector.add_file(&folder.join("auth.json"))?;
        collector.add_file(&folder.join("config.json"))?;
        self.az.collect(collector)
    }
}

/// `2026-01-01T00:00:00Z`
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    Some(moment.to_utc())
}
