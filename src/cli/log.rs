//! `log`: the audit trail, as text or as one JSON object per line. Reads the index, touches no place.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::args::LogArgs;
use crate::cli::ask::read;
use crate::cli::collect::{never_ran, patiently, shown};
use crate::cli::explain::places;
use crate::cli::fault::Fault;
use crate::cli::report::When;
use crate::cli::source::{self, Picked};
use crate::cli::text::{harmless, shell_word};
use crate::cli::when;
use crate::cli::{Exit, Failure, say};
use crate::engine::{clock, state};
use crate::index::{IndexError, JournalEntry, Overview, Reader};
use crate::model::{RelPath, Wall};

/// Entries read from the index at once (count).
const PAGE: usize = 1000;
/// How often the index is asked for more.
const POLL: Duration = Duration::from_millis(500);
/// Entries that following begins with (count).
const FIRST: usize = 10;
/// How often in a row the index may fail to answer while it is followed (count): it may be made anew at that moment.
const FAILS_MAX: u32 = 20;

/// One entry, as it is printed in JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at: When,
    share: &'a str,
    target: Option<&'a str>,
    path: String,
    what: &'a str,
    detail: &'a str,
    hint: Option<String>,
}

/// Which entries are wanted.
struct Wanted {
    picked: Picked,
    /// Any of these and what lies below; all if there is none.
    paths: Option<Vec<(String, RelPath)>>,
    since: Option<Wall>,
}

impl Wanted {
    fn has(&self, entry: &JournalEntry) -> bool {
        let picked = match &entry.target {
            Some(target) => self.picked.has(&entry.share, target),
            None => self.picked.has_share(&entry.share) && self.picked.targets.is_empty(),
        };
        let below = |(share, path): &(String, RelPath)| {
            *share == entry.share && (*path == entry.path || path.is_root() || path.is_above(&entry.path))
        };
        let on_path = self.paths.as_ref().is_none_or(|paths| paths.iter().any(below));
        picked && on_path && self.since.is_none_or(|since| entry.at >= since)
    }
}

/// `log`.
pub(super) fn log(args: &LogArgs) -> Result<Exit, Failure> {
    let (asked, picked) = source::choice(&args.choice)?;
    let since = args.since.as_deref().map(time).transpose()?;
    let overview = read(&asked.dir, Reader::overview)?.ok_or_else(|| {
        let notice = never_ran(&asked.dir);
        Failure::cannot(Exit::Usage, "show the audit trail", notice.message).hint(notice.hint)
    })?;
    check_names(&picked, &overview)?;
    let paths = args.path.as_ref().map(|path| below(path, &overview)).transpose()?;
    let wanted = Wanted { picked, paths, since };
    let look = Look { json: args.json, zone: jiff::tz::TimeZone::system(), lane: widest(&overview) };
    let mut file = Trail::new(asked.dir.join(state::INDEX));
    let last = args.lines.or_else(|| (args.follow && args.since.is_none()).then_some(FIRST));
    match last {
        Some(count) => {
            let entries = file.last(&wanted, count).map_err(|fault| fault.told(&asked.dir))?;
            entries.iter().try_for_each(|entry| say(&look.line(entry)))?;
        }
        None => file.more(&wanted, &mut |entry| say(&look.line(entry))).map_err(|fault| fault.told(&asked.dir))?,
    }
    if args.follow { follow(&mut file, &wanted, &look, &asked.dir) } else { Ok(Exit::Fine) }
}

fn follow(file: &mut Trail, wanted: &Wanted, look: &Look, dir: &Path) -> Result<Exit, Failure> {
    let mut fails = 0;
    loop {
        std::thread::sleep(POLL);
        match file.more(wanted, &mut |entry| say(&look.line(entry))) {
            Ok(()) => fails = 0,
            Err(Fault::Index(_)) if fails < FAILS_MAX => {
                fails += 1;
                file.reader = None;
            }
            Err(fault) => return Err(fault.told(dir)),
        }
    }
}

fn time(text: &str) -> Result<Wall, Failure> {
    when::parse(text, &clock::here())
        .map_err(|(cause, hint)| Failure::cannot(Exit::Usage, "read the log", cause).hint(hint))
}

/// A name that no share or target has would show nothing, and look as if nothing had happened.
pub(super) fn check_names(picked: &Picked, overview: &Overview) -> Result<(), Failure> {
    let shares = overview.shares.iter();
    let known: Vec<_> = shares.flat_map(|s| s.targets.iter().map(move |t| (&*s.name, &*t.name))).collect();
    let is_known = |target: &String| known.iter().any(|(share, name)| picked.has_share(share) && name == target);
    let share = overview.shares.iter().any(|share| picked.has_share(&share.name));
    if share && picked.targets.iter().all(is_known) {
        return Ok(());
    }
    let names = known.iter().map(|(share, target)| format!("{share}/{target}")).collect::<Vec<_>>().join(", ");
    Err(Failure::cannot(Exit::Usage, "find the share and target", "no agent has seen one of that name")
        .hint(format!("the targets are {}", harmless(&names))))
}

fn below(path: &Path, overview: &Overview) -> Result<Vec<(String, RelPath)>, Failure> {
    let found = places(path, &overview.shares);
    if found.is_empty() {
        let roots: Vec<_> = overview.shares.iter().map(|share| shown(&share.root)).collect();
        return Err(Failure::cannot(Exit::Usage, format!("show {}", shown(path)), "it lies in no share")
            .hint(format!("the shares are {}", roots.join(", "))));
    }
    Ok(found.into_iter().map(|(share, path)| (share.name.clone(), path)).collect())
}

/// Columns of the longest name of a share and target.
fn widest(overview: &Overview) -> usize {
    let lane = |share: &str, target: &str| harmless(share).chars().count() + 1 + harmless(target).chars().count();
    let shares = overview.shares.iter();
    shares.flat_map(|share| share.targets.iter().map(|target| lane(&share.name, &target.name))).max().unwrap_or(0)
}

/// How entries look.
struct Look {
    json: bool,
    zone: jiff::tz::TimeZone,
    lane: usize,
}

impl Look {
    fn line(&self, entry: &JournalEntry) -> String {
        if self.json { json_line(entry) } else { self.text_line(entry) }
    }

    fn text_line(&self, entry: &JournalEntry) -> String {
        let at = When(entry.at).timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let target = entry.target.as_ref().map(|target| format!("/{target}")).unwrap_or_default();
        let lane = harmless(&format!("{}{target}", entry.share));
        let words = [entry.path.to_string(), harmless(&entry.detail)];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let what = harmless(&entry.what);
        let see = next_step(entry).map(|command| format!("  (see: {command})")).unwrap_or_default();
        format!("{at}  {lane:<width$}  {what:<12}  {}{see}\n", words.join("  "), width = self.lane)
    }
}

fn json_line(entry: &JournalEntry) -> String {
    let line = Line {
        at: When(entry.at),
        share: &entry.share,
        target: entry.target.as_deref(),
        path: entry.path.to_string(),
        what: &entry.what,
        detail: &entry.detail,
        hint: next_step(entry),
    };
    serde_json::to_string(&line).expect("plain values and text are always JSON") + "\n"
}

/// What to type where an entry tells of something that may wait for a person. It is right also when that is over: it says so.
fn next_step(entry: &JournalEntry) -> Option<String> {
    let path = || shell_word(&entry.path.to_string());
    let places = || match &entry.target {
        Some(target) => format!("--share {} --target {}", shell_word(&entry.share), shell_word(target)),
        None => format!("--share {}", shell_word(&entry.share)),
    };
    match entry.what.as_str() {
        "hold" | "unreadable" => Some(format!("driftline explain {}", path())),
        "conflict" => Some("driftline conflicts".to_owned()),
        "offline" | "fault" | "unresponsive" | "halt" | "pause" => Some("driftline status".to_owned()),
        // All but what is in effect.
        "config" if !entry.detail.ends_with("in effect") => Some("driftline status".to_owned()),
        "verify" => Some(format!("driftline verify --repair {}", places())),
        _ => None,
    }
}

/// The index's file, which may be replaced by another while it is followed.
struct Trail {
    path: PathBuf,
    reader: Option<Reader>,
    file: Option<FileId>,
    /// The number of the last entry that was seen in this file.
    seen: i64,
    /// The time of the newest entry that was seen in any file.
    until: Wall,
    /// What is older was told by the file that this one took the place of.
    told: Wall,
}

/// Which file it is: an inode number alone may be given to its successor.
type FileId = (u64, u64, Option<SystemTime>);

fn file_id(meta: &Metadata) -> FileId {
    (meta.dev(), meta.ino(), meta.created().ok())
}

impl Trail {
    fn new(path: PathBuf) -> Self {
        let never = Wall(i64::MIN);
        Self { path, reader: None, file: None, seen: 0, until: never, told: never }
    }

    /// Opens the file that is there now, if it is not open yet. There may be none just now.
    fn refresh(&mut self) -> Result<(), IndexError> {
        let Some(here) = std::fs::metadata(&self.path).ok().map(|meta| file_id(&meta)) else {
            self.reader = None;
            return Ok(());
        };
        if self.file.replace(here).is_some_and(|before| before != here) {
            (self.reader, self.seen, self.told) = (None, 0, self.until);
        }
        if !self.reader.as_ref().is_some_and(Reader::sees_changes) {
            self.reader = Reader::open(&self.path)?;
        }
        Ok(())
    }

    fn page(
        &mut self,
        ask: impl Fn(&Reader, i64) -> Result<Vec<JournalEntry>, IndexError>,
    ) -> Result<Vec<JournalEntry>, Fault> {
        let page = patiently(|| {
            self.refresh()?;
            self.reader.as_ref().map_or_else(|| Ok(Vec::new()), |reader| ask(reader, self.seen))
        });
        page.map_err(Fault::Index)
    }

    /// The entries that were not seen yet, in their order.
    fn more(
        &mut self,
        wanted: &Wanted,
        show: &mut dyn FnMut(&JournalEntry) -> Result<(), Failure>,
    ) -> Result<(), Fault> {
        loop {
            let page = self.page(|reader, seen| reader.journal_after(seen, PAGE))?;
            for entry in &page {
                self.see(entry);
                if entry.at > self.told && wanted.has(entry) {
                    show(entry).map_err(Fault::Told)?;
                }
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// The last entries that are wanted, in their order; what is before them counts as seen.
    fn last(&mut self, wanted: &Wanted, count: usize) -> Result<Vec<JournalEntry>, Fault> {
        let (mut before, mut found) = (i64::MAX, Vec::new());
        while found.len() < count {
            let page = self.page(|reader, _| reader.journal_before(before, PAGE))?;
            let Some(oldest) = page.last() else { break };
            before = oldest.id;
            self.see(&page[0]);
            found.extend(page.into_iter().filter(|entry| wanted.has(entry)).take(count - found.len()));
        }
        found.reverse();
        Ok(found)
    }

    fn see(&mut self, entry: &JournalEntry) {
        self.seen = self.seen.max(entry.id);
        self.until = self.until.max(entry.at);
    }
}
