//! Mounts that are full, and mounts that come and go.

use std::fs;
use std::path::Path;

use crate::office::{Mount, Office, PATIENCE, Tree, hear, skip, targets, wait};

/// A folder beside the share that stands for a disk.
fn disk(office: &Office, name: &str) -> std::path::PathBuf {
    fs::create_dir(office.path(name)).unwrap();
    office.path(name)
}

fn tree(root: &Path) -> Tree {
    Tree::read(root).unwrap().without_ours()
}

#[test]
fn a_full_target_is_said_loses_nothing_and_recovers() {
    let office = Office::new();
    let Some(mount) = Mount::memory(&office.path("target"), "8m") else { return };
    office.save("plan.txt", b"a plan");
    office.sync_well();
    office.save("big.bin", vec![3; 20 << 20]);
    let said = office.sync();
    assert_eq!(said.code, Some(1), "a full target is a problem: {said}");
    assert!(!office.target("big.bin").exists(), "no part of it is published");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"a plan");
    assert_ne!(office.status()["verdict"], "safe");
    mount.resize("128m");
    office.sync_well();
    office.assert_same();
}

#[test]
fn the_last_hundredth_of_a_targets_disk_is_left_to_others() {
    let office = Office::new();
    let Some(mount) = Mount::memory(&office.path("target"), "200m") else { return };
    // One byte less than all that is there, as a copy would fill it: in files of which the last one does not fit.
    (0..100).for_each(|i| office.save(format!("part {i}"), vec![i; 2_090_000]));
    let said = office.sync();
    assert_eq!(said.code, Some(1), "a full target is a problem: {said}");
    let stat = rustix::fs::statvfs(office.path("target")).unwrap();
    let (free, all) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
    assert!((all / 100..all / 20).contains(&free), "{free} of {all} bytes are free");
    let status = office.status();
    let error = &targets(&status).next().unwrap()["error"];
    assert!(error["hint"].as_str().unwrap().contains("is left free"), "{status:#}");
    mount.resize("300m");
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_target_that_fills_up_under_the_agents_eyes_goes_on_by_itself() {
    let office = Office::new();
    let Some(mount) = Mount::memory(&office.path("target"), "8m") else { return };
    let _agent = office.start();
    office.wait_safe();
    (0..10).for_each(|i| office.save(format!("part {i}"), vec![i; 2 << 20]));
    office.wait_until("a target with an error", || targets(&office.status()).any(|target| !target["error"].is_null()));
    mount.resize("128m");
    office.wait_same();
}

#[test]
fn a_target_that_becomes_read_only_rests_as_a_whole_and_goes_on_by_itself() {
    let office = Office::new();
    let Some(mount) = Mount::memory(&office.path("target"), "8m") else { return };
    office.save("plan.txt", b"a plan");
    office.save("old.txt", b"old");
    let _agent = office.start();
    office.wait_same();
    mount.read_only(true);
    (0..5).for_each(|i| office.save(format!("new {i}"), vec![i; 100]));
    fs::remove_file(office.share("old.txt")).unwrap();
    let is_resting = |status: &serde_json::Value| targets(status).any(|target| target["state"] == "resting");
    office.wait_until("a target that rests", || is_resting(&office.status()));
    let status = office.status();
    let said = targets(&status).next().unwrap();
    assert_eq!(said["holds"], 0, "no single file is to blame: {said}");
    assert!(said["error"]["hint"].as_str().unwrap().contains("written"), "{said}");
    mount.read_only(false);
    office.wait_same();
}

#[test]
fn a_share_unmounted_in_mid_run_deletes_nothing_and_recovers() {
    let office = Office::new();
    let real = disk(&office, "disk");
    let Some(mut mount) = Mount::bind(&real, &office.path("share")) else { return };
    (0..50).for_each(|i| office.save(format!("folder {}/file {i}", i % 5), format!("content of {i}")));
    let _agent = office.start();
    office.wait_same();
    let before = tree(&office.path("target"));
    mount.take_away();
    office.wait_until("not safe without a share", || office.status()["verdict"] != "safe");
    assert_eq!(tree(&office.path("target")), before);
    let _again = Mount::bind(&real, &office.path("share")).expect("it was permitted before");
    office.save("folder 0/file 0", b"an edit");
    office.wait_same();
    assert_eq!(tree(&office.path("target")).0.len(), before.0.len());
}

#[test]
fn a_target_unmounted_in_mid_run_is_not_written_below_its_mount_point() {
    let office = Office::new();
    let real = disk(&office, "disk");
    let Some(mut mount) = Mount::bind(&real, &office.path("target")) else { return };
    office.save("plan.txt", b"a plan");
    let _agent = office.start();
    office.wait_same();
    mount.take_away();
    office.save("plan.txt", b"a better plan");
    office.wait_until("a target with an error", || targets(&office.status()).any(|target| !target["error"].is_null()));
    assert_eq!(fs::read_dir(office.path("target")).unwrap().count(), 0, "the bare mount point stays bare");
    let _again = Mount::bind(&real, &office.path("target")).expect("it was permitted before");
    office.wait_same();
}

#[test]
fn a_mount_inside_the_share_that_vanishes_deletes_nothing() {
    let office = Office::new();
    let nested = office.share("archive");
    fs::create_dir(&nested).unwrap();
    let Some(mut mount) = Mount::memory(&nested, "8m") else { return };
    office.save("archive/old.txt", b"old");
    office.save("plan.txt", b"a plan");
    office.sync();
    let mirrored = office.target("archive/old.txt").exists();
    assert!(mirrored || office.problem("archive").is_some(), "it is mirrored, or it is said that it is not");
    let before = tree(&office.path("target"));
    mount.take_away();
    for _ in 0..2 {
        office.sync();
        assert_eq!(tree(&office.path("target")), before);
    }
    assert!(!mirrored || office.problem("archive").is_some(), "that it is away is said");
}

#[test]
fn another_disk_in_the_place_of_a_mount_inside_the_share_is_taken_once_it_is_approved_and_only_then() {
    let office = Office::configured("settle = \"100ms\"\nrescan = \"1s\"", "");
    let disks = [disk(&office, "disk"), disk(&office, "other disk")];
    let nested = office.share("archive");
    fs::create_dir(&nested).unwrap();
    let Some(_one) = Mount::memory(&disks[0], "8m") else { return };
    let _other = Mount::memory(&disks[1], "8m").expect("mounting is permitted");
    fs::create_dir_all(disks[1].join("years")).unwrap();
    fs::write(disks[1].join("years/other.txt"), "other").unwrap();
    let mut mount = Mount::bind(&disks[0], &nested).expect("mounting is permitted");
    office.save("archive/years/old.txt", b"old");
    office.save("plan.txt", b"a plan");
    let mut agent = office.start();
    office.wait_same();
    let before = tree(&office.path("target"));
    mount.take_away();
    let mut mount = Mount::bind(&disks[1], &nested).expect("it was permitted before");
    office.wait_until("it is said", || {
        office.problem("archive").is_some_and(|problem| problem.to_string().contains("something else is mounted"))
    });
    office.save("archive/years/more.txt", b"more");
    office.save("plan.txt", b"a better plan");
    office.wait_until("the rest goes on", || fs::read(office.target("plan.txt")).unwrap() == b"a better plan");
    let untouched = |tree: Tree| tree.0.into_keys().collect::<Vec<_>>();
    assert_eq!(
        untouched(tree(&office.path("target"))),
        untouched(before),
        "nothing of the other disk, and all of the first"
    );
    // The first one again: all goes on by itself.
    mount.take_away();
    let mut mount = Mount::bind(&disks[0], &nested).expect("it was permitted before");
    office.save("archive/years/old.txt", b"older");
    office.wait_same();
    assert_eq!(office.history("archive/years/old.txt"), [b"old"]);
    mount.take_away();
    let _mount = Mount::bind(&disks[1], &nested).expect("it was permitted before");
    office.wait_until("it is said again", || office.problem("archive").is_some());
    agent.terminate(std::time::Duration::from_secs(30)).expect("it ends");
    drop(agent);
    let said = office.tell(&["approve", "papers"]);
    assert!(said.code == Some(0) && said.out.contains("1 other mounts were inside share papers"), "{said}");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("archive/years/old.txt"), [&b"old"[..], b"older"]);
}

#[test]
fn a_mount_inside_the_share_that_vanishes_under_the_agents_eyes_deletes_nothing_and_recovers() {
    let office = Office::configured("settle = \"100ms\"\nrescan = \"1s\"", "");
    let (real, nested) = (disk(&office, "disk"), office.share("archive"));
    fs::create_dir(&nested).unwrap();
    let Some(_disk) = Mount::memory(&real, "8m") else { return };
    let mut mount = Mount::bind(&real, &nested).expect("mounting is permitted");
    office.save("archive/old.txt", b"old");
    office.save("plan.txt", b"a plan");
    let _agent = office.start();
    office.wait_same();
    let before = tree(&office.path("target"));
    mount.take_away();
    office.wait_until("its absence is said", || office.problem("archive").is_some());
    assert_eq!(tree(&office.path("target")), before);
    let _again = Mount::bind(&real, &nested).expect("it was permitted before");
    office.save("archive/old.txt", b"older");
    office.wait_same();
    assert_eq!(office.history("archive/old.txt"), [b"old"]);
}

/// A place that was never bound bears no identity: what tells that its disk is not there is what administrators wrote down.
#[test]
fn a_bare_mount_point_is_never_taken_for_a_new_target() {
    let office = Office::new();
    office.save("plan.txt", b"a plan");
    fs::create_dir(office.target("copies")).unwrap();
    let (table, point) = (office.path("fstab"), office.target(""));
    fs::write(&table, format!("fs-1.example:/ {} nfs4 hard 0 0\n", point.display().to_string().trim_end_matches('/')))
        .unwrap();
    // The agent, with another table of mounts than this machine's; and with the target's disk mounted, or not.
    let run = |mounted: &str, words: &str| {
        let mut command = std::process::Command::new("unshare");
        let script = format!("mount --bind \"$1\" /etc/fstab && {mounted} && shift 2 && exec \"$@\"");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"]).arg(&table).arg(&point);
        let driftline = office.command(&[]);
        command.arg(driftline.get_program()).arg(words);
        command.args(["--share".into(), office.share("").into_os_string()]);
        command.args(["--target".into(), office.target("copies").into_os_string()]);
        command.args(["--state-dir".into(), office.path("bare").into_os_string()]);
        driftline.get_envs().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| {
            command.env(key, value);
        });
        hear(&mut command)
    };
    let permitted = run("true", "--version");
    if permitted.code != Some(0) {
        return skip(&permitted);
    }
    let said = run("true", "sync");
    assert_ne!(said.code, Some(0), "{said}");
    assert!(said.err.contains("nothing is mounted at") && said.err.contains("/etc/fstab"), "{said}");
    assert_eq!(fs::read_dir(office.target("copies")).unwrap().count(), 0, "nothing was made on the bare mount point");
    let said = run("true", "check");
    assert!(format!("{said}").contains("nothing is mounted at"), "{said}");
    let said = run("mount -t tmpfs office \"$2\" && mkdir \"$2/copies\"", "sync");
    assert_eq!(said.code, Some(0), "with its disk there it is a new target: {said}");
}

/// The disk of the state folder is filled by others: the agent rests, says so, and goes on by itself.
#[test]
fn a_full_disk_under_the_state_folder_is_told_and_the_same_agent_goes_on_once_there_is_room() {
    let office = Office::new();
    fs::create_dir_all(office.path("state")).unwrap();
    let Some(_mount) = Mount::memory(&office.path("state"), "64m") else { return };
    office.save("plan.txt", b"a plan");
    let agent = office.start();
    office.wait_safe();
    let room = || {
        let stat = rustix::fs::statvfs(office.path("state")).unwrap();
        usize::try_from(stat.f_bavail * stat.f_frsize).unwrap()
    };
    for left in [2 << 20, 0] {
        let filling = office.path("state/of others");
        fs::write(&filling, vec![0; room() - left]).unwrap();
        let told =
            || office.status()["error"]["message"].as_str().is_some_and(|text| text.contains("takes nothing in"));
        assert!(wait(PATIENCE, told), "{:#}", office.status());
        assert_eq!(office.status()["verdict"], "unknown");
        let said = office.tell(&["status"]);
        assert!(said.code == Some(1) && said.out.contains("make room on it"), "{said}");
        let name = format!("saved with {left} bytes free");
        std::thread::sleep(std::time::Duration::from_secs(2));
        office.save(&name, b"saved meanwhile");
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert!(!office.target(&name).exists(), "nothing is taken in");
        let as_of = |status: &serde_json::Value| status["shares"][0]["targets"][0]["protected_as_of"].clone();
        let before = as_of(&office.status());
        fs::remove_file(&filling).unwrap();
        office.wait_until("more is claimed again", || as_of(&office.status()) != before);
        office.wait_safe();
        office.assert_same();
        assert_eq!(office.status()["agent"]["pid"], agent.pid(), "it is the same agent");
    }
    // It can be stopped meanwhile, and the next one takes up what it missed.
    fs::write(office.path("state/of others"), vec![0; room() - (2 << 20)]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop(agent);
    office.save("after", b"saved while no agent ran");
    fs::remove_file(office.path("state/of others")).unwrap();
    let _agent = office.start();
    office.wait_safe();
    office.assert_same();
}
