//! driftline keeps an office's shared folders safe: it watches them, hashes what changes, keeps a verified copy on every
//! target, and is the one place that can say, with a date, whether everything is safe.
//!
//! This page is the architecture. The words (share, target, content, meta, stamp, sight, base, attempt, hold, halt, lane)
//! are the modules' own: each is defined where its type is, most of them in [`model`] and [`plan`].
//!
//! # Floors
//!
//! Imports go down only; `tests/it/architecture.rs` reads the sources and holds that.
//!
//! ```text
//! floor 4   people      cli/      what is typed and printed, exit codes; the only place that prints
//! floor 3   engine      engine/   core, desk (a share's side), lane (a target's side): synchronous, event in, commands out
//!                                 drive (runs them), hands (threads that block), folder and state (what is left on disk)
//!                                 preview (the dry run), restore (having things back), clock (reads clocks)
//! floor 2   adapters    index/    what is known, in SQLite
//!                       local/    the share: scanning, looking, reading, watching
//!                       target/   the places copies are kept in: the trait and its kinds
//! floor 1½  the system  sys/      the operating system as it is needed here: the only user of rustix and libc
//! floor 1   decisions   plan/  settle  rest  names  config/               pure functions
//! floor 0   values      model/                                     no I/O, no clock
//! ```
//!
//! The adapters do not know each other, and each is the only user of its library. `sys` is half a floor: it knows
//! values, and neither decisions nor places; the adapters stand on it, so that `openat2` and `statx` are written once.
//!
//! # Flow
//!
//! ```text
//! watch  --touched, lost track-->  core: settle -> read -> index.local
//! scan   --pages of folders----->        dirty path -> view -> reconcile -> order -> vet --> lanes
//! lanes  --listed, looked,
//!          staged, changed------>        index.base (attempt cleared), path dirty again; or fault.remedy()
//! timer  --tick, audit due------>        each turn is one transaction: commit first, then send the commands
//! ```
//!
//! A put has two halves. First it is **staged**: the file's bytes are read once, hashed while they are copied, and made
//! durable in the target's staging, where nobody sees them. Then the decision is made **again**, now that the digest is
//! known: the target may hold that content already (adopt it), or the file may have changed meanwhile (discard). Only then
//! is it **published**, under a guard that the target checks in the same step. An attempt is recorded before, so that a
//! lost answer leaves no stranger.
//!
//! How often the share is read follows from that. A file of at most 8 MiB is read and hashed once for all targets that want it in
//! the same moments. A longer one is hashed once, on its way to the first of them; each reads it to send it, but from memory:
//! with several targets the kernel is not told to give its pages up, and the disk is read once where there is room for them. A
//! bucket has to know its hash before it is sent the first byte: it has it from the index, or from the target that is just reading
//! the file, for which its lane does other things meanwhile, and only while that one gets on well (`local::Recent`). Else the
//! bucket reads it once more, for the hash alone.
//!
//! # Two ways
//!
//! With `drift = "take"` what others change on a target comes to the share. The same decision is made with the same base
//! ([`plan::Taking`] is what it says then): where one side alone has changed, the other follows; an edit is worth more than a
//! removal; where both have edited, equal is no conflict, else the share's version stays under the name and theirs goes to the
//! target's history. That a version gave way so is a **conflict** (`index::Conflict`): written down in the same turn as the attempt
//! that makes it give way, so that no crash loses it, and kept until a person has resolved it (`engine::resolve`); so long history
//! keeps all versions of the path. The list is lost with the index, the versions are not. A folder on one side and something else
//! on the other waits for a person. The share is written to by `local::Landing` as carefully as a target: staged, under a guard,
//! never over what somebody has open, and what gives way is kept in its `.driftline/kept/`. The breaker judges these changes too.
//!
//! What was never ours is news, but for an old copy of what the share deleted. A removal that was made on a target leaves a
//! **tombstone** ([`plan::Tombstone`]) in the index for as long as history is kept, and what it names waits for a person, who
//! alone knows whether it is wanted again. What others removed and the share followed is theirs to put back on that target. An
//! index that was lost knows of none: once in a run, before the first thing that is news is brought, each target tells from its
//! history what lay there and is gone. A target that is away is not waited for for ever: then an old delete may come back as a
//! file, and nothing is lost.
//!
//! A removal is followed only where it is newer than what the share has. What was left on a target before that came to be at its
//! path (in a folder that was renamed, of a file that was away and is back, of one that others put again on another target) is
//! **inherited** until it is seen there: gone, it is put again. What the share has again while others may still be about to remove
//! it is **claimed**: its stamp is changed, so that their guards refuse ([`plan::Title`]). Nor is what others put again on one
//! target removed there because the share followed them on another.
//!
//! # Several agents
//!
//! Agents with the same share id may write to one target: every change carries its guard, so that none of them overwrites what
//! it has not seen, and two-way they come to the same. Each leaves a **card** there (`.driftline/agents/`) with a sign of its
//! run. [`plan::standing`] says what a sign means: one that the state folder does not know is a copy's, of a machine that was
//! cloned or brought back from a backup, and of two copies at most one goes on. No clock is compared, and no server is ours.
//!
//! # What was
//!
//! What a change replaces or removes stays on the target, in history or as a bucket's own version. A **ledger** beside it
//! tells what that does not: since when something is there, and what was renamed. From both, and from what is there now,
//! `index::Recall` puts together what lay on a target at any time; `engine::restore` reads it back, proves it by its hash,
//! and `local::Landing` puts it where it is wanted, as carefully as on a target. None of that needs an index that survived.
//!
//! # Rules
//!
//! 1. Decide in pure functions, act elsewhere. The whole policy is [`plan::reconcile`].
//! 2. Time and chance are arguments. One place reads the clock.
//! 3. The index stores observations and what was left where, never a to-do list: work is derived from it, so that a crash
//!    leaves nothing to repair. Its `open` rows, the paths on which a target differs, are such a derived state: each can be
//!    found again by comparing what was seen with what was left. The one exception is the attempt, kept in them.
//! 4. Absence needs evidence: a complete, error-free reading of the folder whose identity held, or a look at the path; and
//!    near a fault of the storage none is enough. Not knowing is a value ([`model::Sight`]); *troubled* is never *absent*.
//! 5. Every change on a target carries a guard ([`plan::Guard`]). What race is left is named in a comment that begins
//!    `RACE:` and says the worst case.
//! 6. The last word against mass damage is said where changes are made ([`plan::vet`]), whatever the plan says: removals and
//!    replacements of each target are counted by the hour, held against fixed bounds and against what was normal there in
//!    four weeks, and so are the marks of encryption (noise where a name promises a document). A halt holds all publishing on
//!    its target; the share goes on being recorded, and the halt lifts itself once what caused it is undone.
//! 7. Roots and targets are bound to an identity. Another identity, or none, is "offline", never "empty".
//! 8. What is published is one consistent version, and success is reported after it is durable.
//! 9. No call on a network file system from the core: each lane has threads of its own, and waits for no other.
//! 10. Everything has a bound with a name and a unit. A lost watch event costs a rescan, never a file.
//! 11. A configuration that is read while the agent runs is compared with the one in effect ([`config::merge`]): what would hide
//!     or destroy files waits for a person, and a file that is wrong changes nothing.
//! 12. The index is disposable: without it the truth is found again from the targets, without conflicts or deletes.
//!
//! # What differs from what one might expect
//!
//! - Content is kind, length and digest. The executable bit travels in [`model::Meta`] with the other permission bits: one
//!   rule for all of the mode, and a `chmod` never sends a file again.
//! - There is one trait, for targets, because there are two kinds of them. Time is an argument, not a trait; the file
//!   system is behind commands, not behind a trait; an index in memory is the fake index.
//! - Where the two kinds of target differ in what may be decided, the policy says so in one word ([`plan::Nature`]): a
//!   bucket's stamp is its content's, it renames files one by one, a time that alone changed waits, and it is asked nothing
//!   while nothing has to be done.
//! - A listing is a hint. Two sorted listings are never merged in lock-step (`a/x` and `a-b` sort differently in a walk
//!   and in a bucket), and absence is never read out of an order: the index joins them.
//!
//! # Where to start reading
//!
//! [`plan::reconcile`] with its table of all cases; then [`model`] for the values, the head of `target` for what a place
//! promises, and [`config`] for what an administrator can choose. [`cli::report`] is what `status` says.

pub mod cli;
pub mod config;
pub mod engine;
pub mod index;
pub mod local;
pub mod model;
pub mod names;
pub mod plan;
pub mod rest;
pub mod settle;
pub mod sys;
pub mod target;
