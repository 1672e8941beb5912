//! The Debian package, made from the program under test: what is in it, and what its scripts do to a system.
//!
//! Not here: the service that it starts, which takes a systemd: `tests/lab/run package` has one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::office::is_slow_run;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}\n{told}{}", String::from_utf8_lossy(&stderr));
    told
}

/// Makes a package of the program under test; where it lies.
fn package(output: &Path, version: &str) -> PathBuf {
    let mut build = Command::new(root().join("systemd/package/build"));
    build.arg("deb").env("DRIFTLINE_BIN", env!("CARGO_BIN_EXE_driftline")).env("VERSION", version);
    done(build.env("OUTPUT", output));
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
    assert!(depends.starts_with("libc6 (>= "), "{depends}");

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
