//! What `.ci/release` builds, as installers see it, with fake programs or the one under test inside.

mod check; // .ci/release --check: what is missing for a release
mod install; // installs the program under test as az and container engines do

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::installed;
use crate::support::*;

/// Each platform: its folder in a zip, its name in archive names, its program.
const PLATFORMS: [(&str, &str, &str); 6] = [
    ("darwin_amd64", "darwin-amd64", "kubelogin"),
    ("darwin_arm64", "darwin-arm64", "kubelogin"),
    ("linux_amd64", "linux-amd64", "kubelogin"),
    ("linux_arm64", "linux-arm64", "kubelogin"),
    ("windows_amd64", "win-amd64", "kubelogin.exe"),
    ("windows_arm64", "win-arm64", "kubelogin.exe"),
];
const VERSION: &str = "1.2.3";
const REPOSITORY: &str = "https://git.example/someone/kubelogin";
/// 2025-11-26T10:40:00Z
const EPOCH: &str = "1764153600";

/// The folder with the two scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci")
}

#[track_caller]
fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs Python and returns its stdout.
#[track_caller]
fn python(args: &[&str]) -> String {
    let output = Command::new("python3").args(args).output();
    succeeded(output.expect("cannot start python3"))
}

/// A release that is being packed.
struct Release {
    room: TempDir,
    dist: PathBuf,
}

impl Release {
    /// Packs `programs`, each a platform and its content. A complete release needs all platforms.
    fn of(programs: &[(&str, &[u8])]) -> Self {
        let release = Self::unpacked(programs);
        succeeded(release.archives(&[]));
        release.finish();
        release
    }

    fn unpacked(programs: &[(&str, &[u8])]) -> Self {
        let room = TempDir::new();
        for (platform, content) in programs {
            let (folder, _, name) = PLATFORMS
                .into_iter()
                .find(|(folder, ..)| folder == platform)
                .expect("a platform");
            room.folder(&format!("binaries/{folder}"));
            room.file(&format!("binaries/{folder}/{name}"), content);
        }
        room.folder("extras/man");
        room.file("extras/LICENSE", "MIT");
        room.file("extras/man/kubelogin.1", ".TH kubelogin 1");
        room.file("ca.pem", "certificates");
        let dist = room.folder("dist");
        Self { room, dist }
    }

    fn archives(&self, more: &[&str]) -> Output {
        let path = |name: &str| self.room.path().join(name);
        Command::new("python3")
            .arg(scripts().join("package.py"))
            .args(["archives", "--version", VERSION, "--repository", REPOSITORY])
            .args(["--epoch", EPOCH, "--dist"])
            .arg(&self.dist)
            .arg("--binaries")
            .arg(path("binaries"))
            .arg("--extras")
            .arg(path("extras"))
            .arg("--certificates")
            .arg(path("ca.pem"))
            .args(more)
            .output()
            .expect("cannot start python3")
    }

    fn finish(&self) {
        let output = Command::new("python3")
            .arg(scripts().join("package.py"))
            .args(["finish", "--version", VERSION, "--repository", REPOSITORY])
            .args(["--epoch", EPOCH, "--dist"])
            .arg(&self.dist)
            .output();
        succeeded(output.expect("cannot start python3"));
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dist.join(name)).expect(name)
    }

    /// The files in a zip: names, and modes in octal.
    fn zip(&self, name: &str) -> BTreeMap<String, String> {
        const LIST: &str = "import json, sys, zipfile
print(json.dumps({e.filename: '%o' % (e.external_attr >> 16) for e in zipfile.ZipFile(sys.argv[1]).infolist()}))";
        let path = self.dist.join(name);
        let listed = python(&["-c", LIST, path.to_str().expect("UTF-8")]);
        serde_json::from_str(&listed).expect("JSON")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dist).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }
}

/// A different program for each platform.
fn stand_ins() -> Vec<(&'static str, &'static [u8])> {
    let content = |(folder, ..): (&'static str, _, _)| (folder, folder.as_bytes());
    PLATFORMS.map(content).to_vec()
}

#[test]
fn a_zip_holds_the_programs_under_bin_and_nothing_else() {
    let release = Release::of(&stand_ins());
    let whole = release.zip("kubelogin.zip");
    for (folder, archive, program) in PLATFORMS {
        let path = format!("bin/{folder}/{program}");
        assert_eq!(
            whole[&path], "100755",
            "not executable, and not every installer sets that bit"
        );
        let own = release.zip(&format!("kubelogin-{archive}.zip"));
        assert_eq!(own, BTreeMap::from([(path, "100755".into())]));
    }
    assert_eq!(whole.len(), PLATFORMS.len());
}

#[test]
fn checksums_stand_as_installers_read_them() {
    let release = Release::of(&stand_ins());
    assert_eq!(
        release.text("kubelogin-version.txt"),
        "v1.2.3",
        "it must not end in a newline"
    );
    let mut checked = 0;
    for name in release.names() {
        let Some(of) = name.strip_suffix(".sha256") else {
            continue;
        };
        let line = release.text(&name);
        let (hash, rest) = line.split_at(64);
        assert_eq!(rest, format!("  {of}\n"));
        assert!(
            hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{hash}"
        );
        let mut sha256sum = Command::new("sha256sum");
        succeeded(
            sha256sum
                .arg("--check")
                .arg(&name)
                .current_dir(&release.dist)
                .output()
                .expect("cannot start it"),
        );
        checked += 1;
    }
    assert_eq!(
        checked,
        1 + 2 * PLATFORMS.len() + 1,
        "each zip and tar.gz, and the image"
    );
}

#[test]
fn a_tar_gz_holds_in_one_folder_what_a_person_wants() {
    let release = Release::of(&stand_ins());
    let mut tar = Command::new("tar");
    tar.args(["--list", "--verbose", "--numeric-owner", "--file"]);
    let path = release.dist.join("kubelogin-linux-arm64.tar.gz");
    let listed = succeeded(tar.arg(path).output().expect("cannot start tar"));
    let entries: Vec<_> = listed
        .lines()
        .map(|line| {
            (
                &line[..10],
                line.rsplit(' ').next().expect("a name"),
                line.contains(" 0/0 "),
            )
        })
        .collect();
    let folder = "kubelogin-1.2.3-linux-arm64";
    let expected = [
        ("-rw-r--r--", "LICENSE"),
        ("-rwxr-xr-x", "kubelogin"),
        ("-rw-r--r--", "man/kubelogin.1"),
    ];
    let expected = expected.map(|(mode, name)| (mode, format!("{folder}/{name}")));
    assert_eq!(
        entries,
        expected
            .each_ref()
            .map(|(mode, name)| (*mode, name.as_str(), true))
    );
}

#[test]
fn the_same_programs_give_the_same_bytes() {
    let (one, other) = (Release::of(&stand_ins()), Release::of(&stand_ins()));
    assert_eq!(one.names(), other.names());
    for name in one.names() {
        let read = |release: &Release| fs::read(release.dist.join(&name)).expect("a file");
        assert!(read(&one) == read(&other), "{name} differs");
    }
}

#[test]
fn package_managers_get_the_checksums_of_the_archives() {
    let release = Release::of(&stand_ins());
    let sum = |name: &str| release.text(&format!("{name}.sha256"))[..64].to_owned();
    let url = |name: &str| format!("{REPOSITORY}/releases/download/v1.2.3/{name}");

    let formula = release.text("kubelogin.rb");
    for archive in ["darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64"] {
        let name = format!("kubelogin-{archive}.tar.gz");
        let lines = format!("url \"{}\"\n      sha256 \"{}\"", url(&name), sum(&name));
        assert!(formula.contains(&lines), "{lines}\n{formula}");
    }
    let scoop: Value = serde_json::from_str(&release.text("kubelogin.json")).expect("JSON");
    assert_eq!(scoop["version"], VERSION);
    let winget = release.text("someone.kubelogin.installer.yaml");
    for (in_scoop, in_winget, arch) in [("64bit", "x64", "amd64"), ("arm64", "arm64", "arm64")] {
        let name = format!("kubelogin-win-{arch}.zip");
        let program = format!("bin\\windows_{arch}\\kubelogin.exe");
        let expected = json!({"url": url(&name), "hash": sum(&name), "bin": program});
        assert_eq!(scoop["architecture"][in_scoop], expected);
        let expected = format!(
            "- Architecture: {in_winget}\n  InstallerUrl: {}\n  InstallerSha256: {}\n",
            url(&name),
            sum(&name).to_uppercase()
        );
        assert!(
            winget.contains(&expected) && winget.contains(&program),
            "{winget}"
        );
    }
    assert!(winget.contains("ReleaseDate: 2025-11-26\n"), "{winget}");
}

#[test]
fn a_whole_release_lacks_no_platform() {
    let release = Release::unpacked(&[("linux_amd64", b"program")]);
    let output = release.archives(&["--complete"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with("Error: no binary for darwin_amd64, darwin_arm64, linux_arm64, windows_amd64, windows_arm64: "),
        "{error}"
    );
    assert!(release.names().is_empty() && output.status.code() == Some(1));
}

#[test]
fn the_workflow_pins_every_action_and_tries_every_platform() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let read = |name| fs::read_to_string(folder.join(name)).expect("a workflow");
    let release = read("release.yml");
    let both = [release.clone(), read("ci.yml")];
    for workflow in &both {
        assert!(
            workflow.contains("\npermissions: {}\n"),
            "jobs get more permissions than they ask for"
        );
    }
    let both = both.concat();
    let used: Vec<_> = both.lines().filter(|line| line.contains("uses:")).collect();
    for line in &used {
        let (_, pin) = line.split_once('@').expect("a version");
        let (commit, version) = pin.split_once(" # v").expect("no version after the commit");
        let is_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash && !version.is_empty(), "{line}");
    }
    assert!(used.len() > 5, "{used:?}");
    for (folder, archive, program) in PLATFORMS {
        let tried = format!("archive: {archive}, program: bin/{folder}/{program} }}");
        assert!(release.contains(&tried), "{tried}");
        let builds = |line: &str| line.contains("platforms:") && line.contains(folder);
        assert!(release.lines().any(builds), "{folder}");
    }
}
