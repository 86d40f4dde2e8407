#!/usr/bin/env python3
"""Packs a release's binaries, and writes checksums, manifests and licenses. `.ci/release` runs it; it needs only the standard library.

The same input gives the same bytes: entries are sorted, and all timestamps are the commit's.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import re
import sys
import tarfile
import time
import zipfile

# Folder in the zip, as installers expect it: platform in the archive's name, file name of the program.
PLATFORMS = {
    "darwin_amd64": ("darwin-amd64", "kubelogin"),
    "darwin_arm64": ("darwin-arm64", "kubelogin"),
    "linux_amd64": ("linux-amd64", "kubelogin"),
    "linux_arm64": ("linux-arm64", "kubelogin"),
    "windows_amd64": ("win-amd64", "kubelogin.exe"),
    "windows_arm64": ("win-arm64", "kubelogin.exe"),
}
DESCRIPTION = "Signs kubectl in to Azure Kubernetes clusters with Microsoft Entra ID"
# A user ID that no host uses; distroless images use the same one.
NONROOT = 65532


class Failure(Exception):
    """An error that the user can fix."""


# --- archives


def archives(args):
    """Zips for installers, tar.gz files for people, and the container image."""
    epoch, dist = args.epoch, args.dist
    found = {platform: args.binaries / platform / program for platform, (_, program) in PLATFORMS.items()}
    found = {platform: path.read_bytes() for platform, path in found.items() if path.is_file()}
    if not found:
        raise Failure(f"{args.binaries} has no binaries: run `.ci/release build PLATFORM` first")
    if args.complete and (missing := PLATFORMS.keys() - found.keys()):
        raise Failure(f"no binary for {', '.join(sorted(missing))}: run `.ci/release build {sorted(missing)[0]}` on that system")

    # Installers look only in bin/, and Homebrew enters the top-level folder only if nothing is next to it. The first entry
    # called `kubelogin` must be the program.
    in_zip = {f"bin/{platform}/{PLATFORMS[platform][1]}": content for platform, content in found.items()}
    write_zip(dist / "kubelogin.zip", in_zip, epoch)
    extras = {str(path.relative_to(args.extras)): path.read_bytes() for path in args.extras.rglob("*") if path.is_file()}
    for platform, content in found.items():
        name, program = PLATFORMS[platform]
        write_zip(dist / f"kubelogin-{name}.zip", {f"bin/{platform}/{program}": content}, epoch)
        folder = f"kubelogin-{args.version}-{name}"
        files = {f"{folder}/{path}": (0o644, extra) for path, extra in extras.items()}
        files[f"{folder}/{program}"] = (0o755, content)
        (dist / f"kubelogin-{name}.tar.gz").write_bytes(gzipped(tar(files, epoch)))
    if linux := {platform: found[platform] for platform in found if platform.startswith("linux_")}:
        write_image(dist / "kubelogin-image.tar", linux, args)


def write_zip(path, files, epoch):
    """A zip of programs. It stores the executable bit, because not every installer sets it."""
    when = time.gmtime(max(epoch, 315532800))[:6]  # zip has no timestamps before 1980
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, when)
            entry.create_system = 3  # Unix, so that the mode counts, whatever system this runs on
            entry.external_attr = (0o100755 << 16)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def tar(files, epoch, owners=None):
    """A tar of {path: (mode, content)}. Paths with a trailing slash are folders. `owners` has the paths that root does not own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (mode, content) in sorted(files.items()):
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode, entry.mtime, entry.size = mode, epoch, len(content)
            entry.uid = entry.gid = (owners or {}).get(name, 0)
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def gzipped(content):
    """Gzips without a name and a timestamp in the header."""
    return gzip.compress(content, 6, mtime=0)


# --- container image


def write_image(path, binaries, args):
    """An OCI image layout archive (image specification 1.1) with one image per binary, and an index from which `docker run`
    and a cluster's nodes choose theirs."""
    blobs, manifests = {}, []
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(args.epoch))

    def blob(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = (0o644, content)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    def document(media_type, value):
        return blob(media_type, json.dumps(value, sort_keys=True).encode())

    home = "home/nonroot/"
    for platform, program in binaries.items():
        files = {folder: (0o755, b"") for folder in ("etc/", "etc/ssl/", "etc/ssl/certs/", "home/", "usr/", "usr/local/", "usr/local/bin/")}
        files |= {
            "etc/passwd": (0o644, f"nonroot:x:{NONROOT}:{NONROOT}::/{home.rstrip('/')}:/sbin/nologin\n".encode()),
            "etc/ssl/certs/ca-certificates.crt": (0o644, args.certificates.read_bytes()),
            home: (0o700, b""),
            "usr/local/bin/kubelogin": (0o755, program),
        }
        layer = tar(files, args.epoch, {home: NONROOT})
        config = {
            "architecture": platform.split("_")[1],
            "os": "linux",
            "created": created,
            "config": {
                "User": f"{NONROOT}:{NONROOT}",
                "Env": ["PATH=/usr/local/bin", f"HOME=/{home.rstrip('/')}"],
                "Entrypoint": ["/usr/local/bin/kubelogin"],
                "WorkingDir": f"/{home.rstrip('/')}",
                "Labels": {
                    "org.opencontainers.image.title": "kubelogin",
                    "org.opencontainers.image.description": DESCRIPTION,
                    "org.opencontainers.image.source": args.repository,
                    "org.opencontainers.image.version": args.version,
                    "org.opencontainers.image.licenses": "MIT",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created": created, "comment": "kubelogin and certificate authorities"}],
        }
        manifest = document("manifest.v1+json", {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": document("config.v1+json", config),
            "layers": [blob("layer.v1.tar+gzip", gzipped(layer))],
        })
        manifests.append(manifest | {"platform": {"architecture": config["architecture"], "os": "linux"}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
    whole = document("index.v1+json", index | {"manifests": manifests})
    named = whole | {"annotations": {"org.opencontainers.image.ref.name": args.version}}
    top = {
        "oci-layout": (0o644, b'{"imageLayoutVersion": "1.0.0"}'),
        "index.json": (0o644, json.dumps(index | {"manifests": [named]}, sort_keys=True).encode()),
    }
    path.write_bytes(tar(blobs | top, args.epoch))


# --- licenses


def licenses(args):
    """The licenses of everything in the binaries, each text once."""
    packages = {}
    for metadata in args.metadata:
        packages |= shipped_packages(json.loads(metadata.read_text()))
    texts, wanting = {}, []
    for name, package in sorted(packages.items()):
        own = license_texts(pathlib.Path(package["manifest_path"]).parent)
        for text in own:
            texts.setdefault(text, []).append(name)
        if not own:
            wanting.append((name, package["license"] or ""))
    apache = next((text for text in sorted(texts) if "Apache License" in text and "END OF TERMS AND CONDITIONS" in text), None)
    for name, expression in wanting:
        if "Apache-2.0" not in expression or apache is None:
            raise Failure(f"{name} ({expression or 'no license'}) ships no license text: add it to .ci/package.py")
        texts[apache].append(name)
    for name, path in args.text:
        texts.setdefault(pathlib.Path(path).read_text().strip(), []).append(name)

    print(f"kubelogin consists of its own code (see LICENSE), {len(packages)} third-party crates, Rust's standard library")
    print("(MIT OR Apache-2.0, Copyright The Rust Project Developers), and the libraries that the C compiler links.\n")
    for name, package in sorted(packages.items()):
        print(", ".join(filter(None, [f"{name}: {package['license']}", package["repository"]])))
    for text, names in sorted(texts.items(), key=lambda item: sorted(item[1])):
        print(f"\n{'-' * 100}\n{', '.join(sorted(names))}\n{'-' * 100}\n\n{text}")


def shipped_packages(metadata):
    """{"name version": package} of what is in the program, without dependencies of tests and build scripts."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, todo = set(), [root]
    while todo:
        if (current := todo.pop()) in seen:
            continue
        seen.add(current)
        for dependency in nodes[current]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    seen.remove(root)
    return {f"{packages[id]['name']} {packages[id]['version']}": packages[id] for id in seen}


def license_texts(folder):
    names = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
    files = (path for path in folder.iterdir() if names.match(path.name) and path.suffix not in (".rs", ".toml"))
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name.lower() in ("licenses", "license")]
    files = [path for path in files if path.is_file()] + [path for inner in folders for path in inner.iterdir() if path.is_file()]
    return sorted({path.read_text(errors="replace").replace("\r\n", "\n").strip() for path in files})


# --- SBOM


def sbom(args):
    """Prints the CycloneDX document from stdin, with this checkout's path replaced in its references."""
    document = sys.stdin.read().replace(f"path+file://{args.checkout}", f"pkg:cargo/kubelogin@{args.version}")
    if args.checkout in document:
        raise Failure(f"the SBOM still names {args.checkout}")
    print(json.dumps(json.loads(document), sort_keys=True, indent=1))


# --- checksums and manifests


def finish(args):
    """Checksums, the version and the manifests of package managers."""
    dist = args.dist
    sums = {}
    for path in sorted(dist.iterdir()):
        sums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        # One line, two spaces, no path: installers rely on this format.
        (dist / f"{path.name}.sha256").write_bytes(f"{sums[path.name]}  {path.name}\n".encode())
    (dist / "kubelogin-version.txt").write_bytes(f"v{args.version}".encode())
    release = Release(args.version, args.repository, args.epoch, sums)
    for name, text in release.manifests().items():
        (dist / name).write_bytes(text.encode())


class Release:
    """A release as package managers see it: where to download the archives."""

    def __init__(self, version, repository, epoch, sums):
        self.version, self.repository, self.sums = version, repository, sums
        self.downloads = f"{repository}/releases/download/v{version}"
        self.date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
        self.owner = repository.split("/")[-2]

    def manifests(self):
        """{file name: text}. Systems without an archive are left out."""
        texts = {}
        if any(name.startswith(("kubelogin-darwin", "kubelogin-linux")) for name in self.sums):
            texts["kubelogin.rb"] = self.homebrew()
        if windows := [arch for arch in ("amd64", "arm64") if f"kubelogin-win-{arch}.zip" in self.sums]:
            texts["kubelogin.json"] = self.scoop(windows)
            texts |= self.winget(windows)
        return texts

    def homebrew(self):
        blocks = []
        for system, brew_system in (("darwin", "macos"), ("linux", "linux")):
            inner = []
            for arch, brew_arch in (("arm64", "arm"), ("amd64", "intel")):
                name = f"kubelogin-{system}-{arch}.tar.gz"
                if name in self.sums:
                    lines = f'url "{self.downloads}/{name}"', f'sha256 "{self.sums[name]}"'
                    inner += [f"    on_{brew_arch} do", *(f"      {line}" for line in lines), "    end"]
            if inner:
                blocks += [f"  on_{brew_system} do", *inner, "  end", ""]
        return "\n".join([
            "class Kubelogin < Formula",
            f'  desc "{DESCRIPTION}"',
            f'  homepage "{self.repository}"',
            f'  version "{self.version}"',
            '  license "MIT"',
            "",
            *blocks,
            "  def install",
            '    bin.install "kubelogin"',
            '    bash_completion.install "completions/kubelogin.bash" => "kubelogin"',
            '    zsh_completion.install "completions/_kubelogin"',
            '    fish_completion.install "completions/kubelogin.fish"',
            '    man1.install Dir["man/*.1"]',
            "  end",
            "",
            "  test do",
            '    assert_match "v#{version}/", shell_output("#{bin}/kubelogin --version")',
            "  end",
            "end",
            "",
        ])

    def scoop(self, arches):
        def program(arch):
            return f"bin\\windows_{arch}\\kubelogin.exe"

        def names(arch):
            return "64bit" if arch == "amd64" else arch

        url = f"{self.repository}/releases/download/v$version"
        return json.dumps({
            "version": self.version,
            "description": DESCRIPTION,
            "homepage": self.repository,
            "license": "MIT",
            "architecture": {
                names(arch): {
                    "url": f"{self.downloads}/kubelogin-win-{arch}.zip",
                    "hash": self.sums[f"kubelogin-win-{arch}.zip"],
                    "bin": program(arch),
                } for arch in arches
            },
            "checkver": {"github": self.repository},
            "autoupdate": {
                "architecture": {names(arch): {"url": f"{url}/kubelogin-win-{arch}.zip"} for arch in arches},
                "hash": {"url": "$url.sha256"},
            },
        }, indent=4) + "\n"

    def winget(self, arches):
        identifier, schema = f"{self.owner}.kubelogin", "1.10.0"

        def manifest(kind, lines):
            head = [
                f"# yaml-language-server: $schema=https://aka.ms/winget-manifest.{kind}.{schema}.schema.json",
                f"PackageIdentifier: {identifier}",
                f"PackageVersion: {self.version}",
            ]
            return "\n".join([*head, *lines, f"ManifestType: {kind}", f"ManifestVersion: {schema}", ""])

        installers = []
        for arch in arches:
            name = f"kubelogin-win-{arch}.zip"
            installers += [
                f"- Architecture: {'x64' if arch == 'amd64' else arch}",
                f"  InstallerUrl: {self.downloads}/{name}",
                f"  InstallerSha256: {self.sums[name].upper()}",
                "  NestedInstallerFiles:",
                f"  - RelativeFilePath: bin\\windows_{arch}\\kubelogin.exe",
                "    PortableCommandAlias: kubelogin",
            ]
        return {
            f"{identifier}.yaml": manifest("version", ["DefaultLocale: en-US"]),
            f"{identifier}.installer.yaml": manifest("installer", [
                "InstallerType: zip",
                "NestedInstallerType: portable",
                f"ReleaseDate: {self.date}",
                "Commands:",
                "- kubelogin",
                "Installers:",
                *installers,
            ]),
            f"{identifier}.locale.en-US.yaml": manifest("defaultLocale", [
                "PackageLocale: en-US",
                f"Publisher: {self.owner}",
                "PackageName: kubelogin",
                f"PackageUrl: {self.repository}",
                "License: MIT",
                f"ShortDescription: {DESCRIPTION}",
            ]),
        }


def notes(args):
    """Prints the version's section in CHANGELOG.md, or the unreleased changes if there is none yet."""
    sections = re.split(r"^## \[(.+?)\].*$", pathlib.Path("CHANGELOG.md").read_text(), flags=re.MULTILINE)
    by_name = dict(zip(sections[1::2], sections[2::2]))
    text = by_name.get(args.version, by_name.get("Unreleased", "")).strip()
    # Removes links that compare versions, which may follow the section.
    print(re.sub(r"\n+\[[^\]]+\]: http\S+", "", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    def command(function, *shared):
        made = commands.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        made.set_defaults(function=function)
        for name in shared:
            kind = {"version": str, "repository": str, "epoch": int, "checkout": str}.get(name, pathlib.Path)
            made.add_argument(f"--{name}", type=kind, required=True)
        return made

    command(archives, "binaries", "extras", "certificates", "dist", "version", "repository", "epoch").add_argument(
        "--complete", action="store_true", help="fail unless there is a binary for every platform")
    command(finish, "dist", "version", "repository", "epoch")
    made = command(licenses)
    made.add_argument("--text", nargs=2, action="append", default=[], metavar=("NAME", "FILE"), help="a license of something other than a crate")
    made.add_argument("metadata", nargs="+", type=pathlib.Path, help="the output of `cargo metadata`, one file per platform")
    command(sbom, "checkout", "version")
    command(notes, "version")
    args = parser.parse_args()
    try:
        args.function(args)
    except Failure as failure:
        sys.exit(f"Error: {failure}")


main()
