//! Two-way, by name: what becomes of each kind of change on one side or on both, beside what rclone's bisync and Unison do.
//!
//! The first fourteen are those of bisync's documentation ("Normal sync checks" and "Unusual sync checks"), with the share as
//! Path1 and the target as Path2. The others are what Unison's manual counts as conflicts ("What is a Conflict?": a path was
//! updated in one replica, it or something below it in the other, and the two are not the same). The guide has the same table.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::office::{Office, set_mtime};

/// What somebody does, in a folder of the scenario's own.
#[derive(Clone, Copy)]
enum Deed {
    Nothing,
    Write(&'static str, &'static str),
    /// The same, and its time is long ago.
    WriteOld(&'static str, &'static str),
    Remove(&'static str),
    /// A file or folder gives way to a folder with a file in it.
    Folder(&'static str),
    /// A file or folder gives way to a file.
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
    Mode(&'static str, u32),
}

use Deed::{File, Folder, Link, Mode, Nothing, Remove, Write, WriteOld};

impl Deed {
    fn do_in(self, folder: &Path) {
        let clear = |path: &Path| {
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { _ = fs::remove_file(path) }
        };
        match self {
            Nothing => {}
            Write(name, text) => {
                fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
                fs::write(folder.join(name), text).unwrap();
            }
            WriteOld(name, text) => {
                fs::write(folder.join(name), text).unwrap();
                set_mtime(&folder.join(name), 1_000_000_000, 0);
            }
            Remove(name) => clear(&folder.join(name)),
            Folder(name) => {
                clear(&folder.join(name));
                fs::create_dir(folder.join(name)).unwrap();
                fs::write(folder.join(name).join("new"), "in it").unwrap();
            }
            File(name, text) => {
                clear(&folder.join(name));
                fs::write(folder.join(name), text).unwrap();
            }
            Link(name, to) => {
                clear(&folder.join(name));
                std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
            }
            Mode(name, mode) => fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap(),
        }
    }
}

/// How it ends, in the guide's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The share's version is on both sides.
    Share,
    /// The target's is.
    Target,
    /// It is gone on both sides, and in history.
    Gone,
    /// What was edited or is new is on both sides, and the rest of the folder is gone.
    Edited,
    /// Nothing has to be done.
    Same,
    /// The share's is on both sides, the target's in the inbox.
    Inbox,
    /// Both stay as they are, and a person is asked.
    Waits,
}

impl End {
    fn words(self) -> &'static str {
        match self {
            Self::Share => "the share's on both sides",
            Self::Target => "the target's on both sides",
            Self::Gone => "removed on both sides, into history",
            Self::Edited => "that file on both sides, the rest of the folder into history",
            Self::Same => "nothing to do",
            Self::Inbox => "the share's on both sides, the target's in the inbox",
            Self::Waits => "both stay, and a person is asked",
        }
    }
}

struct Rule {
    name: &'static str,
    before: &'static [Deed],
    share: Deed,
    target: Deed,
    end: End,
    /// What bisync or Unison do.
    others: &'static str,
}

const BASE: &[Deed] = &[Write("f", "base")];
const TREE: &[Deed] = &[Write("f/a", "base"), Write("f/b", "base")];
const NONE: &[Deed] = &[];
/// Unison without somebody to ask.
const SKIPS: &str = "Unison: a conflict, skipped until somebody chooses";

const fn rule(
    name: &'static str,
    before: &'static [Deed],
    share: Deed,
    target: Deed,
    end: End,
    others: &'static str,
) -> Rule {
    Rule { name, before, share, target, end, others }
}

const RULES: [Rule; 28] = [
    rule("Path2 new", NONE, Nothing, Write("f", "t"), End::Target, "bisync: Path2 survives"),
    rule("Path2 newer", BASE, Nothing, Write("f", "theirs"), End::Target, "bisync: Path2 survives"),
    rule("Path2 deleted", BASE, Nothing, Remove("f"), End::Gone, "bisync: deleted"),
    rule("Path1 new", NONE, Write("f", "s"), Nothing, End::Share, "bisync: Path1 survives"),
    rule("Path1 newer", BASE, Write("f", "ours"), Nothing, End::Share, "bisync: Path1 survives"),
    rule("Path1 older", BASE, WriteOld("f", "ours"), Nothing, End::Share, "bisync: Path1 survives"),
    rule("Path2 older", BASE, Nothing, WriteOld("f", "theirs"), End::Target, "bisync: Path2 survives"),
    rule("Path1 deleted", BASE, Remove("f"), Nothing, End::Gone, "bisync: deleted"),
    rule(
        "Path1 new/changed AND Path2 new/changed AND Path1 == Path2",
        BASE,
        Write("f", "both"),
        Write("f", "both"),
        End::Same,
        "bisync: no change",
    ),
    rule(
        "Path1 new AND Path2 new",
        NONE,
        Write("f", "ours"),
        Write("f", "theirs!"),
        End::Inbox,
        "bisync: both renamed, on both sides",
    ),
    rule(
        "Path2 newer AND Path1 changed",
        BASE,
        Write("f", "ours"),
        Write("f", "theirs!"),
        End::Inbox,
        "bisync: both renamed, on both sides",
    ),
    rule(
        "Path2 newer AND Path1 deleted",
        BASE,
        Remove("f"),
        Write("f", "theirs!"),
        End::Target,
        "bisync: Path2 survives",
    ),
    rule(
        "Path2 deleted AND Path1 changed",
        BASE,
        Write("f", "ours"),
        Remove("f"),
        End::Share,
        "bisync: Path1 survives",
    ),
    rule(
        "Path1 deleted AND Path2 changed",
        BASE,
        Remove("f"),
        WriteOld("f", "theirs!"),
        End::Target,
        "bisync: Path2 survives",
    ),
    rule("a file edited, and edited otherwise", BASE, Write("f", "ours"), Write("f", "theirs"), End::Inbox, SKIPS),
    rule("a file edited, and deleted", BASE, Write("f", "ours"), Remove("f"), End::Share, SKIPS),
    rule("a file deleted, and edited", BASE, Remove("f"), Write("f", "theirs"), End::Target, SKIPS),
    rule(
        "deleted on both sides",
        BASE,
        Remove("f"),
        Remove("f"),
        End::Same,
        "Unison: no conflict, as the two are the same",
    ),
    rule("a file is a folder now, and the file was edited", BASE, Folder("f"), Write("f", "theirs"), End::Waits, SKIPS),
    rule("a file was edited, and is a folder now", BASE, Write("f", "ours"), Folder("f"), End::Waits, SKIPS),
    rule("a folder deleted, and a file in it edited", TREE, Remove("f"), Write("f/a", "theirs"), End::Edited, SKIPS),
    rule(
        "a file in a folder edited, and the folder deleted",
        TREE,
        Write("f/a", "ours"),
        Remove("f"),
        End::Edited,
        SKIPS,
    ),
    rule("a folder deleted, and a file new in it", TREE, Remove("f"), Write("f/c", "theirs"), End::Edited, SKIPS),
    rule(
        "a folder is a file now, and a file in it was edited",
        TREE,
        File("f", "ours"),
        Write("f/a", "theirs"),
        End::Waits,
        SKIPS,
    ),
    rule("a new file, and a new folder", NONE, Write("f", "ours"), Folder("f"), End::Waits, SKIPS),
    rule("a new link, and a new file", NONE, Link("f", "ours"), Write("f", "theirs"), End::Inbox, SKIPS),
    rule("a mode changed, and the file edited", BASE, Mode("f", 0o600), Write("f", "theirs"), End::Target, SKIPS),
    rule("two modes", BASE, Mode("f", 0o600), Mode("f", 0o640), End::Share, SKIPS),
];

/// What lies below a folder, but for folders: path -> what it holds.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else {
                let mode = meta.permissions().mode() & 0o777;
                found.insert(name, format!("{} {mode:o}", fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// What the deeds leave in a folder.
fn after(deeds: impl IntoIterator<Item = Deed>) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    deeds.into_iter().for_each(|deed| deed.do_in(folder.path()));
    tree(folder.path())
}

fn below<'a>(list: &'a Value, folder: &str) -> Option<&'a Value> {
    let path = |one: &Value| one["path"].as_str().is_some_and(|path| path.starts_with(&format!("{folder}/")));
    list.as_array().unwrap().iter().find(|one| path(one))
}

#[test]
fn each_kind_of_change_ends_as_the_rules_say() {
    let office = Office::configured("settle = \"100ms\"", "drift = \"take\"");
    let folder = |at: usize| format!("{at:02}");
    for (at, rule) in RULES.iter().enumerate() {
        fs::create_dir(office.share(folder(at))).unwrap();
        rule.before.iter().for_each(|deed| deed.do_in(&office.share(folder(at))));
    }
    office.save("quiet/stays", "so that no scenario is much of the share");
    (0..200).for_each(|number| office.save(format!("quiet/{number}"), "x"));
    office.sync_well();
    for (at, rule) in RULES.iter().enumerate() {
        rule.share.do_in(&office.share(folder(at)));
        rule.target.do_in(&office.target(folder(at)));
    }
    // What one pass brings is seen to by the next.
    for _ in 0..3 {
        office.sync();
    }
    let conflicts: Value = serde_json::from_str(&office.tell(&["conflicts", "--json"]).out).unwrap();
    let problems: Value = serde_json::from_str(&office.tell(&["problems", "--json"]).out).unwrap();
    let conflicts = conflicts.get("conflicts").unwrap_or(&conflicts).clone();
    let problems = problems.get("items").unwrap_or(&problems).clone();
    let mut wrong = Vec::new();
    for (at, rule) in RULES.iter().enumerate() {
        let (on_share, on_target) = (tree(&office.share(folder(at))), tree(&office.target(folder(at))));
        let (ours, theirs) = (
            after(rule.before.iter().copied().chain([rule.share])),
            after(rule.before.iter().copied().chain([rule.target])),
        );
        let before = after(rule.before.iter().copied());
        let is_new = |(path, text): &(&String, &String)| before.get(*path) != Some(*text);
        let edited: BTreeMap<_, _> =
            ours.iter().chain(&theirs).filter(is_new).map(|(p, t)| (p.clone(), t.clone())).collect();
        // What nobody edited may be gone already.
        let stays = edited
            .iter()
            .filter(|(path, _)| theirs.contains_key(*path))
            .all(|one| on_target.iter().any(|it| it == one))
            && on_target.iter().all(|one| theirs.iter().any(|it| it == one));
        let in_inbox = below(&conflicts, &folder(at)).is_some();
        let waits = below(&problems, &folder(at)).is_some();
        let is = |wanted: &BTreeMap<String, String>| on_share == *wanted && on_target == *wanted;
        let found = match () {
            () if on_share != on_target && on_share == ours && stays && waits => Some(End::Waits),
            () if on_share != on_target => None,
            () if in_inbox && is(&ours) => Some(End::Inbox),
            () if in_inbox => None,
            () if ours == theirs && is(&ours) => Some(End::Same),
            () if on_share.is_empty() => Some(End::Gone),
            () if before.len() > 1 && is(&edited) => Some(End::Edited),
            () if is(&ours) => Some(End::Share),
            () if is(&theirs) => Some(End::Target),
            () => None,
        };
        if found != Some(rule.end) {
            wrong.push(format!(
                "{at} {}: {found:?} instead of {:?}; share {on_share:?}, target {on_target:?}, inbox {in_inbox}, waits {waits}",
                rule.name, rule.end
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{problems:#}\n{conflicts:#}", wrong.join("\n"));
}

#[test]
fn the_guide_has_the_same_table() {
    let guide = include_str!("../../src/docs/guide.md");
    let missing: Vec<_> = RULES
        .iter()
        .map(|rule| format!("| {} | {} | {} |", rule.name, rule.end.words(), rule.others))
        .filter(|row| !guide.contains(row))
        .collect();
    assert!(missing.is_empty(), "the guide lacks these rows:\n{}", missing.join("\n"));
}
