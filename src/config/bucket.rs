//! A bucket as a target: where it is, how it is spoken to, and what it may cost.
//!
//! Not here: credentials, which come from the AWS default chain or from systemd and never from a configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::config::{AUDIT, BUCKET_AUDIT, BUCKET_TAKE_AUDIT, Queue, TAKE_AUDIT, Timetable};

/// Where a copy is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder; absolute, as written.
    Folder(PathBuf),
    /// A bucket, or a part of one.
    Bucket(Box<Bucket>),
}

/// A bucket, or the part of it below a prefix, on Amazon S3 or on a server that speaks like it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's name, after S3's rules.
    pub bucket: String,
    /// What all keys begin with, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
    /// Its region; `None` leaves it to the AWS default chain.
    pub region: Option<String>,
    /// The server's address, `http(s)://...`; `None` leaves it to the AWS default chain.
    pub endpoint: Option<String>,
    /// The bucket is named in the path of an address, not in its host. By default where there is an `endpoint`.
    pub path_style: bool,
    /// The profile of the AWS configuration; `None` leaves it to the AWS default chain.
    pub profile: Option<String>,
    /// The storage class of what is put; `None` leaves it to the bucket.
    pub storage_class: Option<String>,
    /// How the server encrypts what is put; `None` leaves it to the bucket.
    pub sse: Option<Sse>,
    /// What every object is tagged with; ten at most, each key once.
    pub tags: Vec<(String, String)>,
    /// How fast may be sent.
    pub rate_limit: Timetable,
    /// How many requests may be made.
    pub request_budget: Option<Budget>,
    /// How an object that was there before is recognised as a copy.
    pub adopt: Adopt,
    /// The queue that tells what others change there.
    pub events: Option<Queue>,
}

/// How a server encrypts objects at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sse {
    /// With keys that S3 holds (`AES256`).
    S3,
    /// With a key of the Key Management Service (`aws:kms`).
    Kms {
        /// The key's id or ARN; `None` for the account's own key for S3.
        key: Option<String>,
    },
}

/// How an object that was there before the agent, and bears no digest of ours, is recognised as a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Adopt {
    /// By what the server says of it, without reading it: checksums, or an MD5 in its ETag.
    #[default]
    Prove,
    /// By reading it, where the server's word proves nothing. That costs what is paid for data that leaves the bucket.
    Read,
}

/// How many requests may be made in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many, of all kinds together; never zero.
    pub requests: u64,
    /// In which period.
    pub per: Period,
}

/// A period of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first day of a month to the last.
    Month,
}

/// Why text is no [`Budget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no number of requests in a day or a month; write for example \"50000/day\" or \"1000000/month\"")]
pub struct BadBudget {
    /// What was written.
    pub text: String,
}

impl Place {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::Bucket(_) => None,
        }
    }

    /// The bucket, if it is one.
    pub fn bucket(&self) -> Option<&Bucket> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// Time between two full listings, unless a configuration says otherwise.
    pub fn audit(&self) -> Duration {
        match self {
            Self::Folder(_) => AUDIT,
            Self::Bucket(_) => BUCKET_AUDIT,
        }
    }

    /// The same where what others change comes to the share: it comes as late as that.
    pub fn audit_two_ways(&self) -> Duration {
        match self {
            Self::Folder(_) => TAKE_AUDIT,
            Self::Bucket(_) => BUCKET_TAKE_AUDIT,
        }
    }
}

/// As people know it: the path, or `s3://bucket/prefix`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.bucket),
            prefix => write!(f, "s3://{}/{prefix}", self.bucket),
        }
    }
}

impl Bucket {
    /// A bucket by its address `s3://bucket/prefix`, treated as the defaults say. `None` if it begins with another scheme.
    ///
    /// A slash at the end is left away. Whether name and prefix can be used is for the check of the configuration.
    pub(super) fn at(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Some(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..Self::default() })
    }
}

impl FromStr for Budget {
    type Err = BadBudget;

    fn from_str(text: &str) -> Result<Self, BadBudget> {
        let bad = || BadBudget { text: text.to_owned() };
        let (number, period) = text.split_once('/').ok_or_else(bad)?;
        let per = match period.trim() {
            "day" => Period::Day,
            "month" => Period::Month,
            _ => return Err(bad()),
        };
        let number = number.trim();
        let plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let requests = number.parse().ok().filter(|requests| plain && *requests > 0).ok_or_else(bad)?;
        Ok(Self { requests, per })
    }
}

/// As a configuration would have it.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Period::Day => "day",
            Period::Month => "month",
        };
        write!(f, "{}/{per}", self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_as_it_was_written() {
        let shown = |url: &str| Bucket::at(url).map(|bucket| Place::Bucket(Box::new(bucket)).to_string());
        for (url, text) in [
            ("s3://acme", "s3://acme"),
            ("s3://acme/", "s3://acme"),
            ("s3://acme/a/b", "s3://acme/a/b"),
            ("s3://acme/a/b/", "s3://acme/a/b"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(text));
        }
        assert_eq!(shown("gs://acme"), None);
        assert_eq!(Place::Folder("/mnt/a b".into()).to_string(), "/mnt/a b");
    }

    #[test]
    fn a_budget_is_a_number_in_a_day_or_a_month() {
        let table = [
            ("50000/day", Budget { requests: 50_000, per: Period::Day }),
            ("1000000 / month", Budget { requests: 1_000_000, per: Period::Month }),
        ];
        for (text, budget) in table {
            assert_eq!(text.parse(), Ok(budget));
            assert_eq!(budget.to_string().parse(), Ok(budget));
        }
        for text in ["", "50000", "50000/week", "0/day", "+5/day", "-5/day", "5k/day", "99999999999999999999/day"] {
            let error = text.parse::<Budget>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is no number of requests in a day or a month")), "{error}");
        }
    }
}
