//! The kernel keyring with a key that someone else put there, played by `keyctl`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;

fn keyctl(args: &[&str]) -> String {
    let output = Command::new("keyctl")
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .expect("cannot start keyctl");
    assert!(output.status.success(), "keyctl {args:?}");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

/// A key for this cache folder in the user's keyring, removed on drop.
struct Planted(String);

impl Planted {
    fn new(folder: &Path, permissions: &str) -> Self {
        let name = format!("kubelogin token cache {}", folder.display());
        let key = Self(keyctl(&["add", "user", &name, &"k".repeat(32), "@u"]));
        keyctl(&["setperm", &key.0, permissions]);
        key
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = Command::new("keyctl")
            .args(["unlink", &self.0, "@u"])
            .status();
    }
}

#[test]
fn nothing_is_sealed_with_a_key_that_others_may_use() {
    let entra = FakeEntra::start();
    for (storage, files) in [("keyring", false), ("auto", true)] {
        let kubelogin = spn(&entra).storage(storage);
        let planted = Planted::new(&kubelogin.cache(), "0x3f3f0b00");
        let output = kubelogin.clone().verbose().run();
        output.token();
        assert!(
            output.stderr.contains("other users may use"),
            "{}",
            output.stderr
        );
        let has_key_file = kubelogin.cache().join("kubelogin.key").exists();
        assert_eq!(has_key_file, files, "{storage}");
        assert_eq!(
            kubelogin.run().token() == output.token(),
            files,
            "{storage}"
        );
        drop(planted);
    }
}

/// A private key is accepted, so the test above does not pass just because it rejects every existing key.
#[test]
fn a_private_key_of_the_user_is_used() {
    let entra = FakeEntra::start();
    let kubelogin = spn(&entra).storage("keyring");
    let _key = Planted::new(&kubelogin.cache(), "0x3f3f0000");
    let first = kubelogin.run();
    assert_eq!(first.stderr, "");
    assert_eq!(kubelogin.run().token(), first.token());
}
