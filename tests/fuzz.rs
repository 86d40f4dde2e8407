//! A fuzz target for each parser of untrusted input. Whatever the input, the parser must not panic, must stay within limits
//! of time and memory, and must print nothing that harms a terminal.
//!
//! `cargo test` replays the seeds in `fixtures/fuzz`. `.ci/fuzz` searches for more with libFuzzer, guided by coverage. Add
//! each input it finds as a seed, along with the fix.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::cli::ConvertArgs;
use crate::command::convert_kubeconfig::convert_text;
use crate::entra::access_token::claims::{AKS_SERVER, Claims};
use crate::entra::access_token::fit::{Expected, mismatches};
use crate::entra::access_token::oddities;
use crate::entra::authority::Version;
use crate::entra::certificate;
use crate::env::{self, Env};
use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::flag::{Flag, FlagValues};
use crate::kubeconfig::fetched::Fetched;
use crate::kubeconfig::merge::{Addition, Origin, Others, merge};
use crate::kubeconfig::{Credentials, Kubeconfig};
use crate::login;
use crate::options::Options;
use crate::secret::Secret;
use crate::system::fake::FakeSystem;
use crate::system::{HttpResponse, NetworkError, Output};
use crate::token::{Scope, Token};

/// The seeds, in one folder per target.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fuzz");

struct Target {
    /// Also the name of its seeds folder.
    name: &'static str,
    read: fn(&[u8]),
    /// More folders with suitable fixtures.
    more_seeds: &'static [&'static str],
}

const fn target(name: &'static str, read: fn(&[u8])) -> Target {
    Target {
        name,
        read,
        more_seeds: &[],
    }
}

#[rustfmt::skip]
const TARGETS: &[Target] = &[
    Target { more_seeds: &["kubeconfig"], ..target("kubeconfig", kubeconfig) },
    Target { more_seeds: &["kubeconfig", "fuzz/kubeconfig"], ..target("kubeconfig-edit", kubeconfig_edit) },
    Target { more_seeds: &["certificates"], ..target("certificate", certificate) },
    target("token-answer", token_answer),
    target("device-answer", device_answer),
    target("discovery", discovery),
    target("managed-identity-answer", managed_identity_answer),
    target("redirect", login::read_redirect),
    target("program-output", program_output),
    target("claims", claims),
    target("federated-token", federated_token),
    target("exec-info", exec_info),
];

/// A kubeconfig, both the user's and one from Azure Resource Manager.
fn kubeconfig(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = Fetched::read(text) {
        check_message(&error);
    }
    let read = || -> Result<usize, Error> {
        let kubeconfig = Kubeconfig::parse("kubeconfig", text)?;
        kubeconfig.contexts()?;
        for user in kubeconfig.users()? {
            if let Credentials::Exec(exec) = kubeconfig.credentials(&user)? {
                kubeconfig.args(&exec)?;
                kubeconfig.note(&exec);
            }
        }
        Ok(kubeconfig.tree().steps())
    };
    match read() {
        // Bounded by the file size, plus a limit on what aliases may repeat.
        Ok(steps) => assert!(steps <= 1_000_000 + 100 * text.len(), "{steps} steps"),
        Err(error) => check_message(&error),
    }
}

/// A conversion and a merge. Both are idempotent.
fn kubeconfig_edit(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for mode in ["azurecli", "spn"] {
        let args = converting_to(mode);
        match convert_text(text, &args) {
            Ok(once) => {
                let twice =
                    convert_text(&once, &args).expect("the result is not a valid kubeconfig");
                assert_eq!(twice, once, "{mode}");
            }
            Err(error) => check_message(&error),
        }
    }
    match merged(text) {
        Ok(once) => {
            let twice = merged(&once).expect("the result is not a valid kubeconfig");
            assert_eq!(twice, once);
        }
        Err(error) => check_message(&error),
    }
}

fn converting_to(mode: &str) -> ConvertArgs {
    let mut typed = FlagValues::new();
    typed.set(Flag::Login, mode);
    ConvertArgs {
        typed,
        context: None,
        azure_config_dir: Some("/az".into()),
        kubeconfig: None,
        dry_run: false,
        exit_code: false,
    }
}

/// Merges a cluster into the kubeconfig.
fn merged(text: &str) -> Result<String, Error> {
    const FETCHED: &str = include_str!("../fixtures/fuzz/kubeconfig/aks.yaml");
    let addition = Addition {
        fetched: Fetched::read(FETCHED)?,
        origin: Origin {
            resource_id: "/subscriptions/s/resourceGroups/g/providers/p/managedClusters/c".into(),
            tenant_id: None,
            environment: "AzurePublicCloud".into(),
        },
    };
    let files = [Kubeconfig::parse("kubeconfig", text)?];
    let context = addition.fetched.context.clone();
    let mut merged = merge(&files, 0, &[addition], Others::Keep, Some(&context))?;
    merged.outcomes.remove(0)?;
    let change = merged.changes.pop();
    Ok(change.map_or_else(|| text.to_owned(), |change| change.text))
}

fn certificate(bytes: &[u8]) {
    for password in ["", certificate::tests::PASSWORD] {
        if let Err(error) = certificate::tests::open_bytes(bytes, password) {
            check_message(&error);
        }
    }
}

fn token_answer(bytes: &[u8]) {
    for status in [200, 400, 401] {
        for legacy in ["false", "true"] {
            let system = FakeSystem::new([answer(status, bytes)]);
            let flags = [(Flag::ClientSecret, "secret"), (Flag::Legacy, legacy)];
            sign_in("spn", &flags, &[], &system);
        }
    }
}

fn device_answer(bytes: &[u8]) {
    for status in [200, 400] {
        let system = FakeSystem::new([answer(status, bytes), answer(200, TOKEN)]);
        sign_in("devicecode", &[], &[], &system);
    }
}

fn discovery(bytes: &[u8]) {
    let system = FakeSystem::new([answer(200, bytes), answer(200, TOKEN)]);
    let flags = [
        (Flag::ClientSecret, "secret"),
        (Flag::AuthorityHost, "https://login.example/"),
        (Flag::DisableInstanceDiscovery, "true"),
    ];
    sign_in("spn", &flags, &[], &system);
}

fn managed_identity_answer(bytes: &[u8]) {
    let app_service = [
        (env::IDENTITY_ENDPOINT, "http://127.0.0.1:1/"),
        (env::IDENTITY_HEADER, "header"),
    ];
    for status in [200, 400] {
        let system = FakeSystem::new([answer(status, bytes)]);
        sign_in("msi", &[], &app_service, &system);
    }
}

/// What az, azd and PowerShell print on stdout and, if they fail, on stderr.
fn program_output(bytes: &[u8]) {
    for mode in ["azurecli", "azd", "azurepowershell"] {
        for has_failed in [false, true] {
            let mut output = Output {
                exit_code: Some(i32::from(has_failed)),
                ..Output::default()
            };
            *(if has_failed {
                &mut output.stderr
            } else {
                &mut output.stdout
            }) = bytes.to_vec();
            let system = FakeSystem::with_outputs([Ok(output)]);
            sign_in(mode, &[], &[], &system);
        }
    }
}

/// A token's claims, in JSON.
fn claims(bytes: &[u8]) {
    let jwt = Secret::new(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(bytes)));
    for version in [Version::V1, Version::V2] {
        oddities(&jwt, version);
        let Some(claims) = Claims::read(&jwt) else {
            continue;
        };
        let expected = Expected {
            tenant: Some(TENANT),
            server: AKS_SERVER,
            version,
            is_bound: true,
            now: FakeSystem::EPOCH,
            is_ci: true,
        };
        for mismatch in mismatches(&claims, &expected) {
            check_message(&Error::input(mismatch.what).remedy(mismatch.remedy));
        }
        let _ = (
            claims.kind(),
            claims.name(),
            claims.aks_user_name(),
            claims.groups(),
        );
    }
}

fn federated_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let system = FakeSystem::new([answer(200, TOKEN)]);
    let name = [(Flag::FederatedTokenEnv, "TOKEN")];
    sign_in("workloadidentity", &name, &[("TOKEN", &text)], &system);
}

fn exec_info(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let env = Env::of(&[(env::KUBERNETES_EXEC_INFO, &text)]);
    ExecInfo::cluster_host(&text);
    if let Err(error) = ExecInfo::read(&env) {
        check_message(&error);
    }
}

const TENANT: &str = "11111111-aaaa-4aaa-8aaa-111111111111";
const TOKEN: &[u8] = br#"{"token_type":"Bearer","access_token":"at","expires_in":3600}"#;

fn answer(status: u16, body: &[u8]) -> Result<HttpResponse, NetworkError> {
    let answer = http::Response::builder().status(status);
    Ok(answer.body(body.to_vec()).expect("an answer"))
}

/// Signs in and checks the printed token or the error.
fn sign_in(mode: &str, flags: &[(Flag, &str)], variables: &[(&str, &str)], system: &FakeSystem) {
    let basic = [
        (Flag::Login, mode),
        (Flag::ServerId, AKS_SERVER),
        (Flag::ClientId, "app"),
        (Flag::TenantId, TENANT),
    ];
    let mut typed = FlagValues::new();
    for (flag, value) in basic.iter().chain(flags) {
        typed.set(*flag, *value);
    }
    let env = Env::of(&[&[("HOME", "/nobody")], variables].concat());
    let attempt = || -> Result<Token, Error> {
        let (options, _) = Options::resolve(&typed, &env)?;
        let scope = Scope::of_server(&options.server_id);
        login::new(&options, &env)?.acquire(&scope, options.timeout, system, &|_, _| {})
    };
    match attempt() {
        Ok(token) => check_line(&token),
        Err(error) => check_message(&error),
    }
}

/// Stdout must be one line of JSON, whatever the token is.
fn check_line(token: &Token) {
    let mut line = Vec::new();
    let info = ExecInfo::read(&Env::default()).expect("a version");
    info.write(token, &mut line).expect("written");
    let line = String::from_utf8(line).expect("text");
    assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
    let credential: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(credential["status"]["token"], token.access_token.expose());
}

/// A message must have at most three lines, none of them long, and no control characters.
fn check_message(error: &Error) {
    let text = error.to_string();
    let is_harmful =
        |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(is_harmful), "{text:?}");
    assert!(text.lines().count() <= 3 && text.len() < 8000, "{text}");
}

/// A target's seeds folders.
fn folders(target: &Target) -> Vec<PathBuf> {
    let fixtures = Path::new(SEEDS).parent().expect("the fixtures");
    let more = target.more_seeds.iter().map(|name| fixtures.join(name));
    std::iter::once(Path::new(SEEDS).join(target.name))
        .chain(more)
        .collect()
}

/// All files in a folder, recursively.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("cannot read a seeds folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn every_seed_is_read_without_a_panic() {
    for target in TARGETS {
        for path in folders(target).iter().flat_map(|folder| files(folder)) {
            eprintln!("{}: {}", target.name, path.display());
            (target.read)(&fs::read(path).expect("a seed"));
        }
    }
}

#[test]
fn every_folder_of_seeds_is_a_target_s() {
    let mut folders: Vec<_> = fs::read_dir(SEEDS)
        .expect("seeds")
        .map(|folder| folder.expect("a folder").file_name())
        .collect();
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    folders.sort();
    names.sort_unstable();
    assert_eq!(folders, names);
}

/// `.ci/fuzz` runs this. It fuzzes FUZZ_TARGET for FUZZ_SECONDS and saves new inputs in FUZZ_FOLDER.
#[cfg(fuzzing)]
#[test]
#[expect(clippy::disallowed_methods, reason = "the fuzzer's own variables")]
fn fuzz() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (name, folder) = (variable("FUZZ_TARGET"), variable("FUZZ_FOLDER"));
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    let mut arguments = vec![
        name,
        format!("-max_total_time={}", variable("FUZZ_SECONDS")),
        format!("-artifact_prefix={folder}/found-"),
        // Longer than any login may take on one input.
        "-timeout=20".into(),
        "-rss_limit_mb=1024".into(),
        "-max_len=65536".into(),
        "-verbosity=0".into(),
        "-print_final_stats=1".into(),
        format!("{folder}/corpus"),
    ];
    arguments.extend(
        folders(target)
            .iter()
            .map(|folder| folder.display().to_string()),
    );
    engine::run(arguments, target.read);
}

#[cfg(fuzzing)]
#[expect(
    unsafe_code,
    reason = "libFuzzer is C++, and its crate defines a main function, which a test cannot use"
)]
mod engine {
    use std::ffi::{CString, c_char, c_int};
    use std::sync::OnceLock;

    use libfuzzer_sys as _; // links its library

    unsafe extern "C" {
        fn LLVMFuzzerRunDriver(
            argc: *mut c_int,
            argv: *mut *mut *mut c_char,
            read: extern "C" fn(*const u8, usize) -> c_int,
        ) -> c_int;
    }

    static READ: OnceLock<fn(&[u8])> = OnceLock::new();

    /// A panic aborts the process here, because it cannot unwind into C. libFuzzer then saves the input.
    extern "C" fn read(data: *const u8, length: usize) -> c_int {
        // SAFETY: libFuzzer passes a buffer of this length, or null and 0.
        let bytes = match length {
            0 => &[][..],
            _ => unsafe { std::slice::from_raw_parts(data, length) },
        };
        READ.get().expect("set before libFuzzer starts")(bytes);
        0
    }

    /// Runs libFuzzer, which exits the process.
    pub fn run(arguments: Vec<String>, target: fn(&[u8])) {
        READ.set(target).expect("it runs only once");
        let arguments = arguments
            .into_iter()
            .map(|argument| CString::new(argument).expect("no NUL"));
        let mut arguments: Vec<_> = arguments.map(CString::into_raw).collect();
        let mut count = c_int::try_from(arguments.len()).expect("a few arguments");
        arguments.push(std::ptr::null_mut());
        let mut arguments = arguments.as_mut_ptr();
        // SAFETY: count and arguments are like those of a C main function, and live until the process exits.
        unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut arguments, read) };
    }
}
