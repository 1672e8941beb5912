//! The decision about one path on one target: the whole policy of the agent.

use crate::model::{Content, Kind, Meta, Seen, Sight};
use crate::plan::{
    Action, Base, Deletes, Drift, Guard, Hold, Nature, Origin, Policy, Purpose, RemoteView, Taking, Title, Tombstone,
    Verdict, View,
};

/// What lies on the target, measured against the base.
enum Standing<'a> {
    /// Nothing of ours was there, and nothing is known to be.
    Vacant,
    /// As we left it, or not looked at since.
    AsLeft(&'a Base),
    /// We left something, and it is gone.
    Gone,
    /// Someone else's, where we left none.
    Stray(&'a RemoteView<'a>),
    /// Someone else's, in the place of ours.
    Replaced(&'a RemoteView<'a>),
}

impl<'a> Standing<'a> {
    fn of(view: &'a View<'a>) -> Option<Self> {
        Some(match (view.base, &view.remote) {
            (_, Sight::Troubled) => return None,
            (None, Sight::Unseen | Sight::Absent) => Self::Vacant,
            (Some(_), Sight::Absent) => Self::Gone,
            (Some(base), Sight::Unseen) => Self::AsLeft(base),
            (Some(base), Sight::Present(remote)) if *remote.stamp == base.stamp => Self::AsLeft(base),
            (Some(_), Sight::Present(remote)) => Self::Replaced(remote),
            (None, Sight::Present(remote)) => Self::Stray(remote),
        })
    }
}

/// Decides what to do about one path on one target.
///
/// It does no I/O, and the same view always gets the same verdict. What is not known is asked for
/// ([`Verdict::Read`], [`Verdict::Examine`]) before anything is changed.
pub fn reconcile(view: &View<'_>, policy: &Policy) -> Verdict {
    let Some(standing) = Standing::of(view) else {
        return Verdict::Hold(Hold::RemoteTroubled);
    };
    if !view.attempts.is_empty() && matches!(view.remote, Sight::Unseen) {
        return Verdict::Examine;
    }
    if policy.nature.stamps_follow_renames() && is_moved(view, &standing) {
        return Verdict::Moved;
    }
    if let Some(verdict) = reconcile_attempts(view, &standing) {
        return verdict;
    }
    match &view.local {
        Sight::Unseen => Verdict::Wait,
        Sight::Troubled => Verdict::Hold(Hold::LocalTroubled),
        Sight::Present(local) => reconcile_present(local, &standing, view, policy),
        Sight::Absent => reconcile_absent(&standing, view, policy),
    }
}

/// With a put under way whose end is not known, what is there may be ours: find out first.
fn reconcile_attempts(view: &View<'_>, standing: &Standing<'_>) -> Option<Verdict> {
    let (Standing::Stray(remote) | Standing::Replaced(remote)) = standing else {
        return None;
    };
    let ours = |content: &Content| remote.seen.holds(content);
    if let Some(content) = view.attempts.iter().find(|content| ours(content) == Some(true)) {
        return Some(adopt(*content, remote));
    }
    let unread = view.attempts.iter().any(|content| ours(content).is_none());
    unread.then_some(Verdict::Examine)
}

fn adopt(content: Content, remote: &RemoteView<'_>) -> Verdict {
    Verdict::Adopt(Base { content, meta: remote.seen.meta, stamp: remote.stamp.clone() })
}

fn reconcile_present(local: &Seen, standing: &Standing<'_>, view: &View<'_>, policy: &Policy) -> Verdict {
    match standing {
        Standing::AsLeft(base) => match carried_anew(view, base, policy) {
            Some(remote) => reconcile_replaced(local, &remote, view.base, policy),
            None => reconcile_as_left(local, base, view.title, policy),
        },
        Standing::Stray(remote) => reconcile_foreign(local, remote, policy),
        Standing::Replaced(remote) => reconcile_replaced(local, remote, view.base, policy),
        Standing::Gone if policy.drift == Drift::Take => reconcile_gone(local, view),
        Standing::Vacant | Standing::Gone => reconcile_vacant(local, view.origin),
    }
}

/// Two-way: others changed the mode or the access list, of which the stamp does not tell: of a folder in a directory, of a file in
/// a bucket. No more is news of an object: its time may be older than what the index knows.
fn carried_anew<'a>(view: &View<'a>, base: &Base, policy: &Policy) -> Option<RemoteView<'a>> {
    let Sight::Present(remote) = &view.remote else { return None };
    let (left, found) = (base.meta, remote.seen.meta);
    let (meta, is_untold) = match policy.nature {
        Nature::Directory => (found, base.content == Content::FOLDER),
        Nature::Bucket => {
            let is_file = base.content.shape.kind == Kind::File;
            // What other programs put there has no mode.
            let meta = Meta { mode: found.mode, acl: found.acl.or(left.acl), ..left };
            (meta, is_file && found.mode != Meta::NOT_KNOWN)
        }
    };
    let is_news = remote.seen.shape == base.content.shape && (left.mode != meta.mode || !left.acl.agrees(meta.acl));
    let seen = Seen { digest: Some(base.content.digest), meta, ..remote.seen };
    (policy.drift == Drift::Take && is_untold && is_news).then_some(RemoteView { stamp: remote.stamp, seen })
}

/// The share has not changed what is carried. A folder's time alone is no change: whoever puts something into it moves it.
fn carries_as_left(local: &Seen, base: &Base) -> bool {
    if base.content == Content::FOLDER { local.meta.agrees_but_for_time(&base.meta) } else { local.meta == base.meta }
}

/// Another version than ours: if it holds what ours held, only its stamp has moved (a link, a touch, a restore).
fn reconcile_replaced(local: &Seen, remote: &RemoteView<'_>, base: Option<&Base>, policy: &Policy) -> Verdict {
    let Some(base) = base else { return reconcile_foreign(local, remote, policy) };
    let takes = policy.drift == Drift::Take;
    match remote.seen.holds(&base.content) {
        Some(true) if takes && carries_as_left(local, base) && remote.seen.meta != base.meta => {
            let (stamp, meta) = (remote.stamp.clone(), remote.seen.meta);
            match local.holds(&base.content) {
                None => Verdict::Read(Purpose::Compare),
                Some(true) => Verdict::Take(Taking::Carry { stamp, meta }),
                Some(false) => adopt(base.content, remote),
            }
        }
        Some(true) => adopt(base.content, remote),
        None => Verdict::Examine,
        // They changed it and the share did not: theirs is the newer one.
        Some(false) if takes => match local.holds(&base.content) {
            None => Verdict::Read(Purpose::Compare),
            Some(true) if is_turned(local, &remote.seen) => Verdict::Hold(Hold::Drifted),
            Some(true) => bring(remote),
            Some(false) => reconcile_foreign(local, remote, policy),
        },
        Some(false) => reconcile_foreign(local, remote, policy),
    }
}

/// A folder became something else, or something else a folder: what lies below it is not carried along unseen.
fn is_turned(local: &Seen, remote: &Seen) -> bool {
    (local.shape.kind == Kind::Folder) != (remote.shape.kind == Kind::Folder)
}

fn bring(remote: &RemoteView<'_>) -> Verdict {
    Verdict::Take(Taking::Bring { stamp: remote.stamp.clone(), seen: remote.seen })
}

/// They removed what we had left. Unless the share has changed meanwhile, it is removed here too; a change of ours whose
/// answer was lost may have removed it as well. What they removed before what the share has came to be here is put again.
fn reconcile_gone(local: &Seen, view: &View<'_>) -> Verdict {
    let unchanged = view.base.map(|base| local.holds(&base.content));
    match unchanged {
        Some(None) => Verdict::Read(Purpose::Compare),
        Some(Some(true)) if view.attempts.is_empty() && view.title == Title::Clear => Verdict::Take(Taking::Remove),
        _ => reconcile_vacant(local, view.origin),
    }
}

/// What lies here is what we left under the old name: the rename was made. A stamp names a version; the shape is
/// checked all the same, because a wrong answer here loses a file.
fn is_moved(view: &View<'_>, standing: &Standing<'_>) -> bool {
    let Standing::Stray(remote) = standing else { return false };
    let same = |base: &Base| base.stamp == *remote.stamp && remote.seen.holds(&base.content) != Some(false);
    view.origin.is_some_and(|origin| same(origin.base))
}

fn reconcile_as_left(local: &Seen, base: &Base, title: Title, policy: &Policy) -> Verdict {
    let unchanged = || Guard::Unchanged(base.stamp.clone());
    match (local.holds(&base.content), local.content()) {
        (None, _) => Verdict::Read(Purpose::Compare),
        (Some(false), None) => Verdict::Read(Purpose::Send),
        (Some(false), Some(content)) => Verdict::Act(Action::Put { content, guard: unchanged() }),
        // In a directory whatever is set gives it another stamp; an object's is its content's.
        (Some(true), _) if title == Title::Unclaimed && policy.nature == Nature::Directory => {
            Verdict::Act(Action::SetMeta { meta: local.meta, guard: unchanged() })
        }
        (Some(true), _) => settle_meta(local.meta, base, policy),
    }
}

fn settle_meta(wanted: Meta, base: &Base, policy: &Policy) -> Verdict {
    // Everybody who puts something into a folder changes its time: two who carried that would never come to rest.
    let idle_time = base.content == Content::FOLDER && policy.drift == Drift::Take;
    let keeps_time = !policy.nature.carries_times_alone() || idle_time || wanted.mtime == base.meta.mtime;
    if wanted.is_met_by(&base.meta) {
        Verdict::Settled
    } else if keeps_time && wanted.agrees_but_for_time(&base.meta) {
        // Only the index learns it: a time that is not carried alone, or what the target did not tell.
        Verdict::Adopt(Base { meta: wanted.with_acl_of(&base.meta), ..base.clone() })
    } else {
        Verdict::Act(Action::SetMeta { meta: wanted, guard: Guard::Unchanged(base.stamp.clone()) })
    }
}

fn reconcile_vacant(local: &Seen, origin: Option<Origin<'_>>) -> Verdict {
    let origin = origin.filter(|origin| origin.as_left).map(|origin| origin.base);
    match (local.content(), origin) {
        (None, Some(origin)) if local.holds(&origin.content).is_none() => Verdict::Read(Purpose::Compare),
        (None, _) => Verdict::Read(Purpose::Send),
        (Some(content), Some(origin)) if origin.content == content => {
            Verdict::Act(Action::Move { guard: Guard::Unchanged(origin.stamp.clone()) })
        }
        (Some(content), _) => Verdict::Act(Action::Put { content, guard: Guard::Absent }),
    }
}

fn reconcile_foreign(local: &Seen, remote: &RemoteView<'_>, policy: &Policy) -> Verdict {
    let alike = local.shape == remote.seen.shape;
    match (local.content(), remote.seen.content()) {
        (_, None) if alike => Verdict::Examine,
        (None, Some(_)) if alike => Verdict::Read(Purpose::Compare),
        (Some(mine), Some(theirs)) if mine == theirs => adopt(mine, remote),
        (mine, _) => match (policy.drift, mine) {
            (Drift::Keep, _) => Verdict::Hold(Hold::Drifted),
            // Two-way, a folder on one side and something else on the other: what lies in it has to be seen to first.
            (Drift::Take, _) if is_turned(local, &remote.seen) => Verdict::Hold(Hold::Drifted),
            (Drift::Overwrite | Drift::Take, None) => Verdict::Read(Purpose::Send),
            (Drift::Overwrite | Drift::Take, Some(content)) => {
                Verdict::Act(Action::Put { content, guard: Guard::Unchanged(remote.stamp.clone()) })
            }
        },
    }
}

fn reconcile_absent(standing: &Standing<'_>, view: &View<'_>, policy: &Policy) -> Verdict {
    match (standing, policy.deletes) {
        (Standing::Replaced(remote), _) => reconcile_replaced_and_deleted(remote, view, policy),
        (Standing::Stray(remote), _) if policy.drift == Drift::Take => bring_if_news(remote, view),
        (Standing::Vacant, _) => Verdict::Settled,
        (Standing::Gone, _) => Verdict::Forget,
        (Standing::AsLeft(_), Deletes::Retain) => Verdict::Settled,
        (Standing::AsLeft(base), Deletes::Propagate) => {
            Verdict::Act(Action::Remove { guard: Guard::Unchanged(base.stamp.clone()) })
        }
        // What someone else put there is theirs to remove.
        (Standing::Stray(_), _) => Verdict::Settled,
    }
}

/// The share deleted it, and the target has another version than ours. If it holds what ours held, it is ours still, and only
/// its stamp has moved: a removal of ours that was cut off half-way leaves it so, under its name and in history. But if the share
/// has it no more because others had removed it elsewhere, whoever put it here may have done so since.
fn reconcile_replaced_and_deleted(remote: &RemoteView<'_>, view: &View<'_>, policy: &Policy) -> Verdict {
    let takes = policy.drift == Drift::Take;
    // A folder made anew is another one, whatever it holds.
    let ours = view.base.map(|base| base.content).filter(|content| takes || *content != Content::FOLDER);
    match ours.map(|content| (content, remote.seen.holds(&content))) {
        Some((_, None)) => Verdict::Examine,
        Some((content, Some(true))) if !view.followed => adopt(content, remote),
        // An edit is worth more than a removal.
        Some((_, Some(_))) | None if takes => bring_if_news(remote, view),
        Some((_, Some(_))) | None => Verdict::Forget,
    }
}

/// What was never ours is news, but for an old copy of what the share deleted: that waits for a person, who alone can tell
/// whether it is wanted again.
fn bring_if_news(remote: &RemoteView<'_>, view: &View<'_>) -> Verdict {
    let known = |tombstone: &Tombstone| tombstone.names(&remote.seen);
    if view.tombstones.iter().any(|tombstone| known(tombstone) == Some(true)) {
        Verdict::Hold(Hold::Returned)
    } else if view.tombstones.iter().any(|tombstone| known(tombstone).is_none()) {
        Verdict::Examine
    } else {
        bring(remote)
    }
}

#[cfg(test)]
mod tests;
