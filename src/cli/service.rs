//! The service as `init` sets it up: which places it may write to, whether it has the network, and whether it runs.
//!
//! Not here: what the service is (`systemd/driftline.service`, which a package installs). What only a person can know, such
//! as more places, belongs into a drop-in of its own: this one is written anew by each `init`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::{Exit, Failure};
use crate::config::{Config, Ownership, STATE_DIR, Share, Target};
use crate::plan::Drift;
use crate::sys::fskind::{self, FsKind};

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
/// The longest name that a unit may have (bytes), with the zero behind it.
const UNIT_NAME_MAX: usize = 256;
/// What is hidden from the service where nothing of it is a share or a target, says systemd.exec(5).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// The user that the package makes for it.
const USER: &str = "driftline";
/// Rights to read what staff let nobody else read, and to see who has a file open: all that a copy in a bucket takes.
const TO_READ: &str = "CAP_DAC_READ_SEARCH CAP_LEASE";
/// The same, and those by which a copy in a folder gets its place, its owner and its mode.
const TO_WRITE: &str = "CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_LEASE";
/// What a bucket takes, and who asks for metrics: the unit has no network.
const NETWORK: &str = "PrivateNetwork=no\nRestrictAddressFamilies=AF_INET AF_INET6\nIPAddressAllow=";
/// Addresses that a single machine may have, as IPv4 and IPv6 are divided: nothing goes to groups or to all at once.
/// 127.0.0.53 is a resolver, and 169.254.169.254 and fd00:ec2::254 hand out the credentials of a role.
const SINGLE: &str = "0.0.0.0/1 128.0.0.0/2 192.0.0.0/3 ::/8 2000::/3 fc00::/7 fe80::/10";
/// What metrics alone take.
const LOOPBACK: &str = "localhost";
/// Rights that no copy on an NFS server takes: it changes owners by itself, if it is root who wants it.
const NOT_FOR_NFS: &str = "CapabilityBoundingSet=~CAP_CHOWN CAP_FSETID\n";
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
    Path::new(BOOTED).exists() && load_state().is_some_and(|state| state == "loaded")
}

/// What systemd knows of the unit. Not `systemctl cat`: that fails where a drop-in was removed and nothing read anew since.
fn load_state() -> Option<String> {
    let output = Command::new("systemctl").args(["show", "--property=LoadState", "--value", UNIT]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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
        is_nfs: &is_nfs,
        is_users: &|folder| own_uid().is_some_and(|uid| fs::metadata(folder).is_ok_and(|meta| meta.uid() == uid)),
        has_user: own_uid().is_some(),
        has_credentials: has_credentials(),
    };
    let text = drop_in(config, &machine);
    fs::create_dir_all(DROP_INS).and_then(|()| fs::write(&file, text)).map_err(|error| {
        Failure::cannot(Exit::Config, format!("write {}", file.display()), error)
            .hint("run it as root, or leave the service alone with --no-service")
    })?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--quiet", UNIT])?;
    // Who sets it up wants it to run, however often it failed before.
    let _never_failed = systemctl(&["reset-failed", UNIT]);
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

/// The unit of what is mounted there, by the rules of systemd.unit(5); `None` for the root of the machine.
fn unit_of(mount: &Path) -> Option<String> {
    let path = mount.as_os_str().as_bytes().strip_prefix(b"/")?;
    let escaped = |(place, byte): (usize, &u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if place == 0 => "\\x2e".to_owned(),
        b':' | b'_' | b'.' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    let name = path.iter().enumerate().map(escaped).collect::<String>() + ".mount";
    (!path.is_empty() && name.len() < UNIT_NAME_MAX).then_some(name)
}

/// What is known of this machine when the drop-in is written.
struct Machine<'a> {
    /// Where the file system is mounted that a folder lies on.
    mount: &'a dyn Fn(&Path) -> PathBuf,
    /// Whether a folder lies behind a network.
    is_remote: &'a dyn Fn(&Path) -> bool,
    /// Whether an NFS server holds a folder.
    is_nfs: &'a dyn Fn(&Path) -> bool,
    /// Whether a folder belongs to the service's own user.
    is_users: &'a dyn Fn(&Path) -> bool,
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
    let own_state = config.agent.state_dir == Path::new(STATE_DIR);
    let state = (!own_state).then_some(&config.agent.state_dir);
    let mounts: BTreeSet<_> = config
        .shares
        .iter()
        .map(|share| &share.path)
        .chain(state)
        .filter_map(|path| unit_of(&(machine.mount)(path)))
        .collect();
    for mount in mounts {
        // Not RequiresMountsFor=: systemd does not try that again, and a disk that comes late would keep the agent from starting
        // for good. The agent waits for it by itself, and goes on once it is there.
        text += &format!("Wants={mount}\nAfter={mount}\n");
    }
    text += "\n[Service]\n";
    for folder in &folders {
        // A minus: a folder that is not there now does not keep the service from starting.
        line(&mut text, "ReadWritePaths=-", &writable(folder, &(machine.mount)(folder)));
    }
    if !own_state {
        line(&mut text, "ReadWritePaths=", &config.agent.state_dir);
    }
    let own_user = own_state && machine.has_user && !takes_root(config, machine);
    if own_user {
        let rights = if folders.is_empty() { TO_READ } else { TO_WRITE };
        text += &format!("User={USER}\nAmbientCapabilities={rights}\n");
    }
    if folders.is_empty() {
        text += NO_FOLDERS;
    } else if !own_user && folders.iter().all(|folder| (machine.is_nfs)(folder)) {
        text += NOT_FOR_NFS;
    }
    text += &homes(config, &folders, machine);
    let buckets = places.iter().any(|place| place.bucket().is_some());
    if buckets || config.agent.metrics.is_some() {
        text += &format!("{NETWORK}{}\n", if buckets { SINGLE } else { LOOPBACK });
    }
    if buckets && machine.has_credentials {
        text += &format!("LoadCredential=aws:{CREDENTIALS}\n");
    }
    text
}

/// Whether only root will do. A server of files trusts root alone with what belongs to others, while this machine goes by
/// capabilities. Where a target keeps no owners and its folder belongs to the service's own user, that user leaves there what
/// is his.
fn takes_root(config: &Config, machine: &Machine<'_>) -> bool {
    config.shares.iter().any(|share| {
        let takes = share.targets.iter().any(|target| target.drift == Drift::Take);
        let is_his =
            |target: &&Target, folder: &Path| target.ownership == Ownership::Ignore && (machine.is_users)(folder);
        let of_targets = share.targets.iter().any(|target| {
            target.place.folder().is_some_and(|folder| (machine.is_remote)(folder) && !is_his(&target, folder))
        });
        of_targets || (takes && (machine.is_remote)(&share.path))
    })
}

/// What the service sees of homes: nothing, or the shares and targets there. Where one of them is a mount, which may
/// come later, it sees all of them.
fn homes(config: &Config, folders: &[&Path], machine: &Machine<'_>) -> String {
    let shares: Vec<_> = config.shares.iter().map(|share| share.path.as_path()).collect();
    let at_home = |paths: &[&Path]| -> Vec<PathBuf> {
        paths.iter().filter(|path| is_at_home(path)).map(|path| path.to_path_buf()).collect()
    };
    let (written, read) = (at_home(folders), at_home(&shares));
    let all = || written.iter().chain(&read);
    if all().next().is_none() {
        return "ProtectHome=yes\n".to_owned();
    }
    // In the file system of all homes or of the machine, and with a name for the unit: a colon parts two paths there.
    let is_plain = |path: &PathBuf| {
        let mount = (machine.mount)(path);
        let is_below = |home: &Path| path != home && path.starts_with(home) && home.starts_with(&mount);
        HOMES.iter().any(|home| is_below(Path::new(home))) && !path.to_string_lossy().contains(':')
    };
    if !all().all(is_plain) {
        return String::new();
    }
    let mut text = "ProtectHome=tmpfs\n".to_owned();
    for path in read.iter().filter(|path| !written.contains(path)) {
        line(&mut text, "BindReadOnlyPaths=", path);
    }
    for path in &written {
        line(&mut text, "BindPaths=-", path);
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

fn is_nfs(path: &Path) -> bool {
    fskind::kind(path).is_ok_and(|kind| kind == FsKind::Network("NFS"))
}

fn has_credentials() -> bool {
    Path::new(CREDENTIALS).exists()
}

/// What whoever sets the service up has to know of its credentials: the service finds none of theirs.
pub(super) fn unseen_credentials(config: &Config) -> Option<String> {
    let has_bucket =
        config.shares.iter().flat_map(|share| &share.targets).any(|target| target.place.bucket().is_some());
    let unseen = has_bucket && !has_credentials() && own_credentials(|name| std::env::var_os(name));
    unseen.then(|| {
        format!(
            "The service does not use credentials of yours: put those that it is to use into {CREDENTIALS} and run \
             `driftline init` again, unless the machine has a role.\n"
        )
    })
}

/// Whether a user has credentials where the AWS default chain looks for them.
fn own_credentials(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let at_home = || variable("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
    let file = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(at_home);
    variable("AWS_ACCESS_KEY_ID").is_some() || file.is_some_and(|file| file.exists())
}

fn is_remote(path: &Path) -> bool {
    // What cannot be told is taken for remote: as root everything works.
    fskind::kind(path).map_or(true, |kind| kind.is_network())
}

/// The number of the service's own user, where there is one.
fn own_uid() -> Option<u32> {
    let known = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = known.lines().map(|line| line.split(':'));
    lines.find_map(|mut words| (words.next() == Some(USER)).then(|| words.nth(1)?.parse().ok()).flatten())
}

#[cfg(test)]
mod exposure {
    mod tests;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(targets: &[&str]) -> Config {
        let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
        Config::quick(&["/srv/pro jects".into()], &targets, STATE_DIR.into()).expect("fine")
    }

    /// On a machine whose NFS mounts lie below /mnt, and nothing else is mounted. What is named after it belongs to the user.
    fn written_for(config: &Config) -> String {
        let is_nfs = |folder: &Path| folder.starts_with("/mnt");
        let mount = |folder: &Path| {
            folder.ancestors().nth(if is_nfs(folder) { 1 } else { 99 }).unwrap_or(Path::new("/")).into()
        };
        let is_remote = |folder: &Path| is_nfs(folder) || folder.starts_with("/smb");
        drop_in(
            config,
            &Machine {
                mount: &mount,
                is_remote: &is_remote,
                is_nfs: &is_nfs,
                is_users: &|folder| folder.ends_with(USER),
                has_user: true,
                has_credentials: true,
            },
        )
    }

    fn written(targets: &[&str]) -> String {
        written_for(&configuration(targets))
    }

    #[test]
    fn a_network_mount_is_written_as_root_below_the_folder_above_it() {
        let text = written(&["/mnt/efs/projects"]);
        assert!(text.contains("\nReadWritePaths=\"-/mnt\"\n"), "{text}");
        assert!(!text.contains("User=") && !text.contains("PrivateNetwork"), "{text}");
    }

    #[test]
    fn a_disk_that_comes_late_does_not_keep_it_from_starting() {
        let mut config = configuration(&["/backup/projects"]);
        config.agent.state_dir = "/srv/pro-1/state".into();
        config.shares[0].path = "/srv/pro-1/my share".into();
        let mount = |path: &Path| if path.starts_with("/srv/pro-1") { "/srv/pro-1" } else { "/" }.into();
        let machine = Machine {
            mount: &mount,
            is_remote: &|_| false,
            is_nfs: &|_| false,
            is_users: &|_| false,
            has_user: true,
            has_credentials: false,
        };
        let text = drop_in(&config, &machine);
        assert_eq!(text.matches("srv-pro\\x2d1.mount").count(), 2, "{text}");
        assert!(text.contains("[Unit]\nWants=srv-pro\\x2d1.mount\nAfter=srv-pro\\x2d1.mount\n\n[Service]\n"), "{text}");
        assert!(!text.contains("Requires"), "{text}");
        assert!(!written(&["/backup/projects"]).contains("After="), "what lies on the machine's own disk is there");
    }

    #[test]
    fn a_mount_has_the_name_that_systemd_gives_it() {
        let table = [
            ("/srv", "srv.mount"),
            ("/mnt/pro jects", r"mnt-pro\x20jects.mount"),
            ("/.a/b-c_d.e", r"\x2ea-b\x2dc_d.e.mount"),
        ];
        for (path, name) in table {
            assert_eq!(unit_of(Path::new(path)).as_deref(), Some(name), "{path}");
        }
        assert_eq!((unit_of(Path::new("/")), unit_of(Path::new(&"/x".repeat(200)))), (None, None));
    }

    #[test]
    fn a_folder_of_this_machine_is_written_by_a_user_of_its_own() {
        let text = written(&["/backup/projects"]);
        assert!(text.contains("\nReadWritePaths=\"-/backup/projects\"\n"), "{text}");
        assert!(text.contains(&format!("\nUser=driftline\nAmbientCapabilities={TO_WRITE}\n")), "{text}");
    }

    #[test]
    fn an_agent_of_buckets_alone_gets_the_network_and_gives_up_the_rest() {
        let text = written(&["s3://acme/projects"]);
        assert!(!text.contains("ReadWritePaths"), "{text}");
        assert!(text.contains(&format!("\nUser=driftline\nAmbientCapabilities={TO_READ}\n")), "{text}");
        assert!(text.contains("SystemCallFilter=~@privileged") && text.contains("PrivateNetwork=no"), "{text}");
        assert!(text.contains("\nLoadCredential=aws:/etc/driftline/aws\n"), "{text}");
    }

    #[test]
    fn with_a_network_mount_and_a_bucket_it_has_both() {
        let text = written(&["/mnt/efs/projects", "s3://acme/projects"]);
        assert!(text.contains("PrivateNetwork=no") && text.contains("ReadWritePaths=\"-/mnt\""), "{text}");
        assert!(!text.contains("User=") && !text.contains("SystemCallFilter"), "{text}");
    }

    #[test]
    fn owners_are_changed_by_an_nfs_server_itself_and_by_nobody_else() {
        assert!(written(&["/mnt/efs/projects", "s3://acme/projects"]).contains(NOT_FOR_NFS));
        for others in [&["/mnt/efs/projects", "/backup/projects"][..], &["/smb/projects"], &["/backup/projects"]] {
            assert!(!written(others).contains("CapabilityBoundingSet"), "{others:?}");
        }
        let mut takes = configuration(&["/mnt/efs/projects"]);
        takes.shares[0].targets[0].drift = Drift::Take;
        assert!(!written_for(&takes).contains("CapabilityBoundingSet"), "the share's owners are changed here");
    }

    #[test]
    fn where_a_network_mount_is_the_users_and_keeps_no_owners_root_is_not_needed() {
        let with = |place: &str, ownership, drift, share: &str| {
            let mut config = configuration(&[place, "/backup/projects", "s3://acme/projects"]);
            config.shares[0].path = share.into();
            (config.shares[0].targets[0].ownership, config.shares[0].targets[0].drift) = (ownership, drift);
            let text = written_for(&config);
            text.contains(&format!("\nUser=driftline\nAmbientCapabilities={TO_WRITE}\n"))
        };
        let (his, others) = ("/mnt/efs/driftline", "/mnt/efs/projects");
        let (ignore, keep) = (Ownership::Ignore, Ownership::Keep);
        let (mine, far) = ("/srv/projects", "/mnt/share");
        assert!(with(his, ignore, Drift::Keep, mine) && with(his, ignore, Drift::Take, mine));
        assert!(with(his, ignore, Drift::Keep, far), "a share is only read");
        for (place, ownership, drift, share) in [
            (his, keep, Drift::Keep, mine),
            (others, ignore, Drift::Keep, mine),
            (others, keep, Drift::Keep, mine),
            (his, ignore, Drift::Take, far),
        ] {
            assert!(!with(place, ownership, drift, share), "{place} {ownership:?} {drift:?} {share}");
        }
    }

    #[test]
    fn the_network_of_metrics_alone_ends_at_this_machine() {
        let mut config = configuration(&["/backup/projects"]);
        assert!(!written_for(&config).contains("PrivateNetwork"));
        config.agent.metrics = Some("127.0.0.1:9464".parse().expect("an address"));
        let text = written_for(&config);
        assert!(text.contains("PrivateNetwork=no") && text.contains("\nIPAddressAllow=localhost\n"), "{text}");
    }

    #[test]
    fn nothing_is_sent_to_groups_of_machines() {
        let text = written(&["s3://acme/projects"]);
        assert!(text.contains(&format!("\nIPAddressAllow={SINGLE}\n")) && !text.contains("IPAddressDeny"), "{text}");
        let first = |net: &str| net.split(['/', '.', ':']).next().map(str::to_owned);
        let firsts: Vec<_> = SINGLE.split(' ').filter_map(first).collect();
        assert_eq!(firsts, ["0", "128", "192", "", "2000", "fc00", "fe80"], "224.0.0.0 and ff00:: are in none of them");
    }

    #[test]
    fn of_homes_only_what_is_kept_safe_or_written_is_seen() {
        assert!(written(&["/backup/projects"]).contains("\nProtectHome=yes\n"));
        let text = written(&["/home/backup"]);
        assert!(text.contains("\nProtectHome=tmpfs\nBindPaths=\"-/home/backup\"\n"), "{text}");
        let mut config = configuration(&["/backup/projects"]);
        config.shares[0].path = "/home/projects".into();
        let text = written_for(&config);
        assert!(text.contains("\nProtectHome=tmpfs\nBindReadOnlyPaths=\"/home/projects\"\n"), "{text}");
        // All of them, and a mount of its own there: nothing is hidden.
        config.shares[0].path = "/home".into();
        assert!(!written_for(&config).contains("ProtectHome"));
        assert!(is_at_home(Path::new("/")) && !is_at_home(Path::new("/homes")));
    }

    #[test]
    fn a_mount_below_a_home_is_seen_when_it_comes() {
        let config = configuration(&["/home/efs/projects"]);
        let mount = |folder: &Path| if folder.starts_with("/home/efs") { "/home/efs" } else { "/" }.into();
        let machine = Machine {
            mount: &mount,
            is_remote: &|_| true,
            is_nfs: &|_| true,
            is_users: &|_| false,
            has_user: true,
            has_credentials: true,
        };
        let text = drop_in(&config, &machine);
        assert!(!text.contains("ProtectHome") && text.contains("ReadWritePaths=\"-/home\""), "{text}");
    }

    #[test]
    fn credentials_of_whoever_sets_it_up_are_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = |name: &str| (name == "HOME").then(|| dir.path().into());
        assert!(!own_credentials(home) && !own_credentials(|_| None));
        fs::create_dir(dir.path().join(".aws")).expect("made");
        fs::write(dir.path().join(".aws/credentials"), "[default]").expect("written");
        assert!(own_credentials(home));
        assert!(own_credentials(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "AKIA".into())));
    }

    #[test]
    fn a_share_that_takes_what_others_change_may_be_written() {
        let mut config = configuration(&["s3://acme/projects"]);
        config.shares[0].targets[0].drift = Drift::Take;
        let text = written_for(&config);
        assert!(text.contains("\nReadWritePaths=\"-/srv/pro jects\"\n") && text.contains(TO_WRITE), "{text}");
        assert!(!text.contains("SystemCallFilter"), "{text}");
    }

    #[test]
    fn never_all_of_the_machine_may_be_written() {
        assert_eq!(writable(Path::new("/efs/projects"), Path::new("/efs")), Path::new("/efs/projects"));
        assert_eq!(writable(Path::new("/projects"), Path::new("/")), Path::new("/projects"));
        assert_eq!(writable(Path::new("/mnt/efs"), Path::new("/mnt/efs")), Path::new("/mnt"));
    }
}
