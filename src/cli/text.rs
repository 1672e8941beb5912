//! Small pieces of text for people: times, spans, counts, columns.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::cli::report::When;
use crate::config::Size;

/// What the look of text depends on, besides the values.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Columns of the terminal.
    pub width: usize,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// The time of printing.
    pub now: When,
}

/// Widest line on a terminal (columns): a wider one is hard to follow.
const WIDTH_MAX: usize = 140;

impl Screen {
    /// The terminal on standard output and the zone of this machine. What is no terminal takes lines of any width.
    pub fn here(now: When) -> Self {
        let columns = crate::sys::terminal::width(std::io::stdout());
        let width = columns.map_or(usize::MAX, |columns| usize::from(columns).min(WIDTH_MAX));
        Self { width, zone: TimeZone::system(), now }
    }

    /// The time of day; with its date unless that is today's.
    pub fn time(&self, when: When) -> String {
        let local = |when: When| when.timestamp().to_zoned(self.zone.clone());
        let (shown, now) = (local(when), local(self.now));
        let format = if shown.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        shown.strftime(format).to_string()
    }

    /// Date and time, as commands take it.
    pub fn full_time(&self, when: When) -> String {
        when.timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// How long ago.
    pub fn ago(&self, when: When) -> String {
        span(self.now.0.since(when.0))
    }
}

/// A span in its largest unit, rounded down.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ if seconds < 2 * 86_400 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 file`, `12,345 files`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Digits in groups of three.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
pub fn bytes(bytes: u64) -> String {
    Size(bytes).to_string()
}

/// An amount of money; what is less than a cent is said to be so.
pub fn money(amount: f64, currency: &str) -> String {
    let currency = harmless(currency);
    if amount > 0.0 && amount < 0.01 { format!("<0.01 {currency}") } else { format!("{amount:.2} {currency}") }
}

/// Without what a terminal would obey: control characters are escaped, line breaks too.
pub fn harmless(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows in aligned columns with two spaces between, no line wider than `width` and none with spaces at its end.
pub fn table<const N: usize>(set: [Set; N], rows: &[[String; N]], width: usize) -> String {
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(widest);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(set).zip(widths).map(|((cell, set), width)| match set {
            Set::Left => format!("{cell:<width$}"),
            Set::Right => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += &cut(line.trim_end(), width);
        text.push('\n');
    }
    text
}

/// The text, or as much of it as fits, with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_things_counted() {
        let table =
            [(0, "0 files"), (1, "1 file"), (999, "999 files"), (1000, "1,000 files"), (1_234_567, "1,234,567 files")];
        for (count, text) in table {
            assert_eq!(counted(count, "file"), text);
        }
    }

    #[test]
    fn spans_are_rounded_down_to_one_unit() {
        let table = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (86_400, "1 day"),
            (200_000, "2 days"),
        ];
        for (seconds, text) in table {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn money_is_told_to_the_cent() {
        let table = [(0.0, "0.00 USD"), (0.004, "<0.01 USD"), (0.01, "0.01 USD"), (12.345, "12.35 USD")];
        for (amount, text) in table {
            assert_eq!(money(amount, "USD"), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        assert_eq!(harmless("a\x1b[31m\nb\u{9b}ü"), "a\\u{1b}[31m\\nb\\u{9b}ü");
    }

    #[test]
    fn columns_are_aligned_and_lines_cut() {
        let rows = [["a".into(), "10".into(), "x".into()], ["bbb".into(), "5".into(), String::new()]];
        assert_eq!(table([Set::Left, Set::Right, Set::Left], &rows, 80), "a    10  x\nbbb   5\n");
        assert_eq!(table([Set::Left, Set::Right, Set::Left], &rows, 8), "a    10…\nbbb   5\n");
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let at = |text: &str| serde_json::from_value::<When>(text.into()).expect("a time");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let screen = Screen { width: 80, zone, now: at("2026-11-23T14:00:00Z") };
        assert_eq!(screen.time(at("2026-11-22T23:30:00Z")), "00:30:00");
        assert_eq!(screen.time(at("2026-11-22T22:30:00Z")), "2026-11-22 23:30:00");
        assert_eq!(screen.ago(at("2026-11-23T13:54:00Z")), "6 min");
    }
}
