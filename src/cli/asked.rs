//! `approve`, `pause` and `resume`: what people ask of the agent.

use crate::cli::args::{ApproveArgs, LaneName, StateArgs};
use crate::cli::ask::{read, unreadable};
use crate::cli::collect::{feel, never_ran};
use crate::cli::source::{self, State};
use crate::cli::{Exit, Failure, bind, say};
use crate::engine::clock::wall as now;
use crate::engine::settings::{SETTINGS, Settings};
use crate::engine::state::{self, Liveness};
use crate::index::{Overview, Reader, Request, Requests, TargetOverview};

/// `approve`.
pub(super) fn approve(args: &ApproveArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    let lane = args.lane.to_string();
    let overview = overview(&asked, &format!("approve {lane}"))?;
    let waits = waits(&asked, &args.lane)?;
    let Some(name) = &args.lane.target else {
        let share = overview.shares.iter().find(|known| known.name == args.lane.share);
        return match share.filter(|_| waits) {
            Some(share) => request(&asked, Request::ApproveShare(share.id), &in_effect(&lane)),
            None => take_place(&asked, &args.lane, &overview),
        };
    };
    let target = find(&overview, &args.lane.share, name).ok_or_else(|| no_such_lane(&lane, &overview))?;
    if waits && target.halt.is_none() {
        return request(&asked, Request::Approve(target.id), &in_effect(&lane));
    }
    if target.halt.is_none() {
        return take_place(&asked, &args.lane, &overview);
    }
    request(&asked, Request::Approve(target.id), &format!("{lane} may go on"))
}

fn in_effect(lane: &str) -> String {
    format!("What was changed of {lane} in the configuration takes effect")
}

/// Whether a change of the configuration waits there, of an agent that runs: one that starts takes the file as it is.
fn waits(asked: &State, lane: &LaneName) -> Result<bool, Failure> {
    if feel(&asked.dir, now())?.liveness == Liveness::Stopped {
        return Ok(false);
    }
    let said = read(&asked.dir, |reader| reader.fact(SETTINGS))?.flatten().and_then(|said| Settings::parse(&said));
    let waiting = said.map(|said| said.waiting).unwrap_or_default();
    Ok(waiting.iter().any(|one| one.share == lane.share && one.target == lane.target))
}

/// What lies where a share or a target was is another one: from now on it is that. Said aloud; nothing is changed there.
fn take_place(asked: &State, lane: &LaneName, overview: &Overview) -> Result<Exit, Failure> {
    let config = asked.configured(&format!("approve {lane}"))?;
    let runs = matches!(feel(&asked.dir, now())?.liveness, Liveness::Running | Liveness::Starting);
    if runs && lane.target.is_some() {
        let how = "To take another place for it, stop the agent first.";
        say(&format!("{lane} is not halted: there is nothing to approve. {how}\n"))?;
        return Ok(Exit::Fine);
    }
    let lines = bind::bind_anew(config, lane)?.ok_or_else(|| no_such_lane(&lane.to_string(), overview))?;
    if lines.is_empty() {
        let how_it_is = if lane.target.is_some() { "is not halted" } else { "is the folder that it was" };
        say(&format!("{lane} {how_it_is}: there is nothing to approve.\n"))?;
    }
    lines.iter().try_for_each(|line| say(&format!("{line}\n")))?;
    Ok(Exit::Fine)
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

fn find<'a>(overview: &'a Overview, share: &str, target: &str) -> Option<&'a TargetOverview> {
    let share = overview.shares.iter().find(|known| known.name == share)?;
    share.targets.iter().find(|known| known.name == target)
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
