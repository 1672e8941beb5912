//! Buckets as a target, on each server that tests have; and what only buckets promise.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use driftline::model::Moment;
use driftline::target::{Clock, S3Setup, S3Target, Sizes};

use super::*;
use crate::buckets::{Bucket, Make, Outsider};

pub(super) struct BucketFixture {
    bucket: Bucket,
    setup: S3Setup,
    target: S3Target,
    versioned: bool,
    make: Make,
    /// What lay there after the last `unmount` or `swap`.
    left: Mutex<BTreeSet<String>>,
}

impl BucketFixture {
    /// A bucket of which the last versions are kept by copies.
    pub(super) fn new(make: Make, prefix: &str) -> Self {
        Self::on(Bucket::new(make), make, prefix, false)
    }

    /// A bucket that keeps versions by itself.
    pub(super) fn versioned(make: Make, prefix: &str) -> Self {
        Self::on(Bucket::versioned(make), make, prefix, true)
    }

    fn on(bucket: Bucket, make: Make, prefix: &str, versioned: bool) -> Self {
        let mut setup = setup(bucket.name(), &bucket.endpoint(), prefix);
        let target = S3Target::new(setup.clone());
        setup.target_id = Some(target.probe(Bind::IfUnbound).unwrap().id);
        Self { bucket, setup, target, versioned, make, left: Mutex::default() }
    }

    fn outsider(&self) -> &Outsider {
        self.bucket.outsider()
    }

    fn key(&self, below: &str) -> String {
        if self.setup.prefix.is_empty() { below.to_owned() } else { format!("{}/{below}", self.setup.prefix) }
    }

    fn object(&self, path: &RelPath) -> String {
        self.key(&written(path.as_bytes()))
    }

    /// Every object with its version, and every upload under way.
    fn all(&self) -> BTreeSet<String> {
        let objects = self.outsider().keys("").into_iter().map(|key| {
            let head = self.outsider().head(&key).expect("it is listed");
            let versions = if self.versioned { self.outsider().versions(&key).len() } else { 1 };
            format!("{key} {} {versions}", head.etag)
        });
        objects.chain(self.outsider().uploads("").into_iter().map(|(key, id)| format!("{key} {id}"))).collect()
    }

    fn empty(&self) {
        self.outsider().keys("").iter().for_each(|key| self.outsider().delete(key));
        assert_eq!(self.outsider().keys(""), [""; 0]);
    }

    fn remember(&self) {
        *self.left.lock().unwrap() = self.all();
    }
}

/// Opens a bucket as an agent does that looks at the identity at every call.
pub(super) fn setup(bucket: &str, endpoint: &str, prefix: &str) -> S3Setup {
    S3Setup {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: None,
        endpoint: Some(endpoint.to_owned()),
        path_style: None,
        profile: None,
        storage_class: None,
        sse: None,
        tags: Vec::new(),
        adopt_read: false,
        target_id: None,
        share_id: "share-1".to_owned(),
        writer: "office-01".to_owned(),
        state: None,
        clock: Clock { wall: now, moment, chance: || 128 },
        rate: std::sync::Arc::new(|| None),
        allowed: std::sync::Arc::new(|_| Ok(())),
        sizes: Sizes { fresh: Duration::ZERO, ..Sizes::default() },
    }
}

fn moment() -> Moment {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Moment(BEGUN.get_or_init(Instant::now).elapsed())
}

/// A name as a key has it, by a rule of this test's own: what a key cannot hold is `‛` and two digits for each byte.
fn written(name: &[u8]) -> String {
    let mut key = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            let bytes = c.to_string().into_bytes();
            match c {
                '\u{201b}' => key.push_str("\u{201b}\u{201b}"),
                '\\' => key.push_str("\u{201b}5C"),
                c if c.is_control() => bytes.iter().for_each(|byte| key.push_str(&format!("\u{201b}{byte:02X}"))),
                c => key.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| key.push_str(&format!("\u{201b}{byte:02X}")));
    }
    if name == b" " { "\u{201b}20".to_owned() } else { key }
}

/// Metadata as it is written for what is not printable.
fn read(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let pair = std::str::from_utf8(after.get(..2).unwrap_or_default()).unwrap_or_default();
        match (first, u8::from_str_radix(pair, 16)) {
            (b'%', Ok(byte)) => (bytes.push(byte), rest = &after[2..]),
            _ => (bytes.push(*first), rest = after),
        };
    }
    bytes
}

impl Fixture for BucketFixture {
    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn successor(&self) -> Box<dyn Target + '_> {
        Box::new(S3Target::new(self.setup.clone()))
    }

    fn outsider_writes(&self, path: &RelPath, bytes: &[u8]) {
        self.outsider().put(&self.object(path), bytes);
    }

    fn bytes(&self, path: &RelPath) -> Option<Vec<u8>> {
        let (object, bytes) = self.outsider().get_whole(&self.object(path), None)?;
        Some(object.meta.get("symlink").map_or(bytes, |to| read(to)))
    }

    fn history(&self, path: &RelPath) -> Vec<Vec<u8>> {
        let keys: Vec<(String, Option<String>)> = if self.versioned {
            let versions = self.outsider().versions(&self.object(path)).into_iter().filter(|version| !version.latest);
            versions.map(|version| (version.key, Some(version.id))).collect()
        } else {
            let below = self.key(&format!(".driftline/history/{}/", written(path.as_bytes())));
            let keys = self.outsider().keys(&below).into_iter().filter(|key| !key[below.len()..].contains('/'));
            keys.map(|key| (key, None)).collect()
        };
        let whole = keys.into_iter().map(|(key, id)| self.outsider().get_whole(&key, id).expect("it is listed"));
        whole.map(|(object, bytes)| object.meta.get("symlink").map_or(bytes, |to| read(to))).collect()
    }

    fn staged(&self) -> usize {
        self.outsider().uploads("").len() + self.outsider().keys(&self.key(".driftline/staging/")).len()
    }

    fn unmount(&self) {
        self.empty();
        self.remember();
    }

    fn swap(&self) {
        self.empty();
        let text = br#"{"target":"another","share":"share-1","created":"2026-01-01T00:00:00Z","writers":[]}"#;
        self.outsider().put(&self.key(".driftline/identity"), text);
        self.remember();
    }

    fn is_untouched(&self) -> bool {
        *self.left.lock().unwrap() == self.all()
    }

    fn nature(&self) -> Nature {
        Nature {
            stamps_tell_of_meta: false,
            listings_tell_all: false,
            // A folder of SeaweedFS is a folder of its own, and drops what its marker carries.
            folders_carry_meta: self.make != Make::SeaweedFs,
            moves_folders: false,
            stages_in_place: false,
            prunes: !self.versioned,
            names_versions: self.versioned,
            // SeaweedFS keeps versions in a folder beside the object, which has the object's name and nine bytes more.
            longest_name: if self.versioned && self.make == Make::SeaweedFs { 246 } else { 255 },
        }
    }
}
