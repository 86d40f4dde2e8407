//! Recognises this kubelogin as an exec plugin: other programs share its name, and it has several names.

use crate::cli::INT128;

/// True for one of the names under which kubelogin is installed, in any folder; not for a wrapper, a folder of that
/// name or `kubelogin-oidc` (int128/kubelogin in some packages).
pub fn is_kubelogin(command: &str) -> bool {
    const SUFFIXES: &[&str] = &[".exe", ".cmd", ".bat", ".com"];
    const SYSTEMS: &[&str] = &["linux", "darwin", "macos", "windows", "win"];
    const MACHINES: &[&str] = &["amd64", "x86_64", "x64", "arm64", "aarch64", "386", "armv7"];
    let name = command.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let mut stems = SUFFIXES.iter().filter_map(|end| name.strip_suffix(end));
    let stem = stems.next().unwrap_or(&name).replace('_', "-");
    if matches!(&*stem, "kubelogin" | "azure-kubelogin" | "kubelogin-azure") {
        return true;
    }
    // The names of release files: kubelogin-linux-amd64. x86_64 has become x86-64.
    let platform = stem
        .strip_prefix("kubelogin-")
        .and_then(|rest| rest.split_once('-'));
    platform.is_some_and(|(system, machine)| {
        SYSTEMS.contains(&system) && MACHINES.contains(&&*machine.replace("x86-64", "x86_64"))
    })
}

/// True if these are arguments of int128/kubelogin.
pub fn is_int128<'a>(args: impl IntoIterator<Item = &'a str>) -> bool {
    args.into_iter().any(|arg| arg.starts_with(INT128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelogin_is_known_by_every_name_under_which_it_is_installed_and_by_no_other() {
        for command in [
            "kubelogin",
            "kubelogin.exe",
            "KubeLogin.exe",
            "/a/kubelogin",
            r"C:\a b\kubelogin.exe",
            "./kubelogin",
            "azure-kubelogin",
            "kubelogin.cmd",
            "kubelogin-linux-amd64",
            "./bin/kubelogin_windows_amd64.exe",
            "kubelogin-darwin-arm64",
            "kubelogin-linux-x86_64",
        ] {
            assert!(is_kubelogin(command), "{command}");
        }
        for command in [
            "kubelogin.sh",
            "/kubelogin/aws",
            "my-kubelogin",
            "kubelogin-wrapper",
            "kubelogin-oidc",
            "kubelogin-linux",
            "kubelogin-linux-tool",
            "azure-kubelogin.sh",
            "",
            "kubelogin/",
        ] {
            assert!(!is_kubelogin(command), "{command}");
        }
    }
}
