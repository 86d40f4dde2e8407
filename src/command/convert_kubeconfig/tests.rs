//! Conversions in memory.

use std::ffi::OsString;

use super::*;
use crate::cli::{Cli, Command};
use crate::flag::Takes;
use crate::kubeconfig::{Credentials, V1};
use crate::login_mode::LoginMode;

mod arguments;
mod beside_others;
mod bytes;
mod choice;
mod cost;
mod property;
mod refusals;
mod remembered;
mod repairs;
mod tenants;
mod told;

const HEAD: &str = "users:\n- name: alice\n  user:\n";

fn parse(args: &[&str]) -> ConvertArgs {
    let words = ["kubelogin", "convert-kubeconfig"];
    let words = words.iter().chain(args).map(OsString::from);
    match Cli::parse(words).expect("parsed").command {
        Command::ConvertKubeconfig(args) => args,
        _ => panic!("another command"),
    }
}

/// Converts files in memory. Returns their new text, and the plan.
fn convert_files(texts: &[&str], args: &[&str]) -> Result<(Vec<String>, Plan), Error> {
    convert_with(texts, args, &Env::of(&[]))
}

fn convert_with(texts: &[&str], args: &[&str], env: &Env) -> Result<(Vec<String>, Plan), Error> {
    let args = parse(args);
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| KubeconfigFile::in_memory(&format!("config{number}"), *text))
        .collect();
    let plan = Conversion::new(&args, env)?.convert(&files)?;
    let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    for change in &plan.changes {
        texts[change.file].clone_from(&change.text);
    }
    Ok((texts, plan))
}

fn convert(text: &str, args: &[&str]) -> String {
    let (mut texts, plan) =
        convert_files(&[text], args).unwrap_or_else(|error| panic!("{error}\n{text}"));
    if let Some(error) = plan.report.failures.first() {
        panic!("{error}\n{text}");
    }
    texts.remove(0)
}

fn failure(text: &str, args: &[&str]) -> String {
    match convert_files(&[text], args) {
        Err(error) => error.to_string(),
        Ok((texts, plan)) => match plan.report.failures.first() {
            Some(error) => error.to_string(),
            None => panic!("converted:\n{}", texts[0]),
        },
    }
}

/// The converted users, each with the number of its file.
fn converted(plan: &Plan) -> Vec<(usize, String)> {
    let users = plan.report.converted.iter();
    users.map(|user| (user.file, user.user.clone())).collect()
}

/// The arguments of each exec user.
fn args_of(text: &str) -> Vec<Vec<String>> {
    let kubeconfig = Kubeconfig::parse("config", text).expect("parsed");
    let users = kubeconfig.users().expect("users");
    let args = |user| match kubeconfig.credentials(user).expect("credentials") {
        Credentials::Exec(exec) => {
            let args = kubeconfig.args(&exec).expect("args");
            Some(args.into_iter().map(str::to_owned).collect())
        }
        _ => None,
    };
    users.iter().filter_map(args).collect()
}

fn exec_user(args: &str) -> String {
    format!("{HEAD}    exec:\n      command: kubelogin\n      args: {args}\n")
}

const AZ_EXEC: &str =
    "[get-token, --login, devicecode, --server-id, s, --client-id, c, --tenant-id, t]";
