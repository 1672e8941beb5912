//! Times as people write them: `2h ago`, `yesterday 14:00`, `friday 9:30`, `14:00`, `2026-11-24 14:00`, RFC 3339.
//!
//! Always a time that is past: `14:00` at nine in the morning is that of yesterday. What was understood is said.

use jiff::civil::{DateTime, Time, Weekday};
use jiff::{Span, Timestamp, Zoned};

use crate::model::Wall;

const EXAMPLES: &str = "write it as \"2h ago\", \"yesterday 14:00\", \"14:00\", \"2026-11-24 14:00\" or in RFC 3339";

/// The time that is meant, or what is wrong with it and what to write.
pub(super) fn parse(text: &str, now: &Zoned) -> Result<Wall, (String, String)> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let bad = |what: &str| Err((format!("{text:?} {what}"), EXAMPLES.to_owned()));
    if words.is_empty() {
        return bad("is no time");
    }
    let Some(at) = understood(&words, now) else { return bad("is not understood as a time") };
    if at.timestamp() > now.timestamp() {
        return bad("lies in the future");
    }
    let nanos = i64::try_from(at.timestamp().as_nanosecond());
    nanos.map(Wall).or_else(|_| bad("is too long ago"))
}

fn understood(words: &str, now: &Zoned) -> Option<Zoned> {
    if words == "now" {
        return Some(now.clone());
    }
    let zone = now.time_zone();
    if let Some(span) = words.strip_suffix(" ago") {
        let span: Span = span.parse().ok()?;
        return now.checked_sub(span.abs()).ok();
    }
    if let Ok(at) = words.to_uppercase().parse::<Timestamp>() {
        return Some(at.to_zoned(zone.clone()));
    }
    if let Some(time) = time(words) {
        let today = now.date().to_datetime(time).to_zoned(zone.clone()).ok()?;
        let past = today <= *now;
        return if past { Some(today) } else { yesterday(now)?.date().to_datetime(time).to_zoned(zone.clone()).ok() };
    }
    let (day, clock) = words.split_once([' ', 't'])?;
    // The `t` of a day's name is no separator.
    let (day, clock) = if time(clock).is_some() { (day, clock) } else { words.split_once(' ')? };
    let time = time(clock.strip_prefix("at ").unwrap_or(clock))?;
    let date = match day {
        "today" => now.date(),
        "yesterday" => yesterday(now)?.date(),
        day => match weekday(day) {
            Some(weekday) => {
                let today = now.date().weekday() == weekday && now.date().to_datetime(time) <= now.datetime();
                if today { now.date() } else { now.date().nth_weekday(-1, weekday).ok()? }
            }
            None => day.parse().ok()?,
        },
    };
    DateTime::from_parts(date, time).to_zoned(zone.clone()).ok()
}

fn yesterday(now: &Zoned) -> Option<Zoned> {
    now.checked_sub(Span::new().days(1)).ok()
}

/// `14:00`, `9:30`, `14:00:05.25`.
fn time(text: &str) -> Option<Time> {
    let (hour, rest) = text.split_once(':')?;
    let is_hour = matches!(hour.len(), 1 | 2) && hour.bytes().all(|byte| byte.is_ascii_digit());
    if is_hour { format!("{hour:0>2}:{rest}").parse().ok() } else { None }
}

fn weekday(text: &str) -> Option<Weekday> {
    let all = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let is_it = |name: &str| name == text || (text.len() == 3 && name.starts_with(text));
    all.into_iter().find(|(name, _)| is_it(name)).map(|(_, day)| day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Tuesday.
    fn now() -> Zoned {
        "2026-11-24T10:30:00+01:00[+01:00]".parse().expect("fine")
    }

    fn shown(text: &str) -> Result<String, String> {
        let wall = parse(text, &now()).map_err(|(what, _)| what)?;
        let at = Timestamp::from_nanosecond(i128::from(wall.0)).expect("in range");
        Ok(at.to_zoned(now().time_zone().clone()).datetime().to_string())
    }

    #[test]
    fn times_are_understood_as_people_write_them() {
        let table = [
            ("now", "2026-11-24T10:30:00"),
            ("2h ago", "2026-11-24T08:30:00"),
            ("90 minutes ago", "2026-11-24T09:00:00"),
            ("1 day 2 hours ago", "2026-11-23T08:30:00"),
            ("9:15", "2026-11-24T09:15:00"),
            ("14:00", "2026-11-23T14:00:00"),
            ("yesterday 14:00", "2026-11-23T14:00:00"),
            ("Yesterday at 9:00", "2026-11-23T09:00:00"),
            ("today 10:00:30", "2026-11-24T10:00:30"),
            ("monday 09:30", "2026-11-23T09:30:00"),
            ("tuesday 09:30", "2026-11-24T09:30:00"),
            ("tue 11:00", "2026-11-17T11:00:00"),
            ("Saturday 8:00", "2026-11-21T08:00:00"),
            ("2026-11-20 14:00", "2026-11-20T14:00:00"),
            ("2026-11-20T14:00:05", "2026-11-20T14:00:05"),
            ("2026-11-20T14:00:00Z", "2026-11-20T15:00:00"),
            ("2026-11-20T14:00:00+05:00", "2026-11-20T10:00:00"),
        ];
        for (text, wanted) in table {
            assert_eq!(shown(text), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_said_to_be_none() {
        for (text, why) in [
            ("", "\"\" is no time"),
            ("soon", "\"soon\" is not understood as a time"),
            ("yesterday", "\"yesterday\" is not understood as a time"),
            ("2026-11-20", "\"2026-11-20\" is not understood as a time"),
            ("25:00", "\"25:00\" is not understood as a time"),
            ("2026-13-01 10:00", "\"2026-13-01 10:00\" is not understood as a time"),
            ("today 23:00", "\"today 23:00\" lies in the future"),
            ("2027-01-01 00:00", "\"2027-01-01 00:00\" lies in the future"),
            ("ago", "\"ago\" is not understood as a time"),
        ] {
            assert_eq!(shown(text), Err(why.to_owned()), "{text}");
        }
    }
}
