//! Another program that uses the bucket: what lies there, without our code.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, EncodingType, Event, NotificationConfiguration,
    ObjectVersion, QueueConfiguration, VersioningConfiguration,
};
use tokio::runtime::Runtime;

use crate::buckets::server::{KEY, REGION, SECRET};

/// Longer than any request takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of one bucket that tries everything once.
pub(crate) struct Outsider {
    runtime: Runtime,
    client: Client,
    bucket: String,
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The server's word for it, as `PreconditionFailed`; `None` if it gave no answer that can be read.
    pub(crate) code: Option<String>,
    /// All that is known.
    pub(crate) why: String,
}

/// What a bucket tells of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its ETag, with the quotes.
    pub(crate) etag: String,
    /// Its version, where versions are kept.
    pub(crate) version: Option<String>,
    /// Its length.
    pub(crate) len: u64,
    /// Its content type.
    pub(crate) content_type: String,
    /// What was kept with it.
    pub(crate) meta: BTreeMap<String, String>,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its key.
    pub(crate) key: String,
    /// Its id.
    pub(crate) id: String,
    /// Whether it is what a plain GET gives.
    pub(crate) latest: bool,
}

impl Outsider {
    /// A client of `bucket` at `endpoint`.
    pub(crate) fn new(endpoint: &str, bucket: &str) -> Self {
        Self::with(endpoint, bucket, SECRET, PATIENCE)
    }

    /// A client with another secret, or with less patience.
    pub(crate) fn with(endpoint: &str, bucket: &str, secret: &str, patience: Duration) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new(KEY, secret, None, None, "tests"))
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(patience).build())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, client: Client::from_conf(config), bucket: bucket.to_owned() }
    }

    fn ask<T, E>(&self, request: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, Refusal>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        self.runtime.block_on(request).map_err(|error| Refusal {
            code: error.code().map(str::to_owned),
            why: DisplayErrorContext(&error).to_string(),
        })
    }

    /// Writes an object, whatever was there: its ETag.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> String {
        self.put_with(key, bytes, &[])
    }

    /// Sets an object's metadata, as one does that: by a copy onto itself. Its ETag.
    pub(crate) fn carry(&self, key: &str, meta: &[(&str, &str)]) -> String {
        let request = self.client.copy_object().bucket(&self.bucket).key(key);
        let request = request.copy_source(format!("{}/{key}", self.bucket));
        let request = meta.iter().fold(request, |request, (name, value)| request.metadata(*name, *value));
        let request = request.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace);
        let made = self.ask(request.send()).unwrap_or_else(|refusal| panic!("cannot copy {key:?}: {refusal:?}"));
        made.copy_object_result.and_then(|result| result.e_tag).expect("an ETag")
    }

    /// Writes an object with metadata: its ETag.
    pub(crate) fn put_with(&self, key: &str, bytes: &[u8], meta: &[(&str, &str)]) -> String {
        self.try_put(key, bytes, meta).unwrap_or_else(|refusal| panic!("cannot put {key:?}: {refusal:?}"))
    }

    /// [`Outsider::put_with`], which may fail.
    pub(crate) fn try_put(&self, key: &str, bytes: &[u8], meta: &[(&str, &str)]) -> Result<String, Refusal> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(bytes.to_vec().into());
        let put = meta.iter().fold(put, |put, (name, value)| put.metadata(*name, *value));
        self.ask(put.send()).map(|put| put.e_tag.expect("an ETag"))
    }

    /// Writes an object where nothing is: its ETag.
    pub(crate) fn try_put_new(&self, key: &str, bytes: &[u8]) -> Result<String, Refusal> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(bytes.to_vec().into());
        self.ask(put.if_none_match("*").send()).map(|put| put.e_tag.expect("an ETag"))
    }

    /// An object's bytes; `None` if there is no such object.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.get_whole(key, None).map(|(_, bytes)| bytes)
    }

    /// A version's bytes; `None` if there is no such version.
    pub(crate) fn get_version(&self, version: &Version) -> Option<Vec<u8>> {
        self.get_whole(&version.key, Some(version.id.clone())).map(|(_, bytes)| bytes)
    }

    /// An object, or the version of it that has this id: what the bucket tells of it, and its bytes.
    pub(crate) fn get_whole(&self, key: &str, version: Option<String>) -> Option<(Object, Vec<u8>)> {
        self.found(key, self.try_get(key, version))
    }

    /// [`Outsider::get_whole`], which may fail: also for want of the object.
    pub(crate) fn try_get(&self, key: &str, version: Option<String>) -> Result<(Object, Vec<u8>), Refusal> {
        let get = self.client.get_object().bucket(&self.bucket).key(key).set_version_id(version);
        let got = self.ask(get.send())?;
        let object = Object {
            etag: got.e_tag.expect("an ETag"),
            version: got.version_id,
            len: got.content_length.expect("a length").cast_unsigned(),
            content_type: got.content_type.unwrap_or_default(),
            meta: got.metadata.unwrap_or_default().into_iter().collect(),
        };
        let bytes = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, got.body.collect()).await });
        let unread = |why| Refusal { code: None, why };
        let bytes = bytes.map_err(|_| unread("its bytes do not come to an end".to_owned()))?;
        let bytes = bytes.map_err(|error| unread(DisplayErrorContext(&error).to_string()))?;
        Ok((object, bytes.to_vec()))
    }

    /// What the bucket tells of an object; `None` if there is no such object.
    pub(crate) fn head(&self, key: &str) -> Option<Object> {
        let head = self.client.head_object().bucket(&self.bucket).key(key);
        let object = self.found(key, self.ask(head.send()))?;
        Some(Object {
            etag: object.e_tag.expect("an ETag"),
            version: object.version_id,
            len: object.content_length.expect("a length").cast_unsigned(),
            content_type: object.content_type.unwrap_or_default(),
            meta: object.metadata.unwrap_or_default().into_iter().collect(),
        })
    }

    fn found<T>(&self, key: &str, answer: Result<T, Refusal>) -> Option<T> {
        match answer {
            Ok(found) => Some(found),
            Err(Refusal { code: Some(code), .. }) if matches!(&*code, "NoSuchKey" | "NoSuchVersion" | "NotFound") => {
                None
            }
            Err(refusal) => panic!("cannot read {key:?} of {}: {refusal:?}", self.bucket),
        }
    }

    /// All keys that begin with `prefix`, sorted.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        self.try_keys(prefix).unwrap_or_else(|refusal| panic!("cannot list {prefix:?}: {refusal:?}"))
    }

    /// [`Outsider::keys`], which may fail.
    pub(crate) fn try_keys(&self, prefix: &str) -> Result<Vec<String>, Refusal> {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).set_continuation_token(token);
            let page = self.ask(list.encoding_type(EncodingType::Url).send())?;
            keys.extend(page.contents().iter().map(|object| decoded(object.key().expect("a key"))));
            token = page.next_continuation_token;
            if token.is_none() {
                keys.sort();
                return Ok(keys);
            }
        }
    }

    /// Takes an object away.
    pub(crate) fn delete(&self, key: &str) {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key);
        self.ask(delete.send()).unwrap_or_else(|refusal| panic!("cannot delete {key:?}: {refusal:?}"));
    }

    /// Takes one version away for ever.
    pub(crate) fn delete_version(&self, version: &Version) {
        let delete = self.client.delete_object().bucket(&self.bucket).key(&version.key).version_id(&version.id);
        self.ask(delete.send()).unwrap_or_else(|refusal| panic!("cannot delete {version:?}: {refusal:?}"));
    }

    /// All versions of one object, oldest first; its delete markers are not among them.
    pub(crate) fn versions(&self, key: &str) -> Vec<Version> {
        let (mut versions, mut next) = (Vec::new(), (None, None));
        loop {
            let list = self.client.list_object_versions().bucket(&self.bucket).prefix(key);
            let list = list.set_key_marker(next.0).set_version_id_marker(next.1);
            let page = self.ask(list.send()).unwrap_or_else(|e| panic!("cannot list versions of {key:?}: {e:?}"));
            versions.extend(page.versions().iter().filter(|version| version.key() == Some(key)).map(version_of));
            if page.is_truncated != Some(true) {
                versions.reverse();
                return versions;
            }
            next = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// All versions of all keys that begin so, and the markers of their removals: keys and ids, sorted.
    pub(crate) fn past(&self, prefix: &str) -> Vec<(String, String)> {
        let (mut all, mut next) = (Vec::new(), (None, None));
        loop {
            let list = self.client.list_object_versions().bucket(&self.bucket).prefix(prefix);
            let list = list.set_key_marker(next.0).set_version_id_marker(next.1);
            let page = self.ask(list.send()).unwrap_or_else(|e| panic!("cannot list versions of {prefix:?}: {e:?}"));
            let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            all.extend(versions.chain(markers).map(|(key, id)| (text(key), text(id))));
            if page.is_truncated != Some(true) {
                all.sort();
                return all;
            }
            next = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// Uploads in parts that were begun and not ended, as key and id.
    pub(crate) fn uploads(&self, prefix: &str) -> Vec<(String, String)> {
        let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(prefix);
        let page = self.ask(list.send()).expect("uploads can be listed");
        assert_ne!(page.is_truncated, Some(true), "a test begins fewer uploads");
        let uploads = page.uploads().iter();
        uploads.map(|up| (up.key().expect("a key").to_owned(), up.upload_id().expect("an id").to_owned())).collect()
    }

    /// Begins an upload in parts: its id.
    pub(crate) fn begin_upload(&self, key: &str) -> String {
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        self.ask(create.send()).expect("an upload can be begun").upload_id.expect("an id")
    }

    /// Puts an object as an upload of one part: its ETag is no MD5.
    pub(crate) fn put_in_parts(&self, key: &str, bytes: &[u8], meta: &[(&str, &str)]) {
        let mut create = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        for (name, value) in meta {
            create = create.metadata(*name, *value);
        }
        let id = self.ask(create.send()).expect("an upload can be begun").upload_id.expect("an id");
        let part = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(&id).part_number(1);
        let part = self.ask(part.body(bytes.to_vec().into()).send()).expect("a part can be put");
        let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let end = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(&id);
        self.ask(end.multipart_upload(parts).send()).expect("an upload can be ended");
    }

    pub(super) fn make_bucket(&self) {
        let create = self.client.create_bucket().bucket(&self.bucket);
        self.ask(create.send()).expect("a bucket can be made");
    }

    /// Tells each change of an object to this queue.
    pub(super) fn tell(&self, queue: &str) {
        let events = [Event::S3ObjectCreated, Event::S3ObjectRemoved];
        let queue = QueueConfiguration::builder().queue_arn(queue).set_events(Some(events.into()));
        let queue = queue.build().expect("all that it needs");
        let config = NotificationConfiguration::builder().queue_configurations(queue).build();
        let put = self.client.put_bucket_notification_configuration().bucket(&self.bucket);
        self.ask(put.notification_configuration(config).send()).expect("a bucket can be told to tell");
    }

    /// Whether all versions are kept from now on.
    pub(crate) fn keep_versions(&self, keep: bool) {
        let status = if keep { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
        let config = VersioningConfiguration::builder().status(status).build();
        let put = self.client.put_bucket_versioning().bucket(&self.bucket).versioning_configuration(config);
        self.ask(put.send()).expect("a bucket can be told whether to keep versions");
    }

    /// Takes the bucket away with all that is in it, where the server does that; it ends with the tests anyway.
    pub(super) fn remove_bucket(&self) {
        let delete = self.client.delete_bucket().bucket(&self.bucket);
        self.ask(delete.send()).ok();
    }
}

fn version_of(version: &ObjectVersion) -> Version {
    Version {
        key: version.key().expect("a key").to_owned(),
        id: version.version_id().expect("an id").to_owned(),
        latest: version.is_latest() == Some(true),
    }
}

/// A key as listings write it when asked for `encoding-type=url`.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).expect("two digits");
                u8::from_str_radix(hex, 16).expect("two hexadecimal digits")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("keys are UTF-8")
}
