//! What `check` says of an NFS mount's options: each of them may cost a version, or time.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::model::Wall;
use crate::sys::mounts::Mounted;
use crate::sys::publish;
use crate::target::{Finding, Level};

/// What AWS advises for one request (bytes): `rsize` and `wsize`.
const REQUEST: u64 = 1 << 20;
/// What AWS advises for `timeo` (tenths of a second).
const PATIENCE: u64 = 600;
/// Round trips that are timed (count), of which the one in the middle counts.
const TIMED: usize = 9;
/// From here on a round trip is told as a risk: a small file takes about seven of them.
const SLOW: Duration = Duration::from_millis(100);

/// What is to be said of the options of an NFS mount.
pub(super) fn judge(mounted: &Mounted) -> Vec<Finding> {
    let version = mounted.value("vers").unwrap_or("of an unknown version");
    let waits = if mounted.has("hard") { ", which waits for its server" } else { "" };
    let what = format!("it is an NFS {version} mount of {}{waits}", mounted.source);
    let first = Finding::new(Level::Fine, what);
    let findings = [
        old(version),
        soft(mounted),
        read_only(mounted),
        small(mounted, "rsize"),
        small(mounted, "wsize"),
        hasty(mounted),
        same_port(mounted),
        uncached(mounted),
        local_locks(mounted),
    ];
    std::iter::once(first).chain(findings.into_iter().flatten()).collect()
}

fn old(version: &str) -> Option<Finding> {
    (!matches!(version, "4.1" | "4.2")).then(|| {
        let what = format!("NFS {version} has no sessions: a change whose answer was lost may be made twice");
        Finding::new(Level::Warning, what).hint("mount it with nfsvers=4.1, which EFS speaks")
    })
}

fn soft(mounted: &Mounted) -> Option<Finding> {
    let word = ["soft", "softerr"].into_iter().find(|word| mounted.has(word))?;
    let what = format!("it is mounted {word}: what its server does not answer in time fails instead of waiting");
    Some(
        Finding::new(Level::Warning, what)
            .hint("mount it with hard: programs that do not check each close lose what they wrote"),
    )
}

fn read_only(mounted: &Mounted) -> Option<Finding> {
    mounted.has("ro").then(|| {
        Finding::new(Level::Problem, "it is mounted read-only (ro): nothing can be kept there").hint("mount it with rw")
    })
}

fn small(mounted: &Mounted, option: &str) -> Option<Finding> {
    let size = mounted.value(option)?.parse::<u64>().ok().filter(|size| *size < REQUEST)?;
    let what = format!("large files are slow there: one request carries {} KiB at most ({option}={size})", size >> 10);
    Some(Finding::new(Level::Note, what).hint(format!(
        "mount it with {option}={REQUEST} as EFS allows, unless its server takes no more: unmount it before, or nothing changes"
    )))
}

fn hasty(mounted: &Mounted) -> Option<Finding> {
    let patience = mounted.value("timeo")?.parse::<u64>().ok().filter(|tenths| *tenths < PATIENCE)?;
    let seconds = patience / 10;
    let what = format!("a request that takes longer than {seconds} s is sent again (timeo={patience})");
    Some(Finding::new(Level::Note, what).hint(format!("mount it with timeo={PATIENCE}, as AWS advises for EFS")))
}

/// A tunnel on this machine is no gateway.
fn same_port(mounted: &Mounted) -> Option<Finding> {
    let near = mounted.value("addr").is_some_and(|address| address.starts_with("127.") || address == "::1");
    (!mounted.has("noresvport") && !near).then(|| {
        let what = "after a broken line it takes the same port again, which gateways may refuse for minutes";
        Finding::new(Level::Note, what).hint("mount it with noresvport, as AWS advises for EFS")
    })
}

fn uncached(mounted: &Mounted) -> Option<Finding> {
    let is_none = |option: &str, value: &str| mounted.value(option) == Some(value);
    let words = [
        ("sync", mounted.has("sync")),
        ("noac", mounted.has("noac") || is_none("acregmax", "0")),
        ("lookupcache=none", is_none("lookup_cache", "none") || is_none("lookupcache", "none")),
    ];
    let words: Vec<_> = words.into_iter().filter(|(_, is_set)| *is_set).map(|(word, _)| word).collect();
    (!words.is_empty()).then(|| {
        let what = format!("it asks its server more often than need be ({})", words.join(", "));
        Finding::new(Level::Note, what).hint("leave these options out: driftline asks where it has to be sure")
    })
}

fn local_locks(mounted: &Mounted) -> Option<Finding> {
    let kept = mounted.value("local_lock").filter(|kept| *kept != "none");
    (kept.is_some() || mounted.has("nolock")).then(|| {
        let what = "locks are kept on this machine: programs on others do not see them";
        Finding::new(Level::Note, what).hint("leave out nolock and local_lock, if programs share files there")
    })
}

/// How long its server takes to answer; `None` if it cannot be asked.
pub(super) fn round_trip(folder: BorrowedFd<'_>, now: fn() -> Wall) -> Option<Finding> {
    let mut took = [Duration::ZERO; TIMED];
    for took in &mut took {
        let begun = now();
        publish::ask_afresh(folder).ok()?;
        *took = now().since(begun);
    }
    took.sort_unstable();
    let usual = took[TIMED / 2];
    let what = format!("its server answers within {:.1} ms", usual.as_secs_f64() * 1000.0);
    Some(if usual < SLOW {
        Finding::new(Level::Fine, what)
    } else {
        Finding::new(Level::Warning, what)
            .hint("small files will be slow: see whether the line to it is loaded or long")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mounts;

    fn said(options: &str) -> Vec<(Level, String)> {
        let mounted = mounts::for_tests("nfs4", "192.0.2.2:/", options);
        judge(&mounted).into_iter().map(|finding| (finding.level, finding.what + "; " + &finding.hint)).collect()
    }

    #[test]
    fn of_a_mount_as_aws_advises_nothing_is_wrong() {
        let good = "rw,vers=4.1,rsize=1048576,wsize=1048576,hard,noresvport,timeo=600,retrans=2,local_lock=none,addr=192.0.2.2";
        let [(Level::Fine, what)] = &said(good)[..] else { panic!("{:?}", said(good)) };
        assert!(what.starts_with("it is an NFS 4.1 mount of 192.0.2.2:/, which waits for its server"), "{what}");
    }

    #[test]
    fn each_option_that_costs_something_is_told_with_what_to_write_instead() {
        let good =
            ["rw", "vers=4.1", "rsize=1048576", "wsize=1048576", "hard", "noresvport", "timeo=600", "addr=192.0.2.2"];
        let table = [
            ("vers=4.1", "vers=3", Level::Warning, "nfsvers=4.1"),
            ("hard", "soft", Level::Warning, "mount it with hard"),
            ("hard", "softerr", Level::Warning, "mount it with hard"),
            ("rw", "ro", Level::Problem, "mount it with rw"),
            ("rsize=1048576", "rsize=65536", Level::Note, "rsize=1048576"),
            ("wsize=1048576", "wsize=65536", Level::Note, "64 KiB"),
            ("timeo=600", "timeo=50", Level::Note, "longer than 5 s"),
            ("noresvport", "", Level::Note, "mount it with noresvport"),
            ("addr=192.0.2.2", "sync,noac,addr=192.0.2.2", Level::Note, "(sync, noac)"),
            ("addr=192.0.2.2", "lookupcache=none,addr=192.0.2.2", Level::Note, "lookupcache=none"),
            ("addr=192.0.2.2", "local_lock=all,addr=192.0.2.2", Level::Note, "leave out nolock"),
        ];
        for (old, new, level, word) in table {
            let options = good.map(|option| if option == old { new } else { option }).join(",");
            let told = said(&options);
            assert_eq!(told.len(), 2, "{options}: {told:?}");
            assert!(told[1].0 == level && told[1].1.contains(word), "{options}: {:?}", told[1]);
        }
    }

    #[test]
    fn through_a_tunnel_of_this_machine_any_port_does() {
        let tunnel = "rw,vers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,addr=127.0.0.1";
        assert_eq!(said(tunnel).len(), 1, "{:?}", said(tunnel));
    }
}
