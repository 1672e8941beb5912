//! The tests' own tools put to the test: a tool that cannot fail proves nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::buckets::{Answer, Bucket, Fault, Kind, Make, Object, Outsider, Proxy, Refusal, Request, Rule};
use crate::office::{is_slow_run, must, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// A bucket with a proxy before it, and a client that knows the proxy only.
struct Line {
    bucket: Bucket,
    proxy: Proxy,
    client: Outsider,
}

impl Line {
    fn new() -> Self {
        Self::patient(PATIENCE)
    }

    /// A line whose client gives up after `patience`.
    fn patient(patience: Duration) -> Self {
        let bucket = Bucket::new(Make::SeaweedFs);
        let proxy = bucket.proxy();
        let client = Outsider::with(&proxy.endpoint(), bucket.name(), "driftline-secret", patience);
        Self { bucket, proxy, client }
    }

    /// What lies there in truth.
    fn truth(&self, key: &str) -> Option<Vec<u8>> {
        self.bucket.outsider().get(key)
    }
}

fn puts(request: &Request) -> bool {
    request.kind() == Kind::Put
}

fn all(_: &Request) -> bool {
    true
}

fn code<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> Option<String> {
    answer.expect_err("a refusal").code
}

fn makes() -> Vec<Make> {
    if is_slow_run("another S3 server") { vec![Make::SeaweedFs, Make::Moto] } else { vec![Make::SeaweedFs] }
}

#[test]
fn nobody_gets_in_with_a_wrong_secret() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let stranger = Outsider::with(&bucket.endpoint(), bucket.name(), "guessed", PATIENCE);
    assert_eq!(code(stranger.try_put("a", b"x", &[])).as_deref(), Some("SignatureDoesNotMatch"));
    assert_eq!(bucket.outsider().get("a"), None);
}

#[test]
fn an_outsider_sees_what_it_put() {
    for make in makes() {
        let bucket = Bucket::new(make);
        let (outsider, meta) = (bucket.outsider(), [("mtime", "1.5"), ("mode", "100640")]);
        assert_eq!(outsider.keys(""), [""; 0]);
        let etag = outsider.put_with("f/a", b"bytes", &meta);
        outsider.put("f/b", b"other bytes");
        let head = outsider.head("f/a").expect("it was put");
        let wanted = meta.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let content_type = head.content_type.clone();
        let wanted = Object { etag, version: None, len: 5, content_type, meta: BTreeMap::from(wanted) };
        assert_eq!((head, outsider.get("f/a")), (wanted, Some(b"bytes".to_vec())));
        assert_eq!(outsider.keys("f/"), ["f/a", "f/b"]);
        outsider.delete("f/a");
        assert_eq!(
            (outsider.head("f/a"), outsider.get("f/a"), outsider.keys("")),
            (None, None, vec!["f/b".to_owned()])
        );
    }
}

#[test]
fn odd_keys_are_listed_as_they_are() {
    for make in makes() {
        let bucket = Bucket::new(make);
        let keys = ["%41", "+", "a\u{1}b", "a b+c%20", "e\u{301}", "\u{201b}x", "😀"];
        keys.iter().for_each(|key| _ = bucket.outsider().put(key, key.as_bytes()));
        assert_eq!(bucket.outsider().keys(""), keys);
        keys.iter().for_each(|key| assert_eq!(bucket.outsider().get(key).as_deref(), Some(key.as_bytes())));
    }
}

#[test]
fn each_bucket_is_empty_at_first() {
    let (one, two) = (Bucket::new(Make::SeaweedFs), Bucket::new(Make::SeaweedFs));
    one.outsider().put("a", b"x");
    assert_eq!((one.outsider().keys(""), two.outsider().keys("")), (vec!["a".to_owned()], vec![]));
    let name = one.name().to_owned();
    drop(one);
    let gone = Outsider::new(&two.endpoint(), &name).try_keys("");
    assert_eq!(code(gone).as_deref(), Some("NoSuchBucket"));
}

#[test]
fn versions_are_told_oldest_first() {
    for make in makes() {
        let bucket = Bucket::versioned(make);
        let outsider = bucket.outsider();
        for version in [b"1", b"2", b"3"] {
            outsider.put("a", version);
            outsider.put("ab", version);
        }
        let versions = outsider.versions("a");
        assert_eq!(versions.iter().map(|version| version.latest).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(outsider.head("a").expect("it is there").version.as_ref(), Some(&versions[2].id));
        outsider.delete("a");
        let kept: Vec<_> = outsider.versions("a").iter().filter_map(|version| outsider.get_version(version)).collect();
        assert_eq!((outsider.get("a"), kept), (None, vec![b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]));
        outsider.delete_version(&versions[0]);
        assert_eq!((outsider.versions("a").len(), outsider.get_version(&versions[0])), (2, None));
    }
}

#[test]
fn a_program_is_let_in_by_its_environment_alone() {
    let bucket = Bucket::new(Make::SeaweedFs);
    bucket.outsider().put("p/a", b"x");
    let mut command = Command::new("sh");
    let said = must(Bucket::admit(command.args(["-c", "env | grep ^AWS_ | sort"]).env("AWS_PROFILE", "somebody else")));
    let wanted = "AWS_ACCESS_KEY_ID=driftline\nAWS_EC2_METADATA_DISABLED=true\nAWS_REGION=us-east-1\nAWS_SECRET_ACCESS_KEY=driftline-secret\n";
    assert_eq!((said.out.as_str(), bucket.url("p")), (wanted, format!("s3://{}/p", bucket.name())));
}

#[test]
fn uploads_that_were_begun_are_told() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let id = bucket.outsider().begin_upload("f/a");
    assert_eq!(bucket.outsider().uploads("f/"), [("f/a".to_owned(), id)]);
    assert_eq!(bucket.outsider().uploads("g/"), []);
}

#[test]
fn requests_are_passed_on_as_they_came_and_noted() {
    let line = Line::new();
    line.client.put_with("a b", &[7; 100_000], &[("k", "v")]);
    assert_eq!(line.client.get("a b"), Some(vec![7; 100_000]));
    assert_eq!(line.client.head("a b"), line.bucket.outsider().head("a b"));
    assert_eq!(line.client.keys("a"), ["a b"]);
    line.client.begin_upload("u");
    line.client.delete("a b");
    assert_eq!(line.client.get("a b"), None);
    let noted = line.proxy.requests();
    let kinds: Vec<_> = noted.iter().map(|request| (request.kind(), request.status)).collect();
    let wanted = [
        (Kind::Put, Some(200)),
        (Kind::Get, Some(200)),
        (Kind::Head, Some(200)),
        (Kind::List, Some(200)),
        (Kind::BeginUpload, Some(200)),
        (Kind::Delete, Some(204)),
        (Kind::Get, Some(404)),
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(
        (noted[0].key(), noted[0].header("x-amz-meta-k"), noted[0].sent),
        ("a b".to_owned(), Some("v"), 100_000)
    );
    assert_eq!((noted[1].sent, noted[1].got, noted[1].fault), (0, 100_000, None));
    line.proxy.forget();
    assert_eq!(line.proxy.count(all), 0);
}

#[test]
fn a_lost_answer_was_carried_out_and_a_lost_request_was_not() {
    let line = Line::new();
    line.proxy.add(Rule::once(Fault::LoseAnswer, puts));
    assert_eq!(code(line.client.try_put("a", b"x", &[])), None);
    assert_eq!(line.truth("a"), Some(b"x".to_vec()));
    line.proxy.add(Rule::once(Fault::LoseRequest, puts));
    assert_eq!(code(line.client.try_put("b", b"x", &[])), None);
    assert_eq!(line.truth("b"), None);
    line.client.put("b", b"now");
    let faults: Vec<_> = line.proxy.requests().iter().map(|request| (request.fault, request.status)).collect();
    assert_eq!(faults, [(Some("answer lost"), Some(200)), (Some("request lost"), None), (None, Some(200))]);
}

#[test]
fn a_storm_spares_some_and_has_its_number() {
    let line = Line::new();
    line.proxy.add(Rule::always(Fault::slow_down(), puts).sparing(1).times(2));
    let codes: Vec<_> = (0..4).map(|_| line.client.try_put("a", b"x", &[]).err().map(|e| e.code)).collect();
    let slow = Some(Some("SlowDown".to_owned()));
    assert_eq!(codes, [None, slow.clone(), slow, None]);
}

#[test]
fn a_storm_lasts_its_time_or_until_all_is_healed() {
    let line = Line::new();
    let begun = Instant::now();
    line.proxy.add(Rule::always(Fault::internal_error(), all).lasting(Duration::from_millis(300)));
    assert_eq!(code(line.client.try_get("a", None)).as_deref(), Some("InternalError"));
    assert!(wait(PATIENCE, || line.client.try_put("a", b"x", &[]).is_ok()), "it ends");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it lasted {:?}", begun.elapsed());
    line.proxy.add(Rule::always(Fault::Refuse(Answer::new(403, "AccessDenied")), all));
    assert_eq!(code(line.client.try_keys("")).as_deref(), Some("AccessDenied"));
    line.proxy.heal();
    assert_eq!(line.client.keys(""), ["a"]);
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let line = Line::new();
    line.proxy.add(Rule::once(Fault::skewed("Tue, 24 Nov 2026 01:00:00 GMT"), all));
    assert_eq!(code(line.client.try_put("a", b"x", &[])).as_deref(), Some("RequestTimeTooSkewed"));
    assert_eq!(line.truth("a"), None);
}

#[test]
fn slowness_takes_its_time_in_both_directions_and_changes_nothing() {
    let line = Line::new();
    for fault in [Fault::SlowRequest(100_000), Fault::SlowAnswer(100_000), Fault::Delay(Duration::from_millis(400))] {
        line.proxy
            .add(Rule::once(fault.clone(), move |request| !matches!(fault, Fault::SlowAnswer(_)) || !puts(request)));
        let begun = Instant::now();
        line.client.put("a", &[5; 50_000]);
        assert_eq!(line.client.get("a"), Some(vec![5; 50_000]));
        assert!(begun.elapsed() > Duration::from_millis(390), "it took {:?}", begun.elapsed());
    }
}

#[test]
fn what_stalls_never_comes() {
    let line = Line::patient(Duration::from_secs(1));
    line.proxy.add(Rule::once(Fault::StallRequest(1000), puts));
    line.proxy.add(Rule::once(Fault::StallAnswer(0), puts));
    let begun = Instant::now();
    assert_eq!(code(line.client.try_put("a", &[5; 500_000], &[])), None);
    assert_eq!(line.truth("a"), None);
    assert_eq!(code(line.client.try_put("b", b"x", &[])), None);
    assert_eq!(line.truth("b"), Some(b"x".to_vec()));
    assert!(begun.elapsed() >= Duration::from_secs(2), "nobody else gave up");
    assert_eq!(line.proxy.requests()[0].sent, 1000);
}

#[test]
fn what_is_reset_in_its_middle_is_told_as_such() {
    let line = Line::new();
    line.proxy.add(Rule::once(Fault::ResetRequest(1000), puts));
    let refusal = line.client.try_put("a", &[5; 500_000], &[]).expect_err("a reset");
    assert!(refusal.why.contains("reset"), "{refusal:?}");
    assert_eq!(line.truth("a"), None);
    line.client.put("a", &[5; 500_000]);
    line.proxy.add(Rule::once(Fault::ResetAnswer(1000), all));
    let refusal = line.client.try_get("a", None).expect_err("a reset");
    assert!(refusal.why.contains("reset"), "{refusal:?}");
    assert_eq!(line.proxy.requests()[2].got, 1000);
}

#[test]
fn listings_can_be_spoilt() {
    let line = Line::new();
    ["a", "b", "c"].iter().for_each(|key| _ = line.client.put(key, b"x"));
    line.proxy.add(Rule::once(Fault::half_an_answer(), all));
    assert_eq!(code(line.client.try_keys("")), None);
    line.proxy.add(Rule::once(Fault::forgets("b"), all));
    assert_eq!(line.client.keys(""), ["a", "c"]);
    line.proxy.forget();
    line.proxy.add(Rule::once(Fault::wrong_token(), all));
    line.client.try_keys("").ok();
    let tokens = line.proxy.count(|request| request.query.contains("continuation-token=no%20token"));
    assert_eq!((tokens, line.proxy.count(all)), (1, 2));
    assert_eq!(line.client.keys(""), ["a", "b", "c"]);
}

#[test]
fn a_request_can_be_delivered_twice() {
    let line = Line::new();
    line.proxy.add(Rule::once(Fault::Twice, puts));
    assert_eq!(code(line.client.try_put_new("a", b"x")).as_deref(), Some("PreconditionFailed"));
    assert_eq!(line.truth("a"), Some(b"x".to_vec()));
    line.proxy.add(Rule::once(Fault::Echo(Duration::from_millis(300)), puts));
    line.client.put("a", b"old");
    line.client.put("a", b"new");
    assert_eq!(line.truth("a"), Some(b"new".to_vec()));
    assert!(wait(PATIENCE, || line.proxy.count(|request| request.fault == Some("echo")) == 1), "it is delivered again");
    assert_eq!(line.truth("a"), Some(b"old".to_vec()));
}

/// Reads until what was read ends with `end`.
fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while !all.ends_with(end) {
        stream.read_exact(&mut byte).expect("it goes on until its end");
        all.push(byte[0]);
    }
    all
}

#[test]
fn chunks_are_passed_on_as_they_came() {
    let request = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: t\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\r\n0\r\n\r\n0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(&listener.local_addr().unwrap().to_string());
    let server = std::thread::spawn(move || {
        let got = read_until(&mut listener.accept().unwrap().0, b"Trailer: t\r\n\r\n");
        // Once more, for the answer that is edited: its body is the five bytes of its only chunk.
        let mut stream = listener.accept().unwrap().0;
        read_until(&mut stream, b"Trailer: t\r\n\r\n");
        stream.write_all(answer).unwrap();
        got
    });
    proxy.add(Rule::once(Fault::Edit(std::sync::Arc::new(|body| body.replace("\r\n", "#"))), |_| true).sparing(1));
    let mut client = TcpStream::connect(proxy.endpoint().trim_start_matches("http://")).unwrap();
    client.write_all(request).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the first one is not answered");
    let mut client = TcpStream::connect(proxy.endpoint().trim_start_matches("http://")).unwrap();
    client.write_all(request).unwrap();
    let edited = read_until(&mut client, b"#0#");
    assert_eq!(String::from_utf8(edited).unwrap(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n#0#");
    assert_eq!(server.join().unwrap(), request);
    assert_eq!(proxy.requests()[0].sent, 35);
}
