//! `--login azurepowershell`: the account that Azure PowerShell (`Connect-AzAccount`) is signed in with.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use super::outside_state::{Account, OutsideState, SignedIn, fingerprint, is_in_tenant, read};
use super::program::{self, Product, Standing, argument};
use crate::entra::answer::without_bom;
use crate::env::Env;
use crate::error::Error;
use crate::flag::Flag;
use crate::login::{HandOn, Login};
use crate::login_mode::POWERSHELLS;
use crate::options::Options;
use crate::secret::Secret;
use crate::system::{Program, System};
use crate::timeout::Timeout;
use crate::token::{Scope, Token};
use crate::token_cache::{CacheKey, Fingerprint};

const SIGN_IN: &str = "Connect-AzAccount";
const RUN_SIGN_IN: &str = "Run in PowerShell: Connect-AzAccount";
const ALLOW_SCRIPTS: &str = "Install PowerShell 7 (https://aka.ms/install-powershell), or run in PowerShell: Set-ExecutionPolicy -Scope CurrentUser RemoteSigned";

#[rustfmt::skip]
const AZURE_POWERSHELL: Product = Product {
    name: POWERSHELLS[0],
    title: "PowerShell 7",
    install: "https://aka.ms/install-powershell",
    sign_in: SIGN_IN,
    tenant_flag: "-Tenant",
    advice: &[
        ("Az.Accounts is not installed", "Run in PowerShell: Install-Module Az.Accounts -Scope CurrentUser"),
        ("is too old", "Run in PowerShell: Update-Module Az.Accounts"),
        ("AuthorizationManager check failed", ALLOW_SCRIPTS),
        ("running scripts is disabled", ALLOW_SCRIPTS),
        ("ClaimsChallenge", "Run that Connect-AzAccount command in PowerShell; it needs Az.Accounts 5.2 or later."),
        (SIGN_IN, RUN_SIGN_IN),
        ("No accounts were found in the cache", RUN_SIGN_IN),
        ("cannot retrieve access token", RUN_SIGN_IN),
        ("have not been set up or have expired", RUN_SIGN_IN),
    ],
};

/// What PowerShell runs. `Get-AzAccessToken` returns plain text before Az.Accounts 2.17, either on request until 5.0, and a
/// `SecureString` from then on, unless a variable says otherwise (Azure/azure-powershell#27706): so the type decides.
const SCRIPT: &str = r#"$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';$WarningPreference='SilentlyContinue'
try{
$m=Import-Module Az.Accounts -MinimumVersion 2.2.0 -PassThru -ErrorAction SilentlyContinue
if(!$m){
$o=Get-Module Az.Accounts -ListAvailable|Sort-Object Version|Select-Object -Last 1
if(!$o){throw 'the module Az.Accounts is not installed'}
if($o.Version -lt [version]'2.2.0'){throw "the module Az.Accounts $($o.Version) is too old"}
$m=Import-Module Az.Accounts -MinimumVersion 2.2.0 -PassThru -ErrorAction Stop
}
$p=@{ResourceUrl=<resource>;WarningAction='Ignore'}
<tenant>
$v=@($m)[0].Version
if($v -ge [version]'2.17.0' -and $v -lt [version]'5.0.0'){$p.AsSecureString=$true}
$t=Get-AzAccessToken @p
$k=$t.Token
if($k -is [System.Security.SecureString]){
$b=[System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($k)
try{$k=[System.Runtime.InteropServices.Marshal]::PtrToStringBSTR($b)}
finally{[System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($b)}
}
"kubelogin%$k%$($t.ExpiresOn.ToUnixTimeSeconds())"
}catch{[Console]::Error.WriteLine('ERROR: '+$_.Exception.Message);exit 1}
"#;

/// The prefix of the output line with the token.
const MARK: &str = "kubelogin%";

/// PowerShell, with the arguments of the request.
#[derive(Debug)]
pub struct AzurePowerShell {
    tenant_id: Option<String>,
    state: State,
}

impl Login for AzurePowerShell {
    fn identify(&self, key: CacheKey) -> CacheKey {
        key.with("tenant", self.tenant_id.as_deref().unwrap_or_default())
            .with_folder(self.state.folder.as_deref())
    }

    /// `None` if the state cannot be read or is not on disk; then no token may be cached.
    fn fingerprint(&self) -> Option<Fingerprint> {
        fingerprint(|state| self.state.collect(state))
    }

    fn acquire(
        &self,
        scope: &Scope,
        timeout: Timeout,
        system: &dyn System,
        _: HandOn,
    ) -> Result<Token, Error> {
        if let Some(settings) = self.state.settings_of_process() {
            let what = format!(
                "Azure PowerShell keeps no sign-in beyond its own process (Mode is Process in {})",
                settings.display()
            );
            let remedy = "Run in PowerShell: Enable-AzContextAutosave, then: Connect-AzAccount";
            return Err(self.naming_tenant(Error::input(what).remedy(remedy)));
        }
        let programs: Vec<_> = POWERSHELLS
            .iter()
            .map(|name| self.program(name, scope))
            .collect();
        let output = program::ask_first(&programs, &AZURE_POWERSHELL, scope, timeout, system);
        let output = output.map_err(|error| self.naming_tenant(error))?;
        let (access_token, unix_time) = answer(&program::plain(&output))?;
        let expires_on = DateTime::from_timestamp(unix_time, 0);
        let tenant = self.tenant_id.as_deref();
        program::token(&AZURE_POWERSHELL, access_token, expires_on, tenant, system)
    }
}

impl AzurePowerShell {
    pub fn new(options: &Options, env: &Env) -> Result<Self, Error> {
        argument(options, Flag::ServerId)?;
        Ok(Self {
            tenant_id: argument(options, Flag::TenantId)?,
            state: State::new(env),
        })
    }

    fn program(&self, name: &'static str, scope: &Scope) -> Program {
        let tenant = self.tenant_id.as_deref();
        let tenant = tenant.map(|tenant| format!("$p.TenantId={}", literal(tenant)));
        let script = SCRIPT
            .replace("<resource>", &literal(scope.resource()))
            .replace("<tenant>", &tenant.unwrap_or_default());
        let arguments = [
            "-NoProfile",
            "-NonInteractive",
            "-OutputFormat",
            "Text",
            "-EncodedCommand",
        ];
        Program {
            name,
            args: arguments
                .into_iter()
                .map(str::to_owned)
                .chain([encoded(&script)])
                .collect(),
            environment: vec![
                ("POWERSHELL_UPDATECHECK", "Off".into()),
                ("POWERSHELL_TELEMETRY_OPTOUT", "1".into()),
                ("NO_COLOR", "1".into()),
            ],
        }
    }

    /// The error, with the tenant in the command that signs in.
    fn naming_tenant(&self, error: Error) -> Error {
        let Some(tenant) = &self.tenant_id else {
            return error;
        };
        let (_, remedy) = error.parts();
        let Some(before) = remedy.strip_suffix(SIGN_IN) else {
            return error;
        };
        let remedy = format!("{before}{SIGN_IN} -Tenant {tenant}");
        error.remedy(remedy)
    }
}

/// A PowerShell string with no meaning but its own. Typographic quotes end a string just as straight ones do.
fn literal(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        let is_quote = matches!(c, '\'' | '\u{2018}'..='\u{201b}');
        literal.extend(std::iter::repeat_n(c, if is_quote { 2 } else { 1 }));
    }
    literal.push('\'');
    literal
}

/// A script as `-EncodedCommand` takes it: base64 of UTF-16, little-endian.
fn encoded(script: &str) -> String {
    let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    STANDARD.encode(bytes)
}

/// The token and its expiry, in Unix seconds, from PowerShell's output.
fn answer(output: &str) -> Result<(Secret, i64), Error> {
    let mut answers = output.match_indices(MARK).map(|(at, _)| {
        let rest = &output[at + MARK.len()..];
        let word = rest.split_whitespace().next().unwrap_or_default();
        let (token, time) = word.split_once('%')?;
        Some((Secret::new(token), time.parse().ok()?))
    });
    let first = answers.next().flatten();
    let first = first.ok_or_else(|| program::no_token(&AZURE_POWERSHELL))?;
    match answers.next() {
        None => Ok(first),
        Some(_) => Err(Error::refused(
            "",
            format!("{} printed more than one token", AZURE_POWERSHELL.name),
        )
        .remedy("Check that PowerShell runs no other script that prints kubelogin's output.")),
    }
}

/// Where Azure PowerShell keeps who is signed in (azure-powershell, `AzureSessionInitializer.cs`).
#[derive(Debug)]
pub struct State {
    /// `.Azure` in the home folder, with a capital A; `None` without a home.
    folder: Option<PathBuf>,
}

/// The account that Azure PowerShell is signed in as.
pub fn standing(env: &Env, tenant: Option<&str>) -> Standing {
    let files = State::new(env).read().ok();
    Standing {
        product: &AZURE_POWERSHELL,
        signed_in: signed_in(files.as_ref(), tenant),
        file: files.map(|files| files.contexts_path),
    }
}

/// `AzureRmContextSettings.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    mode: Option<String>,
    context_directory: Option<PathBuf>,
    context_file: Option<PathBuf>,
}

const SETTINGS: &str = "AzureRmContextSettings.json";

/// Both files, as they are now.
struct Files {
    settings: Option<Vec<u8>>,
    contexts_path: PathBuf,
    contexts: Option<Vec<u8>>,
}

impl Settings {
    fn of(text: Option<&[u8]>) -> Self {
        serde_json::from_slice(without_bom(text.unwrap_or_default())).unwrap_or_default()
    }

    /// True if no sign-in is kept on disk.
    fn is_of_process(&self) -> bool {
        let mode = self.mode.as_deref();
        mode.is_some_and(|mode| mode.eq_ignore_ascii_case("Process"))
    }

    /// The file with the contexts; `folder` is the usual one.
    fn contexts_path(self, folder: &Path) -> PathBuf {
        let named = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let directory = named(self.context_directory);
        let file = named(self.context_file);
        directory
            .as_deref()
            .unwrap_or(folder)
            .join(file.as_deref().unwrap_or(Path::new("AzureRmContext.json")))
    }
}

impl State {
    pub fn new(env: &Env) -> Self {
        Self {
            folder: env.user_home().map(|home| home.join(".Azure")),
        }
    }

    /// The file that says that no sign-in is kept on disk; `None` if one is.
    fn settings_of_process(&self) -> Option<PathBuf> {
        let path = self.folder.as_ref()?.join(SETTINGS);
        let text = read(&path).ok()?;
        Settings::of(text.as_deref())
            .is_of_process()
            .then_some(path)
    }

    /// Reads the settings and the contexts that they name.
    ///
    /// # Errors
    /// They cannot be read, or no sign-in is kept on disk.
    fn read(&self) -> io::Result<Files> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let text = read(&folder.join(SETTINGS))?;
        let settings = Settings::of(text.as_deref());
        if settings.is_of_process() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let contexts_path = settings.contexts_path(folder);
        Ok(Files {
            contexts: read(&contexts_path)?,
            contexts_path,
            settings: text,
        })
    }

    /// The settings and the contexts: what `Connect-AzAccount`, `Disconnect-AzAccount`, `Set-AzContext` and
    /// `Clear-AzContext` change. Not the token cache, which changes with every refresh.
    fn collect(&self, state: &mut OutsideState) -> io::Result<()> {
        let files = self.read()?;
        state.add_content(files.settings);
        state.add(files.contexts_path.as_os_str().as_encoded_bytes());
        // Only the content: a call for a token may rewrite the same contexts.
        let contexts = state.add_content(files.contexts);
        let account = default_context(contexts).map(|(account, _)| account);
        if account.is_some_and(|account| account.has_one_tenant) {
            state.add_machine()?;
        }
        Ok(())
    }
}

/// Who is signed in by default, if it is to this tenant.
fn signed_in(files: Option<&Files>, tenant: Option<&str>) -> SignedIn {
    let contexts = files.and_then(|files| files.contexts.as_deref());
    match contexts.and_then(default_context) {
        None => SignedIn::Nobody,
        Some((account, own)) if is_in_tenant(own.as_deref(), tenant) => SignedIn::As(account),
        Some(_) => SignedIn::Elsewhere,
    }
}

/// The account of the default context, and its tenant.
fn default_context(contexts: &[u8]) -> Option<(Account, Option<String>)> {
    let contexts: Value = serde_json::from_slice(without_bom(contexts)).ok()?;
    let context = &contexts["Contexts"][contexts["DefaultContextKey"].as_str()?];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = context["Account"]["Type"].as_str().unwrap_or_default();
    let account = Account {
        name: Some(text(&context["Account"]["Id"])?),
        is_service_principal: kind == "ServicePrincipal",
        has_one_tenant: kind == "ManagedService",
    };
    Some((account, text(&context["Tenant"]["Id"])))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::login::tests::{NOBODY_WAITS, options};
    use crate::system::ProgramError;
    use crate::system::fake::FakeSystem;

    const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
    const TENANT: &str = "11111111-1111-1111-1111-111111111111";
    const OTHER_TENANT: &str = "22222222-2222-2222-2222-222222222222";

    fn login(flags: &[(Flag, &str)], home: &str) -> AzurePowerShell {
        let server = (Flag::ServerId, SERVER);
        let options = options("azurepowershell", &[&[server], flags].concat(), &[]);
        AzurePowerShell::new(&options, &Env::of(&[("HOME", home)])).expect("login")
    }

    fn acquire(flags: &[(Flag, &str)], system: &FakeSystem) -> Result<Token, Error> {
        let timeout = options("azurepowershell", flags, &[]).timeout;
        login(flags, "/home/nobody").acquire(
            &Scope::of_server(SERVER),
            timeout,
            system,
            NOBODY_WAITS,
        )
    }

    fn script_of(system: &FakeSystem) -> String {
        let programs = system.programs();
        let bytes = STANDARD.decode(&programs[0].args[5]).expect("base64");
        let units = bytes
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        String::from_utf16(&units.collect::<Vec<_>>()).expect("UTF-16")
    }

    fn answers(stdout: &str) -> FakeSystem {
        FakeSystem::with_outputs([FakeSystem::output(stdout.to_owned())])
    }

    #[test]
    fn pwsh_runs_one_script_with_the_values_in_quotes() {
        for (flags, tenant) in [
            (&[][..], None),
            (
                &[(Flag::TenantId, "ten.example")],
                Some("$p.TenantId='ten.example'"),
            ),
        ] {
            let system = answers("kubelogin%at%1767229200\n");
            acquire(flags, &system).expect("token");
            let program = &system.programs()[0];
            assert_eq!(program.name, "pwsh");
            assert_eq!(
                program.args[..5],
                [
                    "-NoProfile",
                    "-NonInteractive",
                    "-OutputFormat",
                    "Text",
                    "-EncodedCommand"
                ]
            );
            // The command line of Windows ends at 32,767 characters.
            assert!(program.args[5].len() < 8 * 1024);
            let script = script_of(&system);
            assert!(
                script.contains(&format!("ResourceUrl='{SERVER}'")),
                "{script}"
            );
            assert_eq!(script.contains("TenantId"), tenant.is_some(), "{script}");
            assert!(
                tenant.is_none_or(|tenant| script.contains(tenant)),
                "{script}"
            );
            assert!(!script.contains('<'), "{script}");
        }
    }

    #[test]
    fn no_value_ends_its_quotes() {
        for (text, quoted) in [
            ("a", "'a'"),
            ("a'b", "'a''b'"),
            ("\u{2019};calc", "'\u{2019}\u{2019};calc'"),
            ("$x`n\"", "'$x`n\"'"),
        ] {
            assert_eq!(literal(text), quoted);
        }
    }

    #[test]
    fn a_value_that_powershell_could_misread_is_refused_before_it_is_started() {
        for tenant in ["a'b", "a;b", "-Debug", "a$x", "a\u{2019}b"] {
            let options = options("azurepowershell", &[(Flag::TenantId, tenant)], &[]);
            let error = AzurePowerShell::new(&options, &Env::of(&[])).expect_err(tenant);
            assert!(error.to_string().contains("--tenant-id"), "{error}");
        }
    }

    #[test]
    fn the_token_is_found_whatever_surrounds_it() {
        for output in [
            "kubelogin%at%1767229200",
            "\u{feff}kubelogin%at%1767229200\r\n",
            "MOTD: Azure Cloud Shell\nWARNING: old\n\u{1b}[32mkubelogin%at%1767229200\u{1b}[0m\nbye\n",
            "VERBOSE: kubelogin kubelogin%at%1767229200 \n#< CLIXML\n<Objs></Objs>",
        ] {
            let token = acquire(&[], &answers(output)).expect(output);
            assert_eq!(token.access_token.expose(), "at");
            assert_eq!(token.expires_on.timestamp(), 1_767_229_200);
        }
    }

    #[test]
    fn unusable_output_is_an_error_that_shows_none_of_it() {
        for (output, says) in [
            ("", "returned no token"),
            ("hunter2", "returned no token"),
            (
                "#< CLIXML\n<Objs><S>hunter2</S></Objs>",
                "returned no token",
            ),
            ("kubelogin%hunter2", "returned no token"),
            ("kubelogin%hunter2%soon", "returned no token"),
            ("kubelogin%%1767229200", "an empty token"),
            (
                "kubelogin%hunter2%1767225600",
                "expired at 2026-01-01T00:00:00Z",
            ),
            (
                "kubelogin%hunter2%1767229200\nkubelogin%hunter3%1767229200",
                "more than one token",
            ),
        ] {
            let error = acquire(&[], &answers(output))
                .expect_err(output)
                .to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter"), "{error}");
            assert!(error.lines().count() <= 3, "{error}");
        }
    }

    #[test]
    fn each_failure_comes_with_its_fix() {
        let tenant = [(Flag::TenantId, "ten")];
        for (stderr, says) in [
            (
                "ERROR: the module Az.Accounts is not installed",
                "Install-Module Az.Accounts",
            ),
            (
                "ERROR: the module Az.Accounts 1.9.0 is too old",
                "Update-Module Az.Accounts",
            ),
            (
                "ERROR: Run Connect-AzAccount to login.",
                "Run in PowerShell: Connect-AzAccount -Tenant ten",
            ),
            (
                "ERROR: No accounts were found in the cache.",
                "Connect-AzAccount -Tenant ten",
            ),
            (
                "WARNING: x\nERROR: Your Azure credentials have not been set up or have expired",
                "Connect-AzAccount -Tenant ten",
            ),
            (
                "File x.ps1 cannot be loaded because running scripts is disabled",
                "Set-ExecutionPolicy",
            ),
            (
                "ERROR: AuthorizationManager check failed.",
                "Set-ExecutionPolicy",
            ),
            (
                "ERROR: please run 'Connect-AzAccount -ClaimsChallenge abc'",
                "Az.Accounts 5.2",
            ),
            (
                "ERROR: AADSTS50076: MFA. Trace ID: t Correlation ID: c-7",
                "Correlation ID: c-7",
            ),
            (
                "#< CLIXML\n<Objs Version=\"1.1\"><S>x</S></Objs>",
                "exited with code 1 and no message",
            ),
        ] {
            let system = FakeSystem::with_outputs([FakeSystem::failure(Some(1), stderr)]);
            let error = acquire(&tenant, &system).expect_err(stderr).to_string();
            assert!(error.contains(says), "{error}");
            assert!(
                !error.contains("CLIXML") && error.lines().count() <= 3,
                "{error}"
            );
        }
        for (outcome, says) in [
            (
                ProgramError::NotFound {
                    searched: "PATH=/a".into(),
                },
                "https://aka.ms/install-powershell",
            ),
            (ProgramError::TimedOut, "--timeout"),
        ] {
            let outcomes = POWERSHELLS.iter().map(|_| Err(outcome.clone()));
            let system = FakeSystem::with_outputs(outcomes);
            let error = acquire(&tenant, &system).expect_err(says).to_string();
            assert!(error.contains(says) && error.contains("pwsh"), "{error}");
        }
    }

    /// What is written in the home folder: a file, and its content.
    fn fingerprint(home: &TempDir, file: &str, content: &str) -> Option<Fingerprint> {
        let folder = home.path().join(".Azure");
        fs::create_dir_all(folder.join("elsewhere")).expect("a folder");
        fs::write(folder.join(file), content).expect("written");
        login(&[], &home.path().to_string_lossy()).fingerprint()
    }

    #[test]
    fn a_token_is_bound_to_the_settings_and_the_contexts_they_name() {
        let home = TempDir::new().expect("a folder");
        let elsewhere = home.path().join(".Azure/elsewhere");
        let settings = serde_json::json!({
            "Mode": "CurrentUser", "ContextDirectory": elsewhere, "ContextFile": "contexts.json",
        });
        let mut seen = Vec::new();
        for (file, content, is_new) in [
            ("AzureRmContext.json", "alice", true),
            ("AzureRmContext.json", "alice", false),
            ("msal.cache", "refreshed", false),
            ("AzureRmContext.json", "bob", true),
            (SETTINGS, &*settings.to_string(), true),
            ("AzureRmContext.json", "carol", false),
            ("elsewhere/contexts.json", "dave", true),
        ] {
            let state = fingerprint(&home, file, content).expect(content);
            assert_eq!(!seen.contains(&state), is_new, "{file}: {content}");
            seen.push(state);
        }
    }

    #[test]
    fn a_sign_in_of_one_process_fails_at_once_without_starting_another() {
        let home = TempDir::new().expect("a folder");
        let none = fingerprint(&home, SETTINGS, "\u{feff}{\"Mode\":\"Process\"}");
        assert_eq!(none, None, "nothing is cached");
        let system = FakeSystem::with_outputs([]);
        let timeout = options("azurepowershell", &[], &[]).timeout;
        let login = login(&[(Flag::TenantId, "ten")], &home.path().to_string_lossy());
        let error = login.acquire(&Scope::of_server("srv"), timeout, &system, NOBODY_WAITS);
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(SETTINGS), "{error}");
        assert!(error.ends_with("Enable-AzContextAutosave, then: Connect-AzAccount -Tenant ten"));
        assert_eq!(system.programs().len(), 0);
        assert_eq!(
            signed_in(login.state.read().ok().as_ref(), None),
            SignedIn::Nobody
        );
    }

    #[test]
    fn the_account_of_the_default_context_is_found() {
        let contexts = r#"{"DefaultContextKey":"k","Contexts":{"other":{},"k":{"Account":{"Id":"alice@example.com",
            "Type":"User"},"Tenant":{"Id":"11111111-1111-1111-1111-111111111111"}}}}"#;
        let home = TempDir::new().expect("a folder");
        fingerprint(&home, "AzureRmContext.json", contexts).expect("readable");
        let state = login(&[], &home.path().to_string_lossy()).state;
        let account = || Account {
            name: Some("alice@example.com".into()),
            is_service_principal: false,
            has_one_tenant: false,
        };
        assert_eq!(
            signed_in(state.read().ok().as_ref(), None),
            SignedIn::As(account())
        );
        assert_eq!(
            signed_in(state.read().ok().as_ref(), Some(TENANT)),
            SignedIn::As(account())
        );
        assert_eq!(
            signed_in(state.read().ok().as_ref(), Some(OTHER_TENANT)),
            SignedIn::Elsewhere
        );
        fingerprint(
            &home,
            "AzureRmContext.json",
            r#"{"DefaultContextKey":"Default","Contexts":{}}"#,
        );
        assert_eq!(
            signed_in(state.read().ok().as_ref(), None),
            SignedIn::Nobody
        );
    }

    #[test]
    fn no_token_is_cached_without_a_home_or_with_a_state_that_is_not_a_file() {
        let options = options("azurepowershell", &[], &[]);
        let login = AzurePowerShell::new(&options, &Env::of(&[])).expect("login");
        assert_eq!(login.fingerprint(), None);
        let home = TempDir::new().expect("a folder");
        fs::create_dir_all(home.path().join(".Azure/AzureRmContext.json")).expect("a folder");
        assert_eq!(fingerprint(&home, SETTINGS, "{}"), None);
    }
}
