//! Starts a browser: the person's own (BROWSER), else the desktop's opener.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::env::{self, Env};

/// Where the address goes in an entry of BROWSER.
const PLACE_OF_URL: &str = "%s";

/// What is known here about browsers.
pub struct Browser {
    /// The value of BROWSER.
    wanted: Option<String>,
    is_in_wsl: bool,
}

/// A program with its arguments.
type CommandLine = Vec<String>;

impl Browser {
    pub fn new(env: &Env) -> Self {
        Self {
            wanted: env.get(env::BROWSER).map(str::to_owned),
            is_in_wsl: env.get(env::WSL_DISTRO_NAME).is_some(),
        }
    }

    /// Tries one browser after another in the background, and tells on `tell` if none did. It waits for none of them
    /// to be closed: some run until then.
    pub fn open(&self, url: &str, tell: fn(&str)) {
        let is_in_wsl = self.is_in_wsl || is_kernel_of_wsl(Path::new("/proc/version"));
        let browsers = match &self.wanted {
            Some(list) => of_variable(list, url),
            None => of_desktop(is_in_wsl, url),
        };
        let started = thread::Builder::new().spawn(move || {
            if let Err(why) = first_that_works(&browsers) {
                tell(&format!(
                    "No browser was opened ({why}): open the address above yourself."
                ));
            }
        });
        if let Err(error) = started {
            tell(&format!(
                "No browser was opened ({error}): open the address above yourself."
            ));
        }
    }
}

/// Runs each until one ends well. Why the last failed that is there at all is the reason told.
fn first_that_works(browsers: &[CommandLine]) -> Result<(), String> {
    let mut why = match browsers.first() {
        Some(browser) => format!("{} is not installed", browser[0]),
        None => "none is named".to_owned(),
    };
    for browser in browsers {
        match run(browser) {
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
fn run(browser: &CommandLine) -> io::Result<ExitStatus> {
    let (program, arguments) = browser.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(OsStr::new(program));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Ctrl-C at kubectl is not meant for the browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.status()
}

/// The entries of BROWSER, tried from left to right.
fn of_variable(list: &str, url: &str) -> Vec<CommandLine> {
    // A colon stands in every path of Windows.
    let separator = if cfg!(windows) { ';' } else { ':' };
    let entries = list
        .split(separator)
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    entries.map(|entry| of_entry(entry, url)).collect()
}

/// An entry is a program with its arguments, or the path of a program, whatever signs that holds.
fn of_entry(entry: &str, url: &str) -> CommandLine {
    if Path::new(entry).is_file() {
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

/// The words of an entry: blanks separate them, unless they stand in quotes.
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

/// The openers of the operating system. Each gets the address as an argument, never through a shell.
fn of_desktop(is_in_wsl: bool, url: &str) -> Vec<CommandLine> {
    const WINDOWS: &[&[&str]] = &[&["rundll32.exe", "url.dll,FileProtocolHandler"]];
    const MACOS: &[&[&str]] = &[&["open"]];
    const WSL: &[&[&str]] = &[
        &["wslview"],
        &["rundll32.exe", "url.dll,FileProtocolHandler"],
    ];
    const OTHERS: &[&[&str]] = &[&["xdg-open"], &["x-www-browser"], &["www-browser"]];
    let openers = if cfg!(windows) {
        vec![WINDOWS]
    } else if cfg!(target_os = "macos") {
        vec![MACOS]
    } else if is_in_wsl {
        vec![WSL, OTHERS]
    } else {
        vec![OTHERS]
    };
    let with_url = |opener: &&[&str]| {
        opener
            .iter()
            .copied()
            .chain([url])
            .map(str::to_owned)
            .collect()
    };
    openers.into_iter().flatten().map(with_url).collect()
}

/// The kernel of WSL says so in its version; `sudo` and containers lose the variable.
fn is_kernel_of_wsl(version: &Path) -> bool {
    std::fs::read_to_string(version)
        .is_ok_and(|text| text.to_ascii_lowercase().contains("microsoft"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://login.example/authorize?a=b&c=d%20e";

    #[cfg(unix)]
    #[test]
    fn the_variable_is_a_list_of_commands_with_a_place_for_the_address() {
        let browsers = of_variable("firefox:/opt/b --app=%s --new:", URL);
        let app = format!("--app={URL}");
        assert_eq!(
            browsers,
            [vec!["firefox", URL], vec!["/opt/b", &app, "--new"]]
        );
        assert_eq!(of_variable(" : ", URL), [[""; 0]; 0]);
        assert_eq!(of_variable("'/my b' --app=\"%s\"", URL), [["/my b", &*app]]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn under_wsl_the_browser_of_windows_comes_first() {
        let first = |is_in_wsl| of_desktop(is_in_wsl, URL)[0].clone();
        assert_eq!(first(true), ["wslview", URL]);
        assert_eq!(first(false), ["xdg-open", URL]);
        assert!(of_desktop(true, URL).contains(&vec!["xdg-open".into(), URL.into()]));
    }

    #[cfg(windows)]
    #[test]
    fn no_command_interpreter_sees_the_address() {
        let opener = ["rundll32.exe", "url.dll,FileProtocolHandler", URL];
        assert_eq!(of_desktop(false, URL), [opener]);
    }

    #[test]
    fn wsl_is_known_by_its_kernel() {
        let path = std::env::temp_dir().join(format!("kubelogin-wsl-{}", std::process::id()));
        for (text, is_wsl) in [
            ("Linux version 6.6.87-microsoft-standard-WSL2", true),
            ("Linux version 6.1.0", false),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(is_kernel_of_wsl(&path), is_wsl, "{text}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(!is_kernel_of_wsl(&path));
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
        let outcome = |words| first_that_works(&commands(words));
        assert_eq!(outcome(&["/no/such/browser", "false", "true"]), Ok(()));
        assert_eq!(
            outcome(&["false", "/no/such/browser"]),
            Err("false: exit status: 1".into())
        );
        assert_eq!(
            outcome(&["/no/such/browser"]),
            Err("/no/such/browser is not installed".into())
        );
        assert_eq!(outcome(&[]), Err("none is named".into()));
    }
}
