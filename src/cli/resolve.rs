//! `resolve`: a person says which version of a conflict is wanted. The share gets it first; then the conflict is over, by a
//! request that the agent takes, now or when it next starts.

use serde::Serialize;

use crate::cli::args::ResolveArgs;
use crate::cli::ask::{read, unreadable};
use crate::cli::collect::{feel, never_ran, shown};
use crate::cli::report::When;
use crate::cli::text::{harmless, shell_word};
use crate::cli::wanted::{Chosen, choose};
use crate::cli::{Exit, Failure, say, say_data};
use crate::engine::clock;
use crate::engine::resolve::{Resolved, Unresolved, Wanted, resolve as settle};
use crate::engine::state::{INDEX, Liveness};
use crate::index::{ConflictMatter, Request, Requests, Resolution};
use crate::local::RootId;

/// Conflicts of one path that are resolved at once, at most (count): the same command again takes the others.
const AT_ONCE: usize = 1000;

/// What was done about one conflict, as `resolve --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// The conflict's number.
    id: i64,
    /// The share's name.
    share: String,
    /// The target's name.
    target: String,
    /// The path, escaped for printing.
    path: String,
    /// What was kept: `share`, `target` or `both`.
    kept: &'static str,
    /// Where the target's version lies now on the share; `null` if it was left in history.
    put: Option<String>,
    /// It lay there already.
    same: bool,
    /// The folder in which what gave way on the share is kept.
    kept_in: Option<String>,
}

/// `resolve`.
pub(super) fn resolve(args: &ResolveArgs) -> Result<Exit, Failure> {
    let what = format!("resolve {}", shown(&args.path));
    let chosen = choose(&args.places, Some(&args.path), &what)?;
    let kept = args.keep;
    let mut reports = Vec::new();
    for conflict in meant(&chosen, args, &what)? {
        let done = one(&chosen, &conflict, kept, &what)?;
        let request = Request::Resolve(conflict.id, kept);
        over(&chosen, request, &what)?;
        let root = &chosen.share.path;
        reports.push(Report {
            id: conflict.id,
            path: conflict.path.to_string(),
            share: conflict.share,
            target: conflict.target,
            kept: kept.word(),
            put: done.put.map(|put| shown(&put.under(root))),
            same: done.same,
            kept_in: done.kept_in.map(|folder| shown(&folder.under(root))),
        });
    }
    if args.output.is_data() {
        say_data(&reports, &args.output)?;
        return Ok(Exit::Fine);
    }
    let stopped = feel(&chosen.config.agent.state_dir, clock::wall())?.liveness == Liveness::Stopped;
    let then = if stopped && kept != Resolution::Share {
        "No agent runs: the targets get it with the next start.\n"
    } else {
        ""
    };
    say(&(reports.iter().map(told).collect::<String>() + then))?;
    Ok(Exit::Fine)
}

/// The conflicts that are meant.
fn meant(chosen: &Chosen, args: &ResolveArgs, what: &str) -> Result<Vec<ConflictMatter>, Failure> {
    let dir = &chosen.config.agent.state_dir;
    let Some(known) = &chosen.known else {
        let notice = never_ran(dir);
        return Err(Failure::cannot(Exit::Usage, what, notice.message).hint(notice.hint));
    };
    let all = read(dir, |reader| reader.conflicts_after(0, Some((known.id, &chosen.path)), AT_ONCE))?;
    let is_meant = |one: &ConflictMatter| {
        args.id.is_none_or(|id| id == one.id) && args.from.as_ref().is_none_or(|from| *from == one.target)
    };
    let meant: Vec<_> = all.unwrap_or_default().into_iter().filter(is_meant).collect();
    match &meant[..] {
        [] => {
            let failure = Failure::cannot(Exit::Problems, what, "no conflict of it waits");
            Err(failure
                .hint("see which do: driftline conflicts; a path in a folder is named with it, such as plans/a.odt"))
        }
        [_, _, ..] if args.keep == Resolution::Target => {
            let ids = meant.iter().map(|one| format!("{} ({})", one.id, one.target)).collect::<Vec<_>>().join(", ");
            let cause = format!("{} versions gave way there, and only one can bear the name", meant.len());
            let hint = format!("name one with --id: {ids}; driftline conflicts tells of each; or --keep both");
            Err(Failure::cannot(Exit::Problems, what, cause).hint(hint))
        }
        _ => Ok(meant),
    }
}

fn one(chosen: &Chosen, conflict: &ConflictMatter, kept: Resolution, what: &str) -> Result<Resolved, Failure> {
    if kept == Resolution::Share {
        return Ok(Resolved::default());
    }
    let target = chosen.targets(Some(&conflict.target), what)?.remove(0);
    let refused = |why| refused(why, chosen, conflict, what);
    let open = chosen.open(target).map_err(|error| refused(Unresolved::Target(error)))?;
    let bound = chosen.known.as_ref().and_then(|known| known.bound);
    let since = When(conflict.since).timestamp().strftime("%Y-%m-%d %H-%M-%S").to_string();
    let run = When(clock::wall()).to_string().replace(':', "");
    let wanted = Wanted {
        target: &*open.target,
        conflict,
        kept,
        note: &format!("conflict from {} {since}", conflict.target),
        root: &chosen.share.path,
        root_id: bound.map(|(fsid, ino)| RootId { fsid, ino }),
        run: &format!("{run}-{}", conflict.id),
    };
    settle(&wanted).map_err(refused)
}

fn refused(why: Unresolved, chosen: &Chosen, conflict: &ConflictMatter, what: &str) -> Failure {
    let (path, target) = (shell_word(&conflict.path.to_string()), &conflict.target);
    let cannot = |cause: String| Failure::cannot(Exit::Problems, what, cause);
    match why {
        Unresolved::Gone => cannot(format!("the version is not in the history of {target} any more")).hint(format!(
            "see what is: driftline history {path}, or under what name others moved it; then end it with --keep share"
        )),
        Unresolved::Busy => cannot("somebody has the share's file open for writing".to_owned())
            .hint("close the program that writes to it, or keep both: --keep both"),
        Unresolved::Changed => {
            cannot("the share's changed just now, or a folder lies there or a file on the way to it".to_owned())
                .hint("look at it, then type the same again; or keep both: --keep both")
        }
        Unresolved::Offline(cause) => cannot(cause).hint("mount it, then type the same again"),
        Unresolved::Share(error) => cannot(format!("the share's folder {}: {error}", shown(&chosen.share.path)))
            .hint("see that there is room and that you may write there, then type the same again"),
        Unresolved::Target(error) => {
            cannot(format!("{}/{target} cannot be read: {error}", chosen.share.name)).hint(error.hint.clone())
        }
    }
}

/// The share has what was wanted: the conflict is over.
fn over(chosen: &Chosen, request: Request, what: &str) -> Result<(), Failure> {
    let dir = &chosen.config.agent.state_dir;
    let added = Requests::open(&dir.join(INDEX)).and_then(|requests| match requests {
        Some(requests) => requests.add(request).map(Some),
        None => Ok(None),
    });
    added.map_err(|error| unreadable(dir, &error))?.ok_or_else(|| {
        let notice = never_ran(dir);
        Failure::cannot(Exit::Usage, what, notice.message).hint(notice.hint)
    })
}

fn told(report: &Report) -> String {
    let (path, target) = (harmless(&report.path), harmless(&report.target));
    let kept_in =
        report.kept_in.as_ref().map(|folder| format!("; what lay there is kept in {folder}")).unwrap_or_default();
    match &report.put {
        None => {
            let command = format!("driftline history {}", shell_word(&report.path));
            format!("{path}: the share's version stays; that of {target} is in its history: {command}\n")
        }
        Some(put) if report.kept == Resolution::Both.word() => {
            format!("{path}: both are kept; that of {target} is {put}\n")
        }
        Some(_) => format!("{path}: the version of {target} is on the share{kept_in}\n"),
    }
}
