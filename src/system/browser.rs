//! Opens a browser: the one in BROWSER, or else the desktop's.
//!
//! The `open` crate ignores BROWSER and may pass the address through cmd.exe on Windows.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use super::platform;
use super::process::{find_in, path_folders};
use crate::env::{self, Env};

/// The placeholder for the address in an entry of BROWSER.
const PLACE_OF_URL: &str = "%s";

/// True if a browser can be opened for the user.
pub fn has_browser(env: &Env) -> bool {
    let has = |name| env.get(name).is_some();
    let has_desktop = cfg!(any(windows, target_os = "macos")) && !has(env::SSH_CONNECTION);
    let signs = [
        env::BROWSER,
        env::DISPLAY,
        env::WAYLAND_DISPLAY,
        env::WSL_DISTRO_NAME,
    ];
    has_desktop || signs.into_iter().any(has)
}

/// How this machine opens a browser.
pub struct Browser {
    /// The value of BROWSER.
    wanted: Option<String>,
    is_in_wsl: bool,
    /// The folders to look for it in.
    folders: Vec<PathBuf>,
}

/// A program and its arguments.
type CommandLine = Vec<String>;

impl Browser {
    pub fn new(env: &Env) -> Self {
        Self {
            wanted: env.get(env::BROWSER).map(str::to_owned),
            is_in_wsl: env.get(env::WSL_DISTRO_NAME).is_some(),
            folders: path_folders(env).collect(),
        }
    }

    /// Tries one browser after another in the background, and calls `tell` if none worked. Some run until they are
    /// closed; nothing waits for that.
    pub fn open(&self, url: &str, tell: fn(&str)) {
        let browsers = match &self.wanted {
            Some(list) => of_variable(list, url),
            None => of_desktop(self.is_in_wsl, url),
        };
        let folders = self.folders.clone();
        let started = thread::Builder::new().spawn(move || {
            if let Err(why) = first_that_works(&browsers, &folders) {
                tell(&format!(
                    "No browser was opened ({why}); open the address above yourself."
                ));
            }
        });
        if let Err(error) = started {
            tell(&format!(
                "No browser was opened ({error}); open the address above yourself."
            ));
        }
    }
}

/// Runs each until one succeeds. Otherwise returns why the last one that is installed failed.
fn first_that_works(browsers: &[CommandLine], folders: &[PathBuf]) -> Result<(), String> {
    let mut why = match browsers.first() {
        Some(browser) => format!("{} is not installed", browser[0]),
        None => "BROWSER names no program".to_owned(),
    };
    for browser in browsers {
        match run(browser, folders) {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => why = format!("{}: {status}", browser[0]),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = format!("{}: {error}", browser[0]),
        }
    }
    Err(why)
}

#[expect(
    clippy::disallowed_methods,
    reason = "System::run waits for an output, which a browser must not have: kubectl reads our stdout"
)]
fn run(browser: &CommandLine, folders: &[PathBuf]) -> io::Result<ExitStatus> {
    let (program, arguments) = browser.split_first().ok_or(io::ErrorKind::NotFound)?;
    let program = find(program, folders)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    platform::detach(&mut command);
    command.status()
}

/// The program of this name, or at this absolute path. A relative path, like a relative folder in PATH, would depend on
/// the client's working directory, which may be an untrusted repository.
fn find(program: &str, folders: &[PathBuf]) -> io::Result<PathBuf> {
    let path = Path::new(program);
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    // Not so `./name` and, on Windows, `C:name`.
    if path.file_name() != Some(path.as_os_str()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "BROWSER must be a program's name or its full path",
        ));
    }
    find_in(folders, program).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The entries of BROWSER, tried from left to right.
fn of_variable(list: &str, url: &str) -> Vec<CommandLine> {
    let entries = list
        .split(platform::LIST_SEPARATOR)
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    entries.map(|entry| of_entry(entry, url)).collect()
}

/// An entry is a program with its arguments, or the path of a program, which may contain blanks.
fn of_entry(entry: &str, url: &str) -> CommandLine {
    if Path::new(entry).is_absolute() && Path::new(entry).is_file() {
        return vec![entry.to_owned(), url.to_owned()];
    }
    let mut words: CommandLine = words(entry)
        .map(|word| word.replace(PLACE_OF_URL, url))
        .collect();
    if !entry.contains(PLACE_OF_URL) {
        words.push(url.to_owned());
    }
    words
}

/// The words of an entry, separated by blanks that are not in quotes.
fn words(entry: &str) -> impl Iterator<Item = String> {
    let mut quote = None;
    let is_separator = move |character: char| {
        match quote {
            Some(end) if end == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => {}
        }
        quote.is_none() && character.is_whitespace()
    };
    let words = entry.split(is_separator).filter(|word| !word.is_empty());
    words.map(|word| word.replace(['"', '\''], ""))
}

/// The desktop's openers, each with the address.
fn of_desktop(is_in_wsl: bool, url: &str) -> Vec<CommandLine> {
    let openers = platform::openers(is_in_wsl).into_iter();
    openers
        .map(|opener| [opener, &[url]].concat())
        .map(|words| words.into_iter().map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://login.example/authorize?a=b&c=d%20e";

    fn list(entries: &[&str]) -> String {
        entries.join(&platform::LIST_SEPARATOR.to_string())
    }

    #[test]
    fn the_variable_is_a_list_of_commands_with_a_place_for_the_address() {
        let browsers = of_variable(&list(&["firefox", "/opt/b --app=%s --new", ""]), URL);
        let app = format!("--app={URL}");
        assert_eq!(
            browsers,
            [vec!["firefox", URL], vec!["/opt/b", &app, "--new"]]
        );
        assert_eq!(of_variable(&list(&[" ", " "]), URL), [[""; 0]; 0]);
        assert_eq!(of_variable("'/my b' --app=\"%s\"", URL), [["/my b", &*app]]);
    }

    #[cfg(unix)]
    #[test]
    fn a_browser_that_is_missing_or_fails_leaves_the_turn_to_the_next() {
        let commands = |words: &[&str]| {
            words
                .iter()
                .map(|word| vec![(*word).to_owned()])
                .collect::<Vec<_>>()
        };
        let folders = ["/bin", "/usr/bin"].map(PathBuf::from);
        let outcome = |words| first_that_works(&commands(words), &folders);
        assert_eq!(outcome(&["/no/such/browser", "false", "true"]), Ok(()));
        assert_eq!(
            outcome(&["false", "/no/such/browser"]),
            Err("false: exit status: 1".into())
        );
        assert_eq!(
            outcome(&["/no/such/browser"]),
            Err("/no/such/browser is not installed".into())
        );
        assert_eq!(outcome(&[]), Err("BROWSER names no program".into()));
    }

    /// The way from the working directory to a path below the root.
    #[cfg(unix)]
    fn relative(path: &str) -> String {
        let folder = std::env::current_dir().expect("a folder");
        "../".repeat(folder.components().count() - 1) + path
    }

    #[cfg(unix)]
    #[test]
    fn a_relative_path_is_no_browser_even_where_it_leads_to_a_program() {
        let sh = relative("bin/sh");
        assert!(Path::new(&sh).is_file());
        for program in [&*sh, "./sh", "sub/sh", ".."] {
            let error = find(program, &["/bin".into()]).expect_err(program);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{program}");
            let tried = first_that_works(&[vec![program.into()]], &[]).expect_err(program);
            assert!(
                tried.starts_with(program) && tried.contains("full path"),
                "{tried}"
            );
        }
        assert_eq!(
            find("/bin/sh", &[]).expect("absolute"),
            Path::new("/bin/sh")
        );
        let on_path = find("sh", &["/bin".into()]).expect("on PATH");
        assert_eq!(on_path, Path::new("/bin/sh"));
    }

    #[cfg(windows)]
    #[test]
    fn a_path_that_depends_on_the_working_directory_is_no_browser() {
        for program in [
            r".\cmd.exe",
            "C:cmd.exe",
            r"\Windows\cmd.exe",
            "sub/cmd.exe",
        ] {
            let error = find(program, &[]).expect_err(program);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{program}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_relative_folder_on_path_holds_no_browser() {
        for (path, is_found) in [
            (list(&[".", "./", ""]), false),
            (relative("bin"), false),
            (list(&[".", "/bin"]), true),
        ] {
            let browser = Browser::new(&Env::of(&[(env::PATH, &path), (env::BROWSER, "sh")]));
            let found = find("sh", &browser.folders);
            assert_eq!(found.is_ok(), is_found, "{path}");
        }
    }
}
