//! The queue to which the bucket sends its events: what stands in its messages, and how it is asked.
//!
//! It is spoken to on a line of its own: a poll waits for twenty seconds, and neither the pace of the bucket's requests nor
//! their budget is meant for that. What is asked of it is counted, and paid, as a kind of its own.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::StalledStreamProtectionConfig;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::RequestId;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use tokio::sync::OnceCell;

use super::connection::{REGION, Sort, http_client, loader};
use super::fault::{Kind, Outcome, Refusal};
use super::key::{Meaning, Prefix};
use super::object::{file_stamp, folder_stamp};
use super::{Inner, S3Setup, runtime};
use crate::target::{Fault, Finding, Level, News, Rumour, TargetError, Told};

/// How long the queue waits for a message before it says that there is none (seconds): the longest that SQS allows.
const POLL: i32 = 20;
/// Messages taken at once (count): the most that SQS gives.
const MESSAGES: i32 = 10;
/// What no message bears as its receipt.
const NO_RECEIPT: &str = "driftline-check";
/// How long an answer may take besides (seconds).
const ANSWER: Duration = Duration::from_secs(30);

/// A queue, and the region that it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueAt {
    /// Its address, `http(s)://host/ACCOUNT/QUEUE`.
    pub url: String,
    /// Without one: the bucket's.
    pub region: Option<String>,
}

/// The line to the queue.
#[derive(Default)]
pub(super) struct Ear(OnceCell<Client>);

impl Ear {
    async fn client(&self, setup: &S3Setup, queue: &QueueAt) -> &Client {
        self.0.get_or_init(|| Box::pin(connect(setup, queue))).await
    }
}

async fn connect(setup: &S3Setup, queue: &QueueAt) -> Client {
    let region = queue.region.clone().or_else(|| setup.region.clone());
    let elsewhere = setup.endpoint.is_some();
    let shared = loader(&S3Setup { region, ..setup.clone() }, elsewhere).load().await;
    let mut config = aws_sdk_sqs::config::Builder::from(&shared)
        // The listener rests after a fault and asks again.
        .retry_config(RetryConfig::disabled())
        // Nothing flows while it waits.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client());
    if shared.region().is_none() {
        config = config.region(aws_config::Region::from_static(REGION));
    }
    Client::from_conf(config.endpoint_url(host(&queue.url)).build())
}

/// The address without what stands behind the host.
fn host(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    url[begin..].find('/').map_or(url, |at| &url[..begin + at])
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    /// These may have changed.
    Rumours(Vec<Rumour>),
    /// Nothing that can be understood.
    Strange,
}

impl Inner {
    async fn hear(&self, queue: &QueueAt) -> Outcome<Told> {
        let client = self.ear.client(&self.setup, queue).await;
        let asked =
            client.receive_message().queue_url(&queue.url).max_number_of_messages(MESSAGES).wait_time_seconds(POLL);
        let limit = ANSWER + Duration::from_secs(POLL.unsigned_abs().into());
        let answer = self.ask_queue(limit, asked.send()).await?;
        let mut told = Told::default();
        for message in answer.messages() {
            match message.body().map_or(Message::Strange, |body| read(body, &self.setup.bucket, &self.prefix)) {
                Message::Rumours(rumours) => told.rumours.extend(rumours),
                Message::Strange => told.strange += 1,
            }
            told.receipts.extend(message.receipt_handle().map(str::to_owned));
        }
        Ok(told)
    }

    async fn noted(&self, queue: &QueueAt, receipts: &[String]) -> Outcome<()> {
        let client = self.ear.client(&self.setup, queue).await;
        for some in receipts.chunks(MESSAGES.unsigned_abs() as usize) {
            let mut asked = client.delete_message_batch().queue_url(&queue.url);
            for (number, receipt) in some.iter().enumerate() {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt);
                asked = asked.entries(entry.build().expect("both are set"));
            }
            // One that is not deleted is told again.
            self.ask_queue(ANSWER, asked.send()).await?;
        }
        Ok(())
    }

    async fn ask_queue<T, E>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Outcome<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        self.connection.count(Sort::Queue);
        in_time(limit, request).await
    }

    /// Whether the queue is there, and may be asked for all that the agent needs of it.
    pub(super) async fn check_queue(&self) -> Option<Finding> {
        let queue = self.setup.events.as_ref()?;
        Some(match self.try_queue(queue).await {
            Ok(()) => Finding::new(Level::Fine, format!("the queue of its events, {}, answers", queue.url)),
            Err((what, refusal)) => {
                let what = format!("cannot {what} the queue of its events, {}: {}", queue.url, refusal.cause);
                Finding::new(Level::Problem, what).hint(refusal.hint)
            }
        })
    }

    /// Each right is tried, and nothing is taken: what is received stays visible for whoever waits for it, and nothing is deleted.
    async fn try_queue(&self, queue: &QueueAt) -> Result<(), (&'static str, Refusal)> {
        let client = self.ear.client(&self.setup, queue).await;
        let asked = client.get_queue_attributes().queue_url(&queue.url).attribute_names(QueueAttributeName::QueueArn);
        self.ask_queue(ANSWER, asked.send()).await.map_err(|refusal| ("ask", refusal))?;
        let asked = client.receive_message().queue_url(&queue.url).max_number_of_messages(1);
        let asked = asked.visibility_timeout(0).wait_time_seconds(0);
        self.ask_queue(ANSWER, asked.send()).await.map_err(|refusal| ("read", refusal))?;
        let entry = DeleteMessageBatchRequestEntry::builder().id("0").receipt_handle(NO_RECEIPT);
        let asked = client.delete_message_batch().queue_url(&queue.url);
        let asked = asked.entries(entry.build().expect("both are set"));
        // Whoever may delete is told of this one entry that it is no receipt, and that is no error of the whole.
        self.ask_queue(ANSWER, asked.send()).await.map_err(|refusal| ("delete what was read from", refusal))?;
        Ok(())
    }
}

async fn in_time<T, E>(limit: Duration, request: impl Future<Output = Result<T, SdkError<E>>>) -> Outcome<T>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    SdkError<E>: RequestId,
{
    let silent = || {
        let cause = format!("no answer came within {} s", limit.as_secs());
        let hint = "see whether the line to the queue is up; driftline tries again by itself";
        Err(Refusal::new(Kind::Unclear, cause, hint))
    };
    tokio::time::timeout(limit, request).await.map_or_else(|_| silent(), |answer| answer.map_err(refusal))
}

/// What a queue's own answers mean; what is the same for all of AWS is sorted as a bucket's answers are.
fn refusal<E>(error: SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    SdkError<E>: RequestId,
{
    let own = match &error {
        SdkError::ServiceError(answer) => {
            own(answer.err().code().unwrap_or_default(), answer.err().message().unwrap_or_default())
        }
        _ => None,
    };
    own.unwrap_or_else(|| Refusal::from(error))
}

fn own(code: &str, message: &str) -> Option<Refusal> {
    let (what, hint) = match code {
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" | "InvalidAddress" => (
            "there is no such queue",
            "make the queue, or correct region, account and name in events of this target; driftline never makes one",
        ),
        "AccessDenied" | "AccessDeniedException" | "KmsAccessDenied" | "KMS.AccessDeniedException" => (
            "access is denied",
            "give the agent's user sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes on this queue, and \
             kms:Decrypt on its key if it has one",
        ),
        _ => return None,
    };
    Some(Refusal::fault(Fault::Unreachable, format!("{what} ({code}: {message})"), hint))
}

impl News for super::S3Target {
    fn hear(&self) -> Result<Told, TargetError> {
        let Some(queue) = &self.inner.setup.events else { return Ok(Told::default()) };
        runtime().block_on(self.inner.hear(queue)).map_err(|refusal| refusal.into_error("hear the events of", None))
    }

    fn noted(&self, receipts: &[String]) -> Result<(), TargetError> {
        let Some(queue) = &self.inner.setup.events else { return Ok(()) };
        let noted = runtime().block_on(self.inner.noted(queue, receipts));
        noted.map_err(|refusal| refusal.into_error("take back the events of", None))
    }
}

/// What stands in a message: one of S3, by itself or as SNS passes it on.
fn read(body: &str, bucket: &str, prefix: &Prefix) -> Message {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(body) else { return Message::Strange };
    if value.get("Type").is_some_and(|kind| kind == "Notification") {
        let Some(inner) = value.get("Message").and_then(|inner| inner.as_str()) else { return Message::Strange };
        return serde_json::from_str(inner).map_or(Message::Strange, |inner| records(&inner, bucket, prefix));
    }
    records(&value, bucket, prefix)
}

fn records(value: &serde_json::Value, bucket: &str, prefix: &Prefix) -> Message {
    if value.get("Event").is_some_and(|event| event == "s3:TestEvent") {
        return Message::Rumours(Vec::new());
    }
    let Some(records) = value.get("Records").and_then(|records| records.as_array()) else { return Message::Strange };
    let mut rumours = Vec::new();
    for record in records {
        let text = |pointer: &str| record.pointer(pointer).and_then(|text| text.as_str());
        let told = (text("/eventName"), text("/s3/bucket/name"), text("/s3/object/key").and_then(plain));
        let (Some(event), Some(place), Some(key)) = told else { return Message::Strange };
        if place != bucket {
            continue;
        }
        let event = event.trim_start_matches("s3:");
        let made = event.starts_with("ObjectCreated");
        // One onto itself sets what is carried with an object, and leaves its ETag.
        let carried = event.starts_with("ObjectCreated:Copy");
        let etag = text("/s3/object/eTag").filter(|_| made);
        let (path, stamp, carried) = match prefix.meaning(&key) {
            Some(Meaning::Object(path)) => (path, etag.map(file_stamp), carried),
            Some(Meaning::Folder(path)) => (path, made.then(folder_stamp), false),
            Some(Meaning::Ours | Meaning::Strange) | None => continue,
        };
        rumours.push(Rumour { path, stamp, carried });
    }
    Message::Rumours(rumours)
}

/// A key as S3 writes it in events: like a form's field, in which a space is a plus sign.
fn plain(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, HttpClient, Region, RuntimeComponents};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::http::{Request as HttpRequest, Response as HttpResponse, StatusCode};
    use aws_smithy_types::body::SdkBody;

    use super::super::S3Target;
    use super::*;
    use crate::model::{RelPath, Requests};
    use crate::target::{Refused, Target as _};

    fn event(name: &str, bucket: &str, key: &str, etag: &str) -> serde_json::Value {
        let object = serde_json::json!({ "key": key, "size": 5, "eTag": etag, "sequencer": "00" });
        serde_json::json!({ "eventVersion": "2.1", "eventName": name, "s3": { "bucket": { "name": bucket }, "object": object } })
    }

    fn body(events: &[serde_json::Value]) -> String {
        serde_json::json!({ "Records": events }).to_string()
    }

    fn heard(body: &str) -> Message {
        read(body, "acme", &Prefix::new("office"))
    }

    fn rumour(path: &str, stamp: Option<crate::model::Stamp>) -> Rumour {
        Rumour { path: RelPath::new(path).expect("fine"), stamp, carried: false }
    }

    #[test]
    fn events_name_paths_and_what_lies_there() {
        let body = body(&[
            event("ObjectCreated:Put", "acme", "office/a+b/Gr%C3%BC%C3%9Fe+%2B.txt", "e1"),
            event("s3:ObjectCreated:CompleteMultipartUpload", "acme", "office/big", "e2-3"),
            event("ObjectCreated:Copy", "acme", "office/copied", "e3"),
            event("ObjectCreated:Copy", "acme", "office/folder/", "d41d8cd98f00b204e9800998ecf8427e"),
            event("ObjectRemoved:Delete", "acme", "office/gone", "e4"),
            event("ObjectRemoved:DeleteMarkerCreated", "acme", "office/marked", "e5"),
            event("LifecycleExpiration:Delete", "acme", "office/expired", "e6"),
        ]);
        let wanted = [
            rumour("a b/Grüße +.txt", Some(file_stamp("e1"))),
            rumour("big", Some(file_stamp("e2-3"))),
            Rumour { carried: true, ..rumour("copied", Some(file_stamp("e3"))) },
            rumour("folder", Some(folder_stamp())),
            rumour("gone", None),
            rumour("marked", None),
            rumour("expired", None),
        ];
        assert_eq!(heard(&body), Message::Rumours(wanted.to_vec()));
        let passed_on = serde_json::json!({ "Type": "Notification", "TopicArn": "arn", "Message": body }).to_string();
        assert_eq!(heard(&passed_on), Message::Rumours(wanted.to_vec()), "through a topic");
    }

    #[test]
    fn what_is_not_of_this_place_tells_nothing() {
        let body = body(&[
            event("ObjectCreated:Put", "other", "office/a", "e"),
            event("ObjectCreated:Put", "acme", "officer/a", "e"),
            event("ObjectCreated:Put", "acme", "office/.driftline/identity", "e"),
            event("ObjectCreated:Put", "acme", "office/a//b", "e"),
            event("ObjectCreated:Put", "acme", "office/", "e"),
        ]);
        assert_eq!(heard(&body), Message::Rumours(Vec::new()));
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"acme"}"#;
        assert_eq!(heard(test), Message::Rumours(Vec::new()));
    }

    #[test]
    fn what_cannot_be_understood_is_told_as_that() {
        for body in [
            String::new(),
            "hello".to_owned(),
            "[]".to_owned(),
            r#"{"Records":7}"#.to_owned(),
            r#"{"Type":"Notification","Message":"hello"}"#.to_owned(),
            r#"{"Type":"Notification"}"#.to_owned(),
            r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#.to_owned(),
            body(&[event("ObjectCreated:Put", "acme", "office/%zz", "e")]),
            body(&[event("ObjectCreated:Put", "acme", "office/%C3", "e")]),
            body(&[event("ObjectCreated:Put", "acme", "office/%", "e")]),
        ] {
            assert_eq!(heard(&body), Message::Strange, "{body}");
        }
    }

    #[test]
    fn a_queue_that_may_not_be_read_or_does_not_answer_is_told_with_what_helps() {
        let denied = own("AccessDenied", "not for you").expect("its own");
        assert_eq!(denied.cause, "access is denied (AccessDenied: not for you)");
        let rights = "give the agent's user sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes on this queue, \
                      and kms:Decrypt on its key if it has one";
        assert_eq!(denied.hint, rights);
        assert!(own("ExpiredToken", "").is_none(), "as a bucket says it");
        type Never = Result<(), SdkError<aws_sdk_sqs::operation::receive_message::ReceiveMessageError>>;
        let never = std::future::pending::<Never>();
        let silent = runtime().block_on(async { in_time(Duration::ZERO, never).await }).expect_err("silent");
        assert_eq!(silent.hint, "see whether the line to the queue is up; driftline tries again by itself");
    }

    /// Says that all is done, and that there is no message; of one action, that the agent may not.
    #[derive(Clone, Copy, Debug, Default)]
    struct Quiet {
        denies: Option<&'static str>,
    }

    impl HttpConnector for Quiet {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let action = request.headers().get("x-amz-target").and_then(|action| action.strip_prefix("AmazonSQS."));
            let (status, body) = if self.denies.is_some() && action == self.denies {
                (400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not for you"}"#)
            } else {
                (200, r#"{"Successful":[],"Failed":[]}"#)
            };
            let status = StatusCode::try_from(status).expect("a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
        }
    }

    impl HttpClient for Quiet {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(*self)
        }
    }

    fn hearing(setup: S3Setup, line: Quiet) -> S3Target {
        let queue = QueueAt { url: "http://127.0.0.1:9/1/n".to_owned(), region: None };
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static(REGION))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(line);
        let target = S3Target::new(S3Setup { events: Some(queue), ..setup });
        target.inner.ear.0.set(Client::from_conf(config.build())).expect("nobody has asked yet");
        target
    }

    #[test]
    fn a_check_of_the_queue_tries_each_right_that_the_agent_needs() {
        let found = |denies| {
            let target = hearing(S3Setup::plain(), Quiet { denies });
            runtime().block_on(target.inner.check_queue()).expect("there is a queue")
        };
        assert_eq!(found(None).level, Level::Fine);
        let table = [
            ("GetQueueAttributes", "cannot ask the queue"),
            ("ReceiveMessage", "cannot read the queue"),
            ("DeleteMessageBatch", "cannot delete what was read from the queue"),
        ];
        for (denied, words) in table {
            let found = found(Some(denied));
            assert_eq!(found.level, Level::Problem, "{denied}");
            assert!(found.what.starts_with(words), "{denied}: {found:?}");
            assert!(found.what.ends_with("access is denied (AccessDeniedException: not for you)"), "{found:?}");
            assert!(found.hint.contains("sqs:DeleteMessage"), "{found:?}");
        }
    }

    #[test]
    fn what_is_asked_of_the_queue_is_counted_as_that_and_the_budget_does_not_bound_it() {
        let used_up = |_: &Requests| Err(Refused { cause: "used up".to_owned(), wait: Duration::from_secs(1) });
        let target = hearing(S3Setup { allowed: Arc::new(used_up), ..S3Setup::plain() }, Quiet::default());

        assert_eq!(target.hear().expect("heard"), Told::default());
        target.noted(&vec!["receipt".to_owned(); 11]).expect("two requests, of ten at most");
        let found = runtime().block_on(target.inner.check_queue()).expect("there is a queue");
        assert_eq!(found.level, Level::Fine, "{found:?}");
        assert_eq!(target.requests(), Requests { queue: 6, ..Requests::default() });
    }

    #[test]
    fn a_queue_is_reached_at_its_host() {
        assert_eq!(host("http://127.0.0.1:5000/1/n"), "http://127.0.0.1:5000");
        assert_eq!(host("https://sqs.eu-west-1.amazonaws.com/1/n"), "https://sqs.eu-west-1.amazonaws.com");
    }
}
