//! A queue to which a bucket sends its events, as an administrator and others see it.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;

use super::Bucket;
use super::server::{KEY, REGION, SECRET};

/// A queue that vanishes with the test.
pub(crate) struct Mailbox {
    runtime: tokio::runtime::Runtime,
    client: Client,
    name: String,
    url: String,
}

impl Mailbox {
    /// A queue of the same server, to which the bucket sends its events.
    pub(crate) fn of(bucket: &Bucket) -> Self {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new(KEY, SECRET, None, None, "tests"))
            .region(Region::new(REGION))
            .endpoint_url(bucket.endpoint())
            .retry_config(RetryConfig::disabled())
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let name = format!("{}-news", bucket.name());
        let mut mailbox = Self { runtime, client: Client::from_conf(config), name, url: String::new() };
        mailbox.make();
        bucket.outsider().tell(&mailbox.attribute(Attribute::QueueArn));
        mailbox
    }

    /// Its address, as a configuration has it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes it, or makes it again.
    pub(crate) fn make(&mut self) {
        let made = self.runtime.block_on(self.client.create_queue().queue_name(&self.name).send()).expect("a queue");
        self.url = made.queue_url().expect("its address").to_owned();
    }

    /// Takes it away.
    pub(crate) fn remove(&self) {
        self.runtime.block_on(self.client.delete_queue().queue_url(&self.url).send()).expect("it can be removed");
    }

    /// Puts a message into it.
    pub(crate) fn send(&self, body: &str) {
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        self.runtime.block_on(send.send()).expect("a message can be sent");
    }

    /// Puts an event into it as S3 writes it.
    pub(crate) fn send_event(&self, name: &str, bucket: &str, key: &str, etag: &str) {
        let s3 = serde_json::json!({ "bucket": { "name": bucket }, "object": { "key": key, "eTag": etag } });
        self.send(&serde_json::json!({ "Records": [{ "eventName": name, "s3": s3 }] }).to_string());
    }

    /// Whoever has been given a message and has not taken it back by then is not the only one any more.
    pub(crate) fn give_again_after(&self, seconds: u32) {
        let set = self.client.set_queue_attributes().queue_url(&self.url);
        let set = set.attributes(Attribute::VisibilityTimeout, seconds.to_string());
        self.runtime.block_on(set.send()).expect("it can be set");
    }

    /// Forgets all messages, also those that are being read.
    pub(crate) fn purge(&self) {
        self.runtime.block_on(self.client.purge_queue().queue_url(&self.url).send()).expect("it can be purged");
    }

    /// So many messages were given to somebody and not taken back.
    pub(crate) fn given(&self) -> usize {
        self.attribute(Attribute::ApproximateNumberOfMessagesNotVisible).parse().expect("a number")
    }

    /// Nothing waits in it, and nothing is being read.
    pub(crate) fn is_empty(&self) -> bool {
        let count = |attribute| self.attribute(attribute) == "0";
        count(Attribute::ApproximateNumberOfMessages) && count(Attribute::ApproximateNumberOfMessagesNotVisible)
    }

    fn attribute(&self, attribute: Attribute) -> String {
        let ask = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(attribute.clone());
        let said = self.runtime.block_on(ask.send()).expect("it can be asked");
        said.attributes().and_then(|all| all.get(&attribute)).expect("it is told").clone()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // It may be gone already.
        self.runtime.block_on(self.client.delete_queue().queue_url(&self.url).send()).ok();
    }
}
