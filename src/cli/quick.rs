//! Parses the command line of `get-token` with only the flags that it names: building all of them takes longer than
//! reading and opening a cached token.

use std::ffi::OsString;

use clap::{ArgMatches, Command as ClapCommand};

use super::{GET_TOKEN, flag_arg, global_args};
use crate::flag::{Definition, Flag};

/// Parses a call of `get-token` as programs make it. `None` for any other call, and for one with a mistake: the full
/// parser says what is wrong.
pub fn named_flags(args: &[OsString]) -> Option<ArgMatches> {
    let (command, words) = args.get(1..)?.split_first()?;
    if command != GET_TOKEN {
        return None;
    }
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str())
        .collect::<Option<_>>()?;
    // Flags in one word, like -lspn, are not taken apart here.
    let has_short = words
        .iter()
        .any(|word| word.starts_with('-') && !word.starts_with("--"));
    let is_named = |flag: &Definition| {
        has_short && flag.short.is_some() || words.iter().any(|word| word.contains(flag.name))
    };
    flags_alone(is_named).try_get_matches_from(&words).ok()
}

/// The wanted flags of `get-token`, without the rest of the command line.
pub fn flags_alone(is_wanted: impl Fn(&Definition) -> bool) -> ClapCommand {
    let wanted = Flag::ALL.iter().filter(|flag| is_wanted(flag));
    ClapCommand::new(GET_TOKEN)
        .no_binary_name(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .args(global_args())
        .args(wanted.map(|definition| flag_arg(definition.flag)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::{Cli, Command};

    fn words() -> impl Strategy<Value = Vec<String>> {
        let flag = (
            0..Flag::ALL.len(),
            prop::bool::ANY,
            "(=|=true|=x|=--legacy)?",
        );
        let flag = flag.prop_map(|(number, is_short, value)| match &Flag::ALL[number] {
            Definition {
                short: Some(letter),
                ..
            } if is_short => format!("-{letter}{value}"),
            Definition { typed, .. } => format!("{typed}{value}"),
        });
        let other = prop::sample::select(&[
            "--",
            "-",
            "-v",
            "-v=1",
            "--v",
            "-lspn",
            "-tl",
            "-slx",
            "--token-cache-dir",
            "--logtostderr",
            "--client",
            "--client-idx",
            "--force-refresh",
            "--help",
            "-h",
            "help",
            "get-token",
            "spn",
            "1",
            "true",
            "",
            "--x",
            "x--legacy",
        ]);
        prop::collection::vec(prop_oneof![flag, other.prop_map(str::to_owned)], 0..6)
    }

    proptest! {
        #[test]
        fn a_call_that_is_read_by_its_named_flags_means_the_same_in_full(words in words()) {
            let args: Vec<OsString> = ["kubelogin", "get-token"].map(str::to_owned).into_iter().chain(words).map(Into::into).collect();
            if named_flags(&args).is_some() {
                let (quick, full) = (Cli::parse(args.clone()).expect("read"), Cli::parse_in_full(&args));
                let full = full.map_err(|error| error.to_string()).expect("read in full too");
                let (Command::GetToken(quick_values), Command::GetToken(full_values)) = (quick.command, full.command) else {
                    panic!("another command");
                };
                prop_assert!(Flag::ALL.iter().all(|flag| quick_values.typed.is_same(flag.flag, &full_values.typed)));
                prop_assert_eq!((quick.verbosity, quick.notices), (full.verbosity, full.notices));
            }
        }
    }

    #[test]
    fn a_call_as_kubectl_makes_it_is_read_by_its_named_flags() {
        let args = [
            "kubelogin",
            "get-token",
            "--login",
            "spn",
            "--server-id=s",
            "-t",
            "x",
            "--legacy",
        ];
        assert!(named_flags(&args.map(OsString::from)).is_some());
    }
}
