//! Signs in to Azure Resource Manager, and afterwards to the clusters.

use std::time::Duration;

use super::entries::Entries;
use super::target::Target;
use crate::arm::refusal::{Asked, Refusal};
use crate::arm::{Arm, Cluster, Failure, Filter, Kind, ResourceId, Wanted};
use crate::cli::GetCredentialsArgs;
use crate::entra::cloud::ResourceManager;
use crate::env::{self, Env};
use crate::error::{Error, did_you_mean};
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::fetched::Login;
use crate::kubeconfig::merge::Addition;
use crate::login::auto::{self, Resolved};
use crate::login_mode::{LoginMode, Source};
use crate::options::Options;
use crate::secret::Secret;
use crate::sign_in::{Chosen, SignIn};
use crate::system::{System, has_browser};
use crate::token::{Scope, Token, is_guid, unverified_claims};
use crate::variables::{AZ_CLIENT, Merged};

/// The tenant for users whose tenant is not known yet: they sign in to their own.
const ANY_TENANT: &str = "organizations";

/// How long to delay an error in order to improve it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Flags about the clusters' own tokens or the choice of clusters, not about tokens for Azure Resource Manager.
const OF_CLUSTERS: &[Flag] = &[
    Flag::ServerId,
    Flag::Subscription,
    Flag::Legacy,
    Flag::PopEnabled,
    Flag::PopClaims,
];

/// Why another token may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// The current one is not accepted: it expired, or is from another tenant.
    Token,
    /// The sign-in was not strong enough; the challenge says what is missing.
    Claims,
}

pub struct Session<'a> {
    typed: FlagValues,
    /// What the flags and the environment asked for before anything was filled in.
    asked: Resolved,
    options: Options,
    manager: ResourceManager,
    sign_in: Chosen<'a>,
    token: Token,
    /// An ID or a name, from the flag or the environment.
    subscription: Option<String>,
    /// The renewals tried so far; each is tried once.
    tried: Vec<Renewal>,
    env: &'a Env,
    system: &'a dyn System,
}

impl<'a> Session<'a> {
    /// Signs in, to the right tenant if it can be found out beforehand.
    pub fn begin(
        args: &GetCredentialsArgs,
        target: &Target,
        env: &'a Env,
        system: &'a dyn System,
    ) -> Result<Self, Error> {
        let subscription = subscription(args, target, env);
        let mut typed = args.typed.clone();
        for flag in OF_CLUSTERS {
            typed.set(*flag, "");
        }
        // Only completes the options: the scope says what the token is for.
        typed.set(Flag::ServerId, "azure-resource-manager");
        if !Merged::new(&typed, env).values.is_given(Flag::Login) {
            typed.set(Flag::Login, default_mode(env).to_string());
        }
        let asked = auto::resolve(&typed, env)?;
        for notice in &asked.notices {
            system.notice(notice);
        }
        let options = &asked.options;
        let manager = options
            .cloud
            .resource_manager(options.stack_file.as_deref())?;
        if options.tenant_id.is_none()
            && let Some(tenant) = tenant(options, &manager, subscription.as_deref(), system)?
        {
            typed.set(Flag::TenantId, tenant);
        }
        let scope = Scope::of_resource(&manager.audience);
        let resolved = resolve_with_client(&scope, &asked, &mut typed, env)?;
        let sign_in = Chosen::new(&resolved, env, system)?;
        let token = sign_in.token(&scope)?;
        Ok(Self {
            typed,
            asked,
            options: resolved.options,
            manager,
            sign_in,
            token,
            subscription,
            tried: Vec::new(),
            env,
            system,
        })
    }

    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The login mode for the kubeconfig; `auto` stays `auto`.
    pub fn written_mode(&self) -> LoginMode {
        match auto::is_asked_for(&self.typed, self.env) {
            true => LoginMode::Auto,
            false => self.options.login,
        }
    }

    /// The tenant of the token.
    pub fn tenant_id(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Tenant {
            tid: String,
        }
        let claims: Option<Tenant> = unverified_claims(&self.token.access_token);
        let of_token = claims.map(|claims| claims.tid).filter(|tid| is_guid(tid));
        of_token.or_else(|| {
            self.options
                .tenant_id
                .clone()
                .filter(|tenant| is_guid(tenant))
        })
    }

    /// What was searched, for a message.
    pub fn place(&self, filter: Filter) -> String {
        let tenant = self.tenant_id().unwrap_or_else(|| "your tenant".to_owned());
        match (filter.group, filter.subscription) {
            (Some(group), Some(id)) => format!("group {group:?} of subscription {id}"),
            (None, Some(id)) => format!("subscription {id}"),
            (Some(group), None) => format!("any group {group:?} of tenant {tenant}"),
            (None, None) => format!("tenant {tenant}"),
        }
    }

    /// The ID of the subscription to look in, if one is named.
    pub fn subscription(&mut self) -> Result<Option<String>, Error> {
        let Some(text) = self.subscription.clone().filter(|text| !is_guid(text)) else {
            return Ok(self.subscription.clone());
        };
        let asked = Arm::asked_for_clusters(None);
        let all = self
            .ask(|arm| arm.subscriptions())
            .map_err(|failure| self.explain(failure, &asked))?;
        let named: Vec<_> = all
            .iter()
            .filter(|subscription| subscription.display_name.eq_ignore_ascii_case(&text))
            .collect();
        match &named[..] {
            [one] => Ok(Some(one.id.clone())),
            [] => {
                let known = all
                    .iter()
                    .map(|subscription| subscription.display_name.as_str());
                let near = crate::error::nearest(&text, known.collect());
                Err(Error::input(format!(
                    "you have no access to a subscription named {text:?}"
                ))
                .remedy(format!(
                    "Give its ID, or check --tenant-id. {}",
                    did_you_mean(&near)
                )))
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
                Err(
                    Error::input(format!("{} subscriptions are named {text:?}", ids.len()))
                        .remedy(format!("Give the ID of one: {}.", ids.join(", "))),
                )
            }
        }
    }

    fn arm(&self) -> Arm<'a> {
        self.arm_within(self.options.timeout.duration)
    }

    fn arm_within(&self, timeout: Duration) -> Arm<'a> {
        let bearer = self.token.access_token.clone();
        Arm::new(self.manager.endpoint.clone(), bearer, timeout, self.system)
    }

    /// Sends a request to Azure Resource Manager, and again if it rejects the token and a new one may help.
    pub fn ask<T>(&mut self, ask: impl Fn(&Arm) -> Result<T, Failure>) -> Result<T, Failure> {
        loop {
            match ask(&self.arm()) {
                Err(failure) if self.renew(&failure)? => {}
                answer => return answer,
            }
        }
    }

    /// Gets another token: from the tenant that ARM named, with the claims it requires, or a fresher one. False if that would
    /// not help, or did not help before.
    fn renew(&mut self, failure: &Failure) -> Result<bool, Error> {
        let Some(refusal) = failure.refusal() else {
            return Ok(false);
        };
        let scope = Scope::of_resource(&self.manager.audience);
        let (renewal, scope) = match refusal.claims() {
            Some(claims) if self.options.login.source() == Source::Entra => {
                (Renewal::Claims, scope.with_claims(claims))
            }
            None if refusal.is_of_token() => (Renewal::Token, scope),
            _ => return Ok(false),
        };
        if self.tried.contains(&renewal) {
            return Ok(false);
        }
        self.tried.push(renewal);
        let other_tenant = refusal
            .tenant
            .clone()
            .filter(|tenant| Some(tenant) != self.tenant_id().as_ref());
        match other_tenant {
            Some(tenant) if renewal == Renewal::Token => {
                self.typed.set(Flag::TenantId, tenant);
                let resolved = resolve_with_client(&scope, &self.asked, &mut self.typed, self.env)?;
                self.sign_in = Chosen::new(&resolved, self.env, self.system)?;
                self.options = resolved.options;
                self.token = self.sign_in.token(&scope)?;
            }
            _ => self.token = self.sign_in.renewed_token(&scope)?,
        }
        Ok(true)
    }

    /// The error for the user. If the login mode cannot answer a challenge, it names the command that can.
    pub fn explain(&self, failure: Failure, asked: &Asked) -> Error {
        let fix = failure.refusal().and_then(|refusal| {
            let (login, challenge) = (self.options.login, refusal.challenge()?);
            let tenant = refusal.tenant.clone().or_else(|| self.tenant_id())?;
            Some(match login {
                LoginMode::AzureCli => format!(
                    "Sign in to az with it, then try again: az login --tenant {tenant} --scope {}/.default --claims-challenge {challenge}",
                    self.manager.audience
                ),
                LoginMode::AzurePowerShell => format!(
                    "Sign in to Azure PowerShell with it, then try again: Connect-AzAccount -Tenant {tenant} -ClaimsChallenge {challenge}"
                ),
                login if login.source() != Source::Entra => format!(
                    "--login {login} cannot do that: use --login interactive, or ask your Conditional Access administrator."
                ),
                _ => return None,
            })
        });
        let error = failure.explain(asked);
        match fix {
            Some(fix) => error.remedy(fix),
            None => error,
        }
    }

    /// The kubeconfig of each cluster. Calls `done` as each arrives.
    pub fn kubeconfigs(
        &mut self,
        clusters: &[Cluster],
        wanted: Wanted,
        done: &mut dyn FnMut(usize),
    ) -> Vec<Result<Secret, Error>> {
        let ids: Vec<_> = clusters.iter().map(|cluster| &cluster.id).collect();
        let mut results: Vec<Option<Result<Secret, Failure>>> = ids.iter().map(|_| None).collect();
        let mut wanting: Vec<usize> = (0..ids.len()).collect();
        while !wanting.is_empty() {
            let asked: Vec<_> = wanting.iter().map(|number| ids[*number]).collect();
            self.arm().kubeconfigs(&asked, wanted, &mut |at, result| {
                let number = wanting[at];
                if results[number].replace(result).is_none() {
                    done(number);
                }
            });
            wanting = match self.renew_for(&results) {
                Ok(refused) => refused,
                Err(error) => {
                    results[wanting[0]] = Some(Err(error.into()));
                    break;
                }
            };
        }
        let ids = ids.iter().zip(results);
        let explained = ids.map(|(id, result)| {
            let result = result.unwrap_or_else(|| Err(Error::outside("no response came").into()));
            result.map_err(|failure| {
                let is_missing = failure.refusal().is_some_and(Refusal::is_not_found);
                let elsewhere = match is_missing && clusters.len() == 1 {
                    true => self.elsewhere(id),
                    false => None,
                };
                let error = self.explain(failure, &wanted.asked(id));
                match elsewhere {
                    Some(elsewhere) => error.remedy(elsewhere),
                    None => error,
                }
            })
        });
        explained.collect()
    }

    /// Gets another token if that may help, and returns the clusters to request again.
    fn renew_for(
        &mut self,
        results: &[Option<Result<Secret, Failure>>],
    ) -> Result<Vec<usize>, Error> {
        let refusals = results.iter().enumerate().filter_map(|(number, result)| {
            let failure = result.as_ref()?.as_ref().err()?;
            Some((number, failure, failure.refusal()?))
        });
        let challenged = refusals
            .clone()
            .filter(|(.., refusal)| refusal.claims().is_some());
        let mut refused: Vec<_> = challenged.collect();
        if refused.is_empty() {
            refused = refusals
                .filter(|(.., refusal)| refusal.is_of_token())
                .collect();
            // A token that works for other clusters is not to blame.
            if refused.len() < results.len() {
                return Ok(Vec::new());
            }
        }
        let Some((_, failure, _)) = refused.first() else {
            return Ok(Vec::new());
        };
        Ok(match self.renew(failure)? {
            true => refused.iter().map(|(number, ..)| *number).collect(),
            false => Vec::new(),
        })
    }

    /// Where Resource Graph finds clusters with the same name, for the error about a cluster that is not in the expected
    /// place.
    fn elsewhere(&self, id: &ResourceId) -> Option<String> {
        const SHOWN: usize = 3;
        let name = id.name.as_str();
        if id.kind != Kind::Cluster {
            return None;
        }
        let filter = Filter {
            name: Some(name),
            ..Filter::default()
        };
        let timeout = self.options.timeout.duration.min(PATIENCE);
        let found = self.arm_within(timeout).graph(filter).ok()?;
        let others: Vec<_> = found
            .iter()
            .map(|cluster| &cluster.id)
            .filter(|other| other.key() != id.key())
            .collect();
        let commands = others.iter().take(SHOWN).map(|other| {
            let (group, subscription) = (&other.group, &other.subscription);
            format!("kubelogin get-credentials -g {group} -n {name} --subscription {subscription}")
        });
        let commands: Vec<_> = commands.collect();
        match others.len() {
            0 => None,
            1 => Some(format!(
                "A cluster with this name exists elsewhere: {}",
                commands[0]
            )),
            count => Some(format!(
                "{count} clusters with this name exist elsewhere: {}",
                commands.join(", or ")
            )),
        }
    }

    /// Gets the clusters' own tokens from the existing sign-in, so that kubectl need not prompt. If that fails, kubectl
    /// signs in as usual.
    pub fn prepare(&self, additions: &[Addition], entries: &mut Entries) {
        if self.token.refresh_token.is_none() {
            return;
        }
        let mut seen: Vec<&[String]> = Vec::new();
        for addition in additions {
            let Login::Exec(exec) = &addition.fetched.login else {
                continue;
            };
            if seen.contains(&&exec.args[..]) {
                continue;
            }
            seen.push(&exec.args);
            if let Err(error) = self.prepare_one(&exec.args, entries)
                && self.system.verbosity() >= 1
            {
                let (what, _) = error.parts();
                self.system
                    .tell(&format!("kubectl will ask you to sign in: {what}"));
            }
        }
    }

    fn prepare_one(&self, args: &[String], entries: &mut Entries) -> Result<(), Error> {
        let options = auto::resolve(&entries.values(args)?, self.env)?.options;
        let is_same_client = options.client_id == self.options.client_id;
        if options.login != self.options.login || !is_same_client {
            return Ok(());
        }
        let sign_in = SignIn::new(&options, self.env, self.system)?;
        let scope = Scope::of_server(&options.server_id);
        sign_in
            .token_of_same_sign_in(&self.token, &scope)
            .map(|_| ())
    }
}

/// Merges the flags with the environment. The default client for users is the Azure CLI's: it may get tokens for both Azure
/// Resource Manager and clusters, so that one sign-in is enough; the public client of AKS may not. Now that the tenant is
/// known, `auto` may choose another login; it ignores this client for applications.
fn resolve_with_client(
    scope: &Scope,
    asked: &Resolved,
    typed: &mut FlagValues,
    env: &Env,
) -> Result<Resolved, Error> {
    let options = &asked.options;
    let is_for_people = options.login.is_of_people() || asked.choice.is_some();
    if is_for_people && !Merged::new(typed, env).values.is_given(Flag::ClientId) {
        typed.set(Flag::ClientId, AZ_CLIENT);
    }
    auto::resolve_for(scope, asked, typed, env)
}

/// The default tenant: the subscription's, or else the user's own.
fn tenant(
    options: &Options,
    manager: &ResourceManager,
    subscription: Option<&str>,
    system: &dyn System,
) -> Result<Option<String>, Error> {
    if let Some(id) = subscription.filter(|text| is_guid(text)) {
        let timeout = options.timeout.duration;
        let arm = Arm::new(manager.endpoint.clone(), Secret::empty(), timeout, system);
        let asked = Arm::asked_for_clusters(Some(id));
        let tenant = arm.tenant_of(id);
        if let Some(tenant) = tenant.map_err(|failure| failure.explain(&asked))? {
            return Ok(Some(tenant));
        }
    }
    let is_of_people = options.login.is_of_people();
    Ok(is_of_people.then(|| ANY_TENANT.to_owned()))
}

/// The subscription from the resource ID, the flag or, for a cluster given by group and name, the variable.
fn subscription(args: &GetCredentialsArgs, target: &Target, env: &Env) -> Option<String> {
    let of_variable = || {
        let name = match args.typed.is_on(Flag::UseAzurermEnvVars) {
            true => env::ARM_SUBSCRIPTION_ID,
            false => env::AZURE_SUBSCRIPTION_ID,
        };
        env.get(name).filter(|_| target.is_in_one_group())
    };
    let text = target
        .subscription()
        .or(args.typed.text(Flag::Subscription));
    text.or_else(of_variable).map(str::to_owned)
}

/// The default login mode: a browser if one can be opened, because more and more tenants block device codes.
fn default_mode(env: &Env) -> LoginMode {
    match has_browser(env) {
        true => LoginMode::Interactive,
        false => LoginMode::DeviceCode,
    }
}
