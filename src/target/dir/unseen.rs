//! What was published where each look costs a round trip: all of it is looked at once the last step of a call was made.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::model::{Meta, Stamp};
use crate::sys::publish::{self as sys, Spot};
use crate::target::{Placed, Step};

use super::fault::Outcome;
use super::listing::names_version;
use super::publish::{Job, changed};

/// From so many files of one folder on, a file server is asked about all that lies in it at once (count).
const TOGETHER_MIN: usize = 4;
/// It is asked about so many for each of them, at most: in a large folder the others would cost more than is saved.
const TOGETHER_SHARE: usize = 4;

/// A file that was published and not yet looked at.
pub(super) struct Unseen {
    pub(super) parent: Rc<OwnedFd>,
    pub(super) ino: u64,
    /// As it was in staging.
    pub(super) version: Stamp,
    pub(super) meta: Meta,
    pub(super) owner_denied: bool,
}

impl Job<'_> {
    /// Looks at all that was published and not yet looked at: answers by the numbers of their steps.
    ///
    /// RACE: an outsider writes into a file between its publication and this. It is then told as changed by someone else,
    /// unless he puts back its time and leaves its length as it was: in the worst case only reading it back tells.
    pub(super) fn see_all(&mut self, steps: &[Step]) -> BTreeMap<usize, Outcome<Placed>> {
        let unseen = std::mem::take(&mut self.unseen);
        let mut in_folder = BTreeMap::<_, (&Rc<OwnedFd>, usize)>::new();
        for (number, it) in &unseen {
            in_folder.entry(steps[*number].path.parent()).or_insert((&it.parent, 0)).1 += 1;
        }
        for (folder, files) in in_folder.into_values().filter(|(_, files)| *files >= TOGETHER_MIN) {
            sys::ask_of_all(folder, files * TOGETHER_SHARE);
        }
        unseen.iter().map(|(number, it)| (*number, self.see(&steps[*number], it))).collect()
    }

    fn see(&self, step: &Step, it: &Unseen) -> Outcome<Placed> {
        let placed = self.placed(Spot::new(&*it.parent, step.path.name()), it.ino, it.meta, it.owner_denied)?;
        let is_ours = placed.stamp.as_ref().is_some_and(|stamp| names_version(stamp, &it.version));
        if is_ours { Ok(placed) } else { Err(changed()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::staging::Staging;
    use super::super::{DirSetup, DirTarget, Ways};
    use super::*;
    use crate::model::{Acl, Content, Digest, Kind, Reading, RelPath, Shape, Stat, Wall};
    use crate::plan::Guard;
    use crate::target::{Bind, Change, Fault, Target};

    use super::super::fault::Refusal;

    const META: Meta = Meta { mode: 0o640, mtime: Wall(1_000_000_000), uid: 0, gid: 0, acl: Acl::NotKnown };

    fn step_for(target: &DirTarget, name: &str) -> Step {
        let content = Content::file(Digest::of(b"ours"), 4);
        let stat = Stat {
            shape: Shape { kind: Kind::File, len: 4 },
            meta: META,
            ctime: Wall(0),
            ino: 1,
            nlink: 1,
            mounted: false,
        };
        let path = RelPath::new(name).expect("fine");
        let staged = target.stage(std::slice::from_ref(&path), &mut |_, sink| {
            sink.bytes(b"ours").expect("taken");
            Ok(Reading { content, stat, at: Wall(0), noise: false })
        });
        let [Ok(staged)] = &staged[..] else { panic!("{staged:?}") };
        let change = Change::Publish { token: staged.token, content, meta: META };
        Step { path, change, guard: Guard::Absent, replaces: None }
    }

    fn overwrite(path: &Path) {
        fs::write(path, b"thei").expect("written");
    }

    /// What another does in this instant no outside test can place for certain.
    #[test]
    fn what_another_did_to_a_file_since_it_was_published_is_never_taken_for_ours() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = DirTarget::new(DirSetup::plain(dir.path(), Ways::Links));
        target.probe(Bind::IfUnbound).expect("bound");
        let names = ["left", "edited", "replaced", "removed", "left too"];
        let steps = names.map(|name| step_for(&target, name));
        let place = target.open("test").expect("open");
        let mut job = Job::new(&target, &place, Staging::open(&place).expect("open"));
        for (number, step) in steps.iter().enumerate() {
            assert_eq!(job.step(number, step).expect("published"), Placed::default(), "it is not seen yet");
        }
        overwrite(&dir.path().join("edited"));
        overwrite(&dir.path().join("another"));
        fs::rename(dir.path().join("another"), dir.path().join("replaced")).expect("renamed");
        fs::remove_file(dir.path().join("removed")).expect("removed");
        let seen = job.see_all(&steps);
        assert_eq!(seen.len(), names.len());
        for (number, answer) in seen {
            match (names[number], answer) {
                ("left" | "left too", Ok(placed)) => {
                    assert!(placed.stamp.is_some() && placed.meta.is_some_and(|meta| meta.mtime == META.mtime));
                }
                ("edited" | "replaced", Err(Refusal::Own { fault: Fault::Stale, .. }))
                | ("removed", Err(Refusal::Io(_))) => {}
                (name, answer) => panic!("{name}: {answer:?}"),
            }
        }
        assert_eq!(job.see_all(&steps).len(), 0, "each is looked at once");
    }
}
