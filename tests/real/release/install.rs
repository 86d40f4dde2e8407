//! Packs the program under test, then installs it as az and container engines do.

use super::*;

/// The program under test without its debug information, as `linux_<architecture>`.
fn packed() -> (Release, &'static str) {
    let room = TempDir::new();
    let stripped = room.path().join("kubelogin");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(program_under_test());
    succeeded(strip.output().expect("cannot start strip"));
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
    // az always installs kubectl, too.
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
        .expect("cannot start az");
    assert!(output.status.success(), "{output:?}");

    let shown = succeeded(
        Command::new(&target)
            .arg("--version")
            .output()
            .expect("cannot start it"),
    );
    assert!(
        shown.starts_with("kubelogin version"),
        "the installed program does not run: {shown}"
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
            .expect("cannot start it"),
    );
}

/// The container image, unpacked as a container engine would: its root file system and its configuration.
struct Container {
    root: PathBuf,
    config: Value,
}

impl Container {
    /// Follows the digests from `index.json` to the image for one architecture.
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
                    .expect("cannot start tar"),
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

    /// A container has only what is in the image, so a program that is not static needs its libraries copied in.
    fn add_libraries(&self) {
        let listed = Command::new("ldd")
            .arg(program_under_test())
            .output()
            .expect("cannot start ldd");
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

    /// Starts it as its configuration says; only root can change to the configured user.
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
        command.output().expect("cannot start chroot")
    }
}

#[test]
fn the_container_image_signs_in_and_keeps_the_token() {
    let entra = FakeEntra::start();
    let (release, architecture) = packed();
    // The image has the certificate authorities where the program looks by default.
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
    // Keeps the sealing key out of the developer's keyring.
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
            "the token was not cached in the image's home folder"
        );
    }
}
