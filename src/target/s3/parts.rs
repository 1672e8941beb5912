//! Files of several parts: sent as they are read, several parts at once, and gone on with after they were cut off.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::abilities::Checksum;
use super::blocks::Blocks;
use super::connection::runtime;
use super::fault::{Outcome, Refusal};
use super::record::{Record, Records};
use super::wire::{Checked, Copy, Made, Part, Wire};
use super::{Inner, object, sums};
use crate::model::{Content, Digest, Meta, ReadFault, Reading, RelPath, Sink};
use crate::target::Fault;

/// Parts of one object (count): S3's limit is 10,000.
const PARTS_MAX: u64 = 9_000;
/// Bytes that a part is a multiple of, where it has to be larger than usual.
const GRAIN: u64 = 1 << 20;
/// An upload of ours that nobody went on with for so long is given up.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// An upload whose parts are all there.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) content: Content,
    /// What its object will carry.
    pub(super) meta: Meta,
    pub(super) key: String,
    pub(super) upload: String,
    pub(super) parts: Vec<Part>,
    pub(super) whole: Option<Checked>,
}

/// What the tasks that send parts work with.
struct Upload {
    inner: Arc<Inner>,
    key: String,
    id: String,
}

/// Takes the bytes of one file and sends them in parts.
pub(super) struct PartsSink {
    upload: Arc<Upload>,
    meant: Content,
    meta: Meta,
    part: usize,
    /// Parts that the server has already, by their numbers.
    there: HashMap<i32, Part>,
    blocks: Arc<Blocks>,
    buffer: Vec<u8>,
    number: i32,
    taken: u64,
    /// Hashes what is sent, where the file grows while it is read: whoever reads it then hashes more than that.
    hasher: Option<blake3::Hasher>,
    whole: sums::Whole,
    room: Arc<Semaphore>,
    running: JoinSet<Outcome<Part>>,
    done: Vec<Part>,
    failed: Option<Refusal>,
    /// The file began again: what was sent is not what was meant.
    spoiled: bool,
}

impl PartsSink {
    /// Goes on with the upload of the same content, or begins one.
    pub(super) fn begin(inner: &Arc<Inner>, path: &RelPath, meant: &Reading) -> Outcome<Self> {
        let key = inner.prefix.object(path);
        let (content, meta) = (meant.content, meant.stat.meta);
        let part = part_size(content.shape.len, inner.setup.sizes.part);
        let (upload, there) = runtime().block_on(inner.upload_for(&key, &content, &meta, part))?;
        let upload = Arc::new(Upload { inner: Arc::clone(inner), key, id: upload });
        let at_once = (inner.setup.sizes.parts_under_way as u64 * inner.setup.sizes.part / part).max(1);
        let size = usize::try_from(part).unwrap_or(usize::MAX);
        Ok(Self {
            upload,
            meant: content,
            meta,
            part: size,
            there: there.into_iter().map(|part| (part.number, part)).collect(),
            blocks: Blocks::new(size, usize::try_from(at_once).unwrap_or(1)),
            buffer: Vec::new(),
            number: 1,
            taken: 0,
            hasher: inner.grows(path).then(blake3::Hasher::new),
            whole: sums::Whole::default(),
            room: Arc::new(Semaphore::new(usize::try_from(at_once).unwrap_or(1))),
            running: JoinSet::new(),
            done: Vec::new(),
            failed: None,
            spoiled: false,
        })
    }

    /// All parts are there; `None` if what was sent is not what was meant. Its upload is given up then.
    ///
    /// `read` is what the reader says that it gave.
    pub(super) fn end(mut self, path: &RelPath, read: &Result<Reading, ReadFault>) -> Outcome<Option<Parts>> {
        if !self.buffer.is_empty() {
            self.send_buffer();
        }
        runtime().block_on(async {
            while let Some(ended) = self.running.join_next().await {
                self.arrived(ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic())));
            }
        });
        if let Some(refusal) = self.failed {
            // The upload stays: it goes on where it was.
            return Err(refusal);
        }
        let all = self.taken == self.meant.shape.len && !self.spoiled;
        let is_meant = match &self.hasher {
            Some(hasher) => Digest(*hasher.finalize().as_bytes()) == self.meant.digest,
            None => read.as_ref().is_ok_and(|reading| reading.content == self.meant),
        };
        if !(all && is_meant) {
            if all {
                self.upload.inner.remember_growing(path);
            }
            runtime().block_on(self.upload.inner.give_up(&self.upload.key, &self.upload.id));
            return Ok(None);
        }
        self.done.sort_by_key(|part| part.number);
        Ok(Some(Parts {
            content: self.meant,
            meta: self.meta,
            key: self.upload.key.clone(),
            upload: self.upload.id.clone(),
            parts: self.done,
            whole: self.whole.checked(self.upload.inner.checksum()),
        }))
    }

    fn arrived(&mut self, answer: Outcome<Part>) {
        match answer {
            Ok(part) => self.done.push(part),
            Err(refusal) => self.failed = Some(refusal),
        }
    }

    /// What the file was longer by when it was read again is not of this version.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.meant.shape.len.saturating_sub(self.taken);
        let mut bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.taken += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.part - self.buffer.len()));
            if self.buffer.capacity() == 0 {
                self.buffer = self.blocks.take();
            }
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == self.part {
                self.send_buffer();
            }
            bytes = later;
        }
        if self.failed.is_some() { Err(io::Error::other("a part was not sent")) } else { Ok(()) }
    }

    /// Waits until there is room in memory for another part.
    fn send_buffer(&mut self) {
        let body = self.blocks.lend(std::mem::take(&mut self.buffer));
        let number = self.number;
        self.number += 1;
        let upload = Arc::clone(&self.upload);
        let checksum = self.whole.add(&body, upload.inner.checksum());
        let known = self.there.remove(&number).filter(|part| is_same(part, &body, &checksum));
        if let Some(part) = known {
            self.done.push(Part { checksum: Some(checksum.value), ..part });
            return;
        }
        let room = Arc::clone(&self.room);
        let room = runtime().block_on(room.acquire_owned()).expect("the room is never closed");
        while let Some(ended) = self.running.try_join_next() {
            self.arrived(ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic())));
        }
        if self.failed.is_none() {
            self.running.spawn_on(
                async move {
                    let answer = upload.send(number, &body, &checksum).await;
                    drop(room);
                    answer
                },
                runtime().handle(),
            );
        }
    }
}

impl Upload {
    async fn send(&self, number: i32, body: &Bytes, checksum: &Checked) -> Outcome<Part> {
        let wire = self.inner.open().await?;
        wire.put_part((&self.key, &self.id), number, body, checksum).await
    }
}

/// Whether a part that lies there is this one: by the checksum that the server verified, or by its ETag if that is an MD5.
fn is_same(part: &Part, body: &Bytes, checksum: &Checked) -> bool {
    if part.len != body.len() as u64 {
        return false;
    }
    if let Some(there) = &part.checksum {
        return *there == checksum.value;
    }
    use md5::Digest as _;
    let md5 = md5::Md5::digest(body);
    let hex: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
    part.etag.trim_matches('"') == hex
}

fn part_size(len: u64, usual: u64) -> u64 {
    let least = len.div_ceil(PARTS_MAX);
    if least <= usual { usual } else { least.div_ceil(GRAIN) * GRAIN }
}

impl Sink for PartsSink {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes)
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut left = len;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            self.take(&zeros[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.spoiled = true;
        Err(io::Error::other("it changed while it was sent"))
    }
}

impl Inner {
    fn records(&self) -> Records {
        Records::new(self.setup.state.as_ref().map(|state| state.join("uploads")))
    }

    /// The upload to go on with and the parts that are there, or a new one. An upload of another version of the same key
    /// is given up.
    async fn upload_for(&self, key: &str, content: &Content, meta: &Meta, part: u64) -> Outcome<(String, Vec<Part>)> {
        let wire = self.open().await?;
        let metadata = object::metadata(content, meta, None);
        let wanted = Record {
            key: key.to_owned(),
            upload: String::new(),
            digest: content.digest.to_string(),
            len: content.shape.len,
            part,
            carries: Digest::of(format!("{meta:?} {:?}", wire.abilities.checksum).as_bytes()).short(),
            begun: (self.setup.clock.wall)().0,
        };
        if let Some(known) = self.records().of(key) {
            if known.is_of(&wanted)
                && let Some(parts) = wire.parts(key, &known.upload).await?
            {
                return Ok((known.upload, parts));
            }
            self.give_up(key, &known.upload).await;
        }
        let upload = wire.begin_parts(key, &metadata).await?;
        // RACE: killed between the two, this upload is not known to be ours: the bucket's lifecycle rule ends it.
        self.records().remember(&Record { upload: upload.clone(), ..wanted }).map_err(|err| {
            let hint = "free space in the state folder, or let the agent's user write there";
            Refusal::fault(Fault::Unreachable, format!("the upload cannot be remembered: {err}"), hint)
        })?;
        Ok((upload, Vec::new()))
    }

    /// That it could not be given up is left to a later sweep.
    async fn give_up(&self, key: &str, upload: &str) {
        let Ok(wire) = self.open().await else { return };
        if wire.drop_parts(key, upload).await.is_ok() {
            self.records().forget(key);
        }
    }

    /// The upload is an object now.
    pub(super) fn completed(&self, key: &str) {
        self.records().forget(key);
    }

    /// Gives up uploads of ours that nobody went on with. Sends nothing if there are none.
    pub(super) async fn sweep(&self) -> Outcome<u64> {
        let now = (self.setup.clock.wall)();
        let mut old = self.records().all();
        old.retain(|record| now.since(record.begun()) > LEFT_BEHIND && !self.is_staged(&record.upload));
        if old.is_empty() && self.setup.state.is_some() {
            return Ok(0);
        }
        let wire = self.open().await?;
        let mut swept = 0;
        for record in old {
            wire.drop_parts(&record.key, &record.upload).await?;
            self.records().forget(&record.key);
            swept += 1;
        }
        Ok(swept)
    }

    fn is_staged(&self, upload: &str) -> bool {
        self.staged().values().any(|body| match body {
            super::Body::Whole(..) => false,
            super::Body::Parts(parts) => parts.upload == upload,
        })
    }
}

impl Wire<'_> {
    /// Copies an object that is too large for one request, in parts; with the metadata of the copy, which is needed.
    pub(super) async fn copy_in_parts(&self, copy: &Copy<'_>, metadata: &HashMap<String, String>) -> Outcome<Made> {
        let upload = self.begin_parts(copy.to, metadata).await?;
        let copied = self.copy_parts(copy, &upload).await;
        if copied.is_err() {
            let _left = self.drop_parts(copy.to, &upload).await;
        }
        copied
    }

    async fn copy_parts(&self, copy: &Copy<'_>, upload: &str) -> Outcome<Made> {
        let step = part_size(copy.len, self.setup.sizes.copy_part);
        let mut parts = Vec::new();
        let (mut at, mut number) = (0, 1);
        while at < copy.len {
            let end = (at + step).min(copy.len);
            parts.push(self.copy_part((copy.to, upload), number, copy, at..end).await?);
            (at, number) = (end, number + 1);
        }
        let condition = copy.to_absent.then_some(super::wire::Condition::Absent);
        let condition =
            condition.or_else(|| (copy.to == copy.from).then(|| super::wire::Condition::Match(copy.etag.to_owned())));
        let condition = condition.filter(|_| self.abilities.parts_match);
        self.end_parts((copy.to, upload), &parts, None, condition.as_ref()).await
    }

    /// Makes an object of its parts; after an answer that says nothing, again: a second time finds no upload.
    pub(super) async fn end_parts(
        &self,
        place: (&str, &str),
        parts: &[Part],
        whole: Option<&Checked>,
        condition: Option<&super::wire::Condition>,
    ) -> Outcome<Made> {
        let len = parts.iter().map(|part| part.len).sum::<u64>();
        let request = || self.end_parts_once(place, parts, whole, condition);
        let made = || async {
            // The upload is gone: what it made lies there, unless someone was quicker since.
            if self.parts(place.0, place.1).await?.is_some() {
                return Ok(None);
            }
            let head = self.head(place.0).await?.filter(|head| head.len == len);
            Ok(head.map(|head| Made { etag: head.etag, version: head.version }))
        };
        self.connection.change(self.setup, (super::connection::Sort::Put, 0), request, made).await
    }
}

impl Inner {
    fn checksum(&self) -> Checksum {
        self.known().abilities.map_or(Checksum::Crc64Nvme, |abilities| abilities.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough_however_long_the_file_is() {
        let usual = 8 << 20;
        assert_eq!(part_size(1 << 30, usual), usual);
        for len in [5_u64 << 40, 1 << 40, 100 << 30] {
            let part = part_size(len, usual);
            assert!(len.div_ceil(part) <= PARTS_MAX && part.is_multiple_of(GRAIN), "{len}: {part}");
        }
    }

    #[test]
    fn a_part_is_known_by_its_checksum_or_its_md5() {
        let body = Bytes::from_static(b"abc");
        let checksum = sums::checked(Checksum::Crc64Nvme, &body);
        let part = |checksum: Option<&str>, etag: &str, len| Part {
            number: 1,
            etag: etag.to_owned(),
            len,
            checksum: checksum.map(str::to_owned),
        };
        let md5 = "\"900150983cd24fb0d6963f7d28e17f72\"";
        assert!(is_same(&part(Some(&checksum.value), "", 3), &body, &checksum));
        assert!(!is_same(&part(Some("AAAA"), md5, 3), &body, &checksum));
        assert!(is_same(&part(None, md5, 3), &body, &checksum));
        assert!(!is_same(&part(None, md5, 4), &body, &checksum));
        assert!(!is_same(&part(None, "\"x\"", 3), &body, &checksum));
    }
}
