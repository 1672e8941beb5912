//! Programs that people use, at work on a share while the agent runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::office::{Dice, Office, is_slow_run, must};

/// A tree of some files that the tests' programs copy into the share.
fn furnish(office: &Office, name: &str) -> std::path::PathBuf {
    let (root, mut dice) = (office.path(name), Dice::new(11));
    for i in 0..300 {
        let file = root.join(format!("folder {}/sub {}/file {i}", i % 7, i % 3));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let len = usize::try_from(dice.below(40_000)).unwrap();
        fs::write(file, dice.bytes(len)).unwrap();
    }
    root
}

/// Runs `program` with `args` in `folder`.
fn at_work(folder: &Path, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder).env("GIT_CONFIG_GLOBAL", "/dev/null").args(args);
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    must(&mut command);
}

#[test]
fn cp_into_the_share_arrives() {
    let office = Office::new();
    let source = furnish(&office, "source");
    let _agent = office.start();
    office.wait_safe();
    at_work(&office.path("share"), "cp", &["-a", source.to_str().unwrap(), "copied"]);
    office.wait_same();
    office.rsync_says_same();
}

#[test]
fn tar_into_the_share_arrives() {
    let office = Office::new();
    let source = furnish(&office, "source");
    at_work(&source, "tar", &["cf", "../source.tar", "."]);
    let _agent = office.start();
    office.wait_safe();
    at_work(&office.path("share"), "tar", &["xf", "../source.tar"]);
    office.wait_same();
    office.rsync_says_same();
}

#[test]
fn rsync_into_the_share_arrives_and_arrives_again() {
    let office = Office::new();
    let source = furnish(&office, "source");
    let _agent = office.start();
    office.wait_safe();
    at_work(&source, "rsync", &["-a", "--delete", "./", "../share/"]);
    office.wait_same();
    fs::write(source.join("folder 0/sub 0/file 0"), b"an edit").unwrap();
    fs::remove_dir_all(source.join("folder 3")).unwrap();
    at_work(&source, "rsync", &["-a", "--delete", "./", "../share/"]);
    office.wait_same();
    office.rsync_says_same();
    assert_eq!(office.history("folder 0/sub 0/file 0").len(), 1);
}

#[test]
fn git_clone_and_checkout_in_the_share_arrive() {
    let office = Office::new();
    let source = furnish(&office, "source");
    let git = |folder: &Path, args: &[&str]| {
        at_work(folder, "git", &[&["-c", "user.name=A", "-c", "user.email=a@example.org"], args].concat());
    };
    git(&source, &["init", "-q", "-b", "main"]);
    git(&source, &["add", "."]);
    git(&source, &["commit", "-q", "-m", "first"]);
    git(&source, &["checkout", "-q", "-b", "other"]);
    git(&source, &["mv", "folder 1", "folder one"]);
    fs::write(source.join("folder 0/sub 0/file 0"), b"on the other branch").unwrap();
    git(&source, &["rm", "-q", "-r", "folder 2"]);
    git(&source, &["commit", "-q", "-a", "-m", "second"]);
    let _agent = office.start();
    office.wait_safe();
    git(&office.path("share"), &["clone", "-q", "-b", "main", "../source", "clone"]);
    office.wait_same();
    git(&office.share("clone"), &["checkout", "-q", "other"]);
    office.wait_same();
    git(&office.target("clone"), &["fsck", "--strict"]);
    assert_eq!(fs::read(office.target("clone/folder 0/sub 0/file 0")).unwrap(), b"on the other branch");
}

#[test]
fn folders_that_are_gone_before_they_are_read_are_no_problem() {
    let office = Office::configured("settle = \"10ms\"", "");
    let _agent = office.start();
    office.wait_safe();
    let (count, mut dice) = (400, Dice::new(12));
    for i in 0..count {
        (0..3).for_each(|n| office.save(format!("folder {i}/file {n}"), format!("{i} {n}")));
        // Just as what is new is looked at, or read.
        std::thread::sleep(Duration::from_millis(5 + dice.below(40)));
        match i % 2 {
            0 => fs::rename(office.share(format!("folder {i}")), office.share(format!("moved {i}"))).unwrap(),
            _ => fs::remove_dir_all(office.share(format!("folder {i}"))).unwrap(),
        }
    }
    office.wait_same();
    assert_eq!(office.status()["shares"][0]["problems"], 0);
}

#[test]
fn a_save_by_vim_is_a_new_version() {
    let office = Office::new();
    office.save("notes.txt", b"the first version\n");
    let _agent = office.start();
    office.wait_same();
    // Debian's vim-tiny has no functions, but every vim substitutes.
    let edit = "%s/.*/the second version/";
    at_work(&office.path("share"), "vim", &["-Nu", "NONE", "-es", "-c", edit, "-c", "wq", "notes.txt"]);
    office.wait_same();
    assert_eq!(fs::read(office.target("notes.txt")).unwrap(), b"the second version\n");
    assert_eq!(office.history("notes.txt"), [b"the first version\n"]);
}

#[test]
fn a_database_that_is_written_to_arrives_whole() {
    let office = Office::configured("settle = \"200ms\"\npatience = \"1s\"", "");
    let _agent = office.start();
    office.wait_safe();
    let share = office.path("share");
    at_work(&share, "sqlite3", &["orders.db", "create table orders (id integer primary key, note text)"]);
    for round in 0..20 {
        let rows = "with n(i) as (select 1 union all select i + 1 from n where i < 500)";
        let insert = format!("{rows} insert into orders (note) select 'round {round} row ' || i from n");
        at_work(&share, "sqlite3", &["orders.db", &insert]);
    }
    office.wait_same();
    let [mut check, mut count] = [Command::new("sqlite3"), Command::new("sqlite3")];
    let copy = office.target("orders.db");
    assert_eq!(must(check.arg(&copy).arg("pragma integrity_check")).out, "ok\n");
    assert_eq!(must(count.arg(&copy).arg("select count(*) from orders")).out, "10000\n");
}

#[test]
fn a_document_converted_by_libreoffice_arrives() {
    if !is_slow_run("LibreOffice") {
        return;
    }
    let office = Office::new();
    let _agent = office.start();
    office.save("letter.txt", b"Dear Sir or Madam\n");
    office.wait_same();
    for format in ["odt", "pdf"] {
        at_work(&office.path("share"), "soffice", &["--headless", "--convert-to", format, "letter.txt"]);
        office.wait_same();
        assert!(fs::metadata(office.target(format!("letter.{format}"))).unwrap().len() > 1000);
    }
}
