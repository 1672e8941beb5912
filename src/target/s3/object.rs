//! What an object carries besides its bytes, and how a version of it is named.
//!
//! `mtime` is rclone's convention: seconds since 1970 with a fraction. `mode` is octal, `uid` and `gid` decimal, `blake3`
//! hex. `acl` is a POSIX access control list, as `setfacl --set` takes it. `symlink` is a link's target on an empty object; bytes that are not printable ASCII, and `%`, are `%XX` in it.

use std::collections::HashMap;

use crate::model::{Acl, Content, Digest, Kind, Meta, Seen, Shape, Stamp, Wall};

/// Most that the names and values of an object's metadata may take together (bytes): a limit of S3.
pub(super) const METADATA_MAX: usize = 2048;

/// The stamp of every folder: it is a way of naming, and all are alike.
const FOLDER: &[u8] = b"folder";
/// Parts an ETag from a link's digest: all links are empty objects, and so have one ETag.
const LINK: u8 = b'>';

/// What one HEAD (or a listing) tells of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// In quotes, as it comes and as guards want it.
    pub(super) etag: String,
    pub(super) len: u64,
    /// When it was put there.
    pub(super) modified: Wall,
    pub(super) metadata: HashMap<String, String>,
    pub(super) version: Option<String>,
}

/// The stamp of a folder.
pub(super) fn folder_stamp() -> Stamp {
    Stamp(FOLDER.into())
}

/// True for the stamp of a folder.
pub(super) fn is_folder(stamp: &Stamp) -> bool {
    *stamp.0 == *FOLDER
}

/// The stamp of a file with this ETag.
pub(super) fn file_stamp(etag: &str) -> Stamp {
    Stamp(etag.trim_matches('"').as_bytes().into())
}

/// The stamp of a link: an ETag tells nothing of where it points to.
pub(super) fn link_stamp(etag: &str, to: Digest) -> Stamp {
    let mut bytes = etag.trim_matches('"').as_bytes().to_vec();
    bytes.push(LINK);
    bytes.extend_from_slice(to.short().as_bytes());
    Stamp(bytes.into())
}

/// The ETag in a stamp, in quotes; `None` for a folder's.
pub(super) fn etag_of(stamp: &Stamp) -> Option<String> {
    if is_folder(stamp) {
        return None;
    }
    let bytes = stamp.0.split(|byte| *byte == LINK).next().unwrap_or_default();
    std::str::from_utf8(bytes).ok().map(|text| format!("\"{text}\""))
}

/// True for a link's stamp.
pub(super) fn is_link(stamp: &Stamp) -> bool {
    !is_folder(stamp) && stamp.0.contains(&LINK)
}

impl Head {
    /// What a file or a link is; a folder's marker is [`Head::folder`].
    pub(super) fn seen(&self) -> Seen {
        let meta = self.meta();
        match self.link() {
            Some(to) => {
                let shape = Shape { kind: Kind::Symlink, len: to.len() as u64 };
                Seen { shape, digest: Some(Digest::of(&to)), meta }
            }
            None => Seen { shape: Shape { kind: Kind::File, len: self.len }, digest: self.digest(), meta },
        }
    }

    /// What a folder is.
    pub(super) fn folder(&self) -> Seen {
        Seen { shape: Shape { kind: Kind::Folder, len: 0 }, digest: None, meta: self.meta() }
    }

    /// Its stamp, if it is a file or a link.
    pub(super) fn stamp(&self) -> Stamp {
        match self.link() {
            Some(to) => link_stamp(&self.etag, Digest::of(&to)),
            None => file_stamp(&self.etag),
        }
    }

    /// Where a link points to.
    pub(super) fn link(&self) -> Option<Vec<u8>> {
        if self.len > 0 { None } else { self.metadata.get("symlink").and_then(|text| unescape(text)) }
    }

    fn meta(&self) -> Meta {
        let number = |key: &str, radix| {
            let text = self.metadata.get(key)?;
            u32::from_str_radix(text, radix).ok()
        };
        let mode = number("mode", 8).filter(|mode| *mode <= 0o7777).unwrap_or(Meta::NOT_KNOWN);
        Meta {
            mode,
            mtime: self.metadata.get("mtime").and_then(|text| parse_time(text)).unwrap_or(self.modified),
            uid: number("uid", 10).unwrap_or(Meta::NOT_KNOWN),
            gid: number("gid", 10).unwrap_or(Meta::NOT_KNOWN),
            acl: self.acl(mode),
        }
    }

    /// Whoever writes a mode would have written a list too, if there were one.
    fn acl(&self, mode: u32) -> Acl {
        let plain = if mode == Meta::NOT_KNOWN { Acl::NotKnown } else { Acl::Plain };
        self.metadata.get("acl").map_or(plain, |text| Acl::parse(text).unwrap_or(Acl::NotKnown))
    }

    fn digest(&self) -> Option<Digest> {
        let text = self.metadata.get("blake3").filter(|text| text.len() == 64)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Digest(bytes))
    }

    /// The MD5 of its bytes, where something proves it: an ETag of a single part is one unless the server encrypts with
    /// keys of its own, and then it equals no file's; rclone writes one beside objects of several parts.
    pub(super) fn md5(&self) -> Option<[u8; 16]> {
        let stored = self.metadata.get("md5chksum").and_then(|text| from_base64(text));
        stored.or_else(|| from_hex(self.etag.trim_matches('"')))
    }
}

/// The metadata of an object that holds `content`.
pub(super) fn metadata(content: &Content, meta: &Meta, link: Option<&[u8]>) -> HashMap<String, String> {
    let mut all = HashMap::from([("mtime".to_owned(), render_time(meta.mtime))]);
    if content.shape.kind == Kind::File {
        all.insert("blake3".to_owned(), content.digest.to_string());
    }
    if let Some(to) = link {
        all.insert("symlink".to_owned(), escape(to));
    }
    all.extend(permissions(meta));
    with_acl(all, meta.acl)
}

/// In place of a list that is too long for an object's metadata: there is one, and nobody tells which.
const TOO_LONG: &str = "?";

/// Adds a list.
fn with_acl(mut metadata: HashMap<String, String>, acl: Acl) -> HashMap<String, String> {
    match acl {
        Acl::Listed(list) => {
            metadata.insert("acl".to_owned(), list.as_str().to_owned());
            if weight(&metadata) > METADATA_MAX {
                metadata.insert("acl".to_owned(), TOO_LONG.to_owned());
            }
        }
        Acl::Plain => _ = metadata.remove("acl"),
        Acl::NotKnown => {}
    }
    metadata
}

/// What is left out is not known.
fn permissions(meta: &Meta) -> impl Iterator<Item = (String, String)> {
    let mode = (meta.mode != Meta::NOT_KNOWN).then(|| ("mode".to_owned(), format!("{:o}", meta.mode)));
    let uid = (meta.uid != Meta::NOT_KNOWN).then(|| ("uid".to_owned(), meta.uid.to_string()));
    let gid = (meta.gid != Meta::NOT_KNOWN).then(|| ("gid".to_owned(), meta.gid.to_string()));
    [mode, uid, gid].into_iter().flatten()
}

/// The same metadata with other times, modes and owners.
pub(super) fn with_meta(mut metadata: HashMap<String, String>, meta: &Meta) -> HashMap<String, String> {
    metadata.insert("mtime".to_owned(), render_time(meta.mtime));
    metadata.extend(permissions(meta));
    with_acl(metadata, meta.acl)
}

/// How much metadata there is, as S3 counts it (bytes).
pub(super) fn weight(metadata: &HashMap<String, String>) -> usize {
    metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Seconds with a fraction, without a trailing zero, as rclone writes them.
fn render_time(at: Wall) -> String {
    let sign = if at.0 < 0 { "-" } else { "" };
    let nanos = at.0.unsigned_abs();
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

fn parse_time(text: &str) -> Option<Wall> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !(fraction.is_empty() || digits(fraction)) {
        return None;
    }
    let nanos = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse::<i64>().ok()?;
    let nanos = seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Wall(if is_negative { -nanos } else { nanos }))
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b'!'..=b'~') && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let pair = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes)
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn from_base64(text: &str) -> Option<[u8; 16]> {
    aws_smithy_types::base64::decode(text).ok()?.try_into().ok()
}

/// Bytes as headers of checksums have them.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta =
        Meta { mode: 0o4750, mtime: Wall(1_600_000_000_123_456_789), uid: 1000, gid: 100, acl: Acl::Plain };

    fn head(len: u64, metadata: HashMap<String, String>) -> Head {
        let etag = "\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned();
        Head { etag, len, modified: Wall(7), metadata, version: None }
    }

    #[test]
    fn what_is_put_is_what_is_seen() {
        let content = Content::file(Digest::of(b"abc"), 3);
        let seen = head(3, metadata(&content, &META, None)).seen();
        assert_eq!((seen.content(), seen.meta), (Some(content), META));

        let acl = Acl::parse("u::rwx,u:7:r-x,g::r-x,m::r-x,o::---").expect("a list");
        let listed = Meta { acl, ..META };
        assert_eq!(head(3, metadata(&content, &listed, None)).seen().meta, listed);
        assert_eq!(head(3, with_meta(metadata(&content, &listed, None), &META)).seen().meta, META);

        for to in [&b"../a b"[..], b"/nowhere/\xff%41 at all", b""] {
            let content = Content::symlink(Digest::of(to), to.len() as u64);
            let head = head(0, metadata(&content, &META, Some(to)));
            assert_eq!(head.link().as_deref(), Some(to));
            assert_eq!((head.seen().content(), head.seen().meta), (Some(content), META));
        }
    }

    #[test]
    fn what_another_program_put_tells_little() {
        let seen = head(3, HashMap::new()).seen();
        assert_eq!(seen.digest, None);
        assert_eq!(seen.meta, Meta { mtime: Wall(7), ..Meta::UNTOLD });
        let by_rclone = HashMap::from([("mtime".to_owned(), "1700000000.5".to_owned())]);
        assert_eq!(head(3, by_rclone).seen().meta.mtime, Wall(1_700_000_000_500_000_000));
        let nonsense = [("mode", "99"), ("uid", "-1"), ("blake3", "zz"), ("mtime", "soon"), ("symlink", "%G")];
        let nonsense = nonsense.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(head(0, nonsense.into()).seen(), head(0, HashMap::new()).seen());
    }

    /// S3 refuses an object with more, and what the file holds matters more than who may read it.
    #[test]
    fn a_list_too_long_for_an_object_is_left_out() {
        let named: String = (1000..1200).map(|id| format!("u:{id}:r-x,")).collect();
        let acl = Acl::parse(&format!("u::rwx,{named}g::r-x,m::r-x,o::---")).expect("a list");
        let content = Content::file(Digest::of(b"abc"), 3);
        let all = metadata(&content, &Meta { acl, ..META }, None);
        assert!(weight(&all) <= METADATA_MAX && all.contains_key("mode"));
        assert_eq!(head(3, all).seen().meta, Meta { acl: Acl::NotKnown, ..META });
    }

    #[test]
    fn times_are_written_as_rclone_does_and_come_back() {
        let table = [
            (1_600_000_000_123_456_789, "1600000000.123456789"),
            (1_600_000_000_500_000_000, "1600000000.5"),
            (0, "0"),
            (-1_234_567_891, "-1.234567891"),
            (-500_000_000, "-0.5"),
        ];
        for (nanos, text) in table {
            assert_eq!(render_time(Wall(nanos)), text);
            assert_eq!(parse_time(text), Some(Wall(nanos)));
        }
        assert_eq!(parse_time("1.1234567899"), Some(Wall(1_123_456_789)));
        for bad in ["", ".5", "1.x", "1e9", "99999999999999999999"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_stamp_gives_its_etag_back() {
        let etag = "\"0123-4\"";
        assert_eq!(etag_of(&file_stamp(etag)).as_deref(), Some(etag));
        let link = link_stamp(etag, Digest::of(b"to"));
        assert_eq!(etag_of(&link).as_deref(), Some(etag));
        assert!(is_link(&link) && !is_link(&file_stamp(etag)));
        assert_ne!(link, link_stamp(etag, Digest::of(b"elsewhere")));
        assert_eq!(etag_of(&folder_stamp()), None);
    }

    #[test]
    fn an_md5_is_taken_from_where_it_is_one() {
        assert!(head(0, HashMap::new()).md5().is_some());
        let parts = Head { etag: "\"d41d8cd98f00b204e9800998ecf8427e-2\"".to_owned(), ..Head::default() };
        assert_eq!(parts.md5(), None);
        let stored = HashMap::from([("md5chksum".to_owned(), "1B2M2Y8AsgTpgAmY7PhCfg==".to_owned())]);
        assert_eq!(Head { metadata: stored, ..parts }.md5(), head(0, HashMap::new()).md5());
    }
}
