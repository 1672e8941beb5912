//! How a version in history is named: `<UTC time>-<first 8 hex of its digest>`, the same on every target.

use crate::model::{Digest, Wall};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Names for a version that is replaced at `at`, the later ones for when the earlier are taken.
pub(super) fn names(at: Wall, digest: Option<Digest>) -> impl Iterator<Item = Vec<u8>> {
    let digest = digest.map_or_else(|| "00000000".to_owned(), |digest| digest.short());
    (0..1000).map(move |bump| format!("{}-{digest}", compact(Wall(at.0.saturating_add(bump)))).into_bytes())
}

/// When a version was replaced, from its name; `None` for names that are not ours.
pub(super) fn replaced_at(name: &[u8]) -> Option<Wall> {
    parsed(name).map(|(at, _)| at)
}

/// When a version was replaced, and how its digest begins, from its name: `None` in place of the digest if it was never
/// read, or is not known to be one.
pub(super) fn told(name: &[u8]) -> Option<(Wall, Option<[u8; 4]>)> {
    let (at, digest) = parsed(name)?;
    let begins = u32::from_str_radix(digest, 16).ok()?.to_be_bytes();
    Some((at, (begins != [0; 4]).then_some(begins)))
}

fn parsed(name: &[u8]) -> Option<(Wall, &str)> {
    let (time, digest) = std::str::from_utf8(name).ok()?.split_once('-')?;
    let at = parse_compact(time)?;
    let fine = digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then_some((at, digest))
}

/// The way back from [`compact`].
pub(super) fn parse_compact(text: &str) -> Option<Wall> {
    let time = text.strip_suffix('Z')?;
    let digits = |text: &str, len: usize| -> Option<i64> {
        (text.len() == len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (date, rest) = time.split_once('T')?;
    let (clock, nanos) = rest.split_once('.')?;
    let (date, clock, nanos) = (digits(date, 8)?, digits(clock, 6)?, digits(nanos, 9)?);
    let days = days_of(date / 10_000, date / 100 % 100, date % 100);
    let seconds = days * DAY + clock / 10_000 * 3600 + clock / 100 % 100 * 60 + clock % 100;
    let at = Wall::from_parts(seconds, u32::try_from(nanos).ok()?);
    (compact(at) == text).then_some(at)
}

/// The way back from [`rfc3339`].
pub(super) fn parse_rfc3339(text: &str) -> Option<Wall> {
    let digits: String = text.strip_suffix('Z')?.chars().filter(|sign| !matches!(sign, '-' | ':')).collect();
    parse_compact(&format!("{digits}.000000000Z")).filter(|at| rfc3339(*at) == text)
}

/// `20261123T174904.123456789Z`
pub(super) fn compact(at: Wall) -> String {
    let (y, mo, d, h, mi, s, nanos) = civil(at);
    format!("{y:04}{mo:02}{d:02}T{h:02}{mi:02}{s:02}.{nanos:09}Z")
}

/// `2026-11-23T17:49:04Z`
pub(super) fn rfc3339(at: Wall) -> String {
    let (y, mo, d, h, mi, s, _) = civil(at);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
}

fn civil(at: Wall) -> (i64, i64, i64, i64, i64, i64, u32) {
    let (seconds, nanos) = at.parts();
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (y, m, d) = date_of(days);
    (y, m, d, second / 3600, second / 60 % 60, second % 60, nanos)
}

/// Days since 1970 to year, month, day: years begin in March, so that the leap day is their last.
fn date_of(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, day) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (d, m) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(m <= 2), m, d)
}

/// The way back from [`date_of`].
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, y) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + y * 365 + y / 4 - y / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_design_says_and_the_time_can_be_read_back() {
        let at = Wall(1_795_456_144_123_456_789);
        let mut names = names(at, Some(Digest([0xab; 32])));
        assert_eq!(names.next().expect("one"), b"20261123T174904.123456789Z-abababab");
        let second = names.next().expect("two");
        assert_eq!(second, b"20261123T174904.123456790Z-abababab");
        assert_eq!(replaced_at(&second), Some(Wall(at.0 + 1)));
        assert_eq!(super::names(at, None).next().expect("one"), b"20261123T174904.123456789Z-00000000");
    }

    #[test]
    fn a_time_for_people_can_be_read_back_to_the_second() {
        let at = Wall::from_parts(1_795_456_144, 0);
        assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
        for other in ["", "2026-11-23T17:49:04", "2026-11-23 17:49:04Z", "20261123T174904Z", "2026-13-23T17:49:04Z"] {
            assert_eq!(parse_rfc3339(other), None, "{other}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for days in -80_000..80_000 {
            let (y, m, d) = date_of(days);
            assert_eq!(days_of(y, m, d), days, "{y}-{m}-{d}");
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(11_016), (2000, 2, 29));
    }

    #[test]
    fn names_that_are_not_ours_have_no_time() {
        let others: [&[u8]; 6] = [
            b"report.docx",
            b"20261123T174904.123456789Z",
            b"20261123T174904.123456789Z-abababa",
            b"20261323T172904.123456789Z-abababab",
            b"20261123T172904.123Z-abababab",
            b"\xff",
        ];
        for name in others {
            assert_eq!(replaced_at(name), None, "{}", name.escape_ascii());
        }
    }
}
