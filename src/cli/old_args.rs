//! Parses the arguments of a kubeconfig user, which are flags of `get-token`.

use clap::Command as ClapCommand;

use super::quick::flags_alone;
use super::usage::{UnknownFlag, check_words, unknown_flag_of, usage_error_of_user};
use super::{CONVERT_KUBECONFIG, GET_TOKEN, VERBOSITY, flag_values};
use crate::error::Error;
use crate::flag::FlagValues;

/// Parses the arguments of a user to convert, as `get-token` would.
pub struct OldArgs {
    command: ClapCommand,
    /// How often arguments were parsed: a test checks that each user's are parsed once.
    #[cfg(test)]
    pub readings: usize,
}

impl OldArgs {
    pub fn new() -> Self {
        Self {
            command: flags_alone(|_| true),
            #[cfg(test)]
            readings: 0,
        }
    }

    /// The flags, and `-v` if present. An unknown flag or word is an error, so that nothing is lost silently.
    pub fn parse(&mut self, args: &[&str]) -> Result<(FlagValues, Option<i64>), Error> {
        let words = without_command(args);
        self.read(&words)
            .map_err(|error| usage_error_of_user(&error))
    }

    /// The same, but unknown flags, which `get-token` would refuse, are removed with their values and returned.
    pub fn parse_known(
        &mut self,
        args: &[&str],
    ) -> Result<(FlagValues, Option<i64>, Vec<UnknownFlag>), Error> {
        /// Each one costs another parse of all arguments.
        const MOST: usize = 20;
        /// More than twice the number of all flags and their values.
        const MOST_WORDS: usize = 256;
        if args.len() > MOST_WORDS {
            return Err(Error::input(format!(
                "there are {} arguments; at most {MOST_WORDS} are read",
                args.len()
            )));
        }
        let mut words = without_command(args);
        let mut unknown = Vec::new();
        loop {
            let error = match self.read(&words) {
                Ok((values, verbosity)) => {
                    check_words(&values)?;
                    return Ok((values, verbosity, unknown));
                }
                Err(error) => error,
            };
            let flag = unknown_flag_of(&error).filter(|_| unknown.len() < MOST);
            let place = flag.and_then(|flag| Some((self.place(&words, &flag)?, flag)));
            let Some((at, flag)) = place else {
                return Err(usage_error_of_user(&error));
            };
            let has_value = words.remove(at).contains('=');
            if !has_value && words.get(at).is_some_and(|word| !word.starts_with('-')) {
                words.remove(at);
            }
            unknown.push(flag);
        }
    }

    fn read(&mut self, words: &[&str]) -> Result<(FlagValues, Option<i64>), clap::Error> {
        #[cfg(test)]
        {
            self.readings += 1;
        }
        let matches = self.command.try_get_matches_from_mut(words)?;
        Ok((flag_values(&matches), matches.get_one(VERBOSITY).copied()))
    }

    /// The position of an unknown flag, not of another flag's value that looks like it.
    fn place(&mut self, words: &[&str], flag: &UnknownFlag) -> Option<usize> {
        let is_like = |word: &str| {
            let rest = word.strip_prefix(flag.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ' ']))
        };
        (0..words.len()).find(|at| {
            let error = is_like(words[*at]).then(|| self.read(&words[..=*at]).err());
            error
                .flatten()
                .and_then(|error| unknown_flag_of(&error))
                .as_ref()
                == Some(flag)
        })
    }
}

/// The arguments without the command. `convert-kubeconfig` in a kubeconfig is a mistake that this command fixes. Flags
/// may come before either of them.
fn without_command<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut words = args.to_vec();
    let command = words
        .iter()
        .position(|arg| [GET_TOKEN, CONVERT_KUBECONFIG].contains(arg));
    if let Some(at) = command {
        words.remove(at);
    }
    words
}
