//! What a bucket's keys may hold: what S3 would refuse later is refused now, with its line.

use crate::config::check::TargetLines;
use crate::config::{Bucket, ConfigError, Sse};
use crate::model::RESERVED;

/// Longest prefix (bytes): a key has 1024 at most, and the names of the share have to fit behind it.
const PREFIX_MAX: usize = 512;
/// Tags of an object, as S3 allows.
const TAGS_MAX: usize = 10;
/// Longest key and longest value of a tag (characters).
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// Classes from which nothing is read before a person has asked for it and hours have passed.
const FROZEN: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

pub(super) fn bucket(whose: &str, bucket: &Bucket, at: &TargetLines) -> Result<(), ConfigError> {
    name(whose, &bucket.bucket, at.place)?;
    prefix(whose, &bucket.prefix, at.place)?;
    word(whose, "region", bucket.region.as_deref(), at.region)?;
    word(whose, "profile", bucket.profile.as_deref(), at.profile)?;
    word(whose, "kms_key", kms_key(bucket), at.kms_key)?;
    endpoint(whose, bucket.endpoint.as_deref(), at.endpoint)?;
    storage_class(whose, bucket.storage_class.as_deref(), at.storage_class)?;
    tags(whose, &bucket.tags, at.tags)
}

fn kms_key(bucket: &Bucket) -> Option<&str> {
    match &bucket.sse {
        Some(Sse::Kms { key }) => key.as_deref(),
        Some(Sse::S3) | None => None,
    }
}

/// See "General purpose bucket naming rules" in the S3 user guide.
fn name(whose: &str, name: &str, line: Option<usize>) -> Result<(), ConfigError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    let ends = !name.starts_with(['.', '-']) && !name.ends_with(['.', '-']);
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    if (3..=63).contains(&name.len()) && plain && ends && !name.contains("..") && !is_address {
        return Ok(());
    }
    let hint = "a bucket's name has 3 to 63 of the characters a-z 0-9 . - with a letter or digit at both ends";
    Err(ConfigError::new(format!("{name:?} of {whose} cannot be the name of a bucket"), line, hint))
}

fn prefix(whose: &str, prefix: &str, line: Option<usize>) -> Result<(), ConfigError> {
    let refused =
        |what: &str, hint: &str| Err(ConfigError::new(format!("the prefix {prefix:?} of {whose} {what}"), line, hint));
    if prefix.is_empty() {
        return Ok(());
    }
    if prefix.len() > PREFIX_MAX {
        return refused("is too long", &format!("use {PREFIX_MAX} bytes at most: a whole key may have 1024"));
    }
    if prefix.chars().any(char::is_control) {
        return refused("has a control character in it", "use letters, digits and plain signs");
    }
    if prefix.split('/').any(|part| part.as_bytes() == RESERVED) {
        return refused("leads into what is driftline's own", "name the place that holds .driftline");
    }
    if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused(
            "has an empty part, a . or a .. in it",
            "write it as s3://bucket/one/two, with one slash between",
        );
    }
    Ok(())
}

/// Something without spaces, if it is there at all.
fn word(whose: &str, key: &str, word: Option<&str>, line: Option<usize>) -> Result<(), ConfigError> {
    match word {
        Some(word) if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            let hint = format!("write it as AWS names it, or remove {key}");
            Err(ConfigError::new(format!("{word:?} cannot be the {key} of {whose}"), line, hint))
        }
        Some(_) | None => Ok(()),
    }
}

fn endpoint(whose: &str, endpoint: Option<&str>, line: Option<usize>) -> Result<(), ConfigError> {
    let Some(text) = endpoint else { return Ok(()) };
    let refused =
        |what: &str, hint: &str| Err(ConfigError::new(format!("the endpoint {text:?} of {whose} {what}"), line, hint));
    let Some(host) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return refused(
            "does not begin with \"https://\" or \"http://\"",
            "write it such as \"https://s3.example.com\"",
        );
    };
    if host.contains('@') {
        return refused("has credentials in it", "they come from the AWS default chain: AWS_PROFILE, or a role");
    }
    let bare = host.trim_end_matches('/');
    if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c)) {
        return refused("is no address of a server", "write it such as \"https://s3.example.com\"");
    }
    Ok(())
}

fn storage_class(whose: &str, class: Option<&str>, line: Option<usize>) -> Result<(), ConfigError> {
    let Some(class) = class else { return Ok(()) };
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if class.is_empty() || !class.bytes().all(plain) {
        let hint = "write it as S3 does, such as \"STANDARD\", \"STANDARD_IA\" or \"INTELLIGENT_TIERING\"";
        return Err(ConfigError::new(format!("{class:?} of {whose} is no storage class"), line, hint));
    }
    if FROZEN.contains(&class) {
        let message = format!("the storage class {class:?} of {whose} cannot be read back at once");
        let hint = "use \"GLACIER_IR\", or a lifecycle rule of the bucket for versions that are not current";
        return Err(ConfigError::new(message, line, hint));
    }
    Ok(())
}

/// See "Categorizing your storage using tags" in the S3 user guide.
fn tags(whose: &str, tags: &[(String, String)], line: Option<usize>) -> Result<(), ConfigError> {
    if tags.len() > TAGS_MAX {
        let message = format!("{whose} has {} tags", tags.len());
        return Err(ConfigError::new(message, line, format!("S3 allows {TAGS_MAX} for each object")));
    }
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
    for (key, value) in tags {
        let (key_len, value_len) = (key.chars().count(), value.chars().count());
        let fits = (1..=TAG_KEY_MAX).contains(&key_len) && value_len <= TAG_VALUE_MAX;
        if !fits || !plain(key) || !plain(value) || key.starts_with("aws:") {
            let message = format!("{key:?} = {value:?} of {whose} is no tag that S3 takes");
            let hint = format!(
                "a key has 1 to {TAG_KEY_MAX} and a value up to {TAG_VALUE_MAX} letters, digits, spaces and + - = . _ : / @; \
                 a key does not begin with aws:"
            );
            return Err(ConfigError::new(message, line, hint));
        }
    }
    Ok(())
}
