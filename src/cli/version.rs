//! What `kubelogin version` and `kubelogin --version` print.

/// The format of Azure/kubelogin's version text, which scripts parse: a first line, then one value per line.
pub fn text() -> String {
    format!(
        "kubelogin version \ngit hash: {}\nRust version: {}\nBuild time: {}\nPlatform: {}/{}\n",
        env!("KUBELOGIN_GIT_HASH"),
        env!("KUBELOGIN_RUST_VERSION"),
        env!("KUBELOGIN_BUILD_TIME"),
        go_name(std::env::consts::OS),
        go_name(std::env::consts::ARCH),
    )
}

/// The platform in Go's notation, which scripts for Azure/kubelogin expect.
fn go_name(rust_name: &'static str) -> &'static str {
    match rust_name {
        "macos" => "darwin",
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_has_the_original_s_shape() {
        let lines: Vec<String> = text().lines().map(str::to_owned).collect();
        let start = format!("git hash: v{}/", env!("CARGO_PKG_VERSION"));
        assert_eq!(lines[0], "kubelogin version ");
        assert!(lines[1].starts_with(&start), "{}", lines[1]);
        let names = lines[2..].iter().filter_map(|line| line.split(':').next());
        assert!(names.eq(["Rust version", "Build time", "Platform"]));
    }
}
