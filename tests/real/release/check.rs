//! `.ci/release --check`: what is missing for a release.

use super::*;

/// A small repository with the scripts, ready to release, and a PATH with only the programs they need.
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
                    .expect("cannot start sh"),
            );
            symlink(found.trim_end(), bin.join(program)).expect("a link");
        }
        let repository = Self { room };
        // Fakes of the big programs: a compiler with every standard library, and two linkers.
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
        succeeded(git.output().expect("cannot start git"));
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
            .expect("cannot start bash")
    }

    /// The error, which must be one line.
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
    assert_eq!(said, "v1.2.3 is ready to release.\n");
}

type Change = fn(&Repository);

#[test]
fn check_names_what_stands_in_the_way() {
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "uncommitted changes (notes): commit",
            |it| it.file("notes", ""),
            &[],
        ),
        (
            "CHANGELOG.md has no section for 1.2.3: rename [Unreleased]",
            |it| {
                it.file("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n- New.\n");
                it.commit();
            },
            &[],
        ),
        (
            "the newest version in CHANGELOG.md is 1.2.2, in Cargo.toml 1.2.3",
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
            "the version is 1.2.2 in Cargo.lock, 1.2.3 in Cargo.toml",
            |it| {
                let text = "[[package]]\nname = \"kubelogin\"\nversion = \"1.2.2\"\n";
                it.file("Cargo.lock", text);
                it.commit();
            },
            &[],
        ),
        (
            "v1.2.3 points to another commit",
            |it| {
                it.git("tag v1.2.3");
                it.file("notes", "");
                it.commit();
            },
            &[],
        ),
        ("this checkout has no tag v1.2.3", |_| (), &["v1.2.3"]),
        (
            "the tag is v1.2.4, but the version in Cargo.toml is 1.2.3",
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
            "python3-venv is missing",
            |it| it.program("python3", "exit 1"),
            &[],
        ),
        (
            "target/dist.unfinished exists: another run is active, or one was killed. If so: rm -r target/dist.unfinished",
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
        unknown.starts_with("unknown command \"publish\""),
        "{unknown}"
    );
    repository.file("notes", "");
    for args in [&[][..], &["build", "linux_amd64"], &["package"]] {
        assert!(repository.error(args).contains("uncommitted"), "{args:?}");
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
    let notes = succeeded(notes.output().expect("cannot start python3"));
    assert_eq!(notes, "### Added\n\n- New.\n");
}
