//! The service as `init` sets it up: which places it may write to, whether it has the network, and whether it runs.
//!
//! Not here: what the service is (`systemd/driftline.service`, which a package installs). What only a person can know, such
//! as more places, belongs into a drop-in of its own: this one is written anew by each `init`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::{Exit, Failure};
use crate::config::{Config, STATE_DIR, Share};
use crate::plan::Drift;
use crate::sys::fskind;

/// The unit's name.
const UNIT: &str = "driftline.service";
/// Where an administrator's own part of the unit lies.
const DROP_INS: &str = "/etc/systemd/system/driftline.service.d";
/// The part that `init` writes; a purge of the package takes it away.
const DROP_IN: &str = "10-init.conf";
/// Credentials that are handed to the service.
const CREDENTIALS: &str = "/etc/driftline/aws";
/// Exists where systemd runs the machine, says sd_booted(3).
const BOOTED: &str = "/run/systemd/system";
/// How often it is looked whether the service runs, and how often at most.
const LOOK: (Duration, u32) = (Duration::from_millis(200), 50);
/// What is hidden from the service where nothing of it is a share or a target, says systemd.exec(5).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// The user that the package makes for it.
const USER: &str = "driftline";
/// Rights to read what staff let nobody else read, and to see who has a file open: all that a copy in a bucket takes.
const TO_READ: &str = "CAP_DAC_READ_SEARCH CAP_LEASE";
/// The same, and those by which a copy in a folder gets its place, its owner and its mode.
const TO_WRITE: &str = "CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_LEASE";
/// What a bucket takes: the unit has no network.
const NETWORK: &str = "PrivateNetwork=no\nRestrictAddressFamilies=AF_INET AF_INET6\nIPAddressDeny=\n";
/// What nothing but a folder takes. Not RestrictSUIDSGID=: with it systemd refuses openat2, by which shares are read.
const NO_FOLDERS: &str = "CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_LEASE\n\
                          SystemCallFilter=~@privileged\n";

/// How the service is after it was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// It watches.
    Watching,
    /// It reads its share for the first time, or waits for something.
    Starting,
}

/// Whether there is a service to set up here: systemd runs, and knows the unit.
pub(super) fn is_installed() -> bool {
    Path::new(BOOTED).exists() && systemctl(&["cat", UNIT]).is_ok()
}

/// Whether an agent runs as the service.
pub(super) fn is_active() -> bool {
    Path::new(BOOTED).exists() && systemctl(&["is-active", "--quiet", UNIT]).is_ok()
}

/// Stops it, so that its index is free.
pub(super) fn stop() -> Result<(), Failure> {
    systemctl(&["stop", UNIT])
}

/// Starts it again as it was.
pub(super) fn start_again() -> Result<(), Failure> {
    systemctl(&["start", "--no-block", UNIT])
}

/// Writes the drop-in, enables the service, starts it anew, and waits a little for it.
pub(super) fn set_up(config: &Config) -> Result<Now, Failure> {
    let file = Path::new(DROP_INS).join(DROP_IN);
    let machine = Machine {
        mount: &mount_of,
        is_remote: &is_remote,
        has_user: has_user(),
        has_credentials: Path::new(CREDENTIALS).exists(),
    };
    let text = drop_in(config, &machine);
    fs::create_dir_all(DROP_INS).and_then(|()| fs::write(&file, text)).map_err(|error| {
        Failure::cannot(Exit::Config, format!("write {}", file.display()), error)
            .hint("run it as root, or leave the service alone with --no-service")
    })?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--quiet", UNIT])?;
    systemctl(&["restart", "--no-block", UNIT])?;
    for _ in 0..LOOK.1 {
        std::thread::sleep(LOOK.0);
        if is_active() {
            return Ok(Now::Watching);
        }
        if systemctl(&["is-failed", "--quiet", UNIT]).is_ok() {
            return Err(Failure::cannot(Exit::Problems, "start the service", "it ended at once")
                .hint("see why: journalctl -u driftline -n 20"));
        }
    }
    Ok(Now::Starting)
}

fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let what = || format!("run systemctl {}", words.join(" "));
    let run = Command::new("systemctl").args(words).stdin(Stdio::null()).stdout(Stdio::null()).output();
    let output = run.map_err(|error| Failure::cannot(Exit::Problems, what(), error))?;
    if output.status.success() {
        return Ok(());
    }
    let cause = String::from_utf8_lossy(&output.stderr);
    let cause = cause.lines().next().unwrap_or("it refuses");
    Err(Failure::cannot(Exit::Problems, what(), cause)
        .hint("run it as root, or leave the service alone with --no-service"))
}

/// What is known of this machine when the drop-in is written.
struct Machine<'a> {
    /// Where the file system is mounted that a folder lies on.
    mount: &'a dyn Fn(&Path) -> PathBuf,
    /// Whether a folder lies behind a network.
    is_remote: &'a dyn Fn(&Path) -> bool,
    has_user: bool,
    has_credentials: bool,
}

/// What this configuration takes beside the unit.
fn drop_in(config: &Config, machine: &Machine<'_>) -> String {
    let places: Vec<_> = config.shares.iter().flat_map(|share| &share.targets).map(|target| &target.place).collect();
    // What staff change on a target may come to the share: then it is written too.
    let takes = |share: &&Share| share.targets.iter().any(|target| target.drift == Drift::Take);
    let taking = config.shares.iter().filter(takes).map(|share| share.path.as_path());
    let folders: Vec<_> = places.iter().filter_map(|place| place.folder()).chain(taking).collect();
    let mut text =
        "# Written by `driftline init`, and anew each time: lines of your own belong into another file (systemctl \
                    edit driftline).\n\n[Unit]\n"
            .to_owned();
    for share in &config.shares {
        line(&mut text, "RequiresMountsFor=", &share.path);
    }
    text += "\n[Service]\n";
    for folder in &folders {
        // A minus: a folder that is not there now does not keep the service from starting.
        line(&mut text, "ReadWritePaths=-", &writable(folder, &(machine.mount)(folder)));
    }
    let own_state = config.agent.state_dir == Path::new(STATE_DIR);
    if !own_state {
        line(&mut text, "ReadWritePaths=", &config.agent.state_dir);
    }
    // A server of files trusts root alone with what belongs to others; this machine goes by capabilities.
    let own_user = own_state && machine.has_user && !folders.iter().any(|folder| (machine.is_remote)(folder));
    if own_user {
        let rights = if folders.is_empty() { TO_READ } else { TO_WRITE };
        text += &format!("User={USER}\nAmbientCapabilities={rights}\n");
    }
    if folders.is_empty() {
        text += NO_FOLDERS;
    }
    let buckets: Vec<_> = places.iter().filter_map(|place| place.bucket()).collect();
    // Root may have credentials at home.
    let at_home = buckets.iter().any(|bucket| bucket.profile.is_some() || !own_user && !machine.has_credentials);
    let shares = config.shares.iter().map(|share| share.path.as_path());
    if !at_home && !shares.chain(folders.iter().copied()).any(is_at_home) {
        text += "ProtectHome=yes\n";
    }
    if !buckets.is_empty() {
        text += NETWORK;
        if machine.has_credentials {
            text += &format!("LoadCredential=aws:{CREDENTIALS}\n");
        }
    }
    text
}

/// Whether it is, or holds, what `ProtectHome=` hides.
fn is_at_home(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home) || Path::new(home).starts_with(path))
}

/// The folder above a mount point: then a mount that comes later, or again, is seen. Never all of the machine.
fn writable(folder: &Path, mount: &Path) -> PathBuf {
    match mount.parent() {
        Some(above) if above != Path::new("/") => above.to_owned(),
        _ => folder.to_owned(),
    }
}

fn line(text: &mut String, key: &str, path: &Path) {
    let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let (name, sign) = key.split_at(key.find('=').map_or(key.len(), |at| at + 1));
    *text += &format!("{name}\"{sign}{path}\"\n");
}

/// The highest folder above it that lies on the same file system.
fn mount_of(path: &Path) -> PathBuf {
    let device = |folder: &Path| fs::metadata(folder).map(|meta| meta.dev()).ok();
    let of = device(path);
    path.ancestors().take_while(|folder| device(folder) == of).last().unwrap_or(path).to_owned()
}

fn is_remote(path: &Path) -> bool {
    // What cannot be told is taken for remote: as root everything works.
    fskind::kind(path).map_or(true, |kind| kind.is_network())
}

fn has_user() -> bool {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    known.lines().any(|line| line.split(':').next() == Some(USER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(targets: &[&str], is_remote: bool) -> String {
        let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
        let config = Config::quick(&["/srv/pro jects".into()], &targets, STATE_DIR.into()).expect("fine");
        let mount =
            |folder: &Path| if is_remote { folder.ancestors().nth(1).expect("above").into() } else { "/".into() };
        drop_in(&config, &Machine { mount: &mount, is_remote: &|_| is_remote, has_user: true, has_credentials: true })
    }

    #[test]
    fn a_network_mount_is_written_as_root_below_the_folder_above_it() {
        let text = written(&["/mnt/efs/projects"], true);
        assert!(text.contains("RequiresMountsFor=\"/srv/pro jects\"\n"), "{text}");
        assert!(text.contains("\nReadWritePaths=\"-/mnt\"\n"), "{text}");
        assert!(!text.contains("User=") && !text.contains("PrivateNetwork"), "{text}");
    }

    #[test]
    fn a_folder_of_this_machine_is_written_by_a_user_of_its_own() {
        let text = written(&["/backup/projects"], false);
        assert!(text.contains("\nReadWritePaths=\"-/backup/projects\"\n"), "{text}");
        assert!(text.contains(&format!("\nUser=driftline\nAmbientCapabilities={TO_WRITE}\n")), "{text}");
    }

    #[test]
    fn an_agent_of_buckets_alone_gets_the_network_and_gives_up_the_rest() {
        let text = written(&["s3://acme/projects"], false);
        assert!(!text.contains("ReadWritePaths"), "{text}");
        assert!(text.contains(&format!("\nUser=driftline\nAmbientCapabilities={TO_READ}\n")), "{text}");
        assert!(text.contains("SystemCallFilter=~@privileged") && text.contains("PrivateNetwork=no"), "{text}");
        assert!(text.contains("\nLoadCredential=aws:/etc/driftline/aws\n"), "{text}");
    }

    #[test]
    fn with_a_network_mount_and_a_bucket_it_has_both() {
        let text = written(&["/mnt/efs/projects", "s3://acme/projects"], true);
        assert!(text.contains("PrivateNetwork=no") && text.contains("ReadWritePaths=\"-/mnt\""), "{text}");
        assert!(!text.contains("User=") && !text.contains("SystemCallFilter"), "{text}");
    }

    #[test]
    fn homes_are_hidden_unless_something_of_them_is_kept_safe() {
        assert!(written(&["/backup/projects"], false).contains("\nProtectHome=yes\n"));
        assert!(!written(&["/home/backup"], false).contains("ProtectHome"));
        assert!(is_at_home(Path::new("/")) && !is_at_home(Path::new("/homes")));
    }

    #[test]
    fn a_share_that_takes_what_others_change_may_be_written() {
        let mut config =
            Config::quick(&["/srv/projects".into()], &["s3://acme/projects".into()], STATE_DIR.into()).expect("fine");
        config.shares[0].targets[0].drift = Drift::Take;
        let mount = |_: &Path| PathBuf::from("/");
        let machine = Machine { mount: &mount, is_remote: &|_| false, has_user: true, has_credentials: true };
        let text = drop_in(&config, &machine);
        assert!(text.contains("\nReadWritePaths=\"-/srv/projects\"\n") && text.contains(TO_WRITE), "{text}");
        assert!(!text.contains("SystemCallFilter"), "{text}");
    }

    #[test]
    fn never_all_of_the_machine_may_be_written() {
        assert_eq!(writable(Path::new("/efs/projects"), Path::new("/efs")), Path::new("/efs/projects"));
        assert_eq!(writable(Path::new("/projects"), Path::new("/")), Path::new("/projects"));
        assert_eq!(writable(Path::new("/mnt/efs"), Path::new("/mnt/efs")), Path::new("/mnt"));
    }
}
