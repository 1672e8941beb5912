//! What a server of S3's kind can do: found out once by trying it on an object of ours, and remembered in the identity.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::connection::Sort;
use super::fault::{Kind, Outcome};
use super::object::to_base64;
use super::wire::{Checked, Condition, Copy, Made, Put, Wire};
use crate::target::Fault;

/// A checksum of a body that the server compares before it keeps the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checksum {
    /// S3's own: quick, and one for the whole object also when it comes in parts.
    Crc64Nvme,
    /// What older servers know.
    Sha256,
    /// The least.
    Crc32,
    /// A wrong one was accepted, of every sort: what is sent there is not verified.
    None,
}

/// What a server can do. Where it cannot check a condition, it is looked just before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Abilities {
    pub(super) checksum: Checksum,
    /// PUT with `If-None-Match: *`.
    pub(super) put_absent: bool,
    /// PUT with `If-Match`.
    pub(super) put_match: bool,
    /// DELETE with `If-Match`.
    pub(super) delete_match: bool,
    /// CopyObject with `x-amz-copy-source-if-match`.
    pub(super) copy_match: bool,
    /// CopyObject with `If-None-Match: *`.
    pub(super) copy_absent: bool,
    /// CompleteMultipartUpload with `If-None-Match: *` and `If-Match`.
    pub(super) parts_match: bool,
}

impl Abilities {
    /// What S3 itself can do.
    pub(super) const ALL: Self = Self {
        checksum: Checksum::Crc64Nvme,
        put_absent: true,
        put_match: true,
        delete_match: true,
        copy_match: true,
        copy_absent: true,
        parts_match: true,
    };

    /// What a server cannot do, in words: for `check` and for the documentation.
    pub(super) fn lacks(&self) -> Vec<&'static str> {
        let table = [
            (self.checksum != Checksum::None, "it keeps a body although its checksum is wrong"),
            (self.put_absent, "it replaces an object although If-None-Match: * forbids it"),
            (self.put_match, "it replaces an object although If-Match names another version"),
            (self.delete_match, "it deletes an object although If-Match names another version"),
            (self.copy_match, "it copies an object although x-amz-copy-source-if-match names another version"),
            (self.copy_absent, "it copies over an object although If-None-Match: * forbids it"),
            (self.parts_match, "it completes an upload over an object although If-Match names another version"),
        ];
        table.iter().filter(|(can, _)| !can).map(|(_, what)| *what).collect()
    }
}

/// An ETag that no object of ours has.
const OTHER: &str = "\"00000000000000000000000000000000\"";

impl Wire<'_> {
    /// Tries everything on the object `key`, which is gone afterwards.
    pub(super) async fn try_all(&self, key: &str) -> Outcome<Abilities> {
        let checksum = self.try_checksums(key).await?;
        let wire = Wire { abilities: Abilities { checksum, ..Abilities::ALL }, ..*self };
        let found = wire.try_conditions(key, checksum).await;
        // What stays behind after an error is in nobody's way: it lies in our staging.
        for key in [key.to_owned(), second(key)] {
            let delete = wire.delete_once(&key, None);
            let _left = wire.connection.once(wire.setup, Sort::Delete, 0, delete).await;
        }
        found
    }

    async fn try_checksums(&self, key: &str) -> Outcome<Checksum> {
        for (algorithm, len) in [(Checksum::Crc64Nvme, 8), (Checksum::Sha256, 32), (Checksum::Crc32, 4)] {
            let wrong = Checked { algorithm, value: to_base64(&[0; 32][..len]) };
            if self.refuses_put(key, None, &wrong).await? {
                return Ok(algorithm);
            }
        }
        Ok(Checksum::None)
    }

    async fn try_conditions(&self, key: &str, checksum: Checksum) -> Outcome<Abilities> {
        let right = super::sums::checked(checksum, &body());
        let other = || Condition::Match(OTHER.to_owned());
        let put = Put { key: key.to_owned(), body: body(), metadata: Default::default() };
        let there = self.connection.call(self.setup, Sort::Put, 0, || self.put_once(&put, None, &right)).await?.etag;
        let put_absent = self.refuses_put(key, Some(Condition::Absent), &right).await?;
        let put_match = self.refuses_put(key, Some(other()), &right).await?;
        let to = second(key);
        let copy = |etag, to_absent, to| Copy { from: key, etag, len: 0, to, to_absent, metadata: None };
        let copy_match = self.refuses_copy(&copy(OTHER, false, &to)).await?;
        self.refuses_copy(&copy(&there, false, &to)).await?;
        let copy_absent = self.refuses_copy(&copy(&there, true, &to)).await?;
        let parts_match = self.refuses_parts(key, checksum).await?;
        let delete = || async { is_refused(self.delete_once(key, Some(OTHER)).await) };
        let delete_match = self.connection.call(self.setup, Sort::Delete, 0, delete).await?;
        Ok(Abilities { checksum, put_absent, put_match, delete_match, copy_match, copy_absent, parts_match })
    }

    async fn refuses_put(&self, key: &str, condition: Option<Condition>, checksum: &Checked) -> Outcome<bool> {
        let put = Put { key: key.to_owned(), body: body(), metadata: Default::default() };
        let request = || async { is_refused(self.put_once(&put, condition.as_ref(), checksum).await) };
        self.connection.call(self.setup, Sort::Put, 0, request).await
    }

    async fn refuses_copy(&self, copy: &Copy<'_>) -> Outcome<bool> {
        let request = || async { is_refused(self.copy_once(copy).await) };
        self.connection.call(self.setup, Sort::Copy, 0, request).await
    }

    /// Both conditions on an upload of one small part over an object that is there.
    async fn refuses_parts(&self, key: &str, checksum: Checksum) -> Outcome<bool> {
        let checked = super::sums::checked(checksum, &body());
        for condition in [Condition::Absent, Condition::Match(OTHER.to_owned())] {
            let upload = self.begin_parts(key, &Default::default()).await?;
            let parts = [self.put_part((key, &upload), 1, &body(), &checked).await?];
            let end = || async {
                is_refused(self.end_parts_once((key, &upload), &parts, Some(&checked), Some(&condition)).await)
            };
            let refused = self.connection.call(self.setup, Sort::Put, 0, end).await?;
            let _gone = self.drop_parts(key, &upload).await;
            if !refused {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the object holds on which everything is tried.
fn body() -> Bytes {
    Bytes::from_static(b"driftline tries what this server can do")
}

fn second(key: &str) -> String {
    format!("{key}-2")
}

/// Whether a request that has to be refused was: what it did not do for another reason tells nothing.
fn is_refused(answer: Outcome<Made>) -> Outcome<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(refusal) => match refusal.kind {
            Kind::Precondition | Kind::NotThere | Kind::Damaged | Kind::Fault(Fault::Unfit) => Ok(true),
            Kind::Unknown | Kind::Garbled => Ok(false),
            Kind::Slow | Kind::Unclear | Kind::Broken | Kind::Forbidden | Kind::Fault(_) => Err(refusal),
        },
    }
}
