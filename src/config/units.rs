//! Spans of time, sizes and rates as people write them: one whole number and one unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time: `500ms`, `30s`, `5min` or `5m`, `1h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes: `64MiB` (powers of 1024) or `64MB` (powers of 1000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes in a second: `20 Mbit/s` (powers of 1000), `2 MB/s` or `2 MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// Why text is not a [`Span`], a [`Size`] or a [`Rate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    /// No whole number at its beginning.
    #[error("{text:?} does not begin with a whole number; write for example {example:?}")]
    NoNumber {
        /// What was written.
        text: String,
        /// What would be understood.
        example: &'static str,
    },
    /// A number without a unit that is known.
    #[error("{text:?} has no known unit; write one of {units}")]
    NoUnit {
        /// What was written.
        text: String,
        /// The units.
        units: &'static str,
    },
    /// More than can be counted.
    #[error("{text:?} is too large")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

const SPAN_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
/// Bits are counted in bytes: of each unit there is a whole number of them.
const RATE_UNITS: [(&str, u64); 9] = [
    ("kbit/s", 125),
    ("Mbit/s", 125_000),
    ("Gbit/s", 125_000_000),
    ("kB/s", 1000),
    ("MB/s", 1_000_000),
    ("GB/s", 1_000_000_000),
    ("KiB/s", 1 << 10),
    ("MiB/s", 1 << 20),
    ("GiB/s", 1 << 30),
];

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        parse(text, &SPAN_UNITS, "ms, s, min, h, d", "30s").map(|millis| Self(Duration::from_millis(millis)))
    }
}

impl FromStr for Size {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        parse(text, &SIZE_UNITS, "B, KiB, MiB, GiB, TiB, kB, MB, GB, TB", "64MiB").map(Self)
    }
}

impl FromStr for Rate {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let units = "kbit/s, Mbit/s, Gbit/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s";
        parse(text, &RATE_UNITS, units, "20 Mbit/s").map(Self)
    }
}

fn parse(text: &str, table: &[(&str, u64)], units: &'static str, example: &'static str) -> Result<u64, BadUnit> {
    let cut = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(cut);
    if number.is_empty() {
        return Err(BadUnit::NoNumber { text: text.to_owned(), example });
    }
    let unit = unit.trim_start();
    let Some((_, factor)) = table.iter().find(|(name, _)| *name == unit) else {
        return Err(BadUnit::NoUnit { text: text.to_owned(), units });
    };
    let number = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
    number.ok_or_else(|| BadUnit::TooLarge { text: text.to_owned() })
}

/// As a configuration file would have it, in the largest unit that is exact.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
        let exact = units.into_iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / factor)
    }
}

/// For people: three digits at most before the unit, rounded down.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let Some((unit, factor)) = units.into_iter().find(|(_, factor)| self.0 >= *factor) else {
            return write!(f, "{} B", self.0);
        };
        let (whole, tenth) = (self.0 / factor, self.0 % factor * 10 / factor);
        if whole < 10 { write!(f, "{whole}.{tenth} {unit}") } else { write!(f, "{whole} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_one_number_and_one_unit() {
        let table = [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1h", 3_600_000),
            ("2 d", 172_800_000),
        ];
        for (text, millis) in table {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn bad_spans_say_what_to_write() {
        let table = [
            ("", "\"\" does not begin with a whole number; write for example \"30s\""),
            ("soon", "\"soon\" does not begin with a whole number; write for example \"30s\""),
            ("-5s", "\"-5s\" does not begin with a whole number; write for example \"30s\""),
            ("30", "\"30\" has no known unit; write one of ms, s, min, h, d"),
            ("1.5h", "\"1.5h\" has no known unit; write one of ms, s, min, h, d"),
            ("99999999999999999999s", "\"99999999999999999999s\" is too large"),
            ("9999999999999999999d", "\"9999999999999999999d\" is too large"),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<Span>().expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn a_span_is_written_as_it_can_be_read() {
        for text in ["0ms", "500ms", "1500ms", "30s", "5min", "1h", "30d", "25h"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn sizes_are_read_in_both_families() {
        for (text, bytes) in [("0B", 0), ("64MiB", 64 << 20), ("64MB", 64_000_000), ("2 TiB", 2 << 40)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        let bad = "64M".parse::<Size>().expect_err("M alone says too little");
        assert_eq!(bad.to_string(), "\"64M\" has no known unit; write one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB");
    }

    #[test]
    fn rates_are_read_in_bits_and_in_both_families_of_bytes() {
        let table = [
            ("20 Mbit/s", 2_500_000),
            ("20Mbit/s", 2_500_000),
            ("1 kbit/s", 125),
            ("1 Gbit/s", 125_000_000),
            ("3 kB/s", 3000),
            ("3 MB/s", 3_000_000),
            ("3 GB/s", 3_000_000_000),
            ("1 KiB/s", 1024),
            ("1 MiB/s", 1 << 20),
            ("1 GiB/s", 1 << 30),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(Rate(bytes)), "{text}");
        }
        let bad = "20 Mbps".parse::<Rate>().expect_err("not said which");
        assert!(bad.to_string().starts_with("\"20 Mbps\" has no known unit; write one of kbit/s, Mbit/s,"), "{bad}");
    }

    #[test]
    fn sizes_are_shown_short() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (3_650_722_201, "3.3 GiB"),
            (u64::MAX, "16777215 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
