//! The subcommands, one file each.

pub mod completion;
pub mod convert_kubeconfig;
pub mod doctor;
pub mod explain;
pub mod get_credentials;
pub mod get_token;
pub mod logout;
pub mod remove_cache_dir;
pub mod subject;
pub mod whoami;
mod wrap;

use std::io::Write;

use crate::error::Error;

/// Writes a command's output to stdout and flushes it.
pub fn print(text: &str, out: &mut dyn Write) -> Result<(), Error> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::outside(format!("cannot write to stdout: {error}")))
}
