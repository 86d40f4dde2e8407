//! The arguments of `get-credentials`: which clusters, what to write.

use clap::{Arg, ArgMatches, Command as ClapCommand};

use super::{CONTEXT, DRY_RUN, KUBECONFIG, flag_values, login_args, switch, with_modes};
use crate::error::Error;
use crate::flag::{Flag, FlagValues};

/// What was typed after `get-credentials`.
pub struct GetCredentialsArgs {
    pub typed: FlagValues,
    /// A name, a pattern or a resource ID.
    pub word: Option<String>,
    pub group: Option<String>,
    pub name: Option<String>,
    /// Every cluster.
    pub all: bool,
    /// The admin certificate, instead of the user's own sign-in.
    pub admin: bool,
    pub public_fqdn: bool,
    pub format: Option<String>,
    /// The login mode to write, if different from the one used to sign in now.
    pub write_login: Option<String>,
    /// The name of the context, the cluster and the user.
    pub context: Option<String>,
    /// `-` is stdout.
    pub file: Option<String>,
    pub overwrite_existing: bool,
    pub no_current_context: bool,
    /// Print a diff, write nothing.
    pub dry_run: bool,
}

/// The command's name.
pub const NAME: &str = "get-credentials";
const WORD: &str = "cluster";
const RESOURCE_GROUP: &str = "resource-group";
const CLUSTER_NAME: &str = "name";
const ALL_CLUSTERS: &str = "all";
const ADMIN: &str = "admin";
const PUBLIC_FQDN: &str = "public-fqdn";
pub const FORMAT: &str = "format";
/// The values of `--format`.
pub const FORMATS: [&str; 2] = ["exec", "azure"];
pub const WRITE_LOGIN: &str = "write-login";
pub const FILE: &str = "file";
const OVERWRITE_EXISTING: &str = "overwrite-existing";
const NO_CURRENT_CONTEXT: &str = "no-current-context";
/// The short forms that only `get-credentials` has, as az has them.
const AZ_SHORTS: &[(char, &str)] = &[
    ('g', RESOURCE_GROUP),
    ('n', CLUSTER_NAME),
    ('a', ADMIN),
    ('f', FILE),
];

pub fn command() -> ClapCommand {
    ClapCommand::new(NAME)
        .about("Write a working kubeconfig for AKS clusters, without the Azure CLI")
        .defer(|command| {
            with_modes(command)
                .args(own_args())
                .args(login_args().map(for_get_credentials))
        })
}

/// A login flag, with its help for `get-credentials`.
fn for_get_credentials(arg: Arg) -> Arg {
    let name = arg.get_id().to_string();
    let is = |flag: Flag| flag.definition().name == name;
    if is(Flag::Login) {
        arg.help("How to sign in, and the login mode to write: one of those below [default: interactive where a browser can be opened, else devicecode]")
    } else if is(Flag::ServerId) {
        arg.help("Application ID of the AKS server to write [default: the one from Azure]")
    } else if is(Flag::Subscription) {
        arg.help("Subscription of the cluster, ID or name")
            .help_heading("Which cluster")
    } else {
        arg
    }
}

const WHICH: &str = "Which cluster";
const WRITTEN: &str = "What is written";

/// The flags that only `get-credentials` has: the name, what its value is called (none for a switch), the group in
/// `--help`, and its help.
#[rustfmt::skip]
const OWN: &[(&str, Option<&str>, &str, &str)] = &[
    (RESOURCE_GROUP, Some("GROUP"), WHICH, "Resource group of the cluster"),
    (CLUSTER_NAME, Some("NAME"), WHICH, "Name of the cluster, as for az aks get-credentials"),
    (ALL_CLUSTERS, None, WHICH, "All clusters that you can read (with --subscription, those in it)"),
    (ADMIN, None, WHICH, "Get the cluster's admin certificate, for emergencies; needs permission to list it"),
    (PUBLIC_FQDN, None, WHICH, "Use the public host name of a private cluster's API server"),
    (FORMAT, Some("FORMAT"), WHICH, "Format to request from Azure: exec or azure [default: exec]"),
    (WRITE_LOGIN, Some("MODE"), WRITTEN, "Login mode to write, if the kubeconfig is for others [default: that of --login]"),
    (CONTEXT, Some("NAME"), WRITTEN, "Name of the context, cluster and user [default: the cluster's]"),
    (FILE, Some("FILE"), WRITTEN, "The file to merge into, - for stdout [default: KUBECONFIG, else ~/.kube/config]"),
    (OVERWRITE_EXISTING, None, WRITTEN, "Replace other clusters' objects of the same name"),
    (NO_CURRENT_CONTEXT, None, WRITTEN, "Leave the current context as it is"),
    (DRY_RUN, None, WRITTEN, "Print a diff, write nothing"),
];

/// The arguments that only `get-credentials` has.
fn own_args() -> impl Iterator<Item = Arg> {
    let word = Arg::new(WORD)
        .value_name("CLUSTER")
        .help("Name, pattern ('prod-*') or resource ID of the cluster")
        .help_heading(WHICH);
    let flags = OWN.iter().map(|(name, value, heading, help)| {
        let arg = match value {
            Some(value) => super::value(name, value, help),
            None => switch(name).help(*help),
        };
        let short = AZ_SHORTS.iter().find(|(_, long)| long == name);
        let arg = match short {
            Some((letter, _)) => arg.short(*letter),
            None => arg,
        };
        let arg = match *name {
            FILE => arg.alias(KUBECONFIG),
            _ => arg,
        };
        arg.help_heading(*heading)
    });
    std::iter::once(word).chain(flags)
}

/// What was typed.
///
/// # Errors A flag is empty, for example because it comes from an unset variable: it would select another file or other
/// clusters.
pub fn read(matches: &ArgMatches) -> Result<GetCredentialsArgs, Error> {
    let text = |name| super::text(matches, name);
    let is_on = |name| Ok::<_, Error>(text(name)?.as_deref() == Some("true"));
    Ok(GetCredentialsArgs {
        typed: flag_values(matches),
        word: matches
            .get_one::<String>(WORD)
            .filter(|word| !word.is_empty())
            .cloned(),
        group: text(RESOURCE_GROUP)?,
        name: text(CLUSTER_NAME)?,
        all: is_on(ALL_CLUSTERS)?,
        admin: is_on(ADMIN)?,
        public_fqdn: is_on(PUBLIC_FQDN)?,
        format: text(FORMAT)?,
        write_login: text(WRITE_LOGIN)?,
        context: text(CONTEXT)?,
        file: text(FILE)?,
        overwrite_existing: is_on(OVERWRITE_EXISTING)?,
        no_current_context: is_on(NO_CURRENT_CONTEXT)?,
        dry_run: is_on(DRY_RUN)?,
    })
}
