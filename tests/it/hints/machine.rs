//! What is said of a machine that gives too little, or of a part of it that fails, is done, and it works.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{hint, of_user, problem};
use crate::office::{Office, behind, hear, must, set_mode, skip, with_faults};

/// Nobody in particular.
const NOBODY: u32 = 65_534;
/// A user of whom nothing else runs: a limit on threads is one on all of theirs.
const SOMEBODY: u32 = 54_322;

/// An office in which a pass was made.
fn worked() -> Office {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    office
}

// ---- the state folder ----

#[test]
fn an_index_that_another_process_has_to_itself_is_asked_again() {
    let office = worked();
    let asked = ["problems", "conflicts", "log", "verify"];
    let greedy = rusqlite::Connection::open(office.path("state/index.db")).unwrap();
    greedy.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    greedy.execute("DELETE FROM request", []).unwrap();
    let wanted = "ask again: another process has the index to itself just now";
    for command in asked {
        assert_eq!(hint(&office.tell(&[command])), wanted, "{command}");
    }
    assert!(office.tell(&["status"]).out.contains(wanted));
    drop(greedy);
    for command in asked {
        assert_eq!(office.tell(&[command]).code, Some(0), "{command}");
    }
    assert!(office.tell(&["status"]).out.starts_with("SAFE as of "));
}

const PERMISSIONS: &str = "check the disk and the permissions of the state folder";

#[test]
fn an_index_that_the_agent_may_not_write_is_given_to_it() {
    let Some(office) = of_user(NOBODY) else { return };
    let sync = || hear(office.command(&["sync"]).uid(NOBODY).gid(NOBODY));
    assert_eq!(sync().code, Some(0));
    let give = |user: u32| {
        for file in office.index_files() {
            chown(file, Some(user), Some(user)).unwrap();
        }
    };
    give(0);
    let said = sync();
    assert_eq!((said.code, hint(&said).as_str()), (Some(1), PERMISSIONS), "{said}");
    give(NOBODY);
    assert_eq!(sync().code, Some(0));
}

/// Each time that something is to be made durable there, it fails once.
#[test]
fn a_disk_that_fails_under_the_state_folder_is_told_and_once_it_is_well_all_goes_on() {
    let office = worked();
    let journal = office.path("state/index.db-wal");
    let mut told = Vec::new();
    for time in 1..100 {
        office.save("plan.txt", format!("plan {time}"));
        let fault = format!("fdatasync,fsync:error=EIO:when={time}");
        let said = hear(&mut with_faults(&office.command(&["sync"]), &journal, &[&fault]));
        if said.code == Some(0) {
            break;
        }
        assert!(said.err.contains("disk I/O error"), "{said}");
        told.push(hint(&said));
        office.sync_well();
        office.assert_same();
    }
    told.sort();
    told.dedup();
    assert_eq!(told, [PERMISSIONS, "check the disk under the state folder"]);
}

// ---- limits ----

#[test]
fn a_limit_on_threads_that_is_too_low_is_raised() {
    let Some(office) = of_user(SOMEBODY) else { return };
    let sync = |most: &str| {
        let mut limit = Command::new("prlimit");
        limit.arg(format!("--nproc={most}"));
        hear(behind(limit, &office.command(&["sync"])).uid(SOMEBODY).gid(SOMEBODY))
    };
    let said = sync("3");
    assert_eq!((said.code, hint(&said).as_str()), (Some(1), "raise the limit on threads (TasksMax, ulimit -u)"));
    let said = sync("1000");
    assert_eq!(said.code, Some(0), "{said}");
    office.assert_same();
}

#[test]
fn too_many_open_files_are_told_until_more_are_allowed() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("plan.txt", "a plan");
    let agent = office.start();
    office.wait_same();
    let pid = agent.pid().to_string();
    let allow = |most: &str| must(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:")]));
    allow("5");
    office.save("plan.txt", "another plan");
    let wanted = "hint: too many files are open: raise LimitNOFILE of the service or fs.file-max";
    office.wait_until("it is told", || office.tell(&["status"]).out.contains(wanted));
    let told = office.tell(&["problems"]);
    assert!(told.out.contains(wanted) && !told.out.contains("mount"), "{told}");
    allow("1024");
    office.wait_same();
}

// ---- what a system does that no test has ----

#[test]
fn what_another_program_holds_is_tried_again() {
    let office = worked();
    office.save("room/plan.txt", "a plan");
    let said = hear(&mut with_faults(&office.command(&["sync"]), &office.share("room"), &["statx:error=EBUSY"]));
    let wanted = "another program holds it: it is tried again";
    assert_eq!((said.code, problem(&office, "room/plan.txt").as_str()), (Some(1), wanted), "{said}");
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_target_on_which_nothing_can_be_locked_is_as_good() {
    let office = worked();
    let strace = |fault: &str| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", &format!("--inject=flock:{fault}"), "--"]);
        strace
    };
    let said = hear(&mut behind(strace("error=ENOLCK"), &office.command(&["check"])));
    let wanted = "hint: driftline needs no locks; for others, see the server's lock service";
    assert!(said.code == Some(0) && said.out.contains(wanted), "{said}");
    office.save("plan.txt", "another plan");
    // Not the state folder, which is locked first of all.
    let said = hear(&mut behind(strace("error=ENOLCK:when=2+"), &office.command(&["sync"])));
    assert_eq!(said.code, Some(0), "{said}");
    office.assert_same();
    assert!(!office.tell(&["check"]).out.contains(wanted));
}

/// A server that takes users for others is asked to give a file to somebody, says that it did, and shows another user's.
#[test]
fn owners_that_a_server_takes_for_others_are_left_alone_where_that_is_said() {
    let office = worked();
    let check = || {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "--inject=fchownat:retval=0", "--"]);
        hear(&mut behind(strace, &office.command(&["check"])))
    };
    let wanted = "hint: let both sides use plain numbers (nfs4_disable_idmapping=Y in client and server), or set ownership = \"ignore\"";
    let said = check();
    assert!(said.out.contains("its server takes users for others") && said.out.contains(wanted), "{said}");
    // Plain numbers on both sides.
    let said = office.tell(&["check"]);
    assert!(!said.out.contains(wanted), "{said}");
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[[share.target]]\n", "[[share.target]]\nownership = \"ignore\"\n")).unwrap();
    let said = check();
    assert!(said.code == Some(0) && !said.out.contains(wanted), "{said}");
}

/// What stands for a service manager: it knows the unit, and that it runs once it was started anew.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$*" in
    show*) echo loaded ;;
    restart*) touch /run/driftline-runs ;;
    is-active*) test -e /run/driftline-runs ;;
esac
"#;

/// A machine of its own in which systemd seems to run: its folders are laid over this one's, and gone with the last command.
const BOOTED: &str = r#"set -e
over=$1 config=$2 user=$3 state=$4
shift 4
mount -t tmpfs -o mode=755 office "$over"
mkdir "$over/up" "$over/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$over/up,workdir=$over/work" overlay /etc
mount -t tmpfs -o mode=755 office /run
mkdir -p /run/systemd/system /etc/driftline
cp "$config" /etc/driftline/config.toml
end_of() { if "$@"; then echo "exit 0"; else echo "exit $?"; fi 2>&1; }
end_of setpriv --reuid "$user" --regid "$user" --clear-groups "$@" init
end_of setpriv --reuid "$user" --regid "$user" --clear-groups "$@" init --no-service
rm -rf "$state"
end_of "$@" init
test -s /etc/systemd/system/driftline.service.d/10-init.conf
"#;

#[test]
fn who_may_not_set_up_the_service_leaves_it_alone_or_is_root() {
    let Some(office) = of_user(NOBODY) else { return };
    let programs = office.path("bin");
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("systemctl"), SYSTEMCTL).unwrap();
    set_mode(&programs.join("systemctl"), 0o755);
    fs::create_dir(office.path("over")).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", BOOTED, "sh"]).args([office.path("over"), office.path("driftline.toml")]);
    shell.arg(NOBODY.to_string()).arg(office.path("state"));
    let said = hear(behind(shell, &office.bare(&[])).env("PATH", path));
    if said.code != Some(0) && said.out.is_empty() {
        skip(&said);
        return;
    }
    let parts: Vec<_> = said.out.split("exit ").collect();
    let codes: Vec<_> = parts[1..].iter().filter_map(|part| part.lines().next()).collect();
    assert_eq!((said.code, &codes[..]), (Some(0), &["78", "0", "0"][..]), "{said}");
    let wanted = "hint: run it as root, or leave the service alone with --no-service";
    assert!(parts[0].contains(wanted) && !parts[1..].concat().contains(wanted), "{said}");
}
