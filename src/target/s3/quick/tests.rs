use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex as Lock;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation, retry::RetryConfig};
use aws_sdk_s3::{Client, Config};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::http::StatusCode;

use super::super::abilities::Abilities;
use super::super::connection::{Connection, Line, runtime};
use super::super::lean::lean;
use super::super::wire::{Condition, Put, Wire};
use super::super::{Clock, S3Setup, Sse, sums};
use super::*;
use crate::model::Moment;

/// Notes requests, and answers each alike.
#[derive(Clone, Debug, Default)]
struct Server {
    noted: Arc<Lock<Vec<Noted>>>,
    answer: Option<(u16, &'static str)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Noted {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl HttpConnector for Server {
    fn call(&self, request: Request) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.noted.lock().expect("no thread has panicked").push(Noted {
            method: request.method().to_owned(),
            url: request.uri().to_owned(),
            headers: headers.collect(),
            body: request.body().bytes().expect("in memory").to_vec(),
        });
        let (status, body) = self.answer.unwrap_or((200, ""));
        let mut response = Response::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
        response.headers_mut().insert("etag", "\"e\"");
        response.headers_mut().insert("x-amz-version-id", "v");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Server {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The second of 13 February 2009 that has all digits in order.
const NOW: Wall = Wall(1_234_567_890_000_000_000);
const NOW_WORDS: &str = "20090213T233130Z";

fn setup(sse: Option<Sse>, tags: Vec<(String, String)>) -> S3Setup {
    S3Setup {
        bucket: "office".to_owned(),
        storage_class: (!tags.is_empty()).then(|| "STANDARD_IA".to_owned()),
        sse,
        tags,
        clock: Clock { wall: || NOW, moment: Moment::default, chance: || 0 },
        ..S3Setup::plain()
    }
}

/// A line to the server; over TLS, if the endpoint says so.
fn line(server: &Server, endpoint: Option<&str>, token: Option<&str>) -> Connection {
    let credentials = Credentials::new("id", "secret", token.map(str::to_owned), None, "test");
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials.clone())
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    let (config, place) = lean(config, "office");
    let (client, connector) = Remembering::before(SharedHttpClient::new(server.clone()));
    let credentials = Some(SharedCredentialsProvider::new(credentials));
    let quick = Quick::new(place.map(|place| Known { place, connector, credentials }));
    let secure = endpoint.is_none();
    Connection::with(Line { client: Client::from_conf(config.http_client(client).build()), secure, quick })
}

fn put(key: &str) -> Put {
    let metadata = [("mtime", "1.5"), ("mode", "644"), ("blake3", "abcdef")];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Put { key: key.to_owned(), body: Bytes::from_static(b"what is in it"), metadata: HashMap::from(metadata) }
}

/// The request without what depends on the time.
fn timeless(mut noted: Noted) -> (Noted, String) {
    let date = noted.headers.remove("x-amz-date").expect("it is signed");
    let authorization = noted.headers.remove("authorization").expect("it is signed");
    let (scope, rest) = authorization.split_once("/20").expect("a date");
    let signed = rest.split_once("Signature=").expect("a signature").0;
    noted.headers.insert("signed".to_owned(), format!("{scope} {}", &signed[6..]));
    (noted, date)
}

#[test]
fn it_is_the_request_that_the_client_would_make() {
    let tags = vec![("team".to_owned(), "office 1".to_owned()), ("kind".to_owned(), "a&b".to_owned())];
    let plain = || setup(None, Vec::new());
    let kms = setup(Some(Sse::Kms { key: Some("arn:aws:kms:x".to_owned()) }), tags);
    let etag = Condition::Match("\"abc\"".to_owned());
    let table = [
        (plain(), Some("http://127.0.0.1:9"), None, "a/b.pdf", Some(Condition::Absent)),
        (plain(), Some("http://127.0.0.1:9/"), None, "ä b+c%20/(1)~'!*&=?#@:,;$.txt", Some(etag)),
        (plain(), None, Some("session"), "a//b/../c/", None),
        (kms, None, None, "a", Some(Condition::Absent)),
        (setup(Some(Sse::S3), Vec::new()), None, None, "a.docx", None),
    ];
    for (setup, endpoint, token, key, condition) in table {
        for checksum in [super::super::abilities::Checksum::Crc64Nvme, super::super::abilities::Checksum::Sha256] {
            let server = Server::default();
            let connection = line(&server, endpoint, token);
            let wire = Wire { setup: &setup, connection: &connection, abilities: Abilities::ALL };
            let put = put(key);
            let sum = sums::checked(checksum, &put.body);
            for _ in 0..2 {
                let made = runtime().block_on(wire.put_once(&put, condition.as_ref(), &sum)).expect("it is answered");
                assert_eq!((made.etag.as_str(), made.version.as_deref()), ("\"e\"", Some("v")));
            }
            let noted = std::mem::take(&mut *server.noted.lock().expect("no thread has panicked"));
            let [theirs, ours] = <[Noted; 2]>::try_from(noted).expect("two requests").map(timeless);
            assert_eq!(ours.0, theirs.0, "{key}");
            assert_eq!(ours.1, NOW_WORDS, "{key}");
            assert_ne!(theirs.1, NOW_WORDS, "{key}");
        }
    }
}

#[test]
fn an_answer_means_what_it_means_to_the_client() {
    let error = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Go &lt;slowly&gt; &amp; steadily</Message></Error>";
    let answers = [(503, error), (503, ""), (412, "<Error><Code>PreconditionFailed</Code></Error>"), (500, "no XML")];
    for answer in answers {
        let server = Server { answer: Some(answer), ..Server::default() };
        let (connection, setup) = (line(&server, None, None), setup(None, Vec::new()));
        let wire = Wire { setup: &setup, connection: &connection, abilities: Abilities::ALL };
        let put = put("a");
        let sum = sums::checked(super::super::abilities::Checksum::Crc64Nvme, &put.body);
        let [theirs, ours] = [0, 1].map(|_| {
            let refusal = runtime().block_on(wire.put_once(&put, None, &sum)).expect_err("it is refused");
            (refusal.kind, refusal.cause, refusal.hint)
        });
        assert_eq!(ours, theirs, "{answer:?}");
        let dates = server.noted.lock().expect("no thread has panicked");
        let dates: Vec<_> = dates.iter().map(|noted| noted.headers["x-amz-date"] == NOW_WORDS).collect();
        assert_eq!(dates, [false, true]);
    }
}

#[test]
fn credentials_are_asked_for_again_before_they_expire() {
    let at = |seconds: i64| Wall(seconds * 1_000_000_000);
    assert_eq!(good_until(at(1000), None), at(1900));
    assert_eq!(good_until(at(1000), Some(at(1500))), at(1440));
    assert_eq!(good_until(at(1000), Some(at(9999))), at(1900));
    assert!(good_until(at(1000), Some(at(1030))) < at(1000), "for this request only");
}

#[test]
fn a_long_body_is_left_to_the_client() {
    for (len, ours) in [(BODY_MAX, true), (BODY_MAX + 1, false)] {
        let server = Server::default();
        let (connection, setup) = (line(&server, None, None), setup(None, Vec::new()));
        let wire = Wire { setup: &setup, connection: &connection, abilities: Abilities::ALL };
        let put = Put { body: Bytes::from(vec![7; len]), ..put("a") };
        let sum = sums::checked(super::super::abilities::Checksum::Crc64Nvme, &put.body);
        for _ in 0..2 {
            runtime().block_on(wire.put_once(&put, None, &sum)).expect("it is answered");
        }
        let noted = server.noted.lock().expect("no thread has panicked");
        assert_eq!(noted.last().expect("two requests").headers["x-amz-date"] == NOW_WORDS, ours, "{len}");
    }
}
