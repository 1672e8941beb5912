//! How fast may be sent, and when: `"20 Mbit/s"`, or `"Mon-Fri 08:00-18:00 20 Mbit/s"`.
//!
//! Pure: the day and the minute are arguments. Not here: what time it is, and in which zone.

use std::str::FromStr;

use crate::config::units::{BadUnit, Rate};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A day of the week, in the time of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// From Monday on.
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// The day before.
    pub fn previous(self) -> Self {
        Self::ALL[(self.index() + 6) % 7]
    }

    fn index(self) -> usize {
        self as usize
    }

    fn short(self) -> &'static str {
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][self.index()]
    }
}

/// How fast may be sent, by day and time. The first entry that covers a time applies; where none does, there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timetable {
    entries: Vec<Entry>,
}

/// One line of a timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    days: [bool; 7],
    /// First minute of the day.
    from: u16,
    /// First minute that is not covered any more; at or before `from` it lies on the day after.
    until: u16,
    rate: Rate,
}

/// Why text is no line of a timetable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTimetable {
    /// The rate is not one.
    #[error(transparent)]
    Rate(#[from] BadUnit),
    /// It would never send anything.
    #[error("{text:?} would send nothing at all; to stop for a while there is `driftline pause`")]
    Nothing {
        /// What was written.
        text: String,
    },
    /// A day that is none.
    #[error(
        "{text:?} is no day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, a range such as Mon-Fri, or several with commas"
    )]
    Day {
        /// What was written.
        text: String,
    },
    /// Times that are none.
    #[error("{text:?} is no span of a day; write it with two times, such as 08:00-18:00 or 22:00-06:00")]
    Times {
        /// What was written.
        text: String,
    },
}

impl Timetable {
    /// From lines as a configuration has them, the first to be asked first.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, BadTimetable> {
        let entries = lines.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Bytes in a second that may be sent on this day in this minute (0 to 1439); `None` without a limit.
    pub fn rate(&self, weekday: Weekday, minute_of_day: u16) -> Option<u64> {
        let covering = self.entries.iter().find(|entry| entry.covers(weekday, minute_of_day));
        covering.map(|entry| entry.rate.0)
    }

    /// True if there is never a limit.
    pub fn is_unlimited(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    /// A span that passes midnight belongs to the day on which it begins.
    fn covers(&self, weekday: Weekday, minute: u16) -> bool {
        let today = self.days[weekday.index()];
        if self.from < self.until {
            return today && (self.from..self.until).contains(&minute);
        }
        (today && minute >= self.from) || (self.days[weekday.previous().index()] && minute < self.until)
    }
}

impl FromStr for Entry {
    type Err = BadTimetable;

    /// Days are what comes before the first digit, times have a colon, and the rest is the rate.
    fn from_str(text: &str) -> Result<Self, BadTimetable> {
        let digit = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        let (head, tail) = text.split_at(digit);
        let (first, rest) = tail.split_once(char::is_whitespace).unwrap_or((tail, ""));
        let (times, rate) = if first.contains(':') { (first, rest) } else { ("", tail) };
        let (from, until) = if times.is_empty() { (0, DAY) } else { self::times(times)? };
        let rate: Rate = if rate.trim().is_empty() { text } else { rate.trim() }.parse()?;
        if rate.0 == 0 {
            return Err(BadTimetable::Nothing { text: text.to_owned() });
        }
        Ok(Self { days: days(head.trim())?, from, until, rate })
    }
}

fn days(text: &str) -> Result<[bool; 7], BadTimetable> {
    if text.is_empty() {
        return Ok([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let known = day(first).zip(day(last));
        let (mut at, last) = known.ok_or_else(|| BadTimetable::Day { text: part.trim().to_owned() })?;
        days[at.index()] = true;
        while at != last {
            at = Weekday::ALL[(at.index() + 1) % 7];
            days[at.index()] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Option<Weekday> {
    Weekday::ALL.into_iter().find(|day| day.short().eq_ignore_ascii_case(text.trim()))
}

/// First minute, and first minute after. The end may be 24:00; a span without length is none.
fn times(text: &str) -> Result<(u16, u16), BadTimetable> {
    let read = || {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        (from < DAY && from != until).then_some((from, until))
    };
    read().ok_or_else(|| BadTimetable::Times { text: text.to_owned() })
}

/// `08:00` as minutes of the day, up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || minutes.len() != 2 || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    use super::*;

    fn table(lines: &[&str]) -> Timetable {
        Timetable::parse(lines.iter().copied()).expect("fine")
    }

    fn at(hours: u16, minutes: u16) -> u16 {
        hours * 60 + minutes
    }

    /// Each minute of a week at which the table has this rate.
    fn minutes_at(table: &Timetable, rate: Option<u64>) -> Vec<(Weekday, u16)> {
        let week = Weekday::ALL.into_iter().flat_map(|day| (0..DAY).map(move |minute| (day, minute)));
        week.filter(|(day, minute)| table.rate(*day, *minute) == rate).collect()
    }

    fn spans(days: &[Weekday], from: u16, until: u16) -> Vec<(Weekday, u16)> {
        days.iter().flat_map(|day| (from..until).map(move |minute| (*day, minute))).collect()
    }

    #[test]
    fn without_a_line_there_is_no_limit() {
        assert_eq!(minutes_at(&Timetable::default(), None), spans(&Weekday::ALL, 0, DAY));
        assert!(table(&[]).is_unlimited() && !table(&["1 MB/s"]).is_unlimited());
    }

    #[test]
    fn a_rate_alone_is_for_each_minute_of_the_week() {
        for text in ["20 Mbit/s", "20Mbit/s", "  20 Mbit/s ", "00:00-24:00 20 Mbit/s", "Mon-Sun 20 Mbit/s"] {
            assert_eq!(minutes_at(&table(&[text]), Some(2_500_000)), spans(&Weekday::ALL, 0, DAY), "{text}");
        }
    }

    #[test]
    fn a_span_covers_its_first_minute_and_not_its_last() {
        let working = [Monday, Tuesday, Wednesday, Thursday, Friday];
        let covered = spans(&working, at(8, 0), at(18, 0));
        for text in
            ["Mon-Fri 08:00-18:00 1 MB/s", "mon-fri 8:00-18:00 1MB/s", "Mon,Tue, Wed ,Thu-Fri 08:00-18:00 1 MB/s"]
        {
            let limited = table(&[text]);
            assert_eq!(minutes_at(&limited, Some(1_000_000)), covered, "{text}");
            let free = minutes_at(&limited, None);
            assert_eq!(free.len() + covered.len(), 7 * usize::from(DAY), "{text}");
        }
        assert_eq!(minutes_at(&table(&["08:00-18:00 1 MB/s"]), Some(1_000_000)).len(), 7 * 600);
    }

    #[test]
    fn days_may_go_round_the_end_of_the_week() {
        let wanted = spans(&[Monday, Friday, Saturday, Sunday], 0, DAY);
        assert_eq!(minutes_at(&table(&["Fri-Mon 1 MB/s"]), Some(1_000_000)), wanted);
        assert_eq!(minutes_at(&table(&["Sun 1 MB/s"]), Some(1_000_000)), spans(&[Sunday], 0, DAY));
        assert_eq!(minutes_at(&table(&["Sun,Sat-Sat 1 MB/s"]), Some(1_000_000)), spans(&[Saturday, Sunday], 0, DAY));
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = table(&["Fri,Sun 22:00-06:00 1 MB/s"]);
        let mut wanted = spans(&[Monday], 0, at(6, 0));
        wanted.extend(spans(&[Friday], at(22, 0), DAY));
        wanted.extend(spans(&[Saturday], 0, at(6, 0)));
        wanted.extend(spans(&[Sunday], at(22, 0), DAY));
        assert_eq!(minutes_at(&night, Some(1_000_000)), wanted);
        let evening = spans(&[Tuesday], at(18, 0), DAY);
        for text in ["Tue 18:00-24:00 1 MB/s", "Tue 18:00-00:00 1 MB/s"] {
            assert_eq!(minutes_at(&table(&[text]), Some(1_000_000)), evening, "{text}");
        }
    }

    #[test]
    fn the_first_line_that_covers_a_time_applies() {
        let lines = table(&["Mon 12:00-13:00 9 MB/s", "Mon-Fri 08:00-18:00 1 MB/s", "5 MB/s"]);
        assert_eq!(minutes_at(&lines, Some(9_000_000)), spans(&[Monday], at(12, 0), at(13, 0)));
        assert_eq!(minutes_at(&lines, Some(1_000_000)).len(), 5 * 600 - 60);
        assert_eq!(minutes_at(&lines, None), []);
        let hidden = table(&["5 MB/s", "Mon 1 MB/s"]);
        assert_eq!(minutes_at(&hidden, Some(5_000_000)), spans(&Weekday::ALL, 0, DAY));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let no_day =
            "is no day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, a range such as Mon-Fri, or several with commas";
        let no_span = "is no span of a day; write it with two times, such as 08:00-18:00 or 22:00-06:00";
        let refused = [
            ("Mo-Fr 1 MB/s", format!("\"Mo-Fr\" {no_day}")),
            ("Mon-Fri-Sun 1 MB/s", format!("\"Mon-Fri-Sun\" {no_day}")),
            ("Mon, 1 MB/s", format!("\"\" {no_day}")),
            ("-1 MB/s", format!("\"-\" {no_day}")),
            ("08:00-08:00 1 MB/s", format!("\"08:00-08:00\" {no_span}")),
            ("08:00 1 MB/s", format!("\"08:00\" {no_span}")),
            ("08:60-09:00 1 MB/s", format!("\"08:60-09:00\" {no_span}")),
            ("24:00-25:00 1 MB/s", format!("\"24:00-25:00\" {no_span}")),
            ("24:00-06:00 1 MB/s", format!("\"24:00-06:00\" {no_span}")),
            ("08:0-09:00 1 MB/s", format!("\"08:0-09:00\" {no_span}")),
            ("08:00-+9:00 1 MB/s", format!("\"08:00-+9:00\" {no_span}")),
            (
                "0 MB/s",
                "\"0 MB/s\" would send nothing at all; to stop for a while there is `driftline pause`".to_owned(),
            ),
            ("fast", "\"fast\" does not begin with a whole number; write for example \"20 Mbit/s\"".to_owned()),
            ("", "\"\" does not begin with a whole number; write for example \"20 Mbit/s\"".to_owned()),
            (
                "Mon-Fri 08:00-18:00",
                "\"Mon-Fri 08:00-18:00\" does not begin with a whole number; write for example \"20 Mbit/s\""
                    .to_owned(),
            ),
        ];
        for (text, message) in refused {
            assert_eq!(Timetable::parse([text]).expect_err(text).to_string(), message);
        }
    }
}
