//! What driftline is installed from, made of the program under test: what is in it, what its scripts do to a system, and that
//! the image runs.
//!
//! Not here: the service that it starts, which takes a systemd: `tests/lab/run package` has one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use sha2::{Digest as _, Sha256};

use crate::office::{PATIENCE, is_slow_run, wait};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}\n{told}{}", String::from_utf8_lossy(&stderr));
    told
}

/// Makes something to install of the program under test, below `output`.
fn build(kind: &str, output: &Path, version: &str) {
    let mut build = Command::new(root().join("systemd/package/build"));
    build.arg(kind).env("DRIFTLINE_BIN", env!("CARGO_BIN_EXE_driftline")).env("VERSION", version);
    done(build.env("OUTPUT", output));
}

/// A Debian package; where it lies.
fn package(output: &Path, version: &str) -> PathBuf {
    build("deb", output, version);
    output.join(format!("driftline_{version}_{}.deb", done(Command::new("dpkg").arg("--print-architecture")).trim()))
}

/// A folder that is a system as far as dpkg needs one; no service of this machine is touched by what is done to it.
struct System(tempfile::TempDir);

impl System {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/driftline", "srv/projects"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("var/lib/dpkg/status"), "").unwrap();
        Self(dir)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn dpkg(&self, words: &[&str]) {
        let root = format!("--root={}", self.0.path().display());
        done(
            Command::new("dpkg")
                .args([&root, "--force-script-chrootless", "--force-depends", "--force-not-root", "--log=/dev/null"])
                .args(words)
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        );
    }

    fn install(&self, package: &Path) {
        self.dpkg(&["--install", &package.to_string_lossy()]);
    }
}

/// The paths in a package, without a leading slash; folders end with one.
fn contents(package: &Path) -> BTreeSet<String> {
    let told = done(Command::new("dpkg-deb").arg("--contents").arg(package));
    told.lines().filter_map(|line| line.split_once(" ./")).map(|(_, path)| path.to_owned()).collect()
}

#[test]
fn the_package_holds_what_an_administrator_needs_and_its_removal_takes_only_what_is_ours() {
    if !is_slow_run("the Debian package") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let (old, new) = (package(made.path(), "0.0.1"), package(made.path(), "0.0.2"));

    let held = contents(&old);

    for path in [
        "usr/bin/driftline",
        "usr/lib/systemd/system/driftline.service",
        "usr/lib/sysusers.d/driftline.conf",
        "usr/lib/tmpfiles.d/driftline.conf",
        "usr/share/man/man1/driftline.1.gz",
        "usr/share/man/man1/driftline-init.1.gz",
        "usr/share/man/man7/driftline-guide.7.gz",
        "usr/share/bash-completion/completions/driftline",
        "usr/share/zsh/vendor-completions/_driftline",
        "usr/share/fish/vendor_completions.d/driftline.fish",
        "usr/share/doc/driftline/README.md",
        "usr/share/doc/driftline/guide.md",
        "usr/share/doc/driftline/copyright",
        "usr/share/doc/driftline/changelog.gz",
        "usr/share/doc/driftline/examples/config.toml",
        "usr/share/doc/driftline/examples/driftline-buckets.conf",
        "usr/share/doc/driftline/examples/mnt-efs.mount",
    ] {
        assert!(held.contains(path), "{path} is not in {held:#?}");
    }
    assert!(!held.iter().any(|path| path.starts_with("etc/")), "it brings no configuration: {held:#?}");
    let depends = done(Command::new("dpkg-deb").arg("--field").arg(&old).arg("Depends"));
    assert!(depends.contains("libc6 (>= ") && depends.contains("ca-certificates"), "{depends}");

    let system = System::new();
    system.install(&old);
    assert!(system.at("etc/driftline").is_dir(), "where the configuration will lie");
    assert_eq!(fs::read_dir(system.at("etc/driftline")).unwrap().count(), 0, "and no configuration");
    assert!(!system.at("etc/systemd/system").exists(), "nothing is enabled");
    assert!(fs::read_to_string(system.at("etc/passwd")).unwrap().contains("driftline:"), "a user of its own");

    // As `init` leaves it, and an administrator.
    let ours = [
        "etc/driftline/config.toml",
        "etc/driftline/aws",
        "etc/systemd/system/driftline.service.d/10-init.conf",
        "var/lib/driftline/index.db",
    ];
    let theirs = ["etc/systemd/system/driftline.service.d/own.conf", "srv/projects/letter"];
    fs::create_dir_all(system.at("etc/systemd/system/driftline.service.d")).unwrap();
    fs::create_dir_all(system.at("etc/systemd/system/multi-user.target.wants")).unwrap();
    let enabled = system.at("etc/systemd/system/multi-user.target.wants/driftline.service");
    std::os::unix::fs::symlink("/usr/lib/systemd/system/driftline.service", &enabled).unwrap();
    for path in ours.iter().chain(&theirs) {
        fs::write(system.at(path), *path).unwrap();
    }
    let all_there = |what: &str| {
        for path in ours.iter().chain(&theirs) {
            assert_eq!(fs::read_to_string(system.at(path)).unwrap(), *path, "{what}");
        }
        assert!(enabled.is_symlink(), "{what}");
    };

    system.install(&new);
    all_there("upgraded");
    system.dpkg(&["--remove", "driftline"]);
    all_there("removed");
    assert!(!system.at("usr/bin/driftline").exists());

    system.dpkg(&["--purge", "driftline"]);
    for path in ours {
        assert!(!system.at(path).exists(), "{path} is left behind");
    }
    assert!(!enabled.is_symlink() && !system.at("var/lib/driftline").exists());
    for path in theirs {
        assert_eq!(fs::read_to_string(system.at(path)).unwrap(), path, "was not ours to take");
    }
}

#[test]
fn the_rpm_holds_what_the_debian_package_holds() {
    if !is_slow_run("the .rpm") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    build("rpm", made.path(), "0.0.1");
    let deb = contents(
        &made
            .path()
            .join(format!("driftline_0.0.1_{}.deb", done(Command::new("dpkg").arg("--print-architecture")).trim())),
    );
    let is_rpm = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "rpm");
    let rpm = fs::read_dir(made.path()).unwrap().map(|entry| entry.unwrap().path()).find(is_rpm).unwrap();
    let ask = |words: &[&str]| done(Command::new("rpm").arg("--query").args(words).arg("--package").arg(&rpm));
    let held: BTreeSet<String> = ask(&["--list"]).lines().map(|path| path[1..].to_owned()).collect();
    let elsewhere =
        |path: &str| path.contains("/zsh/") || path.ends_with("/copyright") || path.ends_with("/changelog.gz");
    for path in deb.iter().filter(|path| !path.ends_with('/') && !elsewhere(path)) {
        assert!(held.contains(path), "{path} is not in {held:#?}");
    }
    assert!(held.contains("usr/share/zsh/site-functions/_driftline"), "{held:#?}");
    assert!(ask(&["--requires"]).contains("libc.so.6"), "what the program is linked to is required");
    assert!(ask(&["--scripts"]).contains("try-restart driftline.service"), "an upgrade restarts it");
}

/// The image, unpacked by its own words.
struct Image {
    dir: tempfile::TempDir,
    config: serde_json::Value,
}

impl Image {
    fn new(tar: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        done(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(dir.path()));
        let blob = |entry: &serde_json::Value| {
            let digest = entry["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let data = fs::read(dir.path().join("blobs/sha256").join(digest)).unwrap();
            assert_eq!(entry["size"], data.len(), "{entry}");
            assert_eq!(hex(&Sha256::digest(&data)), digest);
            data
        };
        let json = |data: &[u8]| serde_json::from_slice::<serde_json::Value>(data).unwrap();
        let index = json(&fs::read(dir.path().join("index.json")).unwrap());
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        let layer = dir.path().join("layer.tar.gz");
        fs::write(&layer, blob(&manifest["layers"][0])).unwrap();
        let plain = Command::new("gzip").args(["-dc"]).arg(&layer).output().unwrap().stdout;
        let diff_id = format!("sha256:{}", hex(&Sha256::digest(&plain)));
        assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!([diff_id]));
        fs::create_dir_all(dir.path().join("root/proc")).unwrap();
        done(Command::new("tar").arg("-xzf").arg(&layer).arg("-C").arg(dir.path().join("root")));
        Self { dir, config }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn words(&self, pointer: &str) -> Vec<String> {
        let words = self.config.pointer(pointer).unwrap().as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    /// A command in a container of its own, as a runtime would make one: it sees the image's files, and no process but its own.
    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child=TERM", "--uts", "--ipc"]);
        command.arg(format!("--root={}", self.dir.path().join("root").display())).arg("--mount-proc").arg("--");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(words);
        command
    }
}

/// A container that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The end of `unshare` is told to what it began.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_image_runs_as_it_says_and_its_health_check_tells_a_running_agent_from_none() {
    if !is_slow_run("the container image") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    build("image", made.path(), "0.0.1");
    let image = Image::new(&made.path().join("driftline-0.0.1.oci.tar"));
    for folder in ["srv/projects", "srv/copy", "etc/driftline", "dev"] {
        fs::create_dir_all(image.at(folder)).unwrap();
    }
    fs::write(image.at("srv/projects/letter"), "to whom it may concern").unwrap();
    let entry = image.words("/config/Entrypoint");
    let init = ["init", "--share", "/srv/projects", "--target", "/srv/copy"].map(str::to_owned);
    done(&mut image.command(&[&entry[..], &init].concat()));

    let health = image.words("/config/Healthcheck/Test");
    assert_eq!(health[0], "CMD");
    let is_healthy = || image.command(&health[1..]).output().unwrap().status.success();
    assert!(!is_healthy(), "no agent runs");
    let agent = Running(image.command(&[entry, image.words("/config/Cmd")].concat()).spawn().unwrap());
    assert!(wait(PATIENCE, is_healthy), "it becomes healthy");
    assert!(wait(PATIENCE, || image.at("srv/copy/letter").exists()), "it copies");
    assert_eq!(fs::read(image.at("srv/copy/letter")).unwrap(), b"to whom it may concern");
    drop(agent);
    assert!(wait(PATIENCE, || !is_healthy()), "without an agent it is not healthy");
}
