//! The table of all decisions, in full.

use super::*;
use crate::model::{Digest, Stamp, Wall};
use crate::plan::Nature;

const POLICIES: [Policy; 10] = [
    policy(Nature::Directory, Drift::Keep, Deletes::Propagate),
    policy(Nature::Directory, Drift::Keep, Deletes::Retain),
    policy(Nature::Directory, Drift::Overwrite, Deletes::Propagate),
    policy(Nature::Directory, Drift::Overwrite, Deletes::Retain),
    policy(Nature::Bucket, Drift::Keep, Deletes::Propagate),
    policy(Nature::Bucket, Drift::Keep, Deletes::Retain),
    policy(Nature::Bucket, Drift::Overwrite, Deletes::Propagate),
    policy(Nature::Bucket, Drift::Overwrite, Deletes::Retain),
    policy(Nature::Directory, Drift::Take, Deletes::Propagate),
    policy(Nature::Bucket, Drift::Take, Deletes::Propagate),
];

const fn policy(nature: Nature, drift: Drift, deletes: Deletes) -> Policy {
    Policy { nature, drift, deletes }
}

const PLAIN: Meta = Meta { mode: 0o644, mtime: Wall(1), ..Meta::NOTHING };
const OTHER: Meta = Meta { mode: 0o755, mtime: Wall(2), ..Meta::NOTHING };
const LATER: Meta = Meta { mtime: Wall(3), ..PLAIN };

/// Files 1 and 2 are of one length, so that only reading tells them apart; 3 is longer. 0 is a folder.
fn content(id: u8) -> Content {
    match id {
        0 => Content::FOLDER,
        3 => Content::file(Digest([3; 32]), 30),
        id => Content::file(Digest([id; 32]), 10),
    }
}

fn stamp(text: &str) -> Stamp {
    Stamp(text.as_bytes().into())
}

fn base(id: u8, text: &str) -> Base {
    Base { content: content(id), meta: PLAIN, stamp: stamp(text) }
}

fn seen(id: u8, read: bool, meta: Meta) -> Seen {
    let content = content(id);
    let digest = (read && content.shape.kind != Kind::Folder).then_some(content.digest);
    Seen { shape: content.shape, digest, meta }
}

/// A view that owns its parts.
#[derive(Clone, Debug)]
struct Case {
    local: Sight<Seen>,
    base: Option<Base>,
    title: Title,
    followed: bool,
    attempts: Vec<Content>,
    remote: Sight<(Stamp, Seen)>,
    origin: Option<Base>,
    origin_left: bool,
    policy: Policy,
    tombstones: Vec<Tombstone>,
}

impl Case {
    fn judge(&self) -> Verdict {
        let remote = match &self.remote {
            Sight::Unseen => Sight::Unseen,
            Sight::Absent => Sight::Absent,
            Sight::Troubled => Sight::Troubled,
            Sight::Present((stamp, seen)) => Sight::Present(RemoteView { stamp, seen: *seen }),
        };
        let view = View {
            local: self.local,
            base: self.base.as_ref(),
            title: self.title,
            followed: self.followed,
            attempts: &self.attempts,
            remote,
            origin: self.origin.as_ref().map(|base| Origin { base, as_left: self.origin_left }),
            tombstones: &self.tombstones,
        };
        reconcile(&view, &self.policy)
    }
}

/// What the share may be known to have deleted.
fn every_memory() -> [Vec<Tombstone>; 4] {
    let [one, two, three] = [1, 2, 3].map(|id| Tombstone::of(&content(id)));
    [vec![], vec![one], vec![Tombstone { digest: None, ..two }, three], vec![Tombstone { len: None, ..three }]]
}

/// Every view that can differ in outcome.
fn every_case() -> Vec<Case> {
    let present = |id, read, meta| Sight::Present(seen(id, read, meta));
    let mut locals =
        vec![Sight::Unseen, Sight::Troubled, Sight::Absent, present(0, true, PLAIN), present(0, true, OTHER)];
    for id in [1, 2, 3] {
        locals.extend([present(id, true, PLAIN), present(id, false, PLAIN), present(id, true, OTHER)]);
        locals.push(present(id, true, LATER));
    }
    let bases = [None, Some(base(0, "ours")), Some(base(1, "ours"))];
    let mut remotes = vec![Sight::Unseen, Sight::Troubled, Sight::Absent];
    for text in ["ours", "theirs", "origin"] {
        remotes.push(Sight::Present((stamp(text), seen(0, true, PLAIN))));
        for id in [1, 2, 3] {
            for read in [true, false] {
                remotes.push(Sight::Present((stamp(text), seen(id, read, PLAIN))));
            }
        }
    }
    // What others changed beside the content.
    remotes.extend([true, false].map(|read| Sight::Present((stamp("theirs"), seen(1, read, OTHER)))));
    // Neither a folder's stamp nor an object's tells of it.
    remotes.push(Sight::Present((stamp("ours"), seen(0, true, OTHER))));
    remotes.extend([true, false].map(|read| Sight::Present((stamp("ours"), seen(1, read, OTHER)))));
    let attempts = [vec![], vec![content(2)], vec![content(3), content(1)], vec![content(0)]];
    let origins = [None, Some(base(0, "origin")), Some(base(1, "origin")), Some(base(3, "origin"))];
    let mut all = Vec::new();
    for local in &locals {
        for base in &bases {
            for attempts in &attempts {
                for remote in &remotes {
                    for origin in &origins {
                        for (policy, origin_left) in POLICIES.into_iter().flat_map(|p| [(p, true), (p, false)]) {
                            let memories = if policy.drift == Drift::Take { 4 } else { 1 };
                            for tombstones in every_memory().into_iter().take(memories) {
                                let (local, base, attempts) = (*local, base.clone(), attempts.clone());
                                let (remote, origin) = (remote.clone(), origin.clone());
                                all.push(Case {
                                    local,
                                    base,
                                    title: Title::Clear,
                                    followed: false,
                                    attempts,
                                    remote,
                                    origin,
                                    origin_left,
                                    policy,
                                    tombstones,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn ignorance_never_changes_anything() {
    for case in every_case() {
        let blind = matches!(case.local, Sight::Unseen | Sight::Troubled) || case.remote == Sight::Troubled;
        if blind {
            let verdict = case.judge();
            let idle = matches!(
                verdict,
                Verdict::Wait | Verdict::Hold(_) | Verdict::Adopt(_) | Verdict::Examine | Verdict::Moved
            );
            assert!(idle, "{case:?}: {verdict:?}");
        }
    }
}

#[test]
fn keep_never_touches_what_is_foreign() {
    for case in every_case().into_iter().filter(|case| case.policy.drift == Drift::Keep) {
        if let Verdict::Act(action) = case.judge() {
            let guard = match &action {
                Action::Put { guard, .. } | Action::SetMeta { guard, .. } => guard,
                Action::Move { guard } | Action::Remove { guard } => guard,
            };
            let known = [Guard::Absent, Guard::Unchanged(stamp("ours")), Guard::Unchanged(stamp("origin"))];
            assert!(known.contains(guard), "{case:?}: {action:?}");
        }
    }
}

/// Both sides of the table: the share is changed for what others did and it did not, and for nothing else.
#[test]
fn the_share_is_changed_only_two_ways_and_only_where_others_alone_changed_something() {
    let mut taken = [0; 3];
    for case in every_case() {
        let Verdict::Take(taking) = case.judge() else { continue };
        assert_eq!(case.policy.drift, Drift::Take, "{case:?}");
        let content = case.base.as_ref().map(|base| base.content);
        let unchanged = match (case.local, content) {
            (Sight::Absent, _) => taking != Taking::Remove,
            (Sight::Present(local), Some(content)) => local.holds(&content) == Some(true),
            _ => false,
        };
        assert!(unchanged, "{case:?}: {taking:?}");
        match (&taking, &case.remote) {
            (Taking::Bring { stamp, .. }, Sight::Present((there, seen))) => {
                assert_eq!(stamp, there);
                assert_ne!(content.map(|content| seen.holds(&content)), Some(Some(true)), "{case:?}");
                assert!(case.base.as_ref().is_none_or(|base| base.stamp != *there), "{case:?}");
                taken[0] += 1;
            }
            (Taking::Carry { stamp, meta }, Sight::Present((there, seen))) => {
                let is_as_left = case.base.as_ref().is_some_and(|base| base.stamp == *there);
                let of_object = is_as_left && case.policy.nature == Nature::Bucket;
                let wanted = if of_object { Meta { mode: seen.meta.mode, ..PLAIN } } else { seen.meta };
                assert_eq!((stamp, *meta), (there, wanted), "{case:?}");
                assert!(of_object || seen.content() == content, "{case:?}");
                taken[1] += 1;
            }
            (Taking::Remove, Sight::Absent) => {
                assert!(case.attempts.is_empty(), "it may have been us: {case:?}");
                taken[2] += 1;
            }
            _ => panic!("{case:?}: {taking:?}"),
        }
    }
    assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
}

/// The rows of the table in which two ways differ from one, in words.
#[test]
fn two_ways_the_table_reads_as_designed() {
    let case = |local, base: Option<Base>, remote| Case {
        local,
        base,
        title: Title::Clear,
        followed: false,
        attempts: vec![],
        remote,
        origin: None,
        origin_left: true,
        policy: policy(Nature::Directory, Drift::Take, Deletes::Propagate),
        tombstones: vec![],
    };
    let deleted = |case: Case, tombstone| Case { tombstones: vec![tombstone], ..case };
    let same = Sight::Present(seen(1, true, PLAIN));
    let changed = Sight::Present(seen(2, true, PLAIN));
    let theirs = |id, read| Sight::Present((stamp("theirs"), seen(id, read, PLAIN)));
    let ours = || Some(base(1, "ours"));
    let folder = || Some(base(0, "ours"));
    let remoded = || Sight::Present((stamp("ours"), seen(0, true, OTHER)));
    let bring = |id, read| Verdict::Take(Taking::Bring { stamp: stamp("theirs"), seen: seen(id, read, PLAIN) });
    let put = |id, guard| Verdict::Act(Action::Put { content: content(id), guard });
    let over_theirs = || Guard::Unchanged(stamp("theirs"));
    let adopted = |id| Verdict::Adopt(Base { stamp: stamp("theirs"), ..base(id, "ours") });
    let old = Tombstone::of(&content(1));
    let table = [
        // They made something, or edited it: it comes here.
        (case(Sight::Absent, None, theirs(2, false)), bring(2, false)),
        (case(same, ours(), theirs(2, true)), bring(2, true)),
        (case(same, ours(), theirs(3, false)), bring(3, false)),
        (case(same, ours(), theirs(2, false)), Verdict::Examine),
        // They changed a folder's mode: it comes here, and where both did, the share's stays.
        (
            case(Sight::Present(seen(0, true, LATER)), folder(), remoded()),
            Verdict::Take(Taking::Carry { stamp: stamp("ours"), meta: OTHER }),
        ),
        (
            case(Sight::Present(seen(0, true, Meta { mode: 0o700, ..PLAIN })), folder(), remoded()),
            Verdict::Adopt(Base { meta: OTHER, ..base(0, "ours") }),
        ),
        // They removed it: it goes here; an edit here is worth more.
        (case(same, ours(), Sight::Absent), Verdict::Take(Taking::Remove)),
        (case(changed, ours(), Sight::Absent), put(2, Guard::Absent)),
        // They removed it before it came to be here, and may not have known: it is put again.
        (Case { title: Title::Inherited, ..case(same, ours(), Sight::Absent) }, put(1, Guard::Absent)),
        // They may be about to remove it: it gets another stamp.
        (
            Case { title: Title::Unclaimed, ..case(same, ours(), Sight::Unseen) },
            Verdict::Act(Action::SetMeta { meta: PLAIN, guard: Guard::Unchanged(stamp("ours")) }),
        ),
        // Removed here, edited there: the edit comes back.
        (case(Sight::Absent, ours(), theirs(3, false)), bring(3, false)),
        (
            case(Sight::Absent, ours(), Sight::Unseen),
            Verdict::Act(Action::Remove { guard: Guard::Unchanged(stamp("ours")) }),
        ),
        // An old copy of what the share deleted does not come back, and another content does.
        (deleted(case(Sight::Absent, None, theirs(1, true)), old), Verdict::Hold(Hold::Returned)),
        (deleted(case(Sight::Absent, None, theirs(1, false)), old), Verdict::Examine),
        (deleted(case(Sight::Absent, None, theirs(2, true)), old), bring(2, true)),
        (deleted(case(Sight::Absent, None, theirs(3, false)), old), bring(3, false)),
        (deleted(case(Sight::Absent, None, theirs(0, true)), old), bring(0, true)),
        (deleted(case(same, None, theirs(1, true)), old), adopted(1)),
        // Both edited: equal is no conflict, else the share's stays and theirs goes to history.
        (case(changed, ours(), theirs(2, true)), adopted(2)),
        (case(changed, ours(), theirs(3, false)), put(2, over_theirs())),
        (case(changed, None, theirs(3, false)), put(2, over_theirs())),
        // A folder here and a file there: a person decides.
        (case(same, ours(), theirs(0, true)), Verdict::Hold(Hold::Drifted)),
        (case(changed, None, theirs(0, true)), Verdict::Hold(Hold::Drifted)),
        // Nothing is known of one side: nothing is done.
        (case(Sight::Unseen, ours(), theirs(2, true)), Verdict::Wait),
        (case(Sight::Troubled, ours(), Sight::Absent), Verdict::Hold(Hold::LocalTroubled)),
    ];
    for (case, expected) in table {
        assert_eq!(case.judge(), expected, "{case:?}");
    }
}

#[test]
fn a_tombstone_keeps_from_the_share_what_it_names_and_changes_nothing_else() {
    let mut held = 0;
    for case in every_case().into_iter().filter(|case| case.tombstones.is_empty()) {
        let without = case.judge();
        for tombstones in every_memory().into_iter().skip(1) {
            let news = match (&without, case.local) {
                (Verdict::Take(Taking::Bring { seen, .. }), Sight::Absent) => Some(*seen),
                _ => None,
            };
            let known = |seen: Seen| tombstones.iter().map(|tombstone| tombstone.names(&seen)).collect::<Vec<_>>();
            let expected = match news.map(known) {
                Some(known) if known.contains(&Some(true)) => Verdict::Hold(Hold::Returned),
                Some(known) if known.contains(&None) => Verdict::Examine,
                Some(_) | None => without.clone(),
            };
            held += usize::from(expected == Verdict::Hold(Hold::Returned));
            let case = Case { tombstones, ..case.clone() };
            assert_eq!(case.judge(), expected, "{case:?}");
        }
    }
    assert!(held > 0, "no old copy was there");
}

/// What was left before what the share has came to be there: gone, it is put again, as others may not have known; there, it gets
/// another stamp, where they may still be about to remove it and a stamp can be changed. Nothing else depends on it.
#[test]
fn what_is_inherited_is_put_again_or_claimed_and_all_else_is_decided_as_ever() {
    let (mut put, mut claimed) = (0, 0);
    for case in every_case().into_iter().filter(|case| case.base.is_some()) {
        let ever = case.judge();
        for title in [Title::Inherited, Title::Unclaimed] {
            let inherits = Case { title, ..case.clone() };
            let settles = matches!(ever, Verdict::Settled | Verdict::Adopt(_) | Verdict::Act(Action::SetMeta { .. }));
            let expected = match (&ever, case.local) {
                (Verdict::Take(Taking::Remove), Sight::Present(local)) => {
                    let content = local.content().expect("it is compared before it is removed");
                    put += 1;
                    match &case.origin {
                        Some(origin) if case.origin_left && origin.content == content => {
                            Verdict::Act(Action::Move { guard: Guard::Unchanged(stamp("origin")) })
                        }
                        _ => Verdict::Act(Action::Put { content, guard: Guard::Absent }),
                    }
                }
                (_, Sight::Present(local))
                    if settles
                        && title == Title::Unclaimed
                        && case.policy.nature == Nature::Directory
                        && is_as_left(&case) =>
                {
                    claimed += 1;
                    Verdict::Act(Action::SetMeta { meta: local.meta, guard: Guard::Unchanged(stamp("ours")) })
                }
                _ => ever.clone(),
            };
            assert_eq!(inherits.judge(), expected, "{inherits:?}");
        }
    }
    assert!(put > 0 && claimed > 0, "nothing was gone, or there");
}

fn is_as_left(case: &Case) -> bool {
    match &case.remote {
        Sight::Unseen => true,
        Sight::Present((there, _)) => *there == stamp("ours") && !is_carried_anew(case),
        Sight::Absent | Sight::Troubled => false,
    }
}

/// The share followed those who had removed it elsewhere: another version of it here is news, unless the same is known as deleted.
/// Nothing else depends on it.
#[test]
fn what_the_share_followed_away_and_is_here_anew_is_not_removed_unseen() {
    let mut news = 0;
    let two_way = |case: &Case| case.policy.drift == Drift::Take && case.base.is_some();
    for case in every_case().into_iter().filter(two_way) {
        let ever = case.judge();
        let followed = Case { followed: true, ..case.clone() };
        let anew = match &case.remote {
            Sight::Present((stamp, seen)) if case.local == Sight::Absent && matches!(ever, Verdict::Adopt(_)) => {
                let ours = case.attempts.iter().any(|content| seen.holds(content) == Some(true));
                (!ours).then(|| (stamp.clone(), *seen))
            }
            _ => None,
        };
        news += usize::from(anew.is_some());
        let expected = match anew {
            None => ever,
            Some((stamp, seen)) => {
                let known: Vec<_> = case.tombstones.iter().map(|tombstone| tombstone.names(&seen)).collect();
                if known.contains(&Some(true)) {
                    Verdict::Hold(Hold::Returned)
                } else if known.contains(&None) {
                    Verdict::Examine
                } else {
                    Verdict::Take(Taking::Bring { stamp, seen })
                }
            }
        };
        assert_eq!(followed.judge(), expected, "{followed:?}");
    }
    assert!(news > 0, "nothing was there anew");
}

#[test]
fn a_guard_names_what_was_seen_or_left() {
    for case in every_case() {
        if let Verdict::Act(Action::Put { guard: Guard::Unchanged(found), .. }) = case.judge() {
            let seen_there = matches!(&case.remote, Sight::Present((stamp, _)) if *stamp == found);
            let left_there =
                matches!(case.remote, Sight::Unseen) && case.base.as_ref().is_some_and(|b| b.stamp == found);
            assert!(seen_there || left_there, "{case:?}: {found:?}");
        }
    }
}

#[test]
fn only_our_own_is_removed_and_only_when_told_to() {
    for case in every_case() {
        if let Verdict::Act(Action::Remove { guard }) = case.judge() {
            assert_eq!(case.local, Sight::Absent);
            assert_eq!(case.policy.deletes, Deletes::Propagate);
            assert_eq!(guard, Guard::Unchanged(stamp("ours")));
            assert!(case.base.is_some());
        }
    }
}

#[test]
fn an_open_attempt_is_examined_before_anything_is_changed() {
    for case in every_case() {
        if !case.attempts.is_empty() && matches!(case.remote, Sight::Unseen) {
            assert_eq!(case.judge(), Verdict::Examine, "{case:?}");
        }
    }
}

#[test]
fn only_equal_content_is_moved_and_only_to_a_vacant_place() {
    for case in every_case() {
        if let Verdict::Act(Action::Move { guard }) = case.judge() {
            let (Sight::Present(local), Some(origin)) = (case.local, &case.origin) else {
                panic!("{case:?}");
            };
            assert_eq!(local.content(), Some(origin.content));
            assert_eq!(guard, Guard::Unchanged(origin.stamp.clone()));
            assert!(case.origin_left, "{case:?}");
            let vacant = matches!(case.remote, Sight::Absent) || (case.base.is_none() && case.remote == Sight::Unseen);
            assert!(vacant, "{case:?}");
        }
    }
}

#[test]
fn settled_means_that_the_target_holds_what_the_share_holds() {
    for case in every_case() {
        if case.judge() == Verdict::Settled
            && let Sight::Present(local) = case.local
        {
            let base = case.base.as_ref().expect("nothing is settled without a base");
            assert_eq!(local.content(), Some(base.content), "{case:?}");
            assert_eq!(local.meta, base.meta, "{case:?}");
        }
    }
}

#[test]
fn meta_alone_never_sends_content_and_never_holds() {
    for case in every_case() {
        if let Sight::Present(local) = case.local
            && let Some(base) = &case.base
            && local.content() == Some(base.content)
            && matches!(&case.remote, Sight::Unseen | Sight::Present(_))
            && !matches!(&case.remote, Sight::Present((stamp, _)) if *stamp != base.stamp)
            && case.attempts.is_empty()
            && !is_carried_anew(&case)
        {
            let lazily = case.policy.nature == Nature::Bucket && local.meta == LATER;
            let expected = if local.meta == base.meta {
                Verdict::Settled
            } else if lazily {
                Verdict::Adopt(Base { meta: LATER, ..base.clone() })
            } else {
                Verdict::Act(Action::SetMeta { meta: local.meta, guard: Guard::Unchanged(base.stamp.clone()) })
            };
            assert_eq!(case.judge(), expected, "{case:?}");
        }
    }
}

/// Two-way, others changed what is carried with a folder in a directory, or with an object.
fn is_carried_anew(case: &Case) -> bool {
    let Sight::Present((there, found)) = &case.remote else { return false };
    let untold = if case.policy.nature == Nature::Bucket { content(1) } else { Content::FOLDER };
    let is_untold = case.base.as_ref().is_some_and(|base| base.content == untold && found.shape == untold.shape);
    case.policy.drift == Drift::Take && is_untold && *there == stamp("ours") && found.meta == OTHER
}

/// The world behind a view: an unseen remote is as we left it, an unread file holds what its id says.
fn truth_of(case: &Case) -> Option<(Stamp, Seen)> {
    let read = |(stamp, mut seen): (Stamp, Seen), base: &Option<Base>| {
        if seen.shape.kind == Kind::File && seen.digest.is_none() {
            let as_left = base.as_ref().filter(|b| b.stamp == stamp && b.content.shape == seen.shape);
            let id = if seen.shape.len == 30 { 3 } else { 1 };
            seen.digest = Some(as_left.map_or(content(id).digest, |b| b.content.digest));
        }
        (stamp, seen)
    };
    match (&case.remote, &case.base) {
        (Sight::Present(there), base) => Some(read(there.clone(), base)),
        (Sight::Unseen, Some(base)) => {
            let seen = Seen { shape: base.content.shape, digest: Some(base.content.digest), meta: base.meta };
            Some((base.stamp.clone(), seen))
        }
        (Sight::Unseen | Sight::Absent | Sight::Troubled, _) => None,
    }
}

/// Carries out verdicts on a one-path world until one of them asks for nothing.
#[test]
fn every_case_comes_to_rest() {
    for start in every_case() {
        let mut case = start.clone();
        let mut truth = truth_of(&case);
        // A base whose stamp is there but whose shape is another cannot be: stamps name versions.
        if let (Some((stamp, seen)), Some(base)) = (&truth, &case.base)
            && *stamp == base.stamp
            && seen.content() != Some(base.content)
        {
            continue;
        }
        let full = |local: Seen| Seen {
            digest: local.digest.or(Some(content(if local.shape.len == 30 { 3 } else { 1 }).digest)),
            ..local
        };
        let mut verdict = case.judge();
        for _ in 0..8 {
            let mut look = true;
            match verdict.clone() {
                Verdict::Settled | Verdict::Wait | Verdict::Hold(_) => break,
                Verdict::Examine => {}
                Verdict::Read(_) => {
                    case.local = case.local.map(full);
                    look = false;
                }
                Verdict::Adopt(base) => (case.base, case.attempts, look) = (Some(base), vec![], false),
                Verdict::Forget => (case.base, case.attempts) = (None, vec![]),
                Verdict::Moved => {
                    let origin = case.origin.take().expect("moved from somewhere");
                    (case.base, case.remote, look) = (Some(origin), Sight::Unseen, false);
                }
                Verdict::Act(Action::Put { content, .. }) => {
                    let Sight::Present(local) = case.local else { panic!("{start:?}") };
                    truth = Some((stamp("new"), local));
                    case.base = Some(Base { content, meta: local.meta, stamp: stamp("new") });
                    case.attempts = vec![];
                }
                Verdict::Act(Action::SetMeta { meta, .. }) => {
                    let (_, seen) = truth.take().expect("only what is there gets meta");
                    truth = Some((stamp("new"), Seen { meta, ..seen }));
                    let base = case.base.take().expect("only ours gets meta");
                    case.base = Some(Base { meta, stamp: stamp("new"), ..base });
                }
                Verdict::Act(Action::Move { .. }) => {
                    let origin = case.origin.take().expect("moved from somewhere");
                    let seen =
                        Seen { shape: origin.content.shape, digest: Some(origin.content.digest), meta: origin.meta };
                    truth = Some((origin.stamp.clone(), seen));
                    (case.base, case.attempts) = (Some(origin), vec![]);
                }
                Verdict::Act(Action::Remove { .. }) => (truth, case.base) = (None, None),
                Verdict::Take(Taking::Bring { stamp, .. }) => {
                    let (there, seen) = truth.clone().expect("only what is there is brought");
                    assert_eq!(there, stamp, "{start:?}");
                    let content = seen.content().expect("the truth is known");
                    case.local = Sight::Present(seen);
                    (case.base, case.attempts) = (Some(Base { content, meta: seen.meta, stamp }), vec![]);
                    look = false;
                }
                Verdict::Take(Taking::Carry { stamp, meta }) => {
                    case.local = case.local.map(|seen| Seen { meta, ..seen });
                    let base = case.base.take().expect("only ours gets meta");
                    (case.base, look) = (Some(Base { meta, stamp, ..base }), false);
                }
                Verdict::Take(Taking::Remove) => {
                    (case.local, case.base, look) = (Sight::Absent, None, false);
                }
            }
            if look {
                case.remote = truth.clone().map_or(Sight::Absent, Sight::Present);
            }
            verdict = case.judge();
        }
        assert!(matches!(verdict, Verdict::Settled | Verdict::Wait | Verdict::Hold(_)), "{start:?}: {verdict:?}");
        if let (Verdict::Settled, Sight::Present(local)) = (&verdict, case.local) {
            assert_eq!(truth.and_then(|(_, seen)| seen.content()), local.content(), "{start:?}");
        } else if verdict == Verdict::Settled && case.policy.drift == Drift::Take {
            assert_eq!(truth, None, "two-way, nothing is there that is not here: {start:?}");
        }
    }
}

/// Two-way, in a bucket: of an object of which the stamp tells nothing new the mode is taken, and no more.
#[test]
fn two_ways_the_mode_of_an_object_comes_along_without_its_time() {
    let judge = |local: Meta, found: Meta| {
        let case = Case {
            local: Sight::Present(seen(1, true, local)),
            base: Some(base(1, "ours")),
            title: Title::Clear,
            followed: false,
            attempts: vec![],
            remote: Sight::Present((stamp("ours"), seen(1, false, found))),
            origin: None,
            origin_left: true,
            policy: policy(Nature::Bucket, Drift::Take, Deletes::Propagate),
            tombstones: vec![],
        };
        case.judge()
    };
    let with_mode = Meta { mode: OTHER.mode, ..PLAIN };
    let ours = Meta { mode: 0o700, ..PLAIN };
    let table = [
        (PLAIN, OTHER, Verdict::Take(Taking::Carry { stamp: stamp("ours"), meta: with_mode })),
        (PLAIN, LATER, Verdict::Settled),
        (PLAIN, Meta::UNTOLD, Verdict::Settled),
        // Both did: the share's stays, and is set there next.
        (ours, OTHER, Verdict::Adopt(Base { meta: with_mode, ..base(1, "ours") })),
    ];
    for (local, found, wanted) in table {
        assert_eq!(judge(local, found), wanted, "{local:?}, {found:?}");
    }
}

/// The table of the design, row by row, in the words of the design.
#[test]
fn the_table_reads_as_designed() {
    let keep = POLICIES[0];
    let case = |local, base: Option<Base>, remote| Case {
        local,
        base,
        title: Title::Clear,
        followed: false,
        attempts: vec![],
        remote,
        origin: None,
        origin_left: true,
        policy: keep,
        tombstones: vec![],
    };
    let same = Sight::Present(seen(1, true, PLAIN));
    let changed = Sight::Present(seen(2, true, PLAIN));
    let theirs = |id, read| Sight::Present((stamp("theirs"), seen(id, read, PLAIN)));
    let ours = || Some(base(1, "ours"));
    let put = |id, guard| Verdict::Act(Action::Put { content: content(id), guard });
    let unchanged = |text| Guard::Unchanged(stamp(text));
    let adopted = |id| Verdict::Adopt(Base { content: content(id), meta: PLAIN, stamp: stamp("theirs") });
    let table = [
        (case(same, None, Sight::Unseen), put(1, Guard::Absent)),
        (case(same, ours(), Sight::Unseen), Verdict::Settled),
        (case(same, ours(), Sight::Absent), put(1, Guard::Absent)),
        (case(same, ours(), theirs(1, false)), Verdict::Examine),
        (case(same, ours(), theirs(1, true)), adopted(1)),
        (case(same, ours(), theirs(2, true)), Verdict::Hold(Hold::Drifted)),
        (case(same, ours(), theirs(3, false)), Verdict::Hold(Hold::Drifted)),
        (case(changed, ours(), Sight::Unseen), put(2, unchanged("ours"))),
        (case(changed, ours(), Sight::Absent), put(2, Guard::Absent)),
        (case(changed, ours(), theirs(2, true)), adopted(2)),
        (case(changed, None, theirs(2, true)), adopted(2)),
        (case(Sight::Absent, None, Sight::Unseen), Verdict::Settled),
        (case(Sight::Absent, ours(), Sight::Unseen), Verdict::Act(Action::Remove { guard: unchanged("ours") })),
        (case(Sight::Absent, ours(), Sight::Absent), Verdict::Forget),
        (case(Sight::Absent, ours(), theirs(2, false)), Verdict::Examine),
        (case(Sight::Absent, ours(), theirs(1, true)), adopted(1)),
        (case(Sight::Absent, ours(), theirs(2, true)), Verdict::Forget),
        (case(Sight::Absent, ours(), theirs(3, false)), Verdict::Forget),
        (case(Sight::Absent, Some(base(0, "ours")), theirs(0, true)), Verdict::Forget),
        (case(Sight::Absent, None, theirs(2, true)), Verdict::Settled),
        (case(Sight::Troubled, ours(), Sight::Unseen), Verdict::Hold(Hold::LocalTroubled)),
        (case(Sight::Unseen, ours(), Sight::Unseen), Verdict::Wait),
        (case(same, ours(), Sight::Troubled), Verdict::Hold(Hold::RemoteTroubled)),
    ];
    for (case, expected) in table {
        assert_eq!(case.judge(), expected, "{case:?}");
    }
}
