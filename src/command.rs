//! The subcommands, one file each.

pub mod completion;
pub mod convert_kubeconfig;
pub mod get_token;
pub mod remove_cache_dir;
