//! How a command line is read.

use std::path::Path;

use super::*;
use crate::secret::Secret;

fn parse(args: &[&str]) -> Result<Cli, Error> {
    Cli::parse(
        std::iter::once("kubelogin")
            .chain(args.iter().copied())
            .map(OsString::from),
    )
}

fn values(args: &[&str]) -> FlagValues {
    match parse(&[&["get-token"], args].concat())
        .expect("parsed")
        .command
    {
        Command::GetToken(args) => args.typed,
        _ => panic!("not get-token"),
    }
}

fn failure(args: &[&str]) -> String {
    parse(args).err().expect("refused").to_string()
}

#[test]
fn clap_finds_no_contradiction_in_the_flags() {
    program().debug_assert();
}

/// Writes them into target/man, from where `.ci/release` packs them.
#[test]
fn every_command_has_a_manual_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/man");
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = program().version(env!("CARGO_PKG_VERSION"));
    clap_mangen::generate_to(program.clone(), &folder).expect("pages");
    let page = |name: &str| {
        let page = std::fs::read_to_string(folder.join(format!("{name}.1")));
        page.expect(name).replace('\\', "")
    };
    let first = page("kubelogin");
    for command in program.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = format!("kubelogin-{}", command.get_name());
        assert!(first.contains(&format!("{name}(1)")), "{first}");
        assert!(page(&name).contains("SYNOPSIS"), "{name}");
    }
    let get_token = page("kubelogin-get-token");
    for flag in Flag::ALL {
        assert!(get_token.contains(flag.typed), "{get_token}");
    }
}

#[test]
fn every_spelling_of_a_value_is_read() {
    for args in [
        &["--login", "spn"][..],
        &["--login=spn"],
        &["-l", "spn"],
        &["-l=spn"],
        &["-lspn"],
        &["--login", "devicecode", "-l", "spn"],
    ] {
        assert_eq!(values(args).text(Flag::Login), Some("spn"), "{args:?}");
    }
}

#[test]
fn a_switch_takes_go_s_words_for_true_and_false() {
    for (arg, on) in [
        ("--legacy", true),
        ("--legacy=true", true),
        ("--legacy=T", true),
        ("--legacy=1", true),
        ("--legacy=false", false),
        ("--legacy=0", false),
    ] {
        assert_eq!(values(&[arg]).is_on(Flag::Legacy), on, "{arg}");
    }
    assert!(failure(&["get-token", "--legacy=maybe"]).contains("--legacy"));
}

#[test]
fn a_secret_may_begin_with_a_dash() {
    let values = values(&["--client-secret", "--x", "--tenant-id", "t"]);
    assert_eq!(values.secret(Flag::ClientSecret), Some(Secret::new("--x")));
    assert_eq!(values.text(Flag::TenantId), Some("t"));
}

#[test]
fn a_usage_error_names_the_flag_and_never_a_value() {
    assert!(failure(&["get-token", "--tenent-id", "hunter2"]).contains("--tenant-id"));
    for args in [
        &["get-token", "--client-secrets=hunter2"][..],
        &["get-token", "hunter2"],
        &["get-token", "--client-secret", "a", "hunter2"],
        &["get-token", "--legacy", "hunter2"],
        &["get-token", "--legacy=hunter2"],
        &["-v", "hunter2", "get-token"],
    ] {
        let text = failure(args);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.lines().count() <= 3, "{text}");
    }
    assert!(failure(&["--version=hunter2"]).starts_with("--version takes no value"));
    assert!(failure(&["get-token", "--oidc-issuer-url=x"]).contains("int128"));
    assert!(failure(&["get-token", "--tenant-id"]).contains("--tenant-id needs a value"));
    assert_eq!(
        failure(&["get-token", "--login spn"]),
        "--login and its value are one argument\n\
         Pass two: --login and the value. In a kubeconfig's args, each is an item of its own."
    );
    let (place, what) = ("unexpected argument 4", "(not shown: it may be a secret)");
    let shifted = failure(&["get-token", "--client-secret", "a", "hunter2"]);
    assert!(shifted.starts_with(&format!("{place} {what}")), "{shifted}");
    let twice = failure(&["get-token", "--client-secret", "hunter2", "hunter2"]);
    assert!(
        twice.starts_with(&format!("unexpected argument {what}")),
        "{twice}"
    );
    // The most similar one, not the old name of the command that deletes tokens.
    let near = failure(&["get-tokens"]);
    assert!(near.contains("Did you mean get-token?"), "{near}");
    let harmless = failure(&["get-token", "--legacy", "true"]);
    assert!(harmless.starts_with("unexpected argument \"true\""));
    assert!(failure(&["completion"]).starts_with("missing argument <SHELL>"));
    assert_eq!(
        failure(&["completion", "elvish"]),
        "unsupported shell \"elvish\"\nUse one of bash, zsh, fish, powershell."
    );
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_named_by_its_flag() {
    use std::os::unix::ffi::OsStringExt;
    let odd = |text: &str| OsString::from_vec([text.as_bytes(), b"\xff"].concat());
    for (args, name) in [
        (vec!["--tenant-id".into(), odd("x")], "--tenant-id"),
        (vec![odd("--tenant-id=")], "--tenant-id"),
        (vec!["-t".into(), odd("")], "-t"),
        (
            vec![
                "--client-secret=hunter2".into(),
                "-t".into(),
                odd("hunter2"),
            ],
            "-t",
        ),
    ] {
        let args = ["kubelogin".into(), "get-token".into()]
            .into_iter()
            .chain(args);
        let text = Cli::parse(args).err().expect("refused").to_string();
        assert!(
            text.starts_with(&format!("the value of {name} is not")),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    for args in [
        &["-v", "5", "get-token"][..],
        &["get-token", "-v=5"],
        &["get-token", "--v", "5", "--logtostderr=false"],
        &["-v5", "get-token"],
    ] {
        assert_eq!(parse(args).expect("parsed").verbosity, 5, "{args:?}");
    }
}

#[test]
fn the_old_name_of_cache_dir_works_and_is_said_to_be_old() {
    let cli = parse(&["get-token", "--token-cache-dir=/x"]).expect("parsed");
    assert_eq!(cli.notices.len(), 1);
    assert_eq!(
        values(&["--token-cache-dir", "/x"]).text(Flag::CacheDir),
        Some("/x")
    );
}

#[test]
fn no_command_prints_the_help_and_version_is_a_flag_and_a_command() {
    let text = |args: &[&str]| match parse(args).expect("parsed").command {
        Command::Print(text) => text,
        _ => panic!("no text"),
    };
    assert!(text(&[]).contains("get-token"));
    assert!(text(&["get-token", "--help"]).contains("Service principals (spn)"));
    assert_eq!(text(&["--version"]), version::text());
    assert_eq!(text(&["version"]), version::text());
}
