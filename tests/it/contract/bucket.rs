//! Buckets as a target, on each server that tests have; and what only buckets promise.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use driftline::model::Moment;
use driftline::target::{Clock, S3Setup, S3Target, Sizes};

use super::*;
use crate::buckets::{Answer, Bucket, Fault as Broken, Kind as Asked, Make, Outsider, Rule};
use crate::office::{PATIENCE, wait};

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
        berth: None,
        state: None,
        events: None,
        clock: Clock { wall: now, moment, chance: || 128 },
        rate: std::sync::Arc::new(|| None),
        allowed: std::sync::Arc::new(|_| Ok(())),
        sizes: Sizes { fresh: Duration::ZERO, empty: Duration::ZERO, ..Sizes::default() },
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
            // SeaweedFS keeps no versions of markers.
            remembers_folders: !self.versioned || self.make != Make::SeaweedFs,
            // SeaweedFS keeps versions in a folder beside the object, which has the object's name and nine bytes more.
            longest_name: if self.versioned && self.make == Make::SeaweedFs { 246 } else { 255 },
        }
    }
}

// ---- what only buckets promise ----

/// Part sizes that a server takes, with little to send.
const PART: u64 = 5 << 20;

impl BucketFixture {
    /// The same bucket, of which parts are small and uploads are remembered in `state`.
    fn in_parts(&self, state: &Path) -> S3Target {
        let sizes = Sizes { part: PART, ..self.setup.sizes };
        S3Target::new(S3Setup { state: Some(state.to_owned()), sizes, ..self.setup.clone() })
    }
}

fn large() -> Vec<u8> {
    (0..u32::try_from(PART / 2).unwrap()).flat_map(u32::to_le_bytes).collect()
}

fn stage_at(target: &dyn Target, at: &RelPath, bytes: &[u8]) -> Staged {
    let [answer] =
        <[_; 1]>::try_from(target.stage(std::slice::from_ref(at), &mut |_, sink| bring(bytes, sink))).unwrap();
    answer.unwrap()
}

fn publish(at: &RelPath, staged: &Staged, guard: Guard) -> Step {
    change(at, Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() }, guard)
}

/// moto names its answers about uploads in parts otherwise than S3 does: that it was done is seen by looking.
fn on_each_server(test: impl Fn(Make)) {
    test(Make::SeaweedFs);
    if crate::office::is_slow_run("moto") {
        test(Make::Moto);
    }
}

/// A key that ends with a slash may hold somebody's bytes. SeaweedFS keeps none there.
#[test]
fn bytes_under_the_name_of_a_folder_are_never_removed_with_it() {
    if !crate::office::is_slow_run("moto") {
        return;
    }
    let fixture = BucketFixture::new(Make::Moto, "p");
    let (target, hall) = (fixture.target(), path("hall"));
    fixture.outsider().put("p/hall/", b"theirs");
    let stamp = stamp_at(target, &hall);
    let refused = fault(one(target, change(&hall, Change::Remove, Guard::Unchanged(stamp.clone()))));
    assert_eq!(refused, Fault::Occupied);
    let staged = stage_at(target, &hall, b"ours");
    assert_eq!(fault(one(target, publish(&hall, &staged, Guard::Unchanged(stamp)))), Fault::Unfit);
    assert_eq!(fixture.outsider().get("p/hall/"), Some(b"theirs".to_vec()));
}

#[test]
fn a_large_file_is_invisible_until_it_is_published_and_whole_then() {
    on_each_server(large_file_is_invisible_until_it_is_published);
}

fn large_file_is_invisible_until_it_is_published(make: Make) {
    let (fixture, state) = (BucketFixture::new(make, "p"), tempfile::tempdir().unwrap());
    let (target, a, bytes) = (fixture.in_parts(state.path()), path("a"), large());
    let staged = stage_at(&target, &a, &bytes);
    assert_eq!((fixture.staged(), fixture.bytes(&a)), (1, None));
    let placed = one(&target, publish(&a, &staged, Guard::Absent)).unwrap();
    assert_eq!((fixture.staged(), fixture.bytes(&a).as_deref() == Some(&bytes[..])), (0, true));
    let looked = target.look(&a, Depth::Stamp).unwrap().unwrap();
    let shape = Shape { kind: Kind::File, len: bytes.len() as u64 };
    assert_eq!(
        (Some(looked.stamp), looked.seen),
        (placed.stamp, Seen { shape, digest: Some(digest(&bytes)), meta: meta() })
    );
}

#[test]
fn a_large_file_replaces_only_what_its_guard_says() {
    on_each_server(large_file_replaces_only_what_its_guard_says);
}

fn large_file_replaces_only_what_its_guard_says(make: Make) {
    let (fixture, state) = (BucketFixture::new(make, ""), tempfile::tempdir().unwrap());
    let (target, a, bytes) = (fixture.in_parts(state.path()), path("a"), large());
    let old = put(&target, &a, b"ours");
    fixture.outsider_writes(&a, b"theirs");
    for guard in [Guard::Absent, Guard::Unchanged(old)] {
        let staged = stage_at(&target, &a, &bytes);
        assert_eq!(fault(one(&target, publish(&a, &staged, guard))), Fault::Stale);
        target.discard(&[staged.token]);
        assert_eq!(fixture.bytes(&a), Some(b"theirs".to_vec()));
    }
    let (staged, theirs) = (stage_at(&target, &a, &bytes), stamp_at(&target, &a));
    one(&target, publish(&a, &staged, Guard::Unchanged(theirs))).unwrap();
    assert!(fixture.bytes(&a).as_deref() == Some(&bytes[..]));
    assert_eq!(fixture.history(&a), [b"theirs".to_vec()]);
}

#[test]
fn an_upload_goes_on_where_an_earlier_run_left_it() {
    on_each_server(upload_goes_on_where_an_earlier_run_left_it);
}

fn upload_goes_on_where_an_earlier_run_left_it(make: Make) {
    let (fixture, state) = (BucketFixture::new(make, "p"), tempfile::tempdir().unwrap());
    let (a, bytes) = (path("a"), large());
    stage_at(&fixture.in_parts(state.path()), &a, &bytes);
    let begun = fixture.outsider().uploads("");
    let proxy = fixture.bucket.proxy();
    let again = S3Setup { endpoint: Some(proxy.endpoint()), ..fixture.setup.clone() };
    let sizes = Sizes { part: PART, ..again.sizes };
    let again = S3Target::new(S3Setup { state: Some(state.path().to_owned()), sizes, ..again });
    let staged = stage_at(&again, &a, &bytes);
    assert_eq!(fixture.outsider().uploads(""), begun);
    // moto names its answer to a question for parts otherwise than S3 does: then they are sent again, to the same upload.
    let sent_again = if matches!(make, Make::Moto) { bytes.len().div_ceil(usize::try_from(PART).unwrap()) } else { 0 };
    assert_eq!(proxy.count(|request| request.kind() == Asked::Part), sent_again, "no part is sent again that is known");
    one(&again, publish(&a, &staged, Guard::Absent)).unwrap();
    assert!(fixture.bytes(&a).as_deref() == Some(&bytes[..]));
}

#[test]
fn uploads_of_others_are_never_swept() {
    let (fixture, state) = (BucketFixture::new(Make::SeaweedFs, "p"), tempfile::tempdir().unwrap());
    fixture.outsider().begin_upload("p/theirs");
    let theirs = fixture.outsider().uploads("");
    fixture.in_parts(state.path()).sweep().unwrap();
    assert_eq!(fixture.outsider().uploads(""), theirs);
}

#[test]
fn two_shares_in_one_bucket_do_not_see_each_other() {
    let fixture = BucketFixture::new(Make::SeaweedFs, "one");
    let other = S3Setup { prefix: "one-more".to_owned(), target_id: None, ..fixture.setup.clone() };
    let other = S3Target::new(S3Setup { share_id: "share-2".to_owned(), ..other });
    assert!(other.probe(Bind::IfUnbound).unwrap().newly);
    put(fixture.target(), &path("f/a"), b"one");
    put(&other, &path("g/b"), b"two");
    assert_eq!(listing(fixture.target()).into_keys().collect::<Vec<_>>(), [path("f"), path("f/a")]);
    assert_eq!(listing(&other).into_keys().collect::<Vec<_>>(), [path("g"), path("g/b")]);
}

#[test]
fn a_folder_that_only_its_files_imply_can_be_made() {
    for fixture in [BucketFixture::new(Make::SeaweedFs, "p"), BucketFixture::versioned(Make::SeaweedFs, "")] {
        let (target, f) = (fixture.target(), path("f"));
        fixture.outsider_writes(&path("f/theirs"), b"theirs");
        assert_eq!(target.look(&f, Depth::Stamp).unwrap().unwrap().seen.shape.kind, Kind::Folder);
        let placed = one(target, change(&f, Change::MakeFolder { meta: meta() }, Guard::Absent)).unwrap();
        assert_eq!(placed.stamp, Some(stamp_at(target, &f)));
        assert_eq!(fixture.bytes(&path("f/theirs")), Some(b"theirs".to_vec()));
        assert!(fixture.outsider().keys("").contains(&fixture.key("f/")), "it has a marker now");
    }
}

#[test]
fn what_no_path_is_written_as_is_shown_and_never_touched() {
    let fixture = BucketFixture::new(Make::SeaweedFs, "p");
    let strange = ["p/\u{201b}41", "p/f/\u{201b}zz"];
    strange.iter().for_each(|key| _ = fixture.outsider().put(key, b"theirs"));
    let (mut entries, mut shown) = (0, 0);
    let listed = fixture.target().list(&mut |page| {
        entries += page.entries.iter().filter(|(_, remote)| remote.seen.shape.kind == Kind::File).count();
        shown += page.strange.len();
        true
    });
    listed.unwrap();
    assert_eq!((entries, shown), (0, 2));
    strange.iter().for_each(|key| assert_eq!(fixture.outsider().get(key), Some(b"theirs".to_vec())));
}

#[test]
fn a_lost_answer_to_a_put_is_our_own_put() {
    let fixture = BucketFixture::new(Make::SeaweedFs, "p");
    let proxy = fixture.bucket.proxy();
    let target = S3Target::new(S3Setup { endpoint: Some(proxy.endpoint()), ..fixture.setup.clone() });
    proxy.add(
        Rule::always(Broken::LoseAnswer, |request| request.kind() == Asked::Put && request.key() == "p/a").times(1),
    );
    let stamp = put(&target, &path("a"), b"ours");
    assert_eq!((fixture.bytes(&path("a")), stamp_at(&target, &path("a"))), (Some(b"ours".to_vec()), stamp));
    assert_eq!(
        proxy.count(|request| request.kind() == Asked::Put && request.key() == "p/a"),
        1,
        "it is not sent twice"
    );
}

#[test]
fn a_put_that_is_delivered_twice_late_changes_nothing() {
    let fixture = BucketFixture::new(Make::SeaweedFs, "p");
    let (proxy, a) = (fixture.bucket.proxy(), path("a"));
    let target = S3Target::new(S3Setup { endpoint: Some(proxy.endpoint()), ..fixture.setup.clone() });
    let echo = Broken::Echo(Duration::from_millis(500));
    proxy.add(Rule::once(echo, |request| request.kind() == Asked::Put && request.key() == "p/a"));
    let stamp = put(&target, &a, b"old");
    replace(&target, &a, b"new", stamp).unwrap();
    let echoed = || proxy.requests().iter().find(|request| request.fault == Some("echo")).map(|request| request.status);
    assert!(wait(PATIENCE, || echoed().is_some()), "it is delivered again");
    assert_eq!(echoed(), Some(Some(412)));
    assert_eq!((fixture.bytes(&a), fixture.history(&a)), (Some(b"new".to_vec()), vec![b"old".to_vec()]));
}

#[test]
fn what_is_under_way_asks_once_whether_it_is_the_bucket_still() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock =
        Clock { wall: now, moment: || Moment(Duration::from_secs(SECONDS.load(Ordering::Relaxed))), chance: || 128 };
    let fixture = BucketFixture::new(Make::SeaweedFs, "p");
    let (proxy, sizes) = (fixture.bucket.proxy(), Sizes::default());
    let late = 2 * sizes.fresh.as_secs();
    let setup = S3Setup { endpoint: Some(proxy.endpoint()), clock, sizes, ..fixture.setup.clone() };
    let target = S3Target::new(setup);
    let step = |i: usize| {
        let at = path(format!("{i}"));
        let guard = Guard::Unchanged(put(&target, &at, b"some bytes"));
        Step { path: at, change: Change::SetMeta { meta: Meta { mode: 0o600, ..meta() } }, guard, replaces: None }
    };
    let steps: Vec<_> = (0..48).map(step).collect();
    let asked = || proxy.count(|request| request.key() == "p/.driftline/identity");
    SECONDS.fetch_add(late, Ordering::Relaxed);
    let before = asked();
    let answers = target.apply(&steps);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(asked() - before, 1);
    // If it is away, all of them say so, and none waits for the turn of the others.
    SECONDS.fetch_add(late, Ordering::Relaxed);
    proxy.add(Rule::always(Broken::Refuse(Answer::new(403, "AccessDenied")), |request| {
        request.key() == "p/.driftline/identity"
    }));
    assert!(target.apply(&steps).iter().all(Result::is_err));
}
