//! The threads that carry commands out: some for each share, some for each target. They block; nothing waits for them.

mod land;
mod listen;
mod queue;
mod recall;
mod watching;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use crate::engine::drive::Input;
use crate::engine::{Event, Failure, LandJob, LookJob, ReadJob, StageFailure, Thorough, clock};
use crate::local::{Discard, How, Ignore, Reader, Recent, RootId, Scan, look, prune_kept, read_link};
use crate::model::{Digest, Moment, ReadFault, Reading, RelPath, ShareId, Sink, TargetId, Wall};
use crate::plan::{Keep, Lies};
use crate::sys::fskind;
use crate::target::{Bind, Change, Depth, Fault, Placed, REPORT, Remote, StageError, Step, Target, TargetError, Token};

pub(super) use listen::Ear;
pub(super) use queue::Queue;
pub(super) use watching::Watching;

/// Folders of a share that are read at once (count).
const SCAN_THREADS: usize = 2;
/// The same where each of them costs a round trip.
const FAR_SCAN_THREADS: usize = 8;
/// Entries of one page of a scan (count).
const SCAN_PAGE: usize = 4096;

/// Work for a share's threads.
pub(super) enum ShareJob {
    Scan(RelPath, Thorough),
    Look(Vec<RelPath>),
    Hash(ReadJob),
    Prune(Keep),
}

/// Work for a target's threads.
pub(super) enum LaneJob {
    Probe { bind: Bind, tell: Tell },
    List,
    Recall(Wall),
    Look(Vec<LookJob>),
    Stage(Vec<ReadJob>),
    Apply(Vec<Step>),
    Land(Vec<LandJob>),
    Discard(Vec<Token>),
    Sweep,
    Prune(Keep),
}

/// Whether a probe is the core's, or only looks after a target that nobody uses just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Always,
    Trouble,
}

/// Tells whether the threads of a share or of a target get on with their work.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    busy: AtomicU64,
    beats: AtomicU64,
    sent: AtomicU64,
}

impl Pulse {
    /// Something was read, written or answered, or is the first to be asked for.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// To ask is no sign of life while others wait for an answer.
    fn begin(&self) {
        if self.busy.fetch_add(1, Ordering::Relaxed) == 0 {
            self.beat();
        }
    }

    fn end(&self) {
        self.beat();
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes of the share that were read to be sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Calls under way, and a number that grows while they get on.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.busy.load(Ordering::Relaxed), self.beats.load(Ordering::Relaxed))
    }
}

/// What a share's threads need.
pub(super) struct ShareHands {
    pub(super) id: ShareId,
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) root_id: RootId,
    /// What an earlier run left unfinished on the share was removed.
    pub(super) swept: Once,
    pub(super) settings: Mutex<ShareSettings>,
    /// The index does not know the access control lists of its files: full scans ask for them, until one has ended.
    pub(super) untold_lists: AtomicBool,
    /// What its targets have just read.
    pub(super) recent: Recent,
    pub(super) watching: Watching,
    /// Watch at all: not in a single pass.
    pub(super) watches: bool,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) out: SyncSender<Input>,
    /// Jobs asked for and not answered, of all shares and targets.
    pub(super) under_way: Arc<AtomicU64>,
    pub(super) pulse: Pulse,
    /// The index's file, for whoever only asks.
    pub(super) index: PathBuf,
}

/// What may be changed while they work.
#[derive(Clone)]
pub(super) struct ShareSettings {
    pub(super) ignore: Arc<Ignore>,
    /// Files changed within this time are asked whether somebody writes.
    pub(super) probe_within: Duration,
}

impl ShareSettings {
    pub(super) fn new(ignore: Ignore, probe_within: Duration) -> Mutex<Self> {
        Mutex::new(Self { ignore: Arc::new(ignore), probe_within })
    }
}

impl ShareHands {
    /// Changes what they go by, from the next job on.
    pub(super) fn change(&self, by: impl FnOnce(&mut ShareSettings)) {
        by(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn settings(&self) -> ShareSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works until nothing more comes.
    pub(super) fn work(&self, queue: &Queue<ShareJob>) {
        while let Some(job) = queue.take() {
            self.pulse.begin();
            let answer = match job {
                ShareJob::Scan(under, thorough) => Input::Event(self.scan(under, thorough)),
                ShareJob::Look(paths) => {
                    let found = look(&self.root, &self.root_id, &self.settings().ignore, &paths);
                    Input::Event(Event::LookedLocal(self.id, paths, found))
                }
                ShareJob::Hash(job) => {
                    let mut sink = Beating { sink: &mut Discard, pulse: &self.pulse, sends: false };
                    let result = self.read(|reader, how| reader.read(&job.path, how, &mut sink), job.insist);
                    Input::Event(Event::Hashed(self.id, job.path, result))
                }
                ShareJob::Prune(keep) => Input::PrunedKept(self.id, self.prune(&keep)),
            };
            self.pulse.end();
            // Nobody hears it only when the agent has ended.
            let _unheard = self.out.send(answer);
            self.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn send(&self, event: Event) {
        // As above.
        let _unheard = self.out.send(Input::Event(event));
    }

    /// What gave way on the share and is older than history is kept. What is in doubt counts as the last good copy.
    fn prune(&self, keep: &Keep) -> Result<u64, String> {
        let reader = crate::index::Reader::open(&self.index).ok().flatten();
        let lies = |path: &RelPath| reader.as_ref().and_then(|reader| reader.lies_on_share(self.id, path).ok());
        prune_kept(&self.root, &self.root_id, keep, &|path| lies(path).unwrap_or(Lies::Wanted))
    }

    fn scan(&self, under: RelPath, thorough: Thorough) -> Event {
        self.keep_watch(&under);
        let is_far = fskind::kind(&self.root).is_ok_and(|kind| kind.is_network());
        let scan = Scan {
            root: self.root.clone(),
            id: self.root_id,
            under: under.clone(),
            ignore: self.settings().ignore,
            threads: if is_far { FAR_SCAN_THREADS } else { SCAN_THREADS },
            page_max: SCAN_PAGE,
            afresh: is_far && thorough == Thorough::Yes,
            lists: self.untold_lists.load(Ordering::Relaxed) && under.is_root() && thorough == Thorough::Yes,
        };
        let out = |page| {
            self.pulse.beat();
            self.out.send(Input::Event(Event::Scanned(self.id, page))).is_ok()
        };
        Event::ScanEnded(self.id, under, scan.run(&self.stop, &out))
    }

    /// Watches first, then scans: what the scan does not see is told of.
    fn keep_watch(&self, under: &RelPath) {
        // What begins a watch is followed by a scan of the whole share.
        if self.watches
            && (under.is_root() || self.watching.watch().is_some())
            && let Err(error) = self.watching.keep(&self.root, &self.settings().ignore)
        {
            tracing::warn!(share = self.name, hint = error.hint, "{error}");
        }
    }

    /// Passes on what the watch saw, until the share is let go.
    pub(super) fn pass_on(&self) {
        while let Some(batch) = self.watching.listen() {
            for error in &batch.errors {
                tracing::warn!(share = self.name, "{error}");
            }
            if !batch.touched.is_empty() {
                self.send(Event::Touched(self.id, batch.touched));
            }
            if batch.lost || batch.renew || batch.root_gone {
                self.send(Event::LostTrack(self.id));
            }
        }
    }

    /// Reads with a fresh opening of the root.
    fn read<T>(
        &self,
        f: impl FnOnce(&mut Reader, &How<'_>) -> Result<T, ReadFault>,
        insist: bool,
    ) -> Result<T, ReadFault> {
        let mut reader = Reader::open(&self.root, &self.root_id).map_err(ReadFault::Offline)?;
        let since = Some(clock::wall().before(self.settings().probe_within));
        f(
            &mut reader,
            &How { probe_writers_since: since, insist, known: None, again: false, now: &clock::wall, stop: &self.stop },
        )
    }
}

/// What a target's threads need.
pub(super) struct LaneHands {
    pub(super) id: TargetId,
    pub(super) target: Box<dyn Target>,
    pub(super) share: Arc<ShareHands>,
    /// `share/target`.
    pub(super) name: String,
    pub(super) ear: Ear,
    pub(super) pulse: Pulse,
    /// The index's file, to be read only.
    pub(super) index: PathBuf,
}

impl LaneHands {
    /// Works until nothing more comes.
    pub(super) fn work(&self, queue: &Queue<LaneJob>) {
        while let Some(job) = queue.take() {
            self.pulse.begin();
            let answer = self.carry_out(job);
            self.pulse.end();
            if let Some(input) = answer {
                // Nobody hears it only when the agent has ended.
                let _unheard = self.share.out.send(input);
            }
            self.share.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn carry_out(&self, job: LaneJob) -> Option<Input> {
        let event = match job {
            LaneJob::Probe { bind, tell } => {
                let result = self.target.probe(bind).map_err(Failure::from);
                if tell == Tell::Trouble && result.is_ok() {
                    return None;
                }
                Event::Probed(self.id, result)
            }
            LaneJob::List => Event::ListEnded(self.id, self.list()),
            LaneJob::Recall(after) => Event::RecallEnded(self.id, self.recall(after)),
            LaneJob::Look(jobs) => Event::Looked(self.id, jobs.into_iter().map(|job| self.look(job)).collect()),
            LaneJob::Stage(jobs) => Event::Staged(self.id, self.stage(jobs)),
            LaneJob::Apply(steps) => Event::Applied(self.id, self.apply(steps)),
            LaneJob::Land(jobs) => Event::Landed(self.id, self.land(jobs)),
            LaneJob::Discard(tokens) => {
                self.target.discard(&tokens);
                return None;
            }
            LaneJob::Sweep => return Some(Input::Swept(self.id, self.target.sweep().map_err(Failure::from))),
            LaneJob::Prune(keep) => {
                return Some(Input::Pruned(self.id, self.prune(&keep).map_err(Failure::from)));
            }
        };
        Some(Input::Event(event))
    }

    /// What is in doubt counts as there: its newest versions stay.
    fn prune(&self, keep: &Keep) -> Result<u64, TargetError> {
        let reader = Mutex::new(None);
        let ask = |path: &RelPath| -> Option<Lies> {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            if reader.is_none() {
                *reader = crate::index::Reader::open(&self.index).ok().flatten();
            }
            reader.as_ref()?.lies(self.share.id, self.id, path).ok()
        };
        self.target.prune(keep, &|path| ask(path).unwrap_or(Lies::Wanted))
    }

    fn list(&self) -> Result<(), Failure> {
        let mut page = |page| {
            self.pulse.beat();
            !self.share.stop.load(Ordering::Relaxed)
                && self.share.out.send(Input::Event(Event::Listed(self.id, page))).is_ok()
        };
        self.target.list(&mut page).map_err(Failure::from)
    }

    fn look(&self, job: LookJob) -> (RelPath, Result<Option<Remote>, Failure>) {
        self.pulse.beat();
        let wanted = |remote: &Remote| {
            remote.seen.content().is_none()
                && job.read_if.contains(&remote.seen.shape)
                && job.known.as_ref() != Some(&remote.stamp)
        };
        let found = match self.target.look(&job.path, Depth::Stamp) {
            Ok(Some(remote)) if wanted(&remote) && job.alone => self.target.look(&job.path, Depth::Content),
            Ok(Some(remote)) if wanted(&remote) => self.target.compare(&job.path, &mut |path, sink| {
                self.share.read(
                    |reader, how| reader.read(path, how, &mut Beating { sink, pulse: &self.pulse, sends: false }),
                    false,
                )
            }),
            found => found,
        };
        (job.path, found.map_err(Failure::from))
    }

    fn stage(&self, jobs: Vec<ReadJob>) -> Vec<(RelPath, Result<crate::target::Staged, StageFailure>)> {
        let special = jobs.iter().filter(|job| job.insist || job.known.is_some());
        let special: BTreeMap<_, _> = special.map(|job| (job.path.clone(), (job.insist, job.known))).collect();
        let paths: Vec<_> = jobs.into_iter().map(|job| job.path).collect();
        let mut reader = Reader::open(&self.share.root, &self.share.root_id);
        let since = Some(clock::wall().before(self.share.settings().probe_within));
        let mut read = |path: &RelPath, sink: &mut dyn Sink| -> Result<Reading, ReadFault> {
            self.pulse.beat();
            let reader = reader.as_mut().map_err(|why| ReadFault::Offline(why.clone()))?;
            let (insist, known) = special.get(path).copied().unwrap_or_default();
            let how = How {
                probe_writers_since: since,
                insist,
                known,
                again: false,
                now: &clock::wall,
                stop: &self.share.stop,
            };
            self.share.recent.read(
                reader,
                path,
                &how,
                &clock::moment,
                &mut Beating { sink, pulse: &self.pulse, sends: true },
            )
        };
        let staged = self.target.stage(&paths, &mut read);
        let failure = |error| match error {
            StageError::Read(fault) => StageFailure::Read(fault),
            StageError::Target(error) => StageFailure::Target(error.into()),
        };
        paths.into_iter().zip(staged).map(|(path, result)| (path, result.map_err(failure))).collect()
    }

    fn apply(&self, mut steps: Vec<Step>) -> Vec<(Step, Result<Placed, Failure>)> {
        let unfit: Vec<_> = steps.iter_mut().map(|step| self.fill_link(step).err()).collect();
        let all_fine = unfit.iter().all(Option::is_none);
        let mut answers = if all_fine {
            self.target.apply(&steps).into_iter()
        } else {
            let fine = steps.iter().zip(&unfit).filter(|(_, unfit)| unfit.is_none());
            let fine: Vec<_> = fine.map(|(step, _)| step.clone()).collect();
            self.target.apply(&fine).into_iter()
        };
        let answer = |(step, unfit): (Step, Option<Failure>)| {
            let result = match unfit {
                Some(failure) => Err(failure),
                None => answers.next().unwrap_or_else(|| Err(silence())).map_err(Failure::from),
            };
            (step, result)
        };
        steps.into_iter().zip(unfit).map(answer).collect()
    }

    /// The index keeps a link's digest; where it points to is read now, and must still be what was seen.
    fn fill_link(&self, step: &mut Step) -> Result<(), Failure> {
        let Change::Link { to, content, .. } = &mut step.change else { return Ok(()) };
        let changed = || Failure {
            fault: Fault::Unstaged,
            message: format!("the link {} has changed on the share", step.path),
            hint: "it is looked at again".to_owned(),
        };
        let found = read_link(&self.share.root, &self.share.root_id, &step.path).map_err(|_| changed())?;
        if Digest::of(&found) != content.digest {
            return Err(changed());
        }
        *to = found.into();
        Ok(())
    }
}

fn silence() -> crate::target::TargetError {
    crate::target::TargetError {
        fault: Fault::Unreachable,
        verb: "change",
        path: None,
        cause: "the target gave fewer answers than it was asked for".to_owned(),
        hint: REPORT.to_owned(),
    }
}

/// A sink that shows that work gets on.
struct Beating<'a> {
    sink: &'a mut dyn Sink,
    pulse: &'a Pulse,
    /// What passes goes to the target.
    sends: bool,
}

impl Sink for Beating<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.pulse.beat();
        if self.sends {
            self.pulse.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        self.sink.bytes(bytes)
    }

    fn hole(&mut self, len: u64) -> std::io::Result<()> {
        self.sink.hole(len)
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.sink.restart()
    }

    fn wants(&self, len: u64) -> bool {
        self.sink.wants(len)
    }
}

/// Says since when threads have not got on.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    last: Option<(u64, Moment)>,
}

impl Monitor {
    /// The moment of the last sign of life, if calls are under way and there has been none since.
    pub(super) fn silent_since(&mut self, pulse: &Pulse, now: Moment) -> Option<Moment> {
        let (busy, beats) = pulse.read();
        match self.last {
            Some((known, since)) if known == beats => (busy > 0).then_some(since),
            Some(_) | None => {
                self.last = Some((beats, now));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_while_others_wait_has_not_answered_by_that() {
        let (pulse, mut monitor) = (Pulse::default(), Monitor::default());
        let at = |seconds| Moment(Duration::from_secs(seconds));
        pulse.begin();
        assert_eq!(monitor.silent_since(&pulse, at(1)), None);
        assert_eq!(monitor.silent_since(&pulse, at(9)), Some(at(1)));
        pulse.begin();
        assert_eq!(monitor.silent_since(&pulse, at(10)), Some(at(1)), "the next file is sent to it, too");
        pulse.end();
        assert_eq!(monitor.silent_since(&pulse, at(11)), None, "one of the two came back");
        assert_eq!(monitor.silent_since(&pulse, at(20)), Some(at(11)));
        pulse.end();
        let _ended = monitor.silent_since(&pulse, at(21));
        assert_eq!(monitor.silent_since(&pulse, at(60)), None, "nothing is asked of it");
        pulse.begin();
        assert_eq!(monitor.silent_since(&pulse, at(61)), None, "the first to be asked begins anew");
    }
}
