//! Two-way: what others changed on a target comes to the share.

use driftline::engine::{Event, LandFailure, LandJob, Landed};
use driftline::model::{Content, Kind, RelPath, Stat, TargetId};
use driftline::plan::Taking;
use driftline::target::Fault;

use super::world::*;

impl World {
    /// Jobs are carried out one by one; the answer may be lost with a crash only, and then a part of them was done.
    pub(super) fn answer_land(&mut self, target: TargetId, jobs: Vec<LandJob>, dead: bool) -> Event {
        let answers = jobs.into_iter().map(|job| {
            let result = if self.cut.contains(&target) || (dead && self.dice.one_in(2)) {
                Err(LandFailure::Target(self.failure()))
            } else if self.is_share_offline() {
                Err(LandFailure::Offline("not mounted".into()))
            } else if self.faults && self.dice.one_in(10) {
                Err(LandFailure::Busy)
            } else {
                self.land(target, &job)
            };
            (job, result)
        });
        Event::Landed(target, answers.collect())
    }

    pub(super) fn land(&mut self, target: TargetId, job: &LandJob) -> Result<Landed, LandFailure> {
        let (at, path) = (self.wall(), &job.path);
        let there = self.targets[&target].now.get(path).cloned();
        let lies = self.local.get(path).map(Self::stat);
        let again = matches!(&job.taking, Taking::Bring { seen, .. } if seen.shape.kind == Kind::Folder)
            && lies.is_some_and(|stat| stat.shape.kind == Kind::Folder);
        if lies != job.expected && !(again && job.expected.is_none()) {
            return Err(LandFailure::Changed);
        }
        match &job.taking {
            Taking::Bring { stamp, .. } => {
                let there = there.filter(|there| there.stamp == *stamp);
                let there = there.ok_or_else(|| LandFailure::Target(failure(Fault::Stale)))?;
                if path.ancestors().any(|up| self.local.get(&up).is_some_and(|node| node.content != Content::FOLDER)) {
                    return Err(LandFailure::Changed);
                }
                if !again {
                    self.give_way(path);
                    let mut touched = Vec::new();
                    self.brought.insert(there.content);
                    self.write_local(path.clone(), there.content, &mut touched);
                    self.local.get_mut(path).expect("written").meta = there.meta;
                    self.echoes.extend(touched);
                }
                Ok(Landed { stat: self.local.get(path).map(Self::stat), content: Some(there.content), at })
            }
            Taking::Carry { stamp, meta } => {
                if there.is_none_or(|there| there.stamp != *stamp) {
                    return Err(LandFailure::Target(failure(Fault::Stale)));
                }
                let node = self.local.get_mut(path).ok_or(LandFailure::Changed)?;
                (node.meta, node.ctime) = (*meta, at);
                self.echoes.push(path.clone());
                Ok(Landed { stat: Some(Self::stat(&self.local[path])), content: None, at })
            }
            Taking::Remove => {
                let stat: Stat = lies.ok_or(LandFailure::Changed)?;
                if stat.shape.kind == Kind::Folder && !self.children(path).is_empty() {
                    return Err(LandFailure::Occupied);
                }
                let content = self.local[path].content;
                self.followed.insert((target, path.clone(), content));
                self.give_way(path);
                let mut touched = Vec::new();
                self.remove_local(path, &mut touched);
                self.echoes.extend(touched);
                Ok(Landed { stat: None, content: None, at })
            }
        }
    }

    fn give_way(&mut self, path: &RelPath) {
        let kept = self.local.get(path).map(|node| node.content);
        self.kept.extend(kept.filter(|content| *content != Content::FOLDER));
    }
}
