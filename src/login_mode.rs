//! The words that `--login` accepts.

use std::fmt;

/// The value of `--login`: one variant per way to sign in that works, none for what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMode {
    DeviceCode,
    Interactive,
    Spn,
    Ropc,
    Msi,
    AzureCli,
    Azd,
    WorkloadIdentity,
    AzurePipelines,
}

impl LoginMode {
    /// Every mode, in the order that messages list them.
    pub const ALL: &[Self] = &[
        Self::DeviceCode,
        Self::Interactive,
        Self::Spn,
        Self::Ropc,
        Self::Msi,
        Self::AzureCli,
        Self::Azd,
        Self::WorkloadIdentity,
        Self::AzurePipelines,
    ];

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DeviceCode => "devicecode",
            Self::Interactive => "interactive",
            Self::Spn => "spn",
            Self::Ropc => "ropc",
            Self::Msi => "msi",
            Self::AzureCli => "azurecli",
            Self::Azd => "azd",
            Self::WorkloadIdentity => "workloadidentity",
            Self::AzurePipelines => "azurepipelines",
        }
    }

    /// The mode that `word` names, exactly as written.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.word() == word)
    }

    /// True if `--legacy` means something to the mode: it can ask the v1 endpoints.
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
        let modes = Self::ALL.iter().filter(|mode| is_one(**mode));
        modes.map(|mode| mode.word()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for LoginMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
