//! `--login azurecli`: the account that az is signed in with.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone as _, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::outside_state::{Collector, read};
use super::program::{self, Product};
use crate::env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::Login;
use crate::options::{Options, Timeout};
use crate::secret::Secret;
use crate::system::{Program, System};
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

const AZ: &str = "az";

#[rustfmt::skip]
const AZURE_CLI: Product = Product {
    title: "the Azure CLI",
    install: "https://aka.ms/installazurecli",
    sign_in: "az login",
    advice: &[
        ("Tenant shouldn't be specified",
         "az is signed in with a managed identity, which has one tenant only: leave --tenant-id (AZURE_TENANT_ID) out."),
        ("only one of subscription and tenant",
         "A subscription has one tenant only: leave --tenant-id (AZURE_TENANT_ID) or --subscription out."),
        ("udience is not supported",
         "Cloud Shell's own identity cannot sign in to Kubernetes. Run: az login --scope <scope>"),
        ("not a supported MSI token audience",
         "Cloud Shell's own identity cannot sign in to Kubernetes. Run: az login --scope <scope>"),
        ("multiple accounts",
         "az remembers several accounts of that name. Run: az account clear, then: az login"),
        ("Multiple subscriptions",
         "Give --subscription the ID instead of the name: az account list shows it."),
        ("doesn't exist in cloud",
         "Check --subscription against az account list, and the cloud with az cloud show."),
        ("not found. Check the spelling",
         "Check --subscription against az account list."),
        ("az account set",
         "az has no active subscription. Run: az account set --subscription ID"),
        ("az login",
         "Run: az login --scope <scope>"),
        ("CERTIFICATE_VERIFY_FAILED",
         "az does not trust the TLS certificate it sees: name your company's CA in REQUESTS_CA_BUNDLE."),
        ("Failed to connect to MSI",
         "az is signed in with a managed identity that is not there. Run: az login"),
        ("Max retries exceeded",
         "az has no connection to Entra ID: check the network and HTTPS_PROXY."),
    ],
};

/// az with what it is asked for.
#[derive(Debug)]
pub struct AzureCli {
    tenant_id: Option<String>,
    subscription: Option<String>,
    state: State,
}

/// Where az keeps who is signed in, and with which account and cloud.
#[derive(Debug)]
pub struct State {
    /// `None` without a home.
    folder: Option<PathBuf>,
    /// AZURE_CLOUD_NAME
    cloud: Option<String>,
}

/// What az prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: Secret,
    /// Unix seconds, since az 2.54.
    #[serde(rename = "expires_on", default)]
    unix_time: Value,
    /// Local time without a zone: for an hour in autumn it means two moments.
    #[serde(default)]
    expires_on: Value,
}

pub(super) fn check_server(options: &Options) -> Result<(), Error> {
    program::check(Flag::ServerId, Some(&options.server_id), "._/:-").map(|_| ())
}

pub(super) fn check_tenant(options: &Options) -> Result<Option<String>, Error> {
    program::check(Flag::TenantId, options.tenant_id.as_deref(), ".-")
}

impl Login for AzureCli {
    fn identify(&self, key: CacheKey) -> CacheKey {
        key.with("tenant", self.tenant_id.as_deref().unwrap_or_default())
            .with(
                "subscription",
                self.subscription.as_deref().unwrap_or_default(),
            )
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let mut collector = Collector::new();
        self.state.collect(&mut collector).ok()?;
        Some(collector.finish())
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
    ) -> Result<Token, Error> {
        let output = program::ask(&self.program(scope), &AZURE_CLI, scope, timeout, system)?;
        let answer: Answer =
            program::json_object(&output).ok_or_else(|| program::no_token(AZ, &AZURE_CLI))?;
        let expires_on =
            unix_time(&answer.unix_time).or_else(|| local_time(answer.expires_on.as_str()?));
        program::token(AZ, &AZURE_CLI, answer.access_token, expires_on, system)
    }
}

impl AzureCli {
    /// Neither az nor azd gets a value that could mean more than it says, as with the original.
    pub fn new(options: &Options) -> Result<Self, Error> {
        check_server(options)?;
        Ok(Self {
            tenant_id: check_tenant(options)?,
            subscription: program::check(
                Flag::Subscription,
                options.subscription.as_deref(),
                "._ -",
            )?,
            state: State::new(options),
        })
    }

    fn program(&self, scope: &Scope) -> Program {
        let mut args = vec!["account", "get-access-token", "--output", "json"];
        args.extend(["--resource", scope.resource()]);
        if let Some(tenant) = &self.tenant_id {
            args.extend(["--tenant", tenant]);
        }
        if let Some(subscription) = &self.subscription {
            args.extend(["--subscription", subscription]);
        }
        Program {
            name: AZ,
            args: args.into_iter().map(str::to_owned).collect(),
            environment: self.state.variable().into_iter().collect(),
        }
    }
}

fn unix_time(value: &Value) -> Option<DateTime<Utc>> {
    let seconds = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 0)
}

/// `2026-11-22 01:50:41.000000`; of two moments the earlier.
fn local_time(text: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Local
        .from_local_datetime(&naive)
        .earliest()
        .map(|local| local.to_utc())
}

impl State {
    pub fn new(options: &Options) -> Self {
        Self {
            folder: options.azure_clis.az_folder.clone(),
            cloud: options.azure_clis.az_cloud.clone(),
        }
    }

    /// The variable by which az looks where [`State::collect`] does.
    pub fn variable(&self) -> Option<(&'static str, PathBuf)> {
        Some((env::AZURE_CONFIG_DIR, self.folder.clone()?))
    }

    /// The accounts, which of them is active, and the active cloud: what `az login`, `az logout`, `az account set`,
    /// `az account clear` and `az cloud set` change. Not the token cache, which changes with every refresh.
    pub fn collect(&self, collector: &mut Collector) -> io::Result<()> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        collector.add(folder.as_os_str().as_encoded_bytes());
        collector.add_file(&folder.join("azureProfile.json"))?;
        // Custom clouds, and the active subscription of each cloud.
        collector.add_file(&folder.join("clouds.config"))?;
        let config = read(&folder.join("config"))?.unwrap_or_default();
        let config = String::from_utf8_lossy(&config);
        let cloud = self.cloud.as_deref().or_else(|| configured_cloud(&config));
        collector.add(cloud.unwrap_or("AzureCloud").as_bytes());
        Ok(())
    }
}

/// `name` of the section `[cloud]` (Python's configparser format).
fn configured_cloud(config: &str) -> Option<&str> {
    let mut lines = config
        .lines()
        .skip_while(|line| line.trim() != "[cloud]")
        .skip(1);
    let section = lines.by_ref().take_while(|line| !line.starts_with('['));
    let mut values = section.filter_map(|line| line.split_once(['=', ':']));
    let name = values.find(|(key, _)| key.trim().eq_ignore_ascii_case("name"));
    name.map(|(_, value)| value.trim())
}
