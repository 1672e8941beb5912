//! How the bytes of a file pass from the share to whoever wants them.

/// Takes the bytes of one file, in order.
pub trait Sink {
    /// The next bytes.
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// The next `len` bytes are zeros that take no space at the source.
    fn hole(&mut self, len: u64) -> std::io::Result<()>;
    /// Begins again from the first byte: the source changed while it was read.
    fn restart(&mut self) -> std::io::Result<()>;
    /// Whether the bytes of a file of this length are wanted at all, if it is known already what it holds.
    fn wants(&self, _len: u64) -> bool {
        true
    }
}

/// Why a file of the share could not be brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// It is no longer there.
    Absent,
    /// Someone has it open for writing, or it changed while it was read: later.
    Busy(String),
    /// It is not what it was said to be (a folder in place of a file): look again.
    Changed,
    /// It cannot be read.
    Troubled(crate::model::Trouble),
    /// The share is not the one it was bound to: nothing can be said of any path.
    Offline(String),
    /// The sink failed: the fault is the target's.
    Sink,
    /// Another target's thread reads it just now: what it holds will be known soon, without reading it as well.
    InHand,
}
