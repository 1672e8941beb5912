//! The address of a queue that tells what others change in a bucket: `events` of a target.
//!
//! Pure: whether there is such a queue, and whether it may be read, is found out when it is asked.

/// A queue of Amazon SQS, or of a server that speaks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its address, `http(s)://host/ACCOUNT/QUEUE`.
    pub url: String,
    /// Its region; `None` leaves it to the bucket's.
    pub region: Option<String>,
}

/// Why text is no [`Queue`]: what it is, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadQueue {
    pub(super) what: &'static str,
    pub(super) hint: String,
}

/// How it is written.
const FORM: &str =
    "write it as sqs://REGION/ACCOUNT/QUEUE, such as \"sqs://eu-west-1/123456789012/driftline-projects\"";
/// Longest name of a queue (characters): a limit of SQS.
const NAME_MAX: usize = 80;

impl Queue {
    /// Reads `sqs://REGION/ACCOUNT/QUEUE` or the queue's own address.
    pub(super) fn parse(text: &str) -> Result<Self, BadQueue> {
        let bad = |what| BadQueue { what, hint: FORM.to_owned() };
        if let Some(rest) = text.strip_prefix("arn:") {
            // arn:PARTITION:sqs:REGION:ACCOUNT:QUEUE
            let parts: Vec<_> = rest.split(':').collect();
            let hint = match parts[..] {
                [_, "sqs", region, account, queue] => format!("write it as \"sqs://{region}/{account}/{queue}\""),
                _ => FORM.to_owned(),
            };
            return Err(BadQueue { what: "is an ARN, not the address of a queue", hint });
        }
        let queue = if let Some(rest) = text.strip_prefix("sqs://") {
            let parts: Vec<_> = rest.split('/').collect();
            let [region, account, name] = parts[..] else {
                return Err(bad("has not a region, an account and a name behind sqs://"));
            };
            let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !plain(region) || !plain(account) {
                return Err(bad("has no region or no account that AWS knows"));
            }
            let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            let url = format!("https://sqs.{region}.{end}/{account}/{name}");
            Self { url, region: Some(region.to_owned()) }
        } else {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            let Some(rest) = rest else { return Err(bad("is not the address of a queue")) };
            let parts: Vec<_> = rest.split('/').collect();
            let whole = parts.len() >= 3 && parts.iter().all(|part| !part.is_empty());
            if !whole || rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#@".contains(c)) {
                return Err(bad("is not the address of a queue"));
            }
            Self { url: text.to_owned(), region: region_of(parts[0]) }
        };
        let name = queue.name();
        if name.ends_with(".fifo") {
            let hint = "make a standard queue: S3 sends its events to no queue whose name ends with .fifo";
            return Err(BadQueue { what: "is a FIFO queue", hint: hint.to_owned() });
        }
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !plain || !(1..=NAME_MAX).contains(&name.len()) {
            return Err(bad("has no name that a queue can have"));
        }
        Ok(queue)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

/// The region in the name of one of AWS's own hosts.
fn region_of(host: &str) -> Option<String> {
    let rest = host.strip_prefix("sqs.")?;
    let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
    (!region.contains('.')).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_region_account_and_name_or_by_its_address() {
        let own = "https://sqs.eu-west-1.amazonaws.com/123456789012/news";
        let other = "http://127.0.0.1:5000/123456789012/news";
        let table = [
            ("sqs://eu-west-1/123456789012/news", own, Some("eu-west-1")),
            (own, own, Some("eu-west-1")),
            (other, other, None),
            ("sqs://cn-north-1/1/n", "https://sqs.cn-north-1.amazonaws.com.cn/1/n", Some("cn-north-1")),
        ];
        for (text, url, region) in table {
            let wanted = Queue { url: url.to_owned(), region: region.map(str::to_owned) };
            assert_eq!(Queue::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_queue_is_told_with_what_to_write() {
        let table = [
            ("arn:aws:sqs:eu-west-1:1:news", "is an ARN", "write it as \"sqs://eu-west-1/1/news\""),
            ("arn:aws:sns:eu-west-1:1:news", "is an ARN", "write it as sqs://"),
            ("sqs://eu-west-1/1/news.fifo", "is a FIFO queue", "make a standard queue"),
            ("sqs://eu-west-1/news", "has not a region", "write it as sqs://"),
            ("sqs://eu west/1/news", "has no region", "write it as sqs://"),
            ("sqs://eu-west-1/1/", "has no name", "write it as sqs://"),
            ("sqs://eu-west-1/1/a b", "has no name", "write it as sqs://"),
            ("news", "is not the address", "write it as sqs://"),
            ("https://sqs.eu-west-1.amazonaws.com/1", "is not the address", "write it as sqs://"),
            ("https://me:secret@host/1/news", "is not the address", "write it as sqs://"),
        ];
        for (text, what, hint) in table {
            let bad = Queue::parse(text).expect_err(text);
            assert!(bad.what.starts_with(what) && bad.hint.starts_with(hint), "{text}: {bad:?}");
        }
    }
}
