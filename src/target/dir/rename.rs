//! Changing names in one step, by the best way that the file system knows.

use std::io;

use crate::model::Kind;
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::stat;

use super::Ways;
use super::fault::{is, says_unlinkable, says_unsupported};

impl Ways {
    /// Exchanges two names; an error that [`says_unsupported`] where that cannot be done.
    pub(super) fn exchange(self, one: Spot<'_>, other: Spot<'_>) -> io::Result<()> {
        if self == Self::Auto { sys::exchange(one, other) } else { Err(Errno::INVAL.into()) }
    }

    /// A second name; an error that [`says_unlinkable`] where there is none to be had.
    pub(super) fn link(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        if self == Self::Plain { Err(Errno::PERM.into()) } else { sys::link(from, to) }
    }

    fn rename_new(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        if self == Self::Auto { sys::rename_new(from, to) } else { Err(Errno::INVAL.into()) }
    }

    /// Renames to where nothing is; `EEXIST` otherwise.
    pub(super) fn place(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        match self.rename_new(from, to) {
            Err(err) if says_unsupported(&err) => self.place_by_link(from, to),
            result => result,
        }
    }

    fn place_by_link(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        // What kind it is cannot change.
        let st = sys::lstat_known(from)?;
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder) {
            return place_where_absent(from, to);
        }
        match self.link(from, to) {
            // RACE: `from` is replaced between the link and the unlink. In staging nobody does; for a `Move` the worst
            // case is that an outsider's version, saved at the old name within these microseconds, is lost.
            Ok(()) => sys::unlink(from),
            // The server made the link and its answer was lost: what lies there is the very same file.
            Err(err) if is(&err, Errno::EXIST) && is_same(from, to)? => sys::unlink(from),
            Err(err) if says_unlinkable(&err) => place_where_absent(from, to),
            Err(err) => Err(err),
        }
    }
}

/// RACE: a file that an outsider puts at `to` between the look and the rename is lost; a folder only if it is empty.
pub(super) fn place_where_absent(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    match sys::lstat(to) {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(err) if is(&err, Errno::NOENT) => sys::rename(from, to),
        Err(err) => Err(err),
    }
}

fn is_same(one: Spot<'_>, other: Spot<'_>) -> io::Result<bool> {
    let (one, other) = (sys::lstat(one)?, sys::lstat(other)?);
    Ok(one.stx_ino == other.stx_ino && stat::device(&one) == stat::device(&other))
}
