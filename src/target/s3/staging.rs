//! Files on their way: small ones in memory, large ones in parts that the server keeps and nobody sees.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::blocks::Filling;
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
            let error = refusal.of_a_change().into_error("stage", None);
            return paths.iter().map(|_| Err(StageError::Target(error.clone()))).collect();
        }
        let mut full = |(token, content), bytes| _ = self.staged().insert(token, Body::Whole(content, bytes));
        let mut filling = Filling::new(&self.blocks, &mut full);
        let staged = paths.iter().map(|path| self.stage_one(path, read, &mut filling)).collect();
        filling.end_all();
        staged
    }

    fn stage_one(
        self: &Arc<Self>,
        path: &RelPath,
        read: Read<'_>,
        filling: &mut Filling<'_, (Token, Content)>,
    ) -> Result<Staged, StageError> {
        let token = Token(self.counter.fetch_add(1, Ordering::Relaxed));
        let mut sink = MemorySink { filling, len: 0, max: self.setup.sizes.part };
        let answer = sink.take(path, read);
        let is_whole = |reading: &Reading| reading.content.shape.len <= self.setup.sizes.part;
        let reading = match answer {
            Ok(reading) if is_whole(&reading) => {
                filling.finish((token, reading.content));
                return Ok(Staged { token, reading });
            }
            answer => {
                filling.cancel();
                answer?
            }
        };
        let parts = self.send_parts(path, &reading, read)?;
        self.staged().insert(token, Body::Parts(Box::new(parts)));
        Ok(Staged { token, reading })
    }

    /// What is too large for memory was read once to know what it is, if that was not known: its hash goes with the upload
    /// from its beginning. Now it is read and sent; and what was sent has to be what was meant.
    fn send_parts(self: &Arc<Self>, path: &RelPath, meant: &Reading, read: Read<'_>) -> Result<Parts, StageError> {
        let failed =
            |refusal: super::Refusal| StageError::Target(refusal.of_a_change().into_error("stage", Some(path)));
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
struct MemorySink<'a, 'b> {
    filling: &'a mut Filling<'b, (Token, Content)>,
    len: u64,
    max: u64,
}

impl MemorySink<'_, '_> {
    fn take(&mut self, path: &RelPath, read: Read<'_>) -> Result<Reading, StageError> {
        let reading = read(path, self).map_err(StageError::Read)?;
        // Of a longer one nothing is kept, and where it is known what it holds, nothing came.
        if reading.content.shape.len == self.len || !self.wants(reading.content.shape.len) {
            return Ok(reading);
        }
        let cause = format!("{} bytes came, {} were announced", self.len, reading.content.shape.len);
        Err(StageError::Read(ReadFault::Busy(cause)))
    }

    fn is_whole(&self) -> bool {
        self.len <= self.max
    }

    /// True if there is room for what comes.
    fn grows(&mut self, by: u64) -> bool {
        self.len = self.len.saturating_add(by);
        if !self.is_whole() {
            self.filling.cancel();
        }
        self.is_whole()
    }
}

impl Sink for MemorySink<'_, '_> {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.grows(bytes.len() as u64) {
            self.filling.add(bytes);
        }
        Ok(())
    }

    fn hole(&mut self, len: u64) -> std::io::Result<()> {
        if self.grows(len) {
            self.filling.add_zeros(usize::try_from(len).map_err(std::io::Error::other)?);
        }
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.filling.cancel();
        self.len = 0;
        Ok(())
    }

    fn wants(&self, len: u64) -> bool {
        len <= self.max
    }
}
