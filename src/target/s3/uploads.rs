//! The requests about objects of several parts: begun, sent part by part, made one object or given up.

use std::collections::HashMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::abilities::Checksum;
use super::connection::{Line, Sort};
use super::fault::{Kind, Outcome};
use super::wire::{
    Checked, Condition, Copy, Made, Part, Wire, absent_is_none, begun, content_type, garbled, length, version,
};

impl Wire<'_> {
    /// Begins an object of several parts; returns its upload id.
    pub(super) async fn begin_parts(&self, key: &str, metadata: &HashMap<String, String>) -> Outcome<String> {
        let client = &self.line().await.client;
        self.call(Sort::Put, 0, || async {
            let sent = {
                let request = client.create_multipart_upload().bucket(self.bucket()).key(key);
                let request = request.set_metadata(Some(metadata.clone())).content_type(content_type(key));
                let request = request.set_storage_class(self.storage_class()).set_tagging(self.tagging());
                let request = request.set_server_side_encryption(self.encryption()).set_ssekms_key_id(self.kms_key());
                let request = request
                    .set_checksum_algorithm(Some(self.algorithm()))
                    .set_checksum_type(self.full_object().then_some(ChecksumType::FullObject));
                begun(request.send())
            };
            let out = sent.await?;
            out.upload_id.ok_or_else(|| garbled("an upload was begun without an id"))
        })
        .await
    }

    /// Sends one part. Sent twice, the second takes the place of the first.
    pub(super) async fn put_part(
        &self,
        (key, upload): (&str, &str),
        number: i32,
        body: &Bytes,
        checksum: &Checked,
    ) -> Outcome<Part> {
        let Line { client, secure, .. } = self.line().await;
        self.call(Sort::Put, body.len() as u64, || async {
            let sent = {
                let request = client.upload_part().bucket(self.bucket()).key(key).upload_id(upload).part_number(number);
                let request = request.body(ByteStream::from(body.clone()));
                let request = match checksum.algorithm {
                    Checksum::Crc64Nvme => request.checksum_crc64_nvme(&checksum.value),
                    Checksum::Sha256 => request.checksum_sha256(&checksum.value),
                    Checksum::Crc32 | Checksum::None => request.checksum_crc32(&checksum.value),
                };
                if *secure {
                    begun(request.customize().disable_payload_signing().send())
                } else {
                    begun(request.send())
                }
            };
            let out = sent.await?;
            let etag = out.e_tag.unwrap_or_default();
            Ok(Part { number, etag, len: body.len() as u64, checksum: Some(checksum.value.clone()) })
        })
        .await
    }

    /// Copies a range of an object into a part.
    pub(super) async fn copy_part(
        &self,
        (key, upload): (&str, &str),
        number: i32,
        copy: &Copy<'_>,
        range: std::ops::Range<u64>,
    ) -> Outcome<Part> {
        let client = &self.line().await.client;
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        self.call(Sort::Copy, 0, || async {
            let sent = {
                let request = client.upload_part_copy().bucket(self.bucket()).key(key).upload_id(upload);
                let request = request.part_number(number).copy_source(self.source(copy.from));
                let request = request.copy_source_if_match(copy.etag).copy_source_range(&bytes);
                begun(request.send())
            };
            let result = sent.await?.copy_part_result;
            let result = result.ok_or_else(|| garbled("a part was copied without an answer"))?;
            let checksum = match self.abilities.checksum {
                Checksum::Crc64Nvme => result.checksum_crc64_nvme,
                Checksum::Sha256 => result.checksum_sha256,
                Checksum::Crc32 | Checksum::None => result.checksum_crc32,
            };
            Ok(Part { number, etag: result.e_tag.unwrap_or_default(), len: range.end - range.start, checksum })
        })
        .await
    }

    /// All parts of an upload that have arrived; `None` if there is no such upload any more. Of an answer that is not understood
    /// no more is taken than that it is there: its parts are sent again.
    pub(super) async fn parts(&self, key: &str, upload: &str) -> Outcome<Option<Vec<Part>>> {
        let client = &self.line().await.client;
        let (mut parts, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.call(Sort::List, 0, || async {
                let request = client.list_parts().bucket(self.bucket()).key(key).upload_id(upload);
                Ok(begun(request.set_part_number_marker(after.clone()).send()).await?)
            });
            let page = match absent_is_none(page.await) {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(None),
                Err(refusal) if refusal.kind == Kind::Garbled => return Ok(Some(parts)),
                Err(refusal) => return Err(refusal),
            };
            let next = page.next_part_number_marker.clone();
            let more = page.is_truncated.unwrap_or(false);
            parts.extend(page.parts.unwrap_or_default().into_iter().map(|part| Part {
                number: part.part_number.unwrap_or_default(),
                etag: part.e_tag.unwrap_or_default(),
                len: length(part.size),
                checksum: part.checksum_crc64_nvme.or(part.checksum_sha256).or(part.checksum_crc32),
            }));
            if !more || next.is_none() || next == after {
                return Ok(Some(parts));
            }
            after = next;
        }
    }

    /// Makes an object of its parts, once. The caller looks what came of it when nobody says.
    pub(super) async fn end_parts_once(
        &self,
        (key, upload): (&str, &str),
        parts: &[Part],
        whole: Option<&Checked>,
        condition: Option<&Condition>,
    ) -> Outcome<Made> {
        let client = &self.line().await.client;
        let completed = parts.iter().map(|part| {
            let builder = CompletedPart::builder().part_number(part.number).e_tag(&part.etag);
            match self.abilities.checksum {
                Checksum::Crc64Nvme => builder.set_checksum_crc64_nvme(part.checksum.clone()).build(),
                Checksum::Sha256 => builder.set_checksum_sha256(part.checksum.clone()).build(),
                Checksum::Crc32 | Checksum::None => builder.set_checksum_crc32(part.checksum.clone()).build(),
            }
        });
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let sent = {
            let request = client.complete_multipart_upload().bucket(self.bucket()).key(key).upload_id(upload);
            let request = request.multipart_upload(completed);
            let len = parts.iter().map(|part| part.len).sum::<u64>();
            let request = request.set_mpu_object_size(i64::try_from(len).ok());
            let request = match (whole, self.full_object()) {
                (Some(whole), true) => {
                    request.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(&whole.value)
                }
                _ => request,
            };
            let request = match condition {
                Some(Condition::Absent) => request.if_none_match("*"),
                Some(Condition::Match(etag)) => request.if_match(etag),
                None => request,
            };
            begun(request.send())
        };
        let out = sent.await?;
        Ok(Made { etag: out.e_tag.unwrap_or_default(), version: version(out.version_id) })
    }

    /// Gives up an upload; that there is none is success.
    pub(super) async fn drop_parts(&self, key: &str, upload: &str) -> Outcome<()> {
        let client = &self.line().await.client;
        let answer = self.call(Sort::Delete, 0, || async {
            begun(client.abort_multipart_upload().bucket(self.bucket()).key(key).upload_id(upload).send()).await?;
            Ok(())
        });
        absent_is_none(answer.await).map(|_| ())
    }

    fn algorithm(&self) -> ChecksumAlgorithm {
        match self.abilities.checksum {
            Checksum::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
            Checksum::Sha256 => ChecksumAlgorithm::Sha256,
            Checksum::Crc32 | Checksum::None => ChecksumAlgorithm::Crc32,
        }
    }

    /// One checksum for the whole object, which the server makes of its parts' and compares.
    fn full_object(&self) -> bool {
        self.abilities.checksum == Checksum::Crc64Nvme
    }
}
