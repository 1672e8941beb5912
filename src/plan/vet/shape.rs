//! Whether a file is still what its name says, as far as its first bytes tell.
//!
//! Noise alone says nothing: what is compressed looks the same. What tells is noise without the mark of any format, under a
//! name whose files never begin so. That is how a file looks that was encrypted in its place.

use std::ops::RangeInclusive;

/// Bytes judged at a file's beginning, at most (bytes): programs that encrypt for ransom begin there, and some of them go no
/// further, so that it is done sooner.
pub const HEAD: usize = 4096;
/// With fewer bytes than these nothing is judged (bytes): each of the 256 values should come twice.
pub const HEAD_MIN: usize = 512;
/// Pearson's χ² of the 256 values of a byte against an even spread, for bytes that may be noise.
///
/// Of noise it is 255 ± 23 however many bytes there are (255 degrees of freedom, deviation √510); the bounds lie more than
/// four and eleven deviations off. At 4096 bytes 512 is an entropy of 7.91 bits for a byte; text has some ten thousands. What is
/// more even than noise is a table or a counter.
const CHI_SQUARE: RangeInclusive<u64> = 150..=512;

/// Marks of formats and where they stand: what bears one is not noise. Compressed content is under one of them.
const MARKS: &[(usize, &[u8])] = &[
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"%PDF"),
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"8BPS"),
    (0, b"AC10"),
    (0, b"\xd0\xcf\x11\xe0"),
    (0, b"{\\rtf"),
    (0, b"RIFF"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"ID3"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"\x30\x26\xb2\x75"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (4, b"skip"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ"),
    (0, b"7z\xbc\xaf"),
    (0, b"Rar!"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\x04\x22\x4d\x18"),
    (0, b"\x78\x01"),
    (0, b"\x78\x5e"),
    (0, b"\x78\x9c"),
    (0, b"\x78\xda"),
    (0, b"PACK"),
    (0, b"\xfftOc"),
    (0, b"SQLite format 3"),
    (0, b"\x7fELF"),
    (0, b"MZ"),
    (0, b"OTTO"),
    (0, b"wOF"),
    (0, b"\x03\xd9\xa2\x9a"),
    (0, b"age-encryption"),
    (0, b"Salted__"),
];

/// Suffixes of files that never begin with noise: text, and formats with a mark.
const PROMISING: &[&str] = &[
    "docx", "docm", "dotx", "doc", "dot", "rtf", "odt", "xlsx", "xlsm", "xltx", "xls", "ods", "pptx", "pptm", "ppt",
    "odp", "odg", "pdf", "epub", "vsd", "vsdx", "pub", "mpp", "msg", "eml", "one", "jpg", "jpeg", "png", "gif", "bmp",
    "tif", "tiff", "webp", "heic", "svg", "psd", "ai", "indd", "dwg", "dxf", "mp3", "mp4", "m4a", "mov", "avi", "mkv",
    "webm", "wav", "wma", "wmv", "flac", "ogg", "zip", "gz", "tgz", "7z", "rar", "bz2", "xz", "jar", "txt", "csv",
    "tsv", "log", "md", "html", "htm", "xml", "json", "yaml", "yml", "toml", "ini", "conf", "cfg", "sql", "tex", "ics",
    "vcf", "css", "js", "py", "sh", "bat", "ps1", "c", "h", "cpp", "hpp", "cs", "java", "php", "rb", "go", "rs", "exe",
    "dll", "sqlite", "mdb", "accdb", "pst",
];
/// Suffixes that say of themselves that noise is below.
const SEALED: &[&str] = &["gpg", "pgp", "age"];
/// Suffixes of compressed files whose format has no mark.
const PACKED: &[&str] = &["br", "lzma", "z"];
/// Suffixes of a name that are looked at, the last first (count): what is put behind a name may have dots of its own.
const SUFFIXES_MAX: usize = 6;

/// Whether these bytes of a file's beginning look like noise, and bear the mark of no format.
pub fn looks_like_noise(head: &[u8]) -> bool {
    let head = &head[..head.len().min(HEAD)];
    head.len() >= HEAD_MIN && !is_marked(head) && CHI_SQUARE.contains(&chi_square(head))
}

fn is_marked(head: &[u8]) -> bool {
    let starts = |(at, mark): &(usize, &[u8])| head.get(*at..).is_some_and(|rest| rest.starts_with(mark));
    // The frames of MP3 and AAC begin with eleven bits set.
    let is_audio = head[0] == 0xff && head[1] & 0xe0 == 0xe0;
    is_audio || MARKS.iter().any(starts)
}

fn chi_square(bytes: &[u8]) -> u64 {
    let mut counts = [0_u64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX).max(1);
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    (squares * 256 / len).saturating_sub(len)
}

/// Whether a file of this name never begins with noise. A suffix put behind it does not change that (`offer.docx.locked`),
/// unless it is one that says so.
pub fn promises(name: &[u8]) -> bool {
    let mut suffixes = suffixes(name).peekable();
    let sealed = suffixes.peek().is_some_and(|last| is_any(last, SEALED));
    !sealed && suffixes.any(|suffix| is_any(suffix, PROMISING))
}

/// Whether noise under this name may be what another file of the same folder was turned into.
pub fn may_be_disguise(name: &[u8]) -> bool {
    suffixes(name).next().is_some_and(|last| !is_any(last, PACKED))
}

/// The last first, without what stands before the first dot.
fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let count = name.iter().filter(|byte| **byte == b'.').count();
    name.rsplit(|byte| *byte == b'.').take(count.min(SUFFIXES_MAX))
}

fn is_any(suffix: &[u8], of: &[&str]) -> bool {
    of.iter().any(|known| suffix.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes like those of a good cipher: xorshift64*.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
        };
        std::iter::repeat_with(next).take(len.div_ceil(8)).flatten().take(len).collect()
    }

    #[test]
    fn noise_is_known_by_its_spread_and_what_bears_a_mark_is_none() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(200);
        let letters: Vec<u8> =
            noise(HEAD).iter().map(|byte| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[usize::from(byte & 31)]).collect();
        let even: Vec<u8> = (0..HEAD).map(|i| (i % 256).to_le_bytes()[0]).collect();
        let mut zip = noise(HEAD);
        zip[..4].copy_from_slice(b"PK\x03\x04");
        let mut film = noise(HEAD);
        film[4..8].copy_from_slice(b"ftyp");
        let mut half = noise(HEAD);
        half[HEAD / 2..].fill(0);
        let table: [(&[u8], bool, &str); 11] = [
            (&noise(HEAD), true, "noise"),
            (&noise(1 << 20), true, "much noise"),
            (&noise(HEAD_MIN), true, "little noise"),
            (&noise(HEAD_MIN - 1), false, "too little to tell"),
            (b"", false, "nothing"),
            (text.as_bytes(), false, "text"),
            (&letters, false, "base64"),
            (&even, false, "a table of all bytes"),
            (&zip, false, "an archive"),
            (&film, false, "a film"),
            (&half, false, "noise and zeros"),
        ];
        for (head, wanted, what) in table {
            assert_eq!(looks_like_noise(head), wanted, "{what}");
        }
    }

    #[test]
    fn only_what_comes_first_is_judged() {
        let mut begun = noise(1 << 16);
        begun[HEAD..].fill(b'a');
        assert!(looks_like_noise(&begun));
    }

    #[test]
    fn a_name_promises_what_its_suffix_says_whatever_is_put_behind_it() {
        let table: [(&[u8], bool); 14] = [
            (b"offer.docx", true),
            (b"OFFER.DOCX", true),
            (b"offer.docx.locked", true),
            (b"offer.docx.id[7].[a@b.example].xyz", true),
            (b"notes.txt", true),
            (b"archive.tar.gz", true),
            (b"offer", false),
            (b"docx", false),
            (b"key.bin", false),
            (b"pack-1234", false),
            (b"offer.docx.gpg", false),
            (b"", false),
            (b".profile", false),
            (b"\xff.pdf", true),
        ];
        for (name, wanted) in table {
            assert_eq!(promises(name), wanted, "{}", name.escape_ascii());
        }
        assert!(may_be_disguise(b"offer.docx.locked") && may_be_disguise(b"a.gpg"));
        assert!(!may_be_disguise(b"page.html.br") && !may_be_disguise(b"plain"));
    }
}
