//! The words that `--login` accepts.

use std::fmt;

/// The value of `--login`: one variant per way to sign in that works, none for what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMode {
    DeviceCode,
    Interactive,
    Spn,
    Msi,
    AzureCli,
    Azd,
}

impl LoginMode {
    /// Every mode, in the order that messages list them.
    pub const ALL: &[Self] = &[
        Self::DeviceCode,
        Self::Interactive,
        Self::Spn,
        Self::Msi,
        Self::AzureCli,
        Self::Azd,
    ];

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DeviceCode => "devicecode",
            Self::Interactive => "interactive",
            Self::Spn => "spn",
            Self::Msi => "msi",
            Self::AzureCli => "azurecli",
            Self::Azd => "azd",
        }
    }

    /// The mode that `word` names, exactly as written.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.word() == word)
    }

    /// All words, for a message.
    pub fn words() -> String {
        Self::ALL
            .iter()
            .map(|mode| mode.word())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for LoginMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
