//! The real program with a bucket: through a proxy that counts every request and fails on demand, before a real server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::buckets::{Answer, Bucket, Fault, Kind, Make, Outsider, Proxy, Request, Rule};
use crate::office::{Office, files_below, targets};

mod adoption;
mod breaker;
mod faults;
mod hints;
mod life;
mod lines;
mod news;
mod options;
mod peers;
mod read_back;
mod way_back;

/// Below this the share lies in the bucket.
const PREFIX: &str = "office";

/// An office whose copy lies in a bucket.
struct Cloud {
    office: Office,
    bucket: Bucket,
    proxy: Proxy,
}

impl Cloud {
    /// A bucket that keeps no versions.
    fn new() -> Self {
        Self::with(Bucket::new(Make::SeaweedFs), "")
    }

    /// These lines stand in the target's configuration too.
    fn with(bucket: Bucket, lines: &str) -> Self {
        let proxy = bucket.proxy();
        let target = bucket_target(&bucket, &proxy, lines);
        let office = Office::new().with_targets("settle = \"100ms\"\npatience = \"2s\"", &target);
        Self { office, bucket, proxy }
    }

    /// Beside the bucket, a folder.
    fn with_folder() -> Self {
        let bucket = Bucket::new(Make::SeaweedFs);
        let proxy = bucket.proxy();
        let office = Office::new();
        let targets = office.folder_target("") + &bucket_target(&bucket, &proxy, "");
        Self { office: office.with_targets("settle = \"100ms\"", &targets), bucket, proxy }
    }

    /// Two buckets, the second one without a proxy before it.
    fn with_second() -> (Self, Bucket) {
        let (bucket, second) = (Bucket::new(Make::SeaweedFs), Bucket::new(Make::SeaweedFs));
        let proxy = bucket.proxy();
        let (url, endpoint) = (second.url(PREFIX), second.endpoint());
        let targets = bucket_target(&bucket, &proxy, "")
            + &format!("[[share.target]]\nname = \"second\"\nurl = {url:?}\nendpoint = {endpoint:?}\n");
        let office = Office::new().with_targets("settle = \"100ms\"", &targets);
        (Self { office, bucket, proxy }, second)
    }

    fn outsider(&self) -> &Outsider {
        self.bucket.outsider()
    }

    /// The files in the bucket that are not driftline's own: paths and bytes.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let prefix = format!("{PREFIX}/");
        let keys = self.outsider().keys(&prefix);
        let names = keys.into_iter().filter(|key| !key.ends_with('/'));
        let names = names.filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned));
        let names = names.filter(|name| !name.starts_with(".driftline/"));
        // It may go between the listing and this.
        names.filter_map(|name| Some((name.clone(), self.outsider().get(&format!("{prefix}{name}"))?))).collect()
    }

    /// The files on the share: paths and bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let share = self.office.path("share");
        let files = files_below(&share).into_iter();
        let name = |path: &Path| path.strip_prefix(&share).unwrap().to_string_lossy().into_owned();
        files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
    }

    /// Fails unless the bucket holds what the share holds, each with its time and mode.
    fn assert_same(&self) {
        assert_eq!(self.objects(), self.files());
        for name in self.files().into_keys() {
            let stat = fs::metadata(self.office.share(&name)).unwrap();
            let meta = self.outsider().head(&format!("{PREFIX}/{name}")).unwrap().meta;
            assert_eq!(meta["mode"], format!("{:o}", stat.mode() & 0o7777), "{name}");
            let seconds: f64 = meta["mtime"].parse().unwrap();
            let nanos = format!("{}.{:09}", stat.mtime(), stat.mtime_nsec());
            let wanted: f64 = nanos.parse().unwrap();
            assert!((seconds - wanted).abs() < 1e-6, "{name}: {seconds} and {wanted}");
        }
    }

    /// The versions in history of a bucket that keeps none itself.
    fn history(&self, name: &str) -> Vec<Vec<u8>> {
        let mut keys = self.outsider().keys(&format!("{PREFIX}/.driftline/history/{name}/"));
        keys.sort();
        keys.iter().map(|key| self.outsider().get(key).unwrap()).collect()
    }

    /// Requests of this kind, without those that try what the server can do.
    fn count(&self, kind: Kind) -> usize {
        self.proxy.count(|request| request.kind() == kind && !request.key().contains("/staging/try-"))
    }

    /// How often bytes of this file were put.
    fn puts_of(&self, name: &str) -> usize {
        let key = format!("{PREFIX}/{name}");
        self.proxy.count(|request| matches!(request.kind(), Kind::Put | Kind::Part) && request.key() == key)
    }

    /// What the status says of the bucket.
    fn status(&self) -> serde_json::Value {
        let status = self.office.status();
        targets(&status).find(|target| target["kind"] == "s3").expect("the bucket").clone()
    }
}

fn bucket_target(bucket: &Bucket, proxy: &Proxy, lines: &str) -> String {
    let (url, endpoint) = (bucket.url(PREFIX), proxy.endpoint());
    format!("[[share.target]]\nname = \"cloud\"\nurl = {url:?}\nendpoint = {endpoint:?}\n{lines}\n")
}

/// About files of the share, not about driftline's own.
fn is_ours(request: &Request) -> bool {
    request.key().contains(".driftline/")
}

fn is_put(request: &Request) -> bool {
    request.kind() == Kind::Put && !is_ours(request)
}
