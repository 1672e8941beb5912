//! Small pieces of text for people: times, spans, counts, columns.

mod wrap;

use std::time::Duration;

use jiff::tz::TimeZone;

use self::wrap::wrap;
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

    /// Since when something is so: to the minute, with its date unless that is today's; of the last minute to the second.
    pub fn since(&self, when: When) -> String {
        let local = |when: When| when.timestamp().to_zoned(self.zone.clone());
        let (shown, now) = (local(when), local(self.now));
        let format = match () {
            () if self.now.0.since(when.0) < Duration::from_secs(60) => return self.time(when),
            () if shown.date() == now.date() => "%H:%M",
            () => "%Y-%m-%d %H:%M",
        };
        shown.strftime(format).to_string()
    }

    /// In few columns: the time of day if it is today's, else the day; with its year if that is another one.
    pub fn short_time(&self, when: When) -> String {
        let local = |when: When| when.timestamp().to_zoned(self.zone.clone());
        let (shown, now) = (local(when), local(self.now));
        let format = match () {
            () if shown.date() == now.date() => "%H:%M:%S",
            () if shown.year() == now.year() => "%b %d %H:%M",
            () => "%Y-%m-%d",
        };
        shown.strftime(format).to_string()
    }

    /// Date and time, as commands take it.
    pub fn full_time(&self, when: When) -> String {
        when.timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// A line of text, or as many as it takes, each but the first a little further in. Commands stay whole.
    pub fn lines(&self, text: &str) -> String {
        let indent = text.len() - text.trim_start().len() + 2;
        wrap(text, self.width, &" ".repeat(indent)) + "\n"
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

/// As one word for a shell: in quotes if it would be taken for something else.
pub fn shell_word(text: &str) -> String {
    let text = harmless(text);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
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

/// A column of a table whose columns are not always the same.
#[derive(Clone, Debug)]
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// How it is set.
    pub set: Set,
    /// 0 to keep it whatever the width; else the column with the highest number is left out first where there is no room.
    pub keep: u8,
    /// One cell for each row.
    pub cells: Vec<String>,
}

impl Column {
    /// Whether any cell holds anything.
    pub fn has_something(&self) -> bool {
        self.cells.iter().any(|cell| !cell.is_empty())
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.head.chars().count()]).max().unwrap_or(0)
    }

    fn line(&self, cell: &str) -> String {
        let width = self.width();
        match self.set {
            Set::Left => format!("{cell:<width$}"),
            Set::Right => format!("{cell:>width$}"),
        }
    }
}

/// As many of these columns as fit, aligned like [`table`], below their heads.
pub fn columns(mut columns: Vec<Column>, width: usize) -> String {
    loop {
        let whole = columns.iter().map(|column| column.width() + 2).sum::<usize>().saturating_sub(2);
        let least = columns.iter().map(|column| column.keep).max().unwrap_or(0);
        if whole <= width || least == 0 {
            break;
        }
        columns.retain(|column| column.keep != least);
    }
    let line = |cells: Vec<String>| cut(cells.join("  ").trim_end(), width) + "\n";
    let mut text = line(columns.iter().map(|column| column.line(column.head)).collect());
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        text += &line(columns.iter().map(|column| column.line(&column.cells[row])).collect());
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
    fn a_path_is_one_word_for_a_shell() {
        let table = [
            ("letters/offer-1.docx", "letters/offer-1.docx"),
            ("Büro/plan", "Büro/plan"),
            ("my offer.docx", "'my offer.docx'"),
            ("it's $HOME", "'it'\\''s $HOME'"),
            ("", "''"),
        ];
        for (text, word) in table {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_cut() {
        let rows = [["a".into(), "10".into(), "x".into()], ["bbb".into(), "5".into(), String::new()]];
        assert_eq!(table([Set::Left, Set::Right, Set::Left], &rows, 80), "a    10  x\nbbb   5\n");
        assert_eq!(table([Set::Left, Set::Right, Set::Left], &rows, 8), "a    10…\nbbb   5\n");
    }

    #[test]
    fn what_matters_least_is_left_out_where_there_is_no_room() {
        let column = |head, keep| Column { head, set: Set::Left, keep, cells: vec!["x".into()] };
        let all = || vec![column("AAAA", 0), column("BBBB", 2), column("CCCC", 1)];
        assert_eq!(columns(all(), 16), "AAAA  BBBB  CCCC\nx     x     x\n");
        assert_eq!(columns(all(), 15), "AAAA  CCCC\nx     x\n");
        assert_eq!(columns(all(), 3), "AA…\nx\n");
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let at = |text: &str| serde_json::from_value::<When>(text.into()).expect("a time");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let screen = Screen { width: 80, zone, now: at("2026-11-23T14:00:00Z") };
        assert_eq!(screen.time(at("2026-11-22T23:30:00Z")), "00:30:00");
        assert_eq!(screen.time(at("2026-11-22T22:30:00Z")), "2026-11-22 23:30:00");
        assert_eq!(screen.ago(at("2026-11-23T13:54:00Z")), "6 min");
        assert_eq!(screen.since(at("2026-11-23T13:59:01Z")), "14:59:01");
        assert_eq!(screen.since(at("2026-11-23T13:59:00Z")), "14:59");
        assert_eq!(screen.since(at("2026-11-22T22:30:00Z")), "2026-11-22 23:30");
        assert_eq!(screen.since(at("2026-11-23T14:00:05Z")), "15:00:05", "the clock was set back since");
        assert_eq!(screen.short_time(at("2026-11-22T23:30:00Z")), "00:30:00");
        assert_eq!(screen.short_time(at("2026-11-22T22:30:00Z")), "Nov 22 23:30");
        assert_eq!(screen.short_time(at("2025-11-23T14:00:00Z")), "2025-11-23");
    }
}
