//! `--login azurepowershell`, with a shell script as the first pwsh on PATH. It accepts PowerShell's arguments, decodes
//! the script as PowerShell does, and responds like Az.Accounts `$VERSION`.

use std::fs;

use crate::support::*;

const PWSH: &str = r#"
say() { printf '%s\n' "$1" >&2; exit "${2:-1}"; }
while [ $# -gt 0 ]; do
  case "$1" in
    -NoProfile|-NonInteractive) ;;
    -OutputFormat) [ "$2" = Text ] || say 'Invalid value for -OutputFormat' 64; shift ;;
    -EncodedCommand) encoded=$2; shift ;;
    *) say "The argument '$1' is not recognized as the name of a script file." 64 ;;
  esac
  shift
done
improper='Cannot process the command because the value specified with -EncodedCommand is not properly encoded.'
script=$(printf %s "$encoded" | /usr/bin/base64 -d 2>/dev/null | /usr/bin/iconv -f UTF-16LE -t UTF-8 2>/dev/null) || say "$improper"
has() { case "$script" in *"$1"*) true ;; *) false ;; esac; }
has 'Get-AzAccessToken' || say "$improper"
echo run >> "$LOG"
has "ResourceUrl='$RESOURCE'" || say 'ERROR: the resource is another one'
has "TenantId='$TENANT'" || say 'ERROR: the tenant is another one'
newest() { [ "$(printf '%s\n' "$1" "$VERSION" | /usr/bin/sort -V | /usr/bin/tail -n 1)" = "$VERSION" ]; }
[ -n "$VERSION" ] || { has 'is not installed' && say 'ERROR: the module Az.Accounts is not installed'; }
newest 2.2.0 || { has 'is too old' && say "ERROR: the module Az.Accounts $VERSION is too old"; }
answer=$TOKEN
if newest 2.17.0 && ! newest 5.0.0; then
  has "'2.17.0' -and \$v -lt [version]'5.0.0'){\$p.AsSecureString=\$true}" || say 'ERROR: plain text is deprecated'
fi
if newest 2.17.0; then
  has '-is [System.Security.SecureString]' && has 'PtrToStringBSTR' || answer=System.Security.SecureString
fi
printf 'Welcome to Azure Cloud Shell {kubelogin}\r\n\033[33mWARNING: old\033[0m\n'
printf '#< CLIXML\n<Objs Version="1.1.0.1"><S S="progress">x</S></Objs>\n' >&2
printf 'kubelogin%%%s%%4102444800\r\n' "$answer"
"#;

/// A setup with Azure PowerShell, signed in to the tenant `ten`.
struct World {
    kubelogin: Kubelogin,
}

impl World {
    fn new(script: &str) -> Self {
        let kubelogin = azurepowershell(script)
            .args(["--tenant-id", "ten"])
            .env("RESOURCE", SERVER_ID)
            .env("TENANT", "ten")
            .env("TOKEN", "the-token")
            .env("VERSION", "5.3.1");
        fs::create_dir(kubelogin.home().join(".Azure")).expect("a folder");
        Self { kubelogin }
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.kubelogin.home().join(".Azure").join(file), content).expect("written");
    }

    fn runs(&self) -> usize {
        self.kubelogin.log().lines().count()
    }
}

#[test]
fn each_generation_of_az_accounts_returns_its_token_once() {
    for version in ["2.2.0", "2.16.9", "2.17.0", "4.2.0", "5.0.0", "5.3.1"] {
        let mut world = World::new(PWSH);
        world.kubelogin = world.kubelogin.env("VERSION", version);
        for _ in 0..2 {
            let output = world.kubelogin.run();
            assert_eq!(output.token(), "the-token", "{version}");
            assert_eq!(output.stderr, "", "{version}");
        }
        assert_eq!(world.runs(), 1, "{version}");
    }
}

#[test]
fn a_change_of_account_takes_effect_at_once_and_a_refreshed_token_cache_has_none() {
    let world = World::new(PWSH);
    for (file, content, runs) in [
        ("AzureRmContext.json", "alice", 1),
        ("AzureRmContext.json", "alice", 1),
        ("msal.cache", "refreshed", 1),
        ("AzureRmContext.json", "bob", 2),
        (
            "AzureRmContextSettings.json",
            r#"{"ContextFile":"other.json"}"#,
            3,
        ),
        ("other.json", "carol", 4),
    ] {
        world.write(file, content);
        world.kubelogin.run().token();
        assert_eq!(world.runs(), runs, "{file}: {content}");
    }
}

#[test]
fn a_sign_in_of_one_process_starts_nothing() {
    let world = World::new(PWSH);
    world.write("AzureRmContextSettings.json", r#"{"Mode":"Process"}"#);
    let error = world.kubelogin.run().error();
    assert!(error.contains("Enable-AzContextAutosave"), "{error}");
    assert_eq!(world.runs(), 0);
}

#[test]
fn an_error_of_azure_powershell_comes_with_the_fix_and_without_its_output() {
    for (script, version, says) in [
        (PWSH, "", "Install-Module Az.Accounts"),
        (PWSH, "1.9.4", "Update-Module Az.Accounts"),
        (
            "echo hunter2; echo 'ERROR: Run Connect-AzAccount to login.' >&2; exit 1",
            "",
            "Connect-AzAccount -Tenant ten",
        ),
        ("echo hunter2; echo Welcome", "", "returned no token"),
        (
            "echo '#< CLIXML'; echo '<Objs>hunter2</Objs>' >&2",
            "",
            "returned no token",
        ),
        (
            "echo kubelogin%hunter2%4102444800; echo kubelogin%hunter3%4102444800",
            "",
            "more than one token",
        ),
        (
            "echo kubelogin%hunter2%1",
            "",
            "expired at 1970-01-01T00:00:01Z",
        ),
        (
            "while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2hunter2; done",
            "",
            "too much output",
        ),
    ] {
        let output = World::new(script).kubelogin.env("VERSION", version).run();
        let error = output.hides(&["hunter2"]).error();
        assert!(error.contains(says), "{script}: {error}");
    }
}

#[test]
fn a_powershell_that_is_missing_or_hangs_is_named_with_the_fix() {
    let world = World::new("");
    fs::remove_file(world.kubelogin.path_of("pwsh")).expect("pwsh is missing");
    let error = world.kubelogin.run().error();
    assert!(
        error.contains("https://aka.ms/install-powershell"),
        "{error}"
    );
    let hanging = World::new("/bin/sleep 100000").kubelogin;
    let error = hanging.args(["--timeout", "300ms"]).run().error();
    assert!(
        error.contains("within 300 milliseconds") && error.contains("--timeout"),
        "{error}"
    );
}
