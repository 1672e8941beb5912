//! What an error of the operating system means for whoever has to go on.

use std::io;

use rustix::io::Errno;

/// Errors sorted by what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing of that name: `ENOENT`, or something on the way is no folder any more (`ENOTDIR`, `ELOOP`).
    Gone,
    /// We may not: `EACCES`, `EPERM`.
    Denied,
    /// What was open is no longer what the server knows: `ESTALE`.
    Stale,
    /// The device or what it holds is damaged, or it went away.
    Device,
    /// Too many files are open, in this process or in the system.
    Exhausted,
    /// Somebody holds it: `EAGAIN`, `EBUSY`, `ETXTBSY`.
    Held,
    /// Anything else.
    Other,
}

/// Sorts an error.
pub fn cause(error: &io::Error) -> Cause {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Cause::Gone,
        Some(Errno::ACCESS | Errno::PERM) => Cause::Denied,
        Some(Errno::STALE) => Cause::Stale,
        Some(Errno::IO | Errno::NXIO | Errno::NODEV | Errno::UCLEAN | Errno::BADMSG | Errno::REMOTEIO) => Cause::Device,
        Some(Errno::MFILE | Errno::NFILE) => Cause::Exhausted,
        Some(Errno::AGAIN | Errno::BUSY | Errno::TXTBSY) => Cause::Held,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_comes_next() {
        let told = |errno: Errno| cause(&io::Error::from(errno));
        assert_eq!(told(Errno::NOENT), Cause::Gone);
        assert_eq!(told(Errno::LOOP), Cause::Gone);
        assert_eq!(told(Errno::ACCESS), Cause::Denied);
        assert_eq!(told(Errno::STALE), Cause::Stale);
        assert_eq!(told(Errno::IO), Cause::Device);
        assert_eq!(told(Errno::MFILE), Cause::Exhausted);
        assert_eq!(told(Errno::AGAIN), Cause::Held);
        assert_eq!(told(Errno::INVAL), Cause::Other);
        assert_eq!(cause(&io::Error::other("no number")), Cause::Other);
    }
}
