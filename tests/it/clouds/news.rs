//! A queue tells what others change in the bucket. Audits are weeks away: what comes, comes by the queue.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::buckets::Mailbox;
use crate::office::is_slow_run;

/// Two-way, with a bucket whose events come by a queue; `None` where the server is not there.
fn cloud() -> Option<(Cloud, Mailbox)> {
    if !is_slow_run("moto") {
        return None;
    }
    let bucket = Bucket::new(Make::Moto);
    let mailbox = Mailbox::of(&bucket);
    let cloud = Cloud::with(bucket, &lines(mailbox.url()));
    Some((cloud, mailbox))
}

/// The same, with a proxy before the queue, and an agent that has been there and has ended.
fn cloud_with_a_line_to_its_queue() -> Option<(Cloud, Mailbox, Proxy)> {
    if !is_slow_run("moto") {
        return None;
    }
    let bucket = Bucket::new(Make::Moto);
    let (mailbox, line) = (Mailbox::of(&bucket), bucket.proxy());
    let url = mailbox.url().replacen(&bucket.endpoint(), &line.endpoint(), 1);
    assert!(url.starts_with(&line.endpoint()), "{url}");
    let cloud = Cloud::with(bucket, &lines(&url));
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    let mut agent = cloud.office.start();
    cloud.wait_heard(&mailbox);
    assert!(agent.terminate(Duration::from_secs(10)).is_some_and(|status| status.success()));
    Some((cloud, mailbox, line))
}

fn lines(queue: &str) -> String {
    format!("drift = \"take\"\naudit = \"30d\"\nevents = {queue:?}")
}

/// It asks a queue for this.
fn asks_for(request: &Request, action: &str) -> bool {
    request.header("x-amz-target").and_then(|target| target.strip_prefix("AmazonSQS.")) == Some(action)
}

impl Cloud {
    /// All that was told until now is known.
    fn wait_heard(&self, mailbox: &Mailbox) {
        self.office.wait_until("the queue is empty", || mailbox.is_empty());
        self.office.wait_safe();
    }

    /// The bucket holds what the share holds, besides what gave way there.
    fn assert_both_same(&self) {
        let mut files = self.files();
        files.retain(|name, _| !name.starts_with(".driftline/"));
        assert_eq!(self.objects(), files);
    }

    fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        fs::read(self.office.share(name)).is_ok_and(|found| found == bytes)
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

#[test]
fn what_others_put_overwrite_and_delete_comes_by_the_queue() {
    let Some((cloud, mailbox)) = cloud() else { return };
    cloud.office.save("plan.txt", "first");
    cloud.office.save("old/list.txt", "a list");
    cloud.office.sync_well();
    let mut agent = cloud.office.start();
    cloud.wait_heard(&mailbox);
    cloud.outsider().put(&key("new/deep/Grüße & +.txt"), b"a letter of theirs");
    cloud.office.wait_until("it is there", || cloud.holds("new/deep/Grüße & +.txt", b"a letter of theirs"));
    cloud.outsider().put(&key("plan.txt"), b"an edit of theirs");
    cloud.office.wait_until("it is edited", || cloud.holds("plan.txt", b"an edit of theirs"));
    cloud.outsider().delete(&key("old/list.txt"));
    cloud.office.wait_until("it is gone", || !cloud.office.share("old/list.txt").exists());
    cloud.wait_heard(&mailbox);
    cloud.assert_both_same();
    let events = cloud.status()["events"].clone();
    assert!(events.is_object() && events["error"].is_null(), "{events}");
    // Something was heard three times: at least a poll and a word that it need not be told again for each of them.
    let asked = |when: &str| cloud.status()[when]["queue"].as_u64().expect("a number");
    cloud.office.wait_until("what was asked of the queue is counted", || asked("requests") >= 6);
    assert!(asked("requests_today") <= asked("requests"));
    let counted = asked("requests");
    // In the midst of a poll, which waits for 20 seconds.
    assert!(agent.terminate(Duration::from_secs(10)).is_some_and(|status| status.success()));
    assert!(asked("requests") >= counted, "another run begins where this one ended");
}

#[test]
fn what_it_has_put_itself_is_not_looked_at_and_no_message_does_harm() {
    let Some((cloud, mailbox)) = cloud() else { return };
    cloud.office.save("a.txt", "first");
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    let old = cloud.outsider().head(&key("a.txt")).unwrap().etag;
    cloud.office.save("a.txt", "second");
    cloud.office.wait_until("it is there", || cloud.objects() == cloud.files());
    cloud.wait_heard(&mailbox);
    let new = cloud.outsider().head(&key("a.txt")).unwrap().etag;
    let name = cloud.bucket.name();

    cloud.proxy.forget();
    // Its own, doubled; what is no event; what is of elsewhere.
    mailbox.send_event("ObjectCreated:Put", name, &key("a.txt"), new.trim_matches('"'));
    mailbox.send_event("ObjectCreated:Put", name, &key(".driftline/identity"), "x");
    mailbox.send_event("ObjectCreated:Put", name, "elsewhere/a.txt", "x");
    mailbox.send_event("ObjectRemoved:Delete", "another", &key("a.txt"), "x");
    mailbox.send("no event");
    cloud.wait_heard(&mailbox);
    assert_eq!(cloud.proxy.requests().len(), 0, "{:#?}", cloud.proxy.requests());

    // Late, and what was never so.
    mailbox.send_event("ObjectCreated:Put", name, &key("a.txt"), old.trim_matches('"'));
    mailbox.send_event("ObjectRemoved:Delete", name, &key("a.txt"), "x");
    mailbox.send_event("ObjectCreated:Put", name, &key("never.txt"), "x");
    cloud.wait_heard(&mailbox);
    assert!(cloud.proxy.count(|request| request.key() == key("a.txt")) > 0, "it was looked at");
    assert_eq!(cloud.files(), BTreeMap::from([("a.txt".to_owned(), b"second".to_vec())]));
    assert_eq!(cloud.objects(), cloud.files());
}

#[test]
fn a_queue_that_is_gone_is_told_and_heard_again_once_it_is_there() {
    let Some((cloud, mut mailbox)) = cloud() else { return };
    cloud.office.save("a.txt", "first");
    let _agent = cloud.office.start();
    cloud.wait_heard(&mailbox);
    let said = cloud.office.tell(&["check"]);
    assert!(said.out.contains("the queue of its events") && said.out.contains("answers"), "{said}");
    mailbox.remove();
    let error = || cloud.status()["events"]["error"].clone();
    cloud.office.wait_until("it is told", || error().is_object());
    let hint =
        "make the queue, or correct region, account and name in events of this target; driftline never makes one";
    assert_eq!(error()["hint"], hint);
    let said = cloud.office.tell(&["check"]);
    assert!(said.out.contains("cannot ask the queue of its events") && said.out.contains("make the queue"), "{said}");
    cloud.office.save("b.txt", "goes on");
    cloud.office.wait_until("it is there", || cloud.objects() == cloud.files());
    mailbox.make();
    cloud.office.wait_until("it is heard again", || error().is_null());
    cloud.outsider().put(&key("c.txt"), b"theirs");
    cloud.office.wait_until("it is there", || cloud.holds("c.txt", b"theirs"));
}

#[test]
fn what_was_told_to_an_agent_that_was_killed_is_told_again() {
    let Some((cloud, mailbox)) = cloud() else { return };
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    let mut agent = cloud.office.start();
    cloud.wait_heard(&mailbox);
    agent.kill();
    drop(agent);
    let came = || (0..40).filter(|n| cloud.office.share(format!("{n}.txt")).exists()).count();
    for n in 0..40 {
        cloud.outsider().put(&key(&format!("{n}.txt")), b"theirs");
    }
    let mut agent = cloud.office.start();
    cloud.office.wait_until("some are there", || came() > 0);
    agent.kill();
    drop(agent);
    let _agent = cloud.office.start();
    cloud.office.wait_until("all are there", || came() == 40);
    cloud.wait_heard(&mailbox);
    cloud.assert_both_same();
}

/// It dies between the two: the queue has not heard that it need not tell it again, and never tells it again.
#[test]
fn what_it_has_been_told_is_durable_before_the_queue_may_forget_it() {
    let Some((cloud, mailbox, line)) = cloud_with_a_line_to_its_queue() else { return };
    let its_own = key("theirs.txt");
    cloud.proxy.add(Rule::always(Fault::internal_error(), move |request| request.key() == its_own));
    line.add(Rule::always(Fault::LoseRequest, |request| asks_for(request, "DeleteMessageBatch")));
    line.forget();
    cloud.outsider().put(&key("theirs.txt"), b"theirs");
    let mut agent = cloud.office.start();
    let is_heard = || line.count(|request| asks_for(request, "DeleteMessageBatch")) > 0;
    cloud.office.wait_until("it would have the queue forget it", is_heard);
    agent.kill();
    drop(agent);
    assert!(!cloud.office.share("theirs.txt").exists());
    mailbox.purge();
    assert!(mailbox.is_empty());
    cloud.proxy.heal();
    line.heal();
    let _agent = cloud.office.start();
    cloud.office.wait_until("it is there", || cloud.holds("theirs.txt", b"theirs"));
    cloud.wait_heard(&mailbox);
    cloud.assert_both_same();
}

/// It dies before it has heard what the queue has given it.
#[test]
fn what_the_queue_has_told_and_nobody_has_heard_is_told_again() {
    let Some((cloud, mailbox, line)) = cloud_with_a_line_to_its_queue() else { return };
    mailbox.give_again_after(2);
    line.add(Rule::always(Fault::LoseAnswer, |request| asks_for(request, "ReceiveMessage")));
    cloud.outsider().put(&key("theirs.txt"), b"theirs");
    let mut agent = cloud.office.start();
    cloud.office.wait_until("it is told", || mailbox.given() > 0);
    agent.kill();
    drop(agent);
    assert!(!cloud.office.share("theirs.txt").exists());
    line.heal();
    let _agent = cloud.office.start();
    cloud.office.wait_until("it is there", || cloud.holds("theirs.txt", b"theirs"));
    cloud.wait_heard(&mailbox);
    cloud.assert_both_same();
}

#[test]
fn a_mode_that_others_set_comes_by_the_queue_and_a_copy_of_its_own_costs_one_look() {
    let Some((cloud, mailbox)) = cloud() else { return };
    cloud.office.save("run.sh", "echo");
    let _agent = cloud.office.start();
    cloud.wait_heard(&mailbox);
    let mode = || fs::metadata(cloud.office.share("run.sh")).unwrap().mode() & 0o7777;
    let before = cloud.outsider().head(&key("run.sh")).unwrap();
    let mut meta = before.meta.clone();
    meta.insert("mode".to_owned(), "750".to_owned());
    let meta: Vec<_> = meta.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let etag = cloud.outsider().carry(&key("run.sh"), &meta);
    assert_eq!(etag, before.etag, "nothing but the event tells of it");
    cloud.office.wait_until("it is set here", || mode() == 0o750);
    cloud.wait_heard(&mailbox);
    cloud.assert_same();

    cloud.proxy.forget();
    fs::set_permissions(cloud.office.share("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    let is_set = || cloud.outsider().head(&key("run.sh")).unwrap().meta["mode"] == "700";
    cloud.office.wait_until("it is set there", is_set);
    cloud.wait_heard(&mailbox);
    std::thread::sleep(Duration::from_secs(3));
    let kinds: Vec<_> = cloud.proxy.requests().iter().filter(|request| !is_ours(request)).map(Request::kind).collect();
    let after: Vec<_> = kinds.into_iter().skip_while(|kind| *kind != Kind::Copy).collect();
    assert_eq!(after, [Kind::Copy, Kind::Head], "{:#?}", cloud.proxy.requests());
    assert_eq!(mode(), 0o700);
    cloud.assert_same();
}
