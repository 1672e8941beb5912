//! Looks at one path, and finds out what it holds: from a stored hash, from an MD5, or by reading it.

use md5::{Digest as _, Md5};

use super::fault::{Outcome, Refusal};
use super::listing::Found;
use super::wire::{Wire, cut_off};
use super::{Inner, object};
use crate::model::{Digest, Kind, ReadFault, RelPath, Sink};
use crate::target::{Depth, Read, Remote, TargetError};

/// How often a reading that was cut off goes on where it was (count).
const GOES_ON_MAX: u32 = 5;

/// Something that was looked at, and what else is known of its bytes.
pub(super) struct Compared {
    remote: Remote,
    md5: Option<[u8; 16]>,
}

impl Inner {
    pub(super) async fn look(&self, path: &RelPath, depth: Depth) -> Outcome<Option<Remote>> {
        let wire = self.open().await?;
        let Some(found) = self.find(&wire, path).await? else { return Ok(None) };
        let mut remote = found.remote();
        match depth {
            Depth::Stamp => {}
            Depth::Content => self.read_if_unknown(&wire, path, &mut remote).await?,
            Depth::Bytes => self.read_afresh(&wire, path, &mut remote).await?,
        }
        if remote.seen.shape.kind == Kind::Folder {
            self.folders.remember(path);
        }
        Ok(Some(remote))
    }

    /// A look with what may prove its content, short of reading it; unless it is to be read.
    pub(super) async fn look_for_proof(&self, path: &RelPath) -> Outcome<Option<Compared>> {
        let wire = self.open().await?;
        let Some(found) = self.find(&wire, path).await? else { return Ok(None) };
        let mut remote = found.remote();
        if self.setup.adopt_read {
            self.read_if_unknown(&wire, path, &mut remote).await?;
        }
        let md5 = match &found {
            Found::Object(head) => head.md5(),
            Found::Marked(_) | Found::Implied => None,
        };
        Ok(Some(Compared { remote, md5 }))
    }

    /// The hash that is stored beside an object tells what was put there once, not what its bytes are now.
    async fn read_afresh(&self, wire: &Wire<'_>, path: &RelPath, remote: &mut Remote) -> Outcome<()> {
        if remote.seen.shape.kind == Kind::File {
            remote.seen.digest = None;
            self.read_if_unknown(wire, path, remote).await?;
        }
        Ok(())
    }

    async fn read_if_unknown(&self, wire: &Wire<'_>, path: &RelPath, remote: &mut Remote) -> Outcome<()> {
        if remote.seen.content().is_none() {
            let etag = object::etag_of(&remote.stamp).unwrap_or_default();
            let digest = digest_of(wire, &self.prefix.object(path), &etag, remote.seen.shape.len).await?;
            remote.seen.digest = Some(digest);
        }
        Ok(())
    }
}

/// Reads an object from end to end; what was cut off goes on where it was.
async fn digest_of(wire: &Wire<'_>, key: &str, etag: &str, len: u64) -> Outcome<Digest> {
    let (mut hasher, mut at, mut left) = (blake3::Hasher::new(), 0, GOES_ON_MAX);
    while at < len {
        let mut body = wire.get(key, etag, at).await?;
        loop {
            match body.try_next().await {
                Ok(Some(bytes)) => {
                    hasher.update(&bytes);
                    at += bytes.len() as u64;
                }
                Ok(None) => break,
                Err(error) if left == 0 => return Err(cut_off(&error)),
                Err(_) => break,
            }
        }
        if at < len {
            left = left.checked_sub(1).ok_or_else(|| cut_off(&"it ends again and again"))?;
        }
    }
    if at > len {
        return Err(Refusal::stale("it is longer than it was said to be"));
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

impl Compared {
    /// With its digest: the share's, if an MD5 proves that both hold the same; else [`Digest::UNPROVED`].
    pub(super) fn proved(self, path: &RelPath, mine: Read<'_>) -> Result<Remote, TargetError> {
        let Self { mut remote, md5 } = self;
        if remote.seen.content().is_some() {
            return Ok(remote);
        }
        remote.seen.digest = Some(match md5 {
            Some(md5) => prove(path, md5, mine)?.unwrap_or(Digest::UNPROVED),
            None => Digest::UNPROVED,
        });
        Ok(remote)
    }
}

fn prove(path: &RelPath, md5: [u8; 16], mine: Read<'_>) -> Result<Option<Digest>, TargetError> {
    let mut sink = Summing(Md5::new());
    match mine(path, &mut sink) {
        Ok(reading) => Ok((sink.0.finalize()[..] == md5).then_some(reading.content.digest)),
        Err(fault) => {
            let why = match fault {
                ReadFault::Busy(why) | ReadFault::Offline(why) => why,
                ReadFault::Absent | ReadFault::Changed => "it changed on the share".to_owned(),
                ReadFault::Troubled(trouble) => trouble.message,
                ReadFault::Sink | ReadFault::InHand => "it was not read to its end".to_owned(),
            };
            Err(Refusal::stale(format!("the share's file cannot be compared with it: {why}"))
                .into_error("look at", Some(path)))
        }
    }
}

struct Summing(Md5);

impl Sink for Summing {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.update(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> std::io::Result<()> {
        let zeros = [0; 64 << 10];
        let mut left = len;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            self.0.update(&zeros[..now]);
            left -= now as u64;
        }
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.0 = Md5::new();
        Ok(())
    }
}
