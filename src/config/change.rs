//! What a configuration changes that is read while the agent runs, and what of it may take effect without asking.
//!
//! Pure: two configurations in, one out, with every difference named. Nothing that would hide or destroy a file is taken
//! before a person has said so; what cannot be changed in a running agent is told, and left as it was.

use std::time::Duration;

use crate::config::check::{self, Lines};
use crate::config::{Agent, Config, Place, Share, Span, Target};
use crate::plan::{Deletes, Drift};

/// Where a change is, what it is, and whether it takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which share; empty for the agent as a whole.
    pub share: String,
    /// Which target; `None` for the share itself.
    pub target: Option<String>,
    /// What is otherwise than before.
    pub what: String,
    /// Whether it takes effect.
    pub effect: Effect,
}

impl Change {
    /// A share or a target more.
    pub fn is_new(&self) -> bool {
        self.what == SHARE_NEW || self.what == TARGET_NEW
    }
}

/// Whether a change takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Now,
    /// Once a person has approved what it would do.
    Asks(String),
    /// When the agent is started anew.
    Restart,
    /// Once what stands in its way is gone: why.
    Blocked(String),
}

/// What is known beyond the two texts.
pub struct Facts<'a> {
    /// How many files that are known a share's new patterns would leave out and its old ones did not; `None`: not counted.
    pub hides: &'a dyn Fn(&str) -> Option<u64>,
    /// What a person has let through: a share, or one of its targets.
    pub approved: &'a dyn Fn(&str, Option<&str>) -> bool,
}

/// The configuration that is to be in effect after `new` was read while `old` was, and every difference between the two.
pub fn merge(old: &Config, new: &Config, facts: &Facts<'_>) -> (Config, Vec<Change>) {
    let mut merge = Merge { facts, changes: Vec::new() };
    let agent = merge.agent(&old.agent, &new.agent);
    if old.prices != new.prices {
        merge.note("", None, "prices", Effect::Now);
    }
    let mut shares = Vec::new();
    for known in &old.shares {
        match new.shares.iter().find(|share| share.name == known.name) {
            Some(share) => shares.push(merge.share(known, share)),
            None if merge.asks(&known.name, None, "the share is removed", SHARE_GONE) => {}
            None => shares.push(known.clone()),
        }
    }
    let mut config = Config { agent, prices: new.prices.clone(), shares };
    merge.additions(&mut config, old, new);
    // In the order of the file, as far as it names them.
    let place = |share: &Share| new.shares.iter().position(|other| other.name == share.name).unwrap_or(usize::MAX);
    config.shares.sort_by_key(place);
    (config, merge.changes)
}

const SHARE_NEW: &str = "the share is new";
const TARGET_NEW: &str = "the target is new";
const SHARE_GONE: &str = "it is watched no more and not told of; what lies on its targets stays there as it is";
const TARGET_GONE: &str = "nothing more is copied there and it is not told of; what lies there stays as it is";

struct Merge<'a> {
    facts: &'a Facts<'a>,
    changes: Vec<Change>,
}

impl Merge<'_> {
    fn note(&mut self, share: &str, target: Option<&str>, what: impl Into<String>, effect: Effect) {
        self.changes.push(Change {
            share: share.to_owned(),
            target: target.map(str::to_owned),
            what: what.into(),
            effect,
        });
    }

    /// Notes a change that hides or destroys. True if a person has let it through.
    fn asks(&mut self, share: &str, target: Option<&str>, what: impl Into<String>, effect: &str) -> bool {
        let approved = (self.facts.approved)(share, target);
        self.note(share, target, what, if approved { Effect::Now } else { Effect::Asks(effect.to_owned()) });
        approved
    }

    fn agent(&mut self, old: &Agent, new: &Agent) -> Agent {
        let keys = [
            ("name", old.name != new.name),
            ("state_dir", old.state_dir != new.state_dir),
            ("metrics", old.metrics != new.metrics),
            ("log", old.log != new.log),
        ];
        for (key, _) in keys.into_iter().filter(|(_, differs)| *differs) {
            self.note("", None, format!("[agent] {key}"), Effect::Restart);
        }
        old.clone()
    }

    fn share(&mut self, old: &Share, new: &Share) -> Share {
        let name = &old.name;
        if old.path != new.path {
            let what = format!("the path of share {name}, {}", new.path.display());
            self.note(name, None, what, Effect::Restart);
        }
        if old.id != new.id {
            self.note(name, None, "the id", Effect::Restart);
        }
        for (key, before, after) in [
            ("settle", old.settle, new.settle),
            ("patience", old.patience, new.patience),
            ("rescan", old.rescan, new.rescan),
        ] {
            if before != after {
                self.note(name, None, from_to(key, before, after), Effect::Now);
            }
        }
        let ignore = if self.takes_patterns(old, new) { new.ignore.clone() } else { old.ignore.clone() };
        let mut targets = Vec::new();
        for known in &old.targets {
            match new.targets.iter().find(|target| target.name == known.name) {
                Some(target) => targets.push(self.target(name, known, target)),
                None if self.asks(name, Some(&known.name), "the target is removed", TARGET_GONE) => {}
                None => targets.push(known.clone()),
            }
        }
        Share { path: old.path.clone(), id: old.id.clone(), ignore, targets, ..new.clone() }
    }

    fn takes_patterns(&mut self, old: &Share, new: &Share) -> bool {
        if old.ignore == new.ignore {
            return true;
        }
        let what = match (self.facts.hides)(&old.name) {
            Some(0) => {
                self.note(&old.name, None, "the patterns of ignore", Effect::Now);
                return true;
            }
            Some(1) => "the patterns of ignore would leave out 1 file that is kept".to_owned(),
            Some(count) => format!("the patterns of ignore would leave out {count} files that are kept"),
            None => "the patterns of ignore may leave out files that are kept".to_owned(),
        };
        let effect = "their copies move to history on each target that follows deletions";
        self.asks(&old.name, None, what, effect)
    }

    fn target(&mut self, share: &str, old: &Target, new: &Target) -> Target {
        let name = Some(old.name.as_str());
        let mut taken = old.clone();
        taken.place = self.place(share, old, new);
        if old.ownership != new.ownership {
            self.note(share, name, format!("ownership of {share}/{}", old.name), Effect::Restart);
        }
        match (old.deletes, new.deletes) {
            (Deletes::Retain, Deletes::Propagate) => {
                let what = "deletes is \"propagate\" instead of \"retain\"";
                let effect = "copies of files that the share no longer has move to history there";
                if self.asks(share, name, what, effect) {
                    taken.deletes = new.deletes;
                }
            }
            (Deletes::Propagate, Deletes::Retain) => {
                self.note(share, name, "deletes is \"retain\"", Effect::Now);
                taken.deletes = new.deletes;
            }
            (Deletes::Propagate, Deletes::Propagate) | (Deletes::Retain, Deletes::Retain) => {}
        }
        match (old.drift, new.drift) {
            (Drift::Keep, Drift::Overwrite) => {
                let what = "drift is \"overwrite\" instead of \"keep\"";
                let effect = "what others changed there is replaced by the share's files, and moves to history";
                if self.asks(share, name, what, effect) {
                    taken.drift = new.drift;
                }
            }
            (Drift::Take, Drift::Overwrite) => {
                let what = "drift is \"overwrite\" instead of \"take\"";
                let effect = "what others change there is replaced by the share's files, and moves to history";
                if self.asks(share, name, what, effect) {
                    taken.drift = new.drift;
                }
            }
            (Drift::Keep | Drift::Overwrite, Drift::Take) => {
                let what = "drift is \"take\"";
                let effect =
                    "what others changed there comes to the share; what gives way is kept in its .driftline/kept";
                if self.asks(share, name, what, effect) {
                    taken.drift = new.drift;
                }
            }
            (Drift::Overwrite | Drift::Take, Drift::Keep) => {
                self.note(share, name, "drift is \"keep\"", Effect::Now);
                taken.drift = new.drift;
            }
            (Drift::Keep, Drift::Keep) | (Drift::Overwrite, Drift::Overwrite) | (Drift::Take, Drift::Take) => {}
        }
        self.history(share, old, new, &mut taken);
        if old.audit != new.audit {
            self.note(share, name, "audit", Effect::Now);
            taken.audit = new.audit;
        }
        taken
    }

    fn history(&mut self, share: &str, old: &Target, new: &Target, taken: &mut Target) {
        let name = Some(old.name.as_str());
        if new.history > old.history {
            self.note(share, name, from_to("history", old.history, new.history), Effect::Now);
            taken.history = new.history;
        } else if new.history < old.history {
            let what = format!("history is shortened from {} to {}", Span(old.history), Span(new.history));
            if self.asks(share, name, what, "versions that are older than that are removed for good") {
                taken.history = new.history;
            }
        }
        let (before, after) = (old.history_versions, new.history_versions);
        if after > before {
            self.note(share, name, format!("history_versions is {after}"), Effect::Now);
            taken.history_versions = after;
        } else if after < before {
            let what = format!("history_versions is {after} instead of {before}");
            if self.asks(share, name, what, "older versions of files that are still there are removed for good") {
                taken.history_versions = after;
            }
        }
    }

    /// How fast and how much may be sent changes at once; how it is reached does not.
    fn place(&mut self, share: &str, old: &Target, new: &Target) -> Place {
        let name = Some(old.name.as_str());
        if old.place == new.place {
            return old.place.clone();
        }
        let (Place::Bucket(before), Place::Bucket(after)) = (&old.place, &new.place) else {
            self.note(share, name, format!("where {share}/{} is, {}", old.name, new.place), Effect::Restart);
            return old.place.clone();
        };
        let mut taken = before.clone();
        if before.rate_limit != after.rate_limit {
            self.note(share, name, "rate_limit", Effect::Now);
            taken.rate_limit = after.rate_limit.clone();
        }
        if before.request_budget != after.request_budget {
            self.note(share, name, "request_budget", Effect::Now);
            taken.request_budget = after.request_budget;
        }
        if taken != *after {
            self.note(share, name, format!("how {share}/{} is reached", old.name), Effect::Restart);
        }
        Place::Bucket(taken)
    }

    /// What is new, unless it gets in the way of what is still there.
    fn additions(&mut self, config: &mut Config, old: &Config, new: &Config) {
        for share in &new.shares {
            if !old.shares.iter().any(|known| known.name == share.name) {
                let mut wider = config.clone();
                wider.shares.push(share.clone());
                self.add(config, wider, &share.name, None);
                continue;
            }
            let Some(at) = config.shares.iter().position(|known| known.name == share.name) else { continue };
            for target in &share.targets {
                if config.shares[at].targets.iter().any(|known| known.name == target.name) {
                    continue;
                }
                let mut wider = config.clone();
                wider.shares[at].targets.push(target.clone());
                self.add(config, wider, &share.name, Some(&target.name));
            }
        }
    }

    fn add(&mut self, config: &mut Config, wider: Config, share: &str, target: Option<&str>) {
        let what = if target.is_some() { TARGET_NEW } else { SHARE_NEW };
        match check::check(&wider, &Lines::default()) {
            Ok(()) => {
                self.note(share, target, what, Effect::Now);
                *config = wider;
            }
            Err(error) => self.note(share, target, what, Effect::Blocked(error.message)),
        }
    }
}

fn from_to(key: &str, before: Duration, after: Duration) -> String {
    format!("{key} is {} instead of {}", Span(after), Span(before))
}

#[cfg(test)]
mod tests;
