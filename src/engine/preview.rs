//! What a dry run would do: every open path decided, none of it done.

use crate::index::{Cursor, Index, IndexError, OpenRow};
use crate::model::{Kind, RelPath, ShareId, Sight, TargetId};
use crate::plan::{Action, Drift, Guard, Origin, Policy, Purpose, RemoteView, Taking, Verdict, View, reconcile};

/// Paths shown of each group (count).
const SAMPLES: usize = 3;
/// Paths read from the index at once (count).
const PAGE: usize = 1000;

/// One sort of change in one top-level folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What would be done.
    pub action: &'static str,
    /// The top-level folder; empty for the root itself.
    pub folder: Vec<u8>,
    /// How many paths.
    pub count: u64,
    /// How many bytes they hold.
    pub bytes: u64,
    /// A few of the paths.
    pub samples: Vec<RelPath>,
}

/// Decides all that is open on a target, and counts it.
pub fn preview(index: &mut Index, share: ShareId, target: TargetId, policy: &Policy) -> Result<Vec<Group>, IndexError> {
    let mut groups: Vec<Group> = Vec::new();
    for gone in [false, true] {
        let mut after = Some(Cursor::default());
        while let Some(cursor) = after {
            let (paths, next) = index.open_page(target, &cursor, gone, PAGE)?;
            for path in paths {
                if let Some((action, bytes)) = judge(index, share, target, policy, &path)? {
                    count(&mut groups, action, path, bytes);
                }
            }
            after = next;
        }
    }
    for path in index.held(target, PAGE)? {
        count(&mut groups, "hold", path, 0);
    }
    groups.sort_by(|a, b| (a.action, &a.folder).cmp(&(b.action, &b.folder)));
    Ok(groups)
}

fn judge(
    index: &mut Index,
    share: ShareId,
    target: TargetId,
    policy: &Policy,
    path: &RelPath,
) -> Result<Option<(&'static str, u64)>, IndexError> {
    let Some(open) = index.open_row(target, path)? else { return Ok(None) };
    let run = index.run();
    let local = index.local(share, path)?.map_or(Sight::Unseen, |row| row.sight(run));
    let base = index.base(target, path)?;
    let origin = origin(index, target, &open)?;
    let takes = policy.drift == Drift::Take;
    let followed = match base.as_ref().filter(|_| takes && matches!(local, Sight::Absent)) {
        Some(base) => index.is_followed(target, path, &base.content)?,
        None => false,
    };
    let tombstones = if takes { index.tombstones(target, path)? } else { Vec::new() };
    let view = View {
        local,
        base: base.as_ref(),
        title: index.title(target, path)?,
        followed,
        attempts: &open.attempts,
        remote: open.sight.as_ref().map(|(stamp, seen)| RemoteView { stamp, seen: *seen }),
        origin: origin.as_ref().map(|base| Origin { base, as_left: true }),
        tombstones: &tombstones,
    };
    let len = match local {
        Sight::Present(seen) if seen.shape.kind == Kind::File => seen.shape.len,
        Sight::Present(_) | Sight::Unseen | Sight::Absent | Sight::Troubled => 0,
    };
    Ok(match reconcile(&view, policy) {
        Verdict::Settled | Verdict::Wait | Verdict::Forget | Verdict::Moved => None,
        Verdict::Adopt(_) => Some(("adopt", len)),
        Verdict::Hold(_) => Some(("hold", len)),
        Verdict::Examine | Verdict::Read(Purpose::Compare) => Some(("compare", len)),
        Verdict::Read(Purpose::Send) => Some((if base.is_some() { "replace" } else { "put new" }, len)),
        Verdict::Act(Action::Put { guard: Guard::Absent, .. }) => Some(("put new", len)),
        Verdict::Act(Action::Put { .. }) => Some(("replace", len)),
        Verdict::Act(Action::SetMeta { .. }) => Some(("set meta", 0)),
        Verdict::Act(Action::Move { .. }) => Some(("move", 0)),
        Verdict::Take(Taking::Bring { seen, .. }) if base.is_none() => Some(("take new", seen.shape.len)),
        Verdict::Take(Taking::Bring { seen, .. }) => Some(("take", seen.shape.len)),
        Verdict::Take(Taking::Carry { .. }) => Some(("take meta", 0)),
        Verdict::Take(Taking::Remove) => Some(("take removal", len)),
        Verdict::Act(Action::Remove { .. }) => Some(("remove", base.map_or(0, |base| base.content.shape.len))),
    })
}

fn origin(index: &mut Index, target: TargetId, open: &OpenRow) -> Result<Option<crate::plan::Base>, IndexError> {
    match &open.origin {
        Some(from) => index.base(target, from),
        None => Ok(None),
    }
}

fn count(groups: &mut Vec<Group>, action: &'static str, path: RelPath, bytes: u64) {
    let folder = top_folder(&path);
    let known = groups.iter().position(|group| group.action == action && group.folder == folder);
    let at = known.unwrap_or_else(|| {
        groups.push(Group { action, folder, count: 0, bytes: 0, samples: Vec::new() });
        groups.len() - 1
    });
    let group = &mut groups[at];
    group.count += 1;
    group.bytes += bytes;
    if group.samples.len() < SAMPLES {
        group.samples.push(path);
    }
}

fn top_folder(path: &RelPath) -> Vec<u8> {
    let at_root = path.parent().is_some_and(|parent| parent.is_root());
    if at_root { Vec::new() } else { path.parts().next().unwrap_or_default().to_vec() }
}
