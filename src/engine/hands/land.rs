//! Brings to the share what others changed on a target.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::hands::LaneHands;
use crate::engine::{Failure, LandFailure, LandJob, Landed, clock};
use crate::local::{Fresh, Landing, Refusal};
use crate::model::{Content, Digest, Kind, RelPath, Seen, Stamp, Stat, Trouble, Which};
use crate::plan::Taking;
use crate::target::{Fault, Piece, ReadError};

/// Names of runs that bring something begin so.
const PREFIX: &str = "taken-";

/// One job's way: answered already, or written and not visible yet.
enum Way<'a> {
    Ended(Result<Landed, LandFailure>),
    Written(Box<Fresh<'a>>, Content),
}

impl LaneHands {
    pub(super) fn land(&self, jobs: Vec<LandJob>) -> Vec<(LandJob, Result<Landed, LandFailure>)> {
        let landing = match Landing::open_bound(&self.share.root, &self.share.root_id, &run_name()) {
            Ok(landing) => landing,
            Err(why) => return all(jobs, &LandFailure::Offline(why)),
        };
        // What is not swept now lies among our own, in nobody's way, until the next start.
        self.share.swept.call_once(|| drop(landing.sweep(PREFIX.as_bytes())));
        let mut ways: Vec<_> = jobs.iter().map(|job| self.begin(&landing, job)).collect();
        if let Err(error) = self.flush(&landing, &mut ways) {
            return all(jobs, &troubled("write it", &error));
        }
        let ended = jobs.iter().zip(ways).map(|(job, way)| match way {
            Way::Ended(result) => result,
            Way::Written(fresh, content) => {
                self.pulse.beat();
                fresh
                    .place_over(&job.path, job.expected.as_ref())
                    .map(|stat| landed(stat, Some(content)))
                    .map_err(refused)
            }
        });
        let ended: Vec<_> = ended.collect();
        // What is recorded as brought has to outlive a power cut: else the old version would be taken for a newer one.
        let synced = landing.sync();
        jobs.into_iter()
            .zip(ended)
            .map(|(job, result)| match &synced {
                Err(error) if result.is_ok() => (job, Err(troubled("make it durable", error))),
                _ => (job, result),
            })
            .collect()
    }

    fn flush(&self, landing: &Landing, ways: &mut Vec<Way<'_>>) -> io::Result<()> {
        self.pulse.beat();
        for way in ways {
            if let Way::Written(fresh, _) = way {
                landing.flush(std::slice::from_ref(fresh))?;
                self.pulse.beat();
            }
        }
        Ok(())
    }

    fn begin<'a>(&self, landing: &'a Landing, job: &LandJob) -> Way<'a> {
        self.pulse.beat();
        let path = &job.path;
        let kind = match &job.taking {
            Taking::Bring { seen, .. } => seen.shape.kind,
            Taking::Carry { .. } | Taking::Remove => job.expected.map_or(Kind::File, |stat| stat.shape.kind),
        };
        let ignore = self.share.settings().ignore;
        if ignore.ignores_below(path) || ignore.ignores(path, kind == Kind::Folder) {
            return Way::Ended(Err(LandFailure::Ignored));
        }
        match (&job.taking, &job.expected) {
            (Taking::Bring { seen, .. }, None) if kind == Kind::Folder => {
                let made = landing.found_folder(path, &seen.meta);
                Way::Ended(made.map(|stat| landed(stat, Some(Content::FOLDER))).map_err(refused))
            }
            (Taking::Bring { stamp, seen }, _) => self.bring(landing, path, stamp, seen),
            (Taking::Carry { meta, .. }, Some(expected)) => {
                let carried = landing.carry_unchanged(path, expected, meta);
                Way::Ended(carried.map(|stat| landed(stat, None)).map_err(refused))
            }
            (Taking::Remove, Some(expected)) => {
                let removed = landing.remove_unchanged(path, expected);
                Way::Ended(removed.map(|()| Landed { stat: None, content: None, at: clock::wall() }).map_err(refused))
            }
            (Taking::Carry { .. } | Taking::Remove, None) => Way::Ended(Err(LandFailure::Changed)),
        }
    }

    fn bring<'a>(&self, landing: &'a Landing, path: &RelPath, stamp: &Stamp, seen: &Seen) -> Way<'a> {
        match self.read_theirs(landing, path, stamp, seen) {
            Ok((fresh, content)) => Way::Written(Box::new(fresh), content),
            Err(failure) => Way::Ended(Err(failure)),
        }
    }

    fn read_theirs<'a>(
        &self,
        landing: &'a Landing,
        path: &RelPath,
        stamp: &Stamp,
        seen: &Seen,
    ) -> Result<(Fresh<'a>, Content), LandFailure> {
        let on_disk = |error: &io::Error| troubled("write it", error);
        let mut fresh = landing.begin().map_err(|error| on_disk(&error))?;
        let (mut head, mut link) = (None, Vec::new());
        let read = self.target.read(path, &Which::Now(stamp.clone()), &mut |piece| {
            self.pulse.beat();
            match piece {
                Piece::Head(seen) => head = Some(*seen),
                Piece::Bytes(bytes) if head.is_some_and(|seen: Seen| seen.shape.kind == Kind::Symlink) => {
                    link.extend_from_slice(bytes);
                }
                Piece::Bytes(bytes) => fresh.write(bytes)?,
            }
            Ok(true)
        });
        match read {
            Ok(()) => {}
            Err(ReadError::Taker(error)) => return Err(on_disk(&error)),
            Err(ReadError::Target(error)) => return Err(LandFailure::Target(error.into())),
        }
        let head = head.filter(|head| head.shape.kind == seen.shape.kind).ok_or_else(|| stale(path))?;
        let written = match head.shape.kind {
            Kind::Symlink => fresh.link(&link, &head.meta),
            Kind::File | Kind::Folder => fresh.end_file(&head.meta),
        };
        written.map_err(|error| on_disk(&error))?;
        let (digest, len) = fresh.written();
        let content = match head.shape.kind {
            Kind::Symlink => Content::symlink(digest, seen.shape.len),
            Kind::File | Kind::Folder => Content::file(digest, len),
        };
        let expected = [head.digest, seen.digest].into_iter().flatten().find(|digest| *digest != Digest::UNPROVED);
        let is_whole = head.shape.kind == Kind::Symlink || len == seen.shape.len;
        if is_whole && expected.is_none_or(|expected| expected == digest) {
            Ok((fresh, content))
        } else {
            Err(stale(path))
        }
    }
}

fn run_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{PREFIX}{}-{}", clock::wall().0, COUNTER.fetch_add(1, Ordering::Relaxed))
}

fn landed(stat: Stat, content: Option<Content>) -> Landed {
    Landed { stat: Some(stat), content, at: clock::wall() }
}

fn refused(refusal: Refusal) -> LandFailure {
    match refusal {
        Refusal::Changed => LandFailure::Changed,
        Refusal::Busy => LandFailure::Busy,
        Refusal::Occupied => LandFailure::Occupied,
        Refusal::Failed(error) => troubled("put it there", &error),
    }
}

fn troubled(verb: &str, error: &io::Error) -> LandFailure {
    let hint = "see that the agent may write to the share, and that there is room".to_owned();
    LandFailure::Troubled(Trouble::new(format!("the agent cannot {verb} on the share: {error}"), hint))
}

/// What was read is not what was decided on.
fn stale(path: &RelPath) -> LandFailure {
    let message = format!("{path} changed on the target while it was read");
    LandFailure::Target(Failure { fault: Fault::Stale, message, hint: "it is looked at again".to_owned() })
}

fn all(jobs: Vec<LandJob>, failure: &LandFailure) -> Vec<(LandJob, Result<Landed, LandFailure>)> {
    jobs.into_iter().map(|job| (job, Err(failure.clone()))).collect()
}
