//! What `.ci/release` makes, as installers meet it: packed around stand-in programs or the one under test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::installed;
use crate::support::*;

/// Each platform: its folder in a zip, its archives' name, its program.
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

/// The two scripts, wherever the tests run.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci")
}

#[track_caller]
fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs Python with what packs a release.
#[track_caller]
fn python(args: &[&str]) -> String {
    let output = Command::new("python3").args(args).output();
    succeeded(output.expect("python3 starts"))
}

/// A release in the making.
struct Release {
    room: TempDir,
    dist: PathBuf,
}

impl Release {
    /// Packs `programs` (platform and content), all of them for a whole release.
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
            .expect("python3 starts")
    }

    fn finish(&self) {
        let output = Command::new("python3")
            .arg(scripts().join("package.py"))
            .args(["finish", "--version", VERSION, "--repository", REPOSITORY])
            .args(["--epoch", EPOCH, "--dist"])
            .arg(&self.dist)
            .output();
        succeeded(output.expect("python3 starts"));
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dist.join(name)).expect(name)
    }

    /// The files of a zip: name, and mode in octal.
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

/// A program for each platform, none like another.
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
            "the executable bit, which not every installer sets"
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
        "no line end"
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
                .expect("starts"),
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
    let listed = succeeded(tar.arg(path).output().expect("tar starts"));
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
            "a job gets more than it asks for"
        );
    }
    let both = both.concat();
    let used: Vec<_> = both.lines().filter(|line| line.contains("uses:")).collect();
    for line in &used {
        let (_, pin) = line.split_once('@').expect("a version");
        let (commit, version) = pin.split_once(" # v").expect("the commit's name");
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

// --- the program under test

/// The program under test without its debug information, as `linux_<architecture>`.
fn packed() -> (Release, &'static str) {
    let room = TempDir::new();
    let stripped = room.path().join("kubelogin");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(program_under_test());
    succeeded(strip.output().expect("strip starts"));
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let content = fs::read(&stripped).expect("a program");
    let release = Release::unpacked(&[(&format!("linux_{architecture}"), &content)]);
    (release, architecture)
}

#[test]
fn az_aks_install_cli_installs_it() {
    let (release, architecture) = packed();
    succeeded(release.archives(&[]));
    let zip = fs::read(release.dist.join("kubelogin.zip")).expect("a zip");
    let kubectl = fs::read(installed("kubectl-1.37")).expect("a program");
    // az installs kubectl first, whatever one wants.
    let kubectl_path = format!("/kubectl/v1.37.0/bin/linux/{architecture}/kubectl");
    let mirror = FakeHttp::start(move |request| match request.path.as_str() {
        path if path == kubectl_path => {
            Reply::new(200, "application/octet-stream", kubectl.as_slice())
        }
        "/v1.2.3/kubelogin.zip" => Reply::new(200, "application/zip", zip.as_slice()),
        _ => Reply::html(404, ""),
    });

    let room = TempDir::new();
    let target = room.path().join("kubelogin");
    let output = Command::new(installed("az-venv/bin/az"))
        .args(["aks", "install-cli", "--client-version", "1.37.0"])
        .args(["--base-src-url", &format!("{}/kubectl", mirror.url())])
        .arg("--install-location")
        .arg(room.path().join("kubectl"))
        .args(["--kubelogin-version", VERSION])
        .args(["--kubelogin-base-src-url", &mirror.url()])
        .arg("--kubelogin-install-location")
        .arg(&target)
        .env_clear()
        .env("HOME", room.path())
        .env("AZURE_CONFIG_DIR", room.folder("azure"))
        .env("AZURE_CORE_COLLECT_TELEMETRY", "no")
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("az starts");
    assert!(output.status.success(), "{output:?}");

    let shown = succeeded(
        Command::new(&target)
            .arg("--version")
            .output()
            .expect("starts"),
    );
    assert!(
        shown.starts_with("kubelogin version"),
        "it runs as it was installed: {shown}"
    );
    let kubeconfig = room.file("config", "apiVersion: v1\nkind: Config\nusers: []\n");
    let mut convert = Command::new(&target);
    convert
        .args(["convert-kubeconfig", "-l", "azurecli", "--kubeconfig"])
        .arg(kubeconfig);
    succeeded(
        convert
            .env_clear()
            .env("HOME", room.path())
            .output()
            .expect("starts"),
    );
}

/// The container image as a container engine lays it out: its root file system, and how it is started.
struct Container {
    root: PathBuf,
    config: Value,
}

impl Container {
    /// Follows the digests from `index.json` to the image of one architecture.
    fn of(release: &Release, architecture: &str) -> Self {
        let layout = release.room.folder("layout");
        let unpack = |archive: &Path, folder: &Path| {
            let mut tar = Command::new("tar");
            let tar = tar
                .args(["--extract", "--preserve-permissions", "--file"])
                .arg(archive);
            succeeded(
                tar.arg("--directory")
                    .arg(folder)
                    .output()
                    .expect("tar starts"),
            );
        };
        unpack(&release.dist.join("kubelogin-image.tar"), &layout);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest");
            layout.join("blobs").join(digest.replace(':', "/"))
        };
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a blob")).expect("JSON")
        };
        let index = read(&blob(
            &read(&layout.join("index.json"))["manifests"][0].clone(),
        ));
        let images = index["manifests"].as_array().expect("images");
        let platform = json!({"os": "linux", "architecture": architecture});
        let image = images.iter().find(|image| image["platform"] == platform);
        let manifest = read(&blob(image.expect("an image for it")));
        let root = release.room.folder("root");
        unpack(&blob(&manifest["layers"][0]), &root);
        let config = read(&blob(&manifest["config"]));
        assert_eq!(config["architecture"], architecture);
        Self { root, config }
    }

    /// A container has what is in the image alone. A program that is not static brings its libraries here.
    fn add_libraries(&self) {
        let listed = Command::new("ldd")
            .arg(program_under_test())
            .output()
            .expect("ldd starts");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for library in listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let target = self.root.join(&library[1..]);
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            fs::copy(library, target).expect("a library");
        }
    }

    /// Starts it as its configuration says; only root can be someone else in it.
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let config = &self.config["config"];
        let texts = |value: &Value| -> Vec<String> {
            serde_json::from_value(value.clone()).expect("texts")
        };
        let user = config["User"].as_str().expect("a user");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut chroot = Command::new("/usr/sbin/chroot");
            chroot.arg(format!("--userspec={user}"));
            chroot
        } else {
            let mut unshare = Command::new("/usr/bin/unshare");
            unshare.args(["--map-root-user", "/usr/sbin/chroot"]);
            unshare
        };
        command
            .arg(&self.root)
            .args(texts(&config["Entrypoint"]))
            .args(args)
            .env_clear();
        for variable in texts(&config["Env"]) {
            let (name, value) = variable.split_once('=').expect("a variable");
            command.env(name, value);
        }
        command.envs(variables.iter().copied());
        command.output().expect("chroot starts")
    }
}

#[test]
fn the_container_image_signs_in_and_keeps_the_token() {
    let entra = FakeEntra::start();
    let (release, architecture) = packed();
    // In the image, certificate authorities are where the program looks for them by itself.
    release.room.file("ca.pem", entra.ca_pem());
    succeeded(release.archives(&[]));
    let container = Container::of(&release, architecture);
    container.add_libraries();
    assert_eq!(container.config["config"]["User"], "65532:65532");
    let names: Vec<_> = fs::read_dir(container.root.join("usr/local/bin"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["kubelogin"]);

    let host = entra.authority_host();
    let args = ["get-token", "-l", "spn", "--server-id", SERVER_ID];
    let args = [
        &args[..],
        &["-t", TENANT_ID, "--client-id", CONFIDENTIAL_CLIENT_ID],
        &["--authority-host", &host, "--disable-instance-discovery"],
    ]
    .concat();
    // No sealing key of a test in the keyring of the person who runs it.
    let variables = [
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
        ("KUBELOGIN_TOKEN_CACHE_STORAGE", "disk"),
    ];
    for _ in 0..2 {
        let credential = succeeded(container.run(&args, &variables));
        let credential: Value = serde_json::from_str(&credential).expect("JSON");
        assert!(credential["status"]["token"].is_string(), "{credential:#}");
        assert_eq!(
            entra.token_requests(),
            1,
            "kept in the home folder of the image"
        );
    }
}

// --- .ci/release --check

/// A small repository with the scripts, ready to be released, and a PATH with what they need and no more.
struct Repository {
    room: TempDir,
}

impl Repository {
    fn ready() -> Self {
        const PROGRAMS: &[&str] = &[
            "bash", "cat", "cut", "date", "dirname", "git", "grep", "head", "ls", "paste", "rm",
            "sed", "sort", "uname",
        ];
        let room = TempDir::new();
        let (bin, _) = (room.folder("bin"), room.folder("repository/.ci"));
        for program in PROGRAMS {
            let found = succeeded(
                Command::new("sh")
                    .args(["-c", &format!("command -v {program}")])
                    .output()
                    .expect("sh starts"),
            );
            symlink(found.trim_end(), bin.join(program)).expect("a link");
        }
        let repository = Self { room };
        // Stand-ins for what is big: a compiler that has every standard library, and two linkers.
        repository.program("rustc", "echo /");
        repository.program("cc", "");
        let interpreter = python(&["-c", "import sys; print(sys.executable)"]);
        repository.program(
            "python3",
            &format!("exec {} \"$@\"", interpreter.trim_end()),
        );
        repository.program("x86_64-w64-mingw32-gcc", "");
        for script in ["release", "package.py"] {
            fs::copy(
                scripts().join(script),
                repository.path(&format!(".ci/{script}")),
            )
            .expect("a script");
        }
        repository.file("Cargo.toml", "[package]\nversion = \"1.2.3\"\n");
        repository.file(
            "Cargo.lock",
            "[[package]]\nname = \"kubelogin\"\nversion = \"1.2.3\"\n",
        );
        repository.file(
            "CHANGELOG.md",
            "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2025-11-26\n\n- New.\n",
        );
        repository.file(".gitignore", "/target\n");
        repository.git("init --quiet");
        repository.commit();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join("repository").join(name)
    }

    fn file(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn program(&self, name: &str, script: &str) {
        let path = self
            .room
            .file(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn git(&self, words: &str) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(words.split(' '))
            .current_dir(self.path(""));
        succeeded(git.output().expect("git starts"));
    }

    fn commit(&self) {
        self.git("add --all");
        self.git("commit --quiet --message=change");
    }

    fn release(&self, args: &[&str]) -> Output {
        Command::new("bash")
            .arg(self.path(".ci/release"))
            .args(args)
            .env_clear()
            .env("PATH", self.room.path().join("bin"))
            .env("RUSTC", self.room.path().join("bin/rustc"))
            .env("HOME", self.room.path())
            .output()
            .expect("bash starts")
    }

    /// The one line on stderr.
    #[track_caller]
    fn error(&self, args: &[&str]) -> String {
        let output = self.release(args);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{error}");
        let line = error.strip_prefix("Error: ").expect("an error");
        assert_eq!(line.lines().count(), 1, "one error: {line}");
        line.trim_end().to_owned()
    }
}

#[test]
fn check_passes_what_is_ready_before_and_after_the_tag() {
    let repository = Repository::ready();
    let said = succeeded(repository.release(&["--check"]));
    let next = "git tag --annotate v1.2.3 --message 'kubelogin 1.2.3' && git push origin v1.2.3";
    assert!(said.contains(next), "{said}");
    repository.git("tag v1.2.3");
    let said = succeeded(repository.release(&["--check", "v1.2.3"]));
    assert_eq!(said, "Nothing stands in the way of v1.2.3.\n");
}

type Change = fn(&Repository);

#[test]
fn check_names_what_stands_in_the_way() {
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "the checkout has changes that are not committed (notes): commit",
            |it| it.file("notes", ""),
            &[],
        ),
        (
            "CHANGELOG.md has no section of 1.2.3: rename [Unreleased]",
            |it| {
                it.file("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n- New.\n");
                it.commit();
            },
            &[],
        ),
        (
            "CHANGELOG.md's newest version is 1.2.2, Cargo.toml's 1.2.3",
            |it| {
                it.file("CHANGELOG.md", "# Changelog\n\n## [1.2.2] - 2025-11-26\n");
                it.commit();
            },
            &[],
        ),
        (
            "CHANGELOG.md has entries under [Unreleased]: move them to [1.2.3]",
            |it| {
                let text = "## [Unreleased]\n\n- Newer.\n\n## [1.2.3] - 2025-11-26\n";
                it.file("CHANGELOG.md", text);
                it.commit();
            },
            &[],
        ),
        (
            "Cargo.lock has version 1.2.2, Cargo.toml 1.2.3",
            |it| {
                let text = "[[package]]\nname = \"kubelogin\"\nversion = \"1.2.2\"\n";
                it.file("Cargo.lock", text);
                it.commit();
            },
            &[],
        ),
        (
            "v1.2.3 is another commit",
            |it| {
                it.git("tag v1.2.3");
                it.file("notes", "");
                it.commit();
            },
            &[],
        ),
        ("this checkout has no tag v1.2.3", |_| (), &["v1.2.3"]),
        (
            "the tag is v1.2.4, the version in Cargo.toml 1.2.3",
            |it| it.git("tag v1.2.4"),
            &["v1.2.4"],
        ),
        (
            "x86_64-w64-mingw32-gcc is missing, the linker for Windows: apt-get install",
            |it| {
                fs::remove_file(it.room.path().join("bin/x86_64-w64-mingw32-gcc"))
                    .expect("removed");
            },
            &[],
        ),
        (
            "cc is missing: apt-get install",
            |it| fs::remove_file(it.room.path().join("bin/cc")).expect("removed"),
            &[],
        ),
        (
            "Rust's standard library for x86_64-pc-windows-gnu is missing: rustup target add x86_64-pc-windows-gnu",
            |it| {
                it.program("rustc", "case \"$*\" in *windows*) echo /nowhere;; *sysroot) echo /nowhere;; *) echo /; esac")
            },
            &[],
        ),
        (
            "python3 with venv is missing",
            |it| it.program("python3", "exit 1"),
            &[],
        ),
        (
            "target/dist.unfinished is there: another run is at work, or one was killed. Then: rm -r target/dist.unfinished",
            |it| drop(it.room.folder("repository/target/dist.unfinished")),
            &[],
        ),
    ];
    for (expected, change, tag) in cases {
        let repository = Repository::ready();
        change(&repository);
        let error = repository.error(&[&["--check"], *tag].concat());
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
}

#[test]
fn a_release_is_refused_before_anything_is_built() {
    let repository = Repository::ready();
    let unknown = repository.error(&["build", "plan9_amd64"]);
    assert!(unknown.contains("\"plan9_amd64\""), "{unknown}");
    let unknown = repository.error(&["publish"]);
    assert!(
        unknown.starts_with("there is no \"publish\" here"),
        "{unknown}"
    );
    repository.file("notes", "");
    for args in [&[][..], &["build", "linux_amd64"], &["package"]] {
        assert!(repository.error(args).contains("not committed"), "{args:?}");
    }
    assert!(!repository.path("target").exists());
}

#[test]
fn release_notes_are_the_changelog_s_section() {
    let repository = Repository::ready();
    let text = "## [Unreleased]\n\n## [1.2.3] - 2025-11-26\n\n### Added\n\n- New.\n\n## [1.2.2] - 2025-01-01\n\n- Old.\n";
    repository.file("CHANGELOG.md", text);
    let mut notes = Command::new("python3");
    notes
        .arg(".ci/package.py")
        .args(["notes", "--version", VERSION])
        .current_dir(repository.path(""));
    let notes = succeeded(notes.output().expect("python3 starts"));
    assert_eq!(notes, "### Added\n\n- New.\n");
}
