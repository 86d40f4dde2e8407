//! The subcommands, one file each.

pub mod get_token;
pub mod remove_cache_dir;
