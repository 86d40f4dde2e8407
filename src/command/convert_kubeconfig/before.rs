//! A user before the conversion, and what is kept in a comment for later conversions.

use super::arguments::{Keep, Wanted, keep, push};
use crate::cli::{OldArgs, UnknownFlag};
use crate::error::Error;
use crate::flag::{Flag, FlagValues, Takes};
use crate::kubeconfig::write::quoted;
use crate::login_mode::LoginMode;

/// A user before the conversion, as flags.
pub struct Before {
    /// The login mode's word.
    login: String,
    /// The login mode; `None` if the word is unknown.
    pub mode: Option<LoginMode>,
    pub values: FlagValues,
    /// `-v`, which belongs to no login mode.
    pub verbosity: Option<i64>,
    /// What earlier conversions kept for other login modes.
    remembered: Remembered,
    note: Option<String>,
    /// Flags that were removed, each with the flag that was probably meant.
    pub unknown: Vec<UnknownFlag>,
}

/// Flags that a converted user does not use, kept in a comment for a later conversion.
#[derive(Default)]
struct Remembered {
    /// Flags that fit any login mode.
    general: FlagValues,
    /// The flags of the login modes before this one, the last one first.
    former: Vec<Former>,
}

/// The flags that a user had with another login mode.
struct Former {
    login: String,
    mode: Option<LoginMode>,
    values: FlagValues,
}

impl Former {
    fn new(login: &str, values: FlagValues) -> Self {
        Self {
            login: login.to_owned(),
            mode: LoginMode::from_word(login),
            values,
        }
    }
}

impl Before {
    /// For a user without our comment: kubectl's former built-in login, which used a device code, or arguments from Azure.
    pub fn of_values(values: FlagValues) -> Self {
        let login = values.text(Flag::Login).map(str::to_owned);
        let login = login.unwrap_or_else(|| LoginMode::default().to_string());
        Self {
            mode: LoginMode::from_word(&login),
            login,
            values,
            verbosity: None,
            remembered: Remembered::default(),
            note: None,
            unknown: Vec::new(),
        }
    }

    /// For an exec plugin's arguments and the comment that an earlier conversion left above them.
    pub fn of_exec(args: &[&str], note: Option<&str>, parser: &mut OldArgs) -> Result<Self, Error> {
        let (values, verbosity, unknown) = parser.parse_known(args)?;
        let remembered = note.and_then(|note| Remembered::read(note, parser));
        Ok(Self {
            verbosity,
            remembered: remembered.unwrap_or_default(),
            note: note.map(str::to_owned),
            unknown,
            ..Self::of_values(values)
        })
    }

    /// The same user, with missing IDs taken from a login that was left behind.
    #[must_use]
    pub fn or(mut self, left_behind: &FlagValues) -> Self {
        let ids = [
            Flag::Environment,
            Flag::TenantId,
            Flag::ClientId,
            Flag::ServerId,
        ];
        for flag in ids {
            if !self.values.is_given(flag) {
                self.values.copy(flag, left_behind);
            }
        }
        self
    }

    /// The tenant that the user has, or had before its last conversion.
    pub fn tenant(&self) -> Option<&str> {
        let mut sources = self.sources().map(|(_, values)| values);
        sources.find_map(|values| values.text(Flag::TenantId))
    }

    /// All flags that the user has or had, the present ones first, each with the login mode that they were for.
    pub fn sources(&self) -> impl Iterator<Item = (Option<LoginMode>, &FlagValues)> {
        let Remembered { general, former } = &self.remembered;
        let former = former.iter().map(|former| (former.mode, &former.values));
        std::iter::once((self.mode, &self.values))
            .chain(former)
            .chain([(None, general)])
    }
}

impl Remembered {
    /// Reads our comment: flags for any login mode, then those of each mode, which begin with its `--login`. If it was
    /// damaged, only its content is lost.
    fn read(note: &str, parser: &mut OldArgs) -> Option<Self> {
        /// One per mode, and one for an unknown mode.
        const MOST: usize = 12;
        let words: Vec<String> = serde_json::from_str(note).ok()?;
        let login = Flag::Login.typed();
        let mut sections = words.split(|word| *word == login).take(1 + MOST);
        let mut values = |words: &[String]| {
            if words.is_empty() {
                return Some(FlagValues::new());
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            parser.parse(&words).ok().map(|(values, _)| values)
        };
        let general = values(sections.next()?)?;
        let mut former: Vec<Former> = Vec::new();
        for section in sections {
            let (word, words) = section.split_first()?;
            if former.iter().all(|other| other.login != *word) {
                former.push(Former::new(word, values(words)?));
            }
        }
        (!former.is_empty()).then_some(Self { general, former })
    }
}

impl Wanted<'_> {
    /// What the new arguments do not use but another login mode will need. Never a secret.
    pub fn note(&self, before: &Before, new: &FlagValues) -> Option<String> {
        let Remembered { general, former } = &before.remembered;
        if before.mode == Some(self.mode) {
            let is_aside = |flag: &Flag| {
                let is_refused =
                    self.keep(*flag) == Keep::Never || self.is_public_client(*flag, &before.values);
                is_refused && before.values.is_given(*flag) && !new.is_given(*flag)
            };
            let aside: Vec<_> = worth_keeping().filter(is_aside).collect();
            if aside.is_empty() {
                return before.note.clone();
            }
            let mut general = general.clone();
            for flag in aside {
                general.copy(flag, &before.values);
            }
            let present = Former::new(&before.login, FlagValues::new());
            let former = former.iter().map(|former| (&*former.login, &former.values));
            let former: Vec<_> = match former.len() {
                0 => vec![(&*present.login, &present.values)],
                _ => former.collect(),
            };
            return written_note(&general, &former);
        }
        let kept_general = copy_if(general, |flag| {
            !before.values.is_given(flag)
                && !self.typed.is_given(flag)
                && self.is_lost(flag, None, general, new)
        });
        let present = (&*before.login, before.mode, &before.values);
        let older = former
            .iter()
            .map(|former| (&*former.login, former.mode, &former.values))
            .filter(|(login, mode, _)| *mode != Some(self.mode) && *login != before.login);
        let former: Vec<_> = std::iter::once(present)
            .chain(older)
            .map(|(login, mode, values)| {
                let lost = copy_if(values, |flag| self.is_lost(flag, mode, values, new));
                (login, lost)
            })
            .collect();
        let former: Vec<_> = former.iter().map(|(login, lost)| (*login, lost)).collect();
        written_note(&kept_general, &former)
    }

    /// True for a value that the new arguments do not have, or from which `mode` alone would take it back.
    fn is_lost(
        &self,
        flag: Flag,
        mode: Option<LoginMode>,
        old: &FlagValues,
        new: &FlagValues,
    ) -> bool {
        let is_own = mode.is_some_and(|mode| keep(mode, flag) == Keep::Given);
        !self.typed.is_cleared(flag) && (is_own || !new.is_same(flag, old))
    }
}

fn worth_keeping() -> impl Iterator<Item = Flag> {
    let safe = Flag::ALL
        .iter()
        .filter(|definition| !matches!(definition.takes, Takes::Secret(_)));
    safe.map(|definition| definition.flag)
        .filter(|flag| *flag != Flag::Login)
}

/// The values that are worth keeping and for which `is_kept` holds.
fn copy_if(values: &FlagValues, is_kept: impl Fn(Flag) -> bool) -> FlagValues {
    let mut copy = FlagValues::new();
    for flag in worth_keeping().filter(|flag| values.is_given(*flag) && is_kept(*flag)) {
        copy.copy(flag, values);
    }
    copy
}

/// Our comment: flags for any login mode, then those of each former mode, latest first. Older modes without flags are left
/// out.
fn written_note(general: &FlagValues, former: &[(&str, &FlagValues)]) -> Option<String> {
    let words = |values: &FlagValues| {
        let mut words = Vec::new();
        for flag in worth_keeping() {
            push(&mut words, flag, values);
        }
        words
    };
    let mut note = words(general);
    let mut is_empty = note.is_empty();
    for (number, (login, values)) in former.iter().enumerate() {
        let words = words(values);
        if number > 0 && words.is_empty() {
            continue;
        }
        is_empty &= words.is_empty();
        note.extend([Flag::Login.typed().to_owned(), (*login).to_owned()]);
        note.extend(words);
    }
    if is_empty {
        return None;
    }
    let note: Vec<_> = note.iter().map(|word| quoted(word)).collect();
    Some(format!("[{}]", note.join(", ")))
}
