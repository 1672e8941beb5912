//! The last word before something is taken away or replaced: does this look like an accident, or like an attack?
//!
//! Changes of one target are counted by the hour, this hour and the one before together. The count is held against bounds
//! that are fixed but for the number of files there, and against what was normal there in the last weeks ([`normal`]).
//! Not here: what a file's name and its first bytes say ([`shape`](self::shape)), and what is done about a breach.

mod normal;
mod shape;

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

pub use normal::{HOURS_KEPT, normal};
pub use shape::{HEAD, HEAD_MIN, looks_like_noise, may_be_disguise, promises};

/// Files that were taken away or replaced on one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Files taken away.
    pub removed: u64,
    /// Files put in the place of others.
    pub replaced: u64,
    /// Those of both that bear the marks of encryption: noise where the name promises something else, or in the place of a
    /// file that gave way to noise under its own name with another suffix.
    pub scrambled: u64,
}

impl Changes {
    /// None.
    pub const NONE: Self = Self { removed: 0, replaced: 0, scrambled: 0 };

    /// True if there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Those that a halt for this cause is about.
    pub fn of(&self, cause: Cause) -> u64 {
        match cause {
            Cause::Removals => self.removed,
            Cause::Replacements => self.replaced,
            Cause::Encryption => self.scrambled,
        }
    }

    /// One by one with another, by kind.
    pub fn each(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            removed: combine(self.removed, other.removed),
            replaced: combine(self.replaced, other.replaced),
            scrambled: combine(self.scrambled, other.scrambled),
        }
    }
}

/// Saturates: a count never wraps.
impl Add for Changes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

/// How many changes of one kind pass without question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// So many always pass (count).
    pub least: u64,
    /// This part of the files that the target held passes too (0.0 to 1.0),
    pub share: f64,
    /// but no more than so many (count).
    pub most: u64,
}

impl Bound {
    /// How many pass on a target with so many files.
    fn of(&self, files: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count far below 2^52"
        )]
        let part = (files as f64 * self.share) as u64;
        part.clamp(self.least, self.most)
    }
}

/// How much may be taken away or replaced on one target within two hours before a person is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of files taken away.
    pub removals: Bound,
    /// Of files replaced by whatever.
    pub replacements: Bound,
    /// Of files with the marks of encryption.
    pub scrambled: Bound,
    /// The last of at least so many files is never taken away without question (count): a share that is emptied.
    pub emptied: u64,
    /// So many times what is normal passes too.
    pub leeway: u64,
}

impl Default for Limits {
    /// A clean-up, a branch switched and a nightly build pass; an accident does not.
    ///
    /// - Removals: a thousand files are a large clean-up; half of a share is none, and nobody takes ten thousand files away
    ///   within two hours without being able to say so.
    /// - Replacements lose less, for what is there stays: five thousand are a build or a branch switched in a large
    ///   repository; half of a share, or twenty thousand, are a program gone wild.
    /// - A share of twenty files or more that has lost all of them was emptied by mistake, or is a disk that did.
    /// - Marks of encryption have no innocent burst: a hundred are enough, and twenty in an office of two hundred files.
    fn default() -> Self {
        Self {
            removals: Bound { least: 1000, share: 0.5, most: 10_000 },
            replacements: Bound { least: 5000, share: 0.5, most: 20_000 },
            scrambled: Bound { least: 20, share: 0.1, most: 100 },
            emptied: 20,
            leeway: 2,
        }
    }
}

impl Limits {
    /// How many changes of this kind pass on a target with so many files, whatever is normal there.
    fn fixed(&self, cause: Cause, files: u64) -> u64 {
        match cause {
            Cause::Removals if files >= self.emptied => self.removals.of(files).min(files.saturating_sub(1)),
            Cause::Removals => self.removals.of(files),
            Cause::Replacements => self.replacements.of(files),
            Cause::Encryption => self.scrambled.of(files),
        }
    }
}

/// What is known when another change is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Files that the target held when it began.
    pub files: u64,
    /// Changes within the hour and the one before, with those under way, those that wait and the one that is asked for.
    pub changes: Changes,
    /// What is normal there.
    pub normal: Changes,
}

/// What looks like an accident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Too many files would be taken away.
    #[default]
    Removals,
    /// Too many files would be replaced.
    Replacements,
    /// Files are replaced the way ransomware does it.
    Encryption,
}

/// A reason to stop a target until an administrator says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What it looks like.
    pub cause: Cause,
    /// How many.
    pub count: u64,
    /// So many would have passed.
    pub limit: u64,
    /// Of how many files.
    pub files: u64,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, count, limit, files } = self;
        match cause {
            Cause::Removals => write!(
                f,
                "removing {count} of the {files} files on this target looks like an accident (up to {limit} within two \
                 hours pass); nothing more is changed there"
            ),
            Cause::Replacements => write!(
                f,
                "replacing {count} of the {files} files on this target looks like an accident (up to {limit} within two \
                 hours pass); nothing more is changed there"
            ),
            Cause::Encryption => write!(
                f,
                "{count} files were overwritten with what looks encrypted, the way ransomware does it (up to {limit} \
                 within two hours pass); nothing more is changed there"
            ),
        }
    }
}

/// Refuses a change that looks like part of an accident, the gravest first.
pub fn vet(census: &Census, limits: &Limits) -> Result<(), Breach> {
    let Census { files, changes, normal } = *census;
    let table = [
        (Cause::Encryption, changes.scrambled, normal.scrambled),
        (Cause::Removals, changes.removed, normal.removed),
        (Cause::Replacements, changes.replaced, normal.replaced),
    ];
    for (cause, count, normal) in table {
        let limit = limits.fixed(cause, files).max(normal.saturating_mul(limits.leeway));
        if count > limit {
            return Err(Breach { cause, count, limit, files });
        }
    }
    Ok(())
}

/// What still waits while a target is halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Files to take away, files to replace, and those of both with the marks of encryption.
    pub changes: Changes,
    /// Files that differ, of which nobody knows yet what they hold.
    pub unread: u64,
}

/// Whether a halt has lost its cause: what still waits is known, bears no mark of encryption, and is not half of what would
/// halt it again.
pub fn is_over(waiting: &Waiting, files: u64, limits: &Limits) -> bool {
    let Changes { removed, replaced, scrambled } = waiting.changes;
    let few = |cause, count| count <= limits.fixed(cause, files) / 2;
    let few = few(Cause::Removals, removed) && few(Cause::Replacements, replaced);
    waiting.unread == 0 && scrambled == 0 && few
}

/// What is kept of a halt, and shown. It is written down when it begins, and anew when more is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Halt {
    /// What it looks like.
    pub cause: Cause,
    /// In one sentence.
    pub message: String,
    /// When the first of these changes was noticed (nanoseconds since 1970); 0 if it is not known.
    pub since: i64,
    /// Within two hours, with what waited.
    pub changes: Changes,
    /// Files that the target held.
    pub files: u64,
    /// So many changes of this kind would have passed.
    pub limit: u64,
    /// What they come to on the target (bytes).
    pub bytes: u64,
    /// In how many folders they lie.
    pub folders: u64,
    /// The folders with most of them, escaped for printing, and how many.
    pub top: Vec<(String, u64)>,
    /// Some of the paths, escaped for printing.
    pub samples: Vec<String>,
}

#[cfg(test)]
mod tests;
