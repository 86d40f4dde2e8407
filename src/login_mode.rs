//! The login modes: the values of `--login`.

use std::fmt;

use clap::ValueEnum;

use crate::error::Error;

/// A value of `--login`: one variant for each supported way to sign in.
///
/// A variant's name in lower case is the word; its first doc line is the help that completion shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "lower")]
pub enum LoginMode {
    /// A person, with a code and a browser on any device
    #[default]
    DeviceCode,
    /// A person, with a browser on this machine
    Interactive,
    /// A service principal, with a client secret or certificate
    Spn,
    /// A user name and password, without MFA
    Ropc,
    /// A managed identity (VM, AKS node, App Service, Container Apps, Arc)
    Msi,
    /// The account of the Azure CLI (az login)
    AzureCli,
    /// The account of the Azure Developer CLI (azd auth login)
    Azd,
    /// The account of Azure PowerShell (Connect-AzAccount)
    AzurePowerShell,
    /// A federated token (AKS pod, GitHub Actions job)
    WorkloadIdentity,
    /// A service connection of Azure Pipelines
    AzurePipelines,
    /// The first of the others that this machine, pod or job is set up for
    Auto,
}

/// PowerShell 7 and, on Windows, the older one that is part of the system.
pub const POWERSHELLS: &[&str] = match cfg!(windows) {
    true => &["pwsh", "powershell"],
    false => &["pwsh"],
};

/// Where a login mode gets its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Entra ID itself.
    Entra,
    /// The Azure host that kubelogin runs on.
    Host,
    /// Another program, by its commands: the first that is installed counts.
    Program(&'static [&'static str]),
}

impl LoginMode {
    /// Every mode, in the order that messages list them.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The mode of this word, exactly as written.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }

    /// The mode of a value of `--login`, or the default without one.
    ///
    /// # Errors
    /// No mode has this name.
    pub fn parse(word: Option<&str>) -> Result<Self, Error> {
        let Some(word) = word else {
            return Ok(Self::default());
        };
        Self::from_word(word).ok_or_else(|| {
            Error::input(format!("{word:?} is not a supported login mode")).remedy(format!(
                "Set --login or AAD_LOGIN_METHOD to one of {}.",
                Self::words()
            ))
        })
    }

    /// Where the mode gets its tokens.
    pub const fn source(self) -> Source {
        match self {
            Self::DeviceCode
            | Self::Interactive
            | Self::Spn
            | Self::Ropc
            | Self::WorkloadIdentity
            | Self::AzurePipelines
            // Until it has been chosen.
            | Self::Auto => Source::Entra,
            Self::Msi => Source::Host,
            Self::AzureCli => Source::Program(&["az"]),
            Self::Azd => Source::Program(&["azd"]),
            Self::AzurePowerShell => Source::Program(POWERSHELLS),
        }
    }

    /// True if a person signs in, with the ID of a public client.
    pub const fn is_of_people(self) -> bool {
        matches!(self, Self::DeviceCode | Self::Interactive | Self::Ropc)
    }

    /// True if the mode can use the v1 endpoints (`--legacy`).
    pub const fn speaks_v1(self) -> bool {
        matches!(self, Self::DeviceCode | Self::Spn | Self::Ropc)
    }

    /// True if the mode can bind its token to a key (`--pop-enabled`).
    pub const fn proves_possession(self) -> bool {
        matches!(self, Self::Interactive | Self::Spn | Self::Ropc)
    }

    /// All words, for a message.
    pub fn words() -> String {
        Self::words_of(|_| true)
    }

    /// The words of the modes that `is_one` is true for, for a message.
    pub fn words_of(is_one: impl Fn(Self) -> bool) -> String {
        let modes = Self::all().iter().filter(|mode| is_one(**mode));
        let words: Vec<_> = modes.map(Self::to_string).collect();
        words.join(", ")
    }
}

impl fmt::Display for LoginMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
