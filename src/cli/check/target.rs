//! A target before its first pass: what it says of itself, whether the share fits, and what that takes.

use std::path::Path;

use crate::cli::check::share::{Tally, Walked};
use crate::cli::check::{device, silent, within};
use crate::cli::text::{bytes, counted, grouped, money};
use crate::config::{self, Bucket, Period, Place, Prices, Share};
use crate::engine::{Seat, Used, open_target};
use crate::index::TargetOverview;
use crate::model::Requests;
use crate::sys::{beneath, publish};
use crate::target::{Finding, Level};

/// One target, and all that is known around it.
pub(super) struct Asked<'a> {
    pub(super) share: &'a Share,
    pub(super) target: &'a config::Target,
    pub(super) walked: &'a Walked,
    /// What an agent knows of it.
    pub(super) known: Option<&'a TargetOverview>,
    /// The share's identity.
    pub(super) uid: &'a str,
    /// The agent's name.
    pub(super) agent: &'a str,
}

impl Asked<'_> {
    pub(super) fn findings(&self, prices: &Prices) -> Vec<Finding> {
        let mut findings = self.itself();
        let works = findings.iter().all(|finding| finding.level != Level::Problem);
        match &self.target.place {
            Place::Folder(folder) if works => findings.extend(self.folder(folder)),
            Place::Folder(_) => {}
            Place::Bucket(bucket) => findings.extend(self.bucket(bucket, prices)),
        }
        findings
    }

    /// What the place says of itself.
    fn itself(&self) -> Vec<Finding> {
        let bound = self.known.and_then(|known| known.bound.clone());
        let seat =
            Seat { share_uid: self.uid, bound, agent: self.agent, berth: None, state_dir: None, used: Used::default() };
        let opened = open_target(self.target, &seat);
        within(move || opened.check()).unwrap_or_else(|| vec![silent()])
    }

    fn folder(&self, folder: &Path) -> Vec<Finding> {
        let path = folder.to_owned();
        let asked = move || (device(&path), beneath::open_root(&path).and_then(|fd| room(&fd)).ok());
        let Some((its, free)) = within(asked) else { return vec![silent()] };
        let one_disk = its.is_some() && its == self.walked.device;
        let same = one_disk.then(|| {
            let what = format!("it lies on the same file system as {}: a disk that fails takes both", self.share.name);
            Finding::new(Level::Warning, what).hint("keep a copy on another disk or machine too")
        });
        let missing = self.walked.tally.as_ref().map_or(0, |tally| self.missing(tally));
        let full = free.filter(|free| missing > *free).map(|free| {
            let what = format!("{} are not there yet, and only {} are free", bytes(missing), bytes(free));
            // Before a listing, files may lie there that nobody knows of.
            let listed = self.known.is_some_and(|known| known.listed.is_some());
            let level = if listed { Level::Problem } else { Level::Warning };
            Finding::new(level, what).hint("free space on the target, or make it larger")
        });
        same.into_iter().chain(full).collect()
    }

    /// Bytes of the share that the agent has not left there.
    fn missing(&self, tally: &Tally) -> u64 {
        let there = self.known.map_or(0, |known| u64::try_from(known.tally.bytes).unwrap_or(0));
        tally.bytes.saturating_sub(there)
    }

    /// What of the share a bucket cannot hold, and what the rest takes. Asks nobody.
    pub(super) fn bucket(&self, bucket: &Bucket, prices: &Prices) -> Vec<Finding> {
        let Some(tally) = &self.walked.tally else { return Vec::new() };
        let too_long = tally.too_long.iter().find(|(name, ..)| *name == self.target.name);
        let too_long = too_long.filter(|(.., found)| found.count > 0).map(|(_, _, found)| {
            let names: Vec<_> = found.samples.iter().map(ToString::to_string).collect();
            let more = if found.count > names.len() as u64 { ", ..." } else { "" };
            let what = format!(
                "{} too long for a bucket, where a key has 1024 bytes at most, the prefix included: {}{more}",
                if found.count == 1 { "1 name is".to_owned() } else { format!("{} names are", grouped(found.count)) },
                names.join(", ")
            );
            Finding::new(Level::Problem, what).hint("shorten the names of these files or of the folders around them")
        });
        too_long.into_iter().chain([estimate(tally, prices)]).chain(budget(bucket, tally)).collect()
    }
}

fn room(root: &std::os::fd::OwnedFd) -> std::io::Result<u64> {
    use std::os::fd::AsFd as _;
    publish::free(root.as_fd())
}

/// A pass into an empty bucket.
fn first_pass(tally: &Tally) -> Requests {
    Requests { put: tally.puts, list: 1, ..Requests::default() }
}

fn estimate(tally: &Tally, prices: &Prices) -> Finding {
    let requests = first_pass(tally);
    let storage = prices.monthly(&Requests::default(), std::time::Duration::ZERO, tally.bytes).storage;
    let what = format!(
        "a first pass makes about {} for {}; to keep {} costs about {} a month, older versions not counted",
        counted(requests.of_server(), "request"),
        money(prices.cost(&requests), &prices.currency),
        bytes(tally.bytes),
        money(storage, &prices.currency)
    );
    Finding::new(Level::Note, what)
}

fn budget(bucket: &Bucket, tally: &Tally) -> Option<Finding> {
    let budget = bucket.request_budget?;
    let periods = first_pass(tally).of_server().div_ceil(budget.requests);
    let period = match budget.per {
        Period::Day => "day",
        Period::Month => "month",
    };
    (periods > 1).then(|| {
        let what = format!("with a budget of {budget} a first pass takes {}", counted(periods, period));
        Finding::new(Level::Warning, what).hint("raise request_budget until the first pass is over")
    })
}
