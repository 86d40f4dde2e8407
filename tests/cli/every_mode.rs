//! Rules for every login mode. If a new mode is missing somewhere, a test here fails.

use std::path::Path;

use crate::support::*;

#[test]
fn the_tests_know_every_login_mode() {
    let world = EveryMode::start();
    let known: Vec<_> = world.logins().iter().map(|(mode, _)| *mode).collect();
    assert_eq!(
        known,
        modes(),
        "tests/support/every_mode.rs has a row for each mode"
    );
}

#[test]
fn a_second_run_is_served_from_the_cache() {
    let world = EveryMode::start();
    for (mode, kubelogin) in world.logins() {
        let first = world.sign_in(mode, &kubelogin).token();
        let requests = world.requests();
        for program in ["az", "azd", "pwsh"] {
            let _ = std::fs::remove_file(kubelogin.path_of(program));
        }
        let second = kubelogin.run();
        assert_eq!(second.token(), first, "{mode}");
        assert_eq!(second.stderr, "", "{mode}");
        assert_eq!(world.requests(), requests, "{mode}");
    }
}

#[test]
fn the_readme_and_the_fixtures_know_every_login_mode() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    for mode in modes() {
        let row = format!("\n| `{mode}`");
        assert!(readme.contains(&row), "README.md has no row for {mode}");
        for case in ["az-legacy", "az-exec"] {
            let name = format!("fixtures/kubeconfig/{case}/after.{mode}.yaml");
            assert!(root.join(&name).is_file(), "{name} is missing");
        }
    }
}
