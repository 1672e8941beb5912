//! The requests, each in one place: what goes into them and what of the answer is used.
//!
//! Every change carries its condition. Where a server does not check one (see [`Abilities`]), it is looked at the object
//! just before. Every body carries a checksum that the server verifies before it keeps it.

use std::collections::HashMap;
use std::pin::Pin;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{BucketVersioningStatus, EncodingType, MetadataDirective, ServerSideEncryption, StorageClass};
use bytes::Bytes;

use super::abilities::{Abilities, Checksum};
use super::connection::{Connection, Line, Sort};
use super::fault::{Kind, Outcome, Refusal};
use super::object::Head;
use super::quick::{Draft, Quick};
use super::{S3Setup, Sse};
use crate::model::Wall;

/// Keys asked for with one listing (count): the most that S3 gives.
pub(super) const PAGE_MAX: i32 = 1000;

/// When a change is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Only if nothing is there.
    Absent,
    /// Only if what is there bears this ETag (in quotes).
    Match(String),
}

/// The bucket, as it is asked.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) setup: &'a S3Setup,
    pub(super) connection: &'a Connection,
    pub(super) abilities: Abilities,
}

/// An object to put.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) key: String,
    pub(super) body: Bytes,
    pub(super) metadata: HashMap<String, String>,
}

/// An object to copy on the server.
#[derive(Clone, Debug)]
pub(super) struct Copy<'a> {
    pub(super) from: &'a str,
    /// What has to lie there.
    pub(super) etag: &'a str,
    pub(super) len: u64,
    pub(super) to: &'a str,
    pub(super) to_absent: bool,
    /// Other metadata than the old; a copy without keeps it.
    pub(super) metadata: Option<HashMap<String, String>>,
}

/// What a change made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) etag: String,
    pub(super) version: Option<String>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) objects: Vec<Listed>,
    /// Common prefixes, if a delimiter was given.
    pub(super) folders: Vec<String>,
    pub(super) next: Option<String>,
}

/// A key in a listing.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) len: u64,
    pub(super) modified: Wall,
}

/// A part that lies on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) len: u64,
    pub(super) checksum: Option<String>,
}

impl<'a> Wire<'a> {
    pub(super) async fn line(&self) -> &'a Line {
        self.connection.line(self.setup).await
    }

    pub(super) fn bucket(&self) -> &'a str {
        &self.setup.bucket
    }

    pub(super) async fn call<T, F, R>(&self, sort: Sort, body: u64, request: F) -> Outcome<T>
    where
        F: FnMut() -> R,
        R: Future<Output = Outcome<T>>,
    {
        self.connection.call(self.setup, sort, body, request).await
    }

    // ---- looking ----

    /// `None` if nothing is there.
    pub(super) async fn head(&self, key: &str) -> Outcome<Option<Head>> {
        let client = &self.line().await.client;
        let answer = self.call(Sort::Head, 0, || async {
            let out = begun(client.head_object().bucket(self.bucket()).key(key).send()).await?;
            Ok(Head {
                etag: out.e_tag.unwrap_or_default(),
                len: length(out.content_length),
                modified: time(out.last_modified.as_ref()),
                metadata: out.metadata.unwrap_or_default(),
                version: version(out.version_id),
            })
        });
        absent_is_none(answer.await)
    }

    /// An object's bytes, if it is small; `None` if nothing is there.
    pub(super) async fn get_small(&self, key: &str) -> Outcome<Option<(Bytes, String)>> {
        let client = &self.line().await.client;
        let answer = self.call(Sort::Get, 0, || async {
            let out = begun(client.get_object().bucket(self.bucket()).key(key).send()).await?;
            let etag = out.e_tag.unwrap_or_default();
            let bytes = out.body.collect().await.map_err(|error| cut_off(&error))?;
            Ok((bytes.into_bytes(), etag))
        });
        absent_is_none(answer.await)
    }

    /// An object's bytes from `from` on, as long as it bears this ETag.
    pub(super) async fn get(&self, key: &str, etag: &str, from: u64) -> Outcome<ByteStream> {
        let client = &self.line().await.client;
        let range = (from > 0).then(|| format!("bytes={from}-"));
        self.call(Sort::Get, 0, || async {
            let request = client.get_object().bucket(self.bucket()).key(key).if_match(etag);
            Ok(begun(request.set_range(range.clone()).send()).await?.body)
        })
        .await
    }

    /// The next keys that begin with `prefix`. Their order is that of their bytes.
    pub(super) async fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        after: Option<&str>,
        max: i32,
    ) -> Outcome<Keys> {
        let client = &self.line().await.client;
        self.call(Sort::List, 0, || async {
            let sent = {
                let request = client.list_objects_v2().bucket(self.bucket()).prefix(prefix).max_keys(max);
                let request = request.encoding_type(EncodingType::Url).set_delimiter(delimiter.map(str::to_owned));
                begun(request.set_continuation_token(after.map(str::to_owned)).send())
            };
            let out = sent.await?;
            let more = out.is_truncated.unwrap_or(false);
            if more && (out.next_continuation_token.is_none() || out.next_continuation_token.as_deref() == after) {
                return Err(garbled("a listing says that it goes on, and not where"));
            }
            let objects = out.contents.unwrap_or_default().into_iter().map(|object| {
                Ok(Listed {
                    key: decoded(object.key.as_deref().unwrap_or_default())?,
                    etag: object.e_tag.unwrap_or_default(),
                    len: length(object.size),
                    modified: time(object.last_modified.as_ref()),
                })
            });
            let folders = out.common_prefixes.unwrap_or_default().into_iter();
            let folders = folders.map(|folder| decoded(folder.prefix.as_deref().unwrap_or_default()));
            Ok(Keys {
                objects: objects.collect::<Outcome<_>>()?,
                folders: folders.collect::<Outcome<_>>()?,
                next: out.next_continuation_token.filter(|_| more),
            })
        })
        .await
    }

    /// Whether the bucket keeps every version; `None` if we may not ask.
    pub(super) async fn is_versioned(&self) -> Outcome<Option<bool>> {
        let client = &self.line().await.client;
        let answer = self.call(Sort::Get, 0, || async {
            let out = begun(client.get_bucket_versioning().bucket(self.bucket()).send()).await;
            match out {
                Ok(out) => Ok(Some(out.status == Some(BucketVersioningStatus::Enabled))),
                Err(error) if error.code() == Some("AccessDenied") => Ok(None),
                Err(error) => Err(Refusal::from(error)),
            }
        });
        match answer.await {
            Err(refusal) if matches!(refusal.kind, Kind::Unknown | Kind::Garbled) => Ok(Some(false)),
            answer => answer,
        }
    }

    /// The bucket's rules for what is removed by itself, as far as one ends stale uploads; `None` if we may not ask.
    pub(super) async fn ends_uploads(&self) -> Outcome<Option<bool>> {
        let client = &self.line().await.client;
        self.call(Sort::Get, 0, || async {
            match begun(client.get_bucket_lifecycle_configuration().bucket(self.bucket()).send()).await {
                Ok(out) => {
                    let rules = out.rules.unwrap_or_default();
                    Ok(Some(rules.iter().any(|rule| rule.abort_incomplete_multipart_upload.is_some())))
                }
                Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Ok(Some(false)),
                Err(error) if error.code() == Some("AccessDenied") => Ok(None),
                Err(error) => Err(Refusal::from(error)),
            }
        })
        .await
    }

    // ---- changing ----

    /// Puts an object once. The caller looks what came of it when nobody says.
    pub(super) async fn put_once(&self, put: &Put, condition: Option<&Condition>, checksum: &Checked) -> Outcome<Made> {
        let Line { client, secure, quick } = self.line().await;
        let quickly = begun(self.put_quickly(quick, *secure, put, condition, checksum)).await;
        if let Some(answer) = quickly {
            return answer;
        }
        let sent = {
            let request = client.put_object().bucket(self.bucket()).key(&put.key);
            let request = request.body(ByteStream::from(put.body.clone())).set_metadata(Some(put.metadata.clone()));
            let request = request.content_type(content_type(&put.key));
            let request = match checksum.algorithm {
                Checksum::Crc64Nvme => request.checksum_crc64_nvme(&checksum.value),
                Checksum::Sha256 => request.checksum_sha256(&checksum.value),
                Checksum::Crc32 | Checksum::None => request.checksum_crc32(&checksum.value),
            };
            let request = match condition {
                Some(Condition::Absent) => request.if_none_match("*"),
                Some(Condition::Match(etag)) => request.if_match(etag),
                None => request,
            };
            let request = request.set_storage_class(self.storage_class()).set_tagging(self.tagging());
            let request = request.set_server_side_encryption(self.encryption()).set_ssekms_key_id(self.kms_key());
            if *secure { begun(request.customize().disable_payload_signing().send()) } else { begun(request.send()) }
        };
        let out = sent.await?;
        Ok(Made { etag: out.e_tag.unwrap_or_default(), version: version(out.version_id) })
    }

    /// The same without the client; `None` where that takes it.
    async fn put_quickly(
        &self,
        quick: &Quick,
        secure: bool,
        put: &Put,
        condition: Option<&Condition>,
        checksum: &Checked,
    ) -> Option<Outcome<Made>> {
        let checksum_name = match checksum.algorithm {
            Checksum::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Checksum::Sha256 => "x-amz-checksum-sha256",
            Checksum::Crc32 | Checksum::None => "x-amz-checksum-crc32",
        };
        let condition = condition.map(|condition| match condition {
            Condition::Absent => ("if-none-match", "*".to_owned()),
            Condition::Match(etag) => ("if-match", etag.clone()),
        });
        let optional = [
            ("x-amz-storage-class", self.storage_class().map(|class| class.as_str().to_owned())),
            ("x-amz-tagging", self.tagging()),
            ("x-amz-server-side-encryption", self.encryption().map(|sse| sse.as_str().to_owned())),
            ("x-amz-server-side-encryption-aws-kms-key-id", self.kms_key()),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let always = [("content-type", content_type(&put.key)), (checksum_name, checksum.value.clone())];
        let headers = always.into_iter().chain(condition).chain(optional).collect();
        let key = encoded(&put.key);
        let draft = Draft { key: &key, headers, metadata: &put.metadata, body: &put.body, secure };
        let answer = quick.put(&draft, (self.setup.clock.wall)()).await?;
        Some(answer.map(|response| {
            let header = |name| response.headers().get(name).map(str::to_owned);
            Made { etag: header("etag").unwrap_or_default(), version: version(header("x-amz-version-id")) }
        }))
    }

    /// Copies an object once, as long as the source bears the ETag.
    pub(super) async fn copy_once(&self, copy: &Copy<'_>) -> Outcome<Made> {
        let client = &self.line().await.client;
        let sent = {
            let request = client.copy_object().bucket(self.bucket()).key(copy.to);
            let request = request.copy_source(self.source(copy.from)).copy_source_if_match(copy.etag);
            let request = if copy.to_absent { request.if_none_match("*") } else { request };
            let request = match &copy.metadata {
                Some(metadata) => request
                    .metadata_directive(MetadataDirective::Replace)
                    .set_metadata(Some(metadata.clone()))
                    .content_type(content_type(copy.to)),
                None => request,
            };
            let request = request.set_storage_class(self.storage_class());
            let request = request.set_server_side_encryption(self.encryption()).set_ssekms_key_id(self.kms_key());
            begun(request.send())
        };
        let out = sent.await?;
        let etag = out.copy_object_result.and_then(|result| result.e_tag).unwrap_or_default();
        Ok(Made { etag: format!("\"{}\"", etag.trim_matches('"')), version: version(out.version_id) })
    }

    /// Removes an object once, as long as it bears the ETag. Of a versioned bucket this hides it, no more.
    pub(super) async fn delete_once(&self, key: &str, etag: Option<&str>) -> Outcome<Made> {
        let client = &self.line().await.client;
        let sent = {
            let request = client.delete_object().bucket(self.bucket()).key(key);
            begun(request.set_if_match(etag.map(str::to_owned)).send())
        };
        let out = sent.await?;
        Ok(Made { etag: String::new(), version: version(out.version_id) })
    }

    pub(super) fn source(&self, key: &str) -> String {
        format!("{}/{}", self.bucket(), encoded(key))
    }

    pub(super) fn storage_class(&self) -> Option<StorageClass> {
        self.setup.storage_class.as_deref().map(StorageClass::from)
    }

    pub(super) fn encryption(&self) -> Option<ServerSideEncryption> {
        self.setup.sse.as_ref().map(|sse| match sse {
            Sse::S3 => ServerSideEncryption::Aes256,
            Sse::Kms { .. } => ServerSideEncryption::AwsKms,
        })
    }

    pub(super) fn kms_key(&self) -> Option<String> {
        match self.setup.sse.as_ref()? {
            Sse::S3 => None,
            Sse::Kms { key } => key.clone(),
        }
    }

    pub(super) fn tagging(&self) -> Option<String> {
        let pairs = self.setup.tags.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value)));
        let text = pairs.collect::<Vec<_>>().join("&");
        (!text.is_empty()).then_some(text)
    }
}

/// A checksum to send along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) algorithm: Checksum,
    /// In base64, as headers have it.
    pub(super) value: String,
}

/// A request on its way, by itself in memory: a change takes as much as all that it could have to wait for. For the same
/// reason a request is put together in a block of its own: what is left over of each step would be kept as long as it is
/// waited for.
pub(super) fn begun<'a, T>(sent: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(sent)
}

pub(super) fn absent_is_none<T>(answer: Outcome<T>) -> Outcome<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.kind == Kind::NotThere => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

pub(super) fn garbled(what: &str) -> Refusal {
    Refusal::new(Kind::Unclear, what, "see what `driftline check` says of this server")
}

/// A body that ended too early.
pub(super) fn cut_off(error: &dyn std::fmt::Display) -> Refusal {
    let cause = format!("the answer was cut off: {error}");
    Refusal::new(Kind::Unclear, cause, "see whether the line to the server is up; driftline tries again by itself")
}

/// `null` is the version of what was put while versions were not kept.
pub(super) fn version(id: Option<String>) -> Option<String> {
    id.filter(|id| id != "null")
}

pub(super) fn length(len: Option<i64>) -> u64 {
    len.and_then(|len| u64::try_from(len).ok()).unwrap_or(0)
}

pub(super) fn time(at: Option<&DateTime>) -> Wall {
    at.map_or(Wall::default(), |at| Wall::from_parts(at.secs(), at.subsec_nanos()))
}

/// A key from a listing that was asked for with `encoding-type=url`.
pub(super) fn decoded(text: &str) -> Outcome<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair = rest.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
                let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                bytes.push(byte.ok_or_else(|| garbled("a listing holds a key that is not well encoded"))?);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| garbled("a listing holds a key that is not UTF-8"))
}

/// A key as it stands in a URL.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Guessed from the name.
pub(super) fn content_type(key: &str) -> String {
    if key.ends_with('/') {
        return "application/x-directory".to_owned();
    }
    let name = key.rsplit('/').next().unwrap_or_default();
    mime_guess::from_path(name).first_or_octet_stream().essence_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_listings_are_decoded() {
        assert_eq!(decoded("a+b%2Bc%C3%BC/d").expect("fine"), "a b+cü/d");
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad).expect_err(bad).kind, Kind::Unclear);
        }
    }

    #[test]
    fn the_type_follows_the_name() {
        assert_eq!(content_type("a/report.pdf"), "application/pdf");
        assert_eq!(content_type("a/what"), "application/octet-stream");
        assert_eq!(content_type("a.pdf/what"), "application/octet-stream");
        assert_eq!(content_type("a.pdf/"), "application/x-directory");
    }
}
