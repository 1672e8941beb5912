//! What the files of the share hold.

use std::time::Duration;

use crate::engine::core::{Limits, Now};
use crate::engine::desk::{Desk, HandedOut, Result};
use crate::index::{Index, LocalRow, What};
use crate::model::{Content, Kind, ReadFault, Reading, RelPath, Stat, Trouble, Wall};

/// A clock step: a file read within this time of its last change may change again without its times moving.
///
/// Kernels stamp files with a clock that ticks every 1 to 10 ms; 20 ms leaves room (ext4, xfs and btrfs on Linux; see
/// `current_time(9)`).
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// A last change that lies ahead of our clock by more than this was stamped by a clock that was set back since, and not by
/// the one of a file server that runs ahead a little.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Whether what was read at this time may have changed since without a sign. Its mtime says nothing of that: anybody can
/// set it, to years ahead too, and a write moves the ctime. Where the clock was set back, the next change is stamped with
/// another time than the last one was.
fn may_have_changed(stat: &Stat, at: Wall) -> bool {
    at.before(CLOCK_STEP) <= stat.ctime && stat.ctime.before(AHEAD_MAX) <= at
}

impl Desk {
    pub(in crate::engine) fn hashed(
        &mut self,
        index: &mut Index,
        path: RelPath,
        result: std::result::Result<Reading, ReadFault>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.hashing.remove(&path);
        match result {
            Ok(reading) => self.read(index, &path, &reading),
            Err(fault) => self.not_read(index, path, fault, limits, now),
        }
    }

    /// A consistent version was read, with or without being staged.
    pub(in crate::engine) fn read(&mut self, index: &mut Index, path: &RelPath, reading: &Reading) -> Result<()> {
        self.handed_out.remove(path);
        self.end_unreadable(index, path)?;
        let racy = may_have_changed(&reading.stat, reading.at);
        let seen = LocalRow::fresh(reading.stat, Some(reading.content.digest), index.run());
        let row = LocalRow { racy, noise: reading.noise, ..seen };
        let expected = index.local(self.id, path)?.is_some_and(|old| old.is_present() && old.stat.same(&reading.stat));
        if !expected {
            // Something was seen since this reading was asked for: only a look can say which of the two is older.
            self.to_look.insert(path.clone());
        }
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    /// What others changed on a target was brought here. What people have done with it since may be known already, and this is what
    /// lay there before: only a look can tell.
    pub(in crate::engine) fn landed(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        stat: Stat,
        content: Content,
        at: Wall,
    ) -> Result<()> {
        self.end_unreadable(index, path)?;
        let digest = (content.shape.kind != Kind::Folder).then_some(content.digest);
        let racy = digest.is_some() && may_have_changed(&stat, at);
        let row = LocalRow { racy, ..LocalRow::fresh(stat, digest, index.run()) };
        index.put_local(self.id, path, &row)?;
        self.to_look.insert(path.clone());
        self.tell(path);
        Ok(())
    }

    /// What others removed on a target was taken away here. As above.
    pub(in crate::engine) fn removed(&mut self, index: &mut Index, path: &RelPath) -> Result<()> {
        index.unsuspect(self.id, path)?;
        self.to_look.insert(path.clone());
        self.bury(index, path)
    }

    /// A file could not be read as one consistent version.
    pub(in crate::engine) fn not_read(
        &mut self,
        index: &mut Index,
        path: RelPath,
        fault: ReadFault,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        match fault {
            ReadFault::Absent | ReadFault::Changed => {
                self.to_look.insert(path);
                Ok(())
            }
            ReadFault::Busy(why) => self.busy(index, path, why, now),
            ReadFault::Troubled(trouble) => self.troubled(index, &path, &trouble),
            ReadFault::Offline(why) => {
                self.go_offline(why, limits, now);
                Ok(())
            }
            // The target's failure is told beside this one; and who is told that another reads it comes again.
            ReadFault::Sink | ReadFault::InHand => Ok(()),
        }
    }

    fn busy(&mut self, index: &mut Index, path: RelPath, why: String, now: Now) -> Result<()> {
        let handed = self.handed_out.remove(&path).unwrap_or(HandedOut { first: now.moment, insist: false });
        if handed.insist {
            let hint = "it is tried again; close the program that writes it, or copy it aside in one go".to_owned();
            let message = format!("no consistent version could be read within its patience: {why}");
            self.begin_trouble(index, &path, What::Unreadable, &Trouble::new(message, hint))?;
            self.settler.touch(path, now.moment);
        } else {
            self.settler.busy(path, handed.first, now.moment);
        }
        Ok(())
    }
}
