//! Files on their way: small ones in memory, large ones in parts that the server keeps and nobody sees.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::parts::{Parts, PartsSink};
use super::{Inner, runtime};
use crate::model::{Content, ReadFault, Reading, RelPath, Sink};
use crate::target::{Read, StageError, Staged, Token};

/// What is staged.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// In memory.
    Whole(Content, Bytes),
    /// On the server, as an upload that is not completed.
    Parts(Box<Parts>),
}

impl Body {
    pub(super) fn content(&self) -> Content {
        match self {
            Self::Whole(content, _) => *content,
            Self::Parts(parts) => parts.content,
        }
    }
}

impl Inner {
    pub(super) fn stage_all(self: &Arc<Self>, paths: &[RelPath], read: Read<'_>) -> Vec<Result<Staged, StageError>> {
        let opened = runtime().block_on(self.open()).map(|_| ());
        if let Err(refusal) = opened {
            let error = refusal.into_error("stage", None);
            return paths.iter().map(|_| Err(StageError::Target(error.clone()))).collect();
        }
        paths.iter().map(|path| self.stage_one(path, read)).collect()
    }

    fn stage_one(self: &Arc<Self>, path: &RelPath, read: Read<'_>) -> Result<Staged, StageError> {
        let mut sink = MemorySink { bytes: Vec::new(), len: 0, max: self.setup.sizes.part };
        let reading = read(path, &mut sink).map_err(StageError::Read)?;
        let content = reading.content;
        if content.shape.len != sink.len {
            let cause = format!("{} bytes came, {} were announced", sink.len, content.shape.len);
            return Err(StageError::Read(ReadFault::Busy(cause)));
        }
        let body = if sink.is_whole() {
            Body::Whole(content, Bytes::from(sink.bytes))
        } else {
            Body::Parts(Box::new(self.send_parts(path, &reading, read)?))
        };
        let token = Token(self.counter.fetch_add(1, Ordering::Relaxed));
        self.staged().insert(token, body);
        Ok(Staged { token, reading })
    }

    /// What is too large for memory was read once to know what it is: its hash goes with the upload from its beginning.
    /// Now it is read again and sent; and what was sent has to be what was meant.
    fn send_parts(self: &Arc<Self>, path: &RelPath, meant: &Reading, read: Read<'_>) -> Result<Parts, StageError> {
        let failed = |refusal: super::Refusal| StageError::Target(refusal.into_error("stage", Some(path)));
        let mut sink = PartsSink::begin(self, path, meant).map_err(failed)?;
        let answer = read(path, &mut sink);
        match sink.end(path, &answer) {
            Ok(Some(parts)) => Ok(parts),
            Ok(None) => Err(StageError::Read(match answer {
                Err(fault) if fault != ReadFault::Sink => fault,
                Ok(_) | Err(_) => ReadFault::Busy("it changed while it was sent".to_owned()),
            })),
            Err(refusal) => Err(failed(refusal)),
        }
    }
}

/// Keeps up to `max` bytes; of a longer file only its length.
struct MemorySink {
    bytes: Vec<u8>,
    len: u64,
    max: u64,
}

impl MemorySink {
    fn is_whole(&self) -> bool {
        self.len <= self.max
    }

    /// True if there is room for what comes.
    fn grows(&mut self, by: u64) -> bool {
        self.len = self.len.saturating_add(by);
        if !self.is_whole() {
            self.bytes = Vec::new();
        }
        self.is_whole()
    }
}

impl Sink for MemorySink {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.grows(bytes.len() as u64) {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn hole(&mut self, len: u64) -> std::io::Result<()> {
        if self.grows(len) {
            let end = usize::try_from(self.len).map_err(std::io::Error::other)?;
            self.bytes.resize(end, 0);
        }
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        (self.bytes, self.len) = (Vec::new(), 0);
        Ok(())
    }
}
