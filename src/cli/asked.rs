//! `approve`, `pause` and `resume`: what people ask of the agent.

use crate::cli::args::{ApproveArgs, LaneName, StateArgs};
use crate::cli::ask::{read, unreadable};
use crate::cli::collect::{feel, never_ran};
use crate::cli::source::{self, State};
use crate::cli::{Exit, Failure, say};
use crate::engine::clock::wall as now;
use crate::engine::state::{self, Liveness};
use crate::index::{Overview, Reader, Request, Requests, TargetOverview};

/// `approve`.
pub(super) fn approve(args: &ApproveArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    let lane = format!("{}/{}", args.lane.share, args.lane.target);
    let overview = overview(&asked, &format!("approve {lane}"))?;
    let target = find(&overview, &args.lane).ok_or_else(|| no_such_lane(&lane, &overview))?;
    if target.halt.is_none() {
        say(&format!("{lane} is not halted: there is nothing to approve.\n"))?;
        return Ok(Exit::Fine);
    }
    request(&asked, Request::Approve(target.id), &format!("{lane} may go on"))
}

/// `pause`.
pub(super) fn pause(args: &StateArgs) -> Result<Exit, Failure> {
    let asked = source::state(args)?;
    overview(&asked, "pause")?;
    request(&asked, Request::Pause, "No target is changed until: driftline resume")
}

/// `resume`.
pub(super) fn resume(args: &StateArgs) -> Result<Exit, Failure> {
    let asked = source::state(args)?;
    overview(&asked, "resume")?;
    request(&asked, Request::Resume, "All targets that were paused may go on")
}

fn overview(asked: &State, what: &str) -> Result<Overview, Failure> {
    read(&asked.dir, Reader::overview)?.ok_or_else(|| nothing_there(asked, what))
}

fn nothing_there(asked: &State, what: &str) -> Failure {
    let notice = never_ran(&asked.dir);
    Failure::cannot(Exit::Usage, what, notice.message).hint(notice.hint)
}

fn find<'a>(overview: &'a Overview, lane: &LaneName) -> Option<&'a TargetOverview> {
    let share = overview.shares.iter().find(|share| share.name == lane.share)?;
    share.targets.iter().find(|target| target.name == lane.target)
}

fn no_such_lane(lane: &str, overview: &Overview) -> Failure {
    let shares = overview.shares.iter();
    let known = shares.flat_map(|share| share.targets.iter().map(|target| format!("{}/{}", share.name, target.name)));
    let known: Vec<_> = known.collect();
    let failure = Failure::cannot(Exit::Usage, format!("approve {lane}"), "there is no such target");
    failure.hint(format!("the targets are {}", known.join(", ")))
}

fn request(asked: &State, request: Request, done: &str) -> Result<Exit, Failure> {
    let added = Requests::open(&asked.dir.join(state::INDEX)).and_then(|requests| match requests {
        Some(requests) => requests.add(request).map(Some),
        None => Ok(None),
    });
    if added.map_err(|error| unreadable(&asked.dir, &error))?.is_none() {
        return Err(nothing_there(asked, "leave the request"));
    }
    let when = match feel(&asked.dir, now())?.liveness {
        Liveness::Running | Liveness::Starting => ".",
        Liveness::Hung => ", once the agent answers again: it has been silent for a while.",
        Liveness::Stopped => ", from the agent's next start on: none runs now.",
    };
    say(&format!("{done}{when}\n"))?;
    Ok(Exit::Fine)
}
