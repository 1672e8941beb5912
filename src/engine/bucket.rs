//! A bucket of the configuration, opened as a target: its rate by the time of day, and its budget of requests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Adopt, Bucket, Budget, Period, Place, Timetable};
use crate::engine::clock;
use crate::index::{Index, IndexError};
use crate::model::{Digest, TargetId, Wall};
use crate::target::{Allowed, Berth, Clock, QueueAt, Refused, S3Setup, S3Target, Sizes, Sse};

/// Who a target is, for whoever opens it.
#[derive(Clone, Debug)]
pub struct Seat<'a> {
    /// The identity of the share that is kept there ([`crate::engine::share_uid`]).
    pub share_uid: &'a str,
    /// The identity that the place has to bear; `None` takes whatever it bears for this share.
    pub bound: Option<String>,
    /// The agent's name, as it stands among the writers.
    pub agent: &'a str,
    /// Where this run leaves its card; `None` for whoever only reads.
    pub berth: Option<Arc<Berth>>,
    /// The agent's state folder; `None` for a run that leaves nothing there.
    pub state_dir: Option<&'a Path>,
    /// Requests that were made of it (not of its queue) today and in this month, before this run.
    pub used: Used,
}

/// Requests of earlier runs, as far as a budget may ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Today (UTC).
    pub today: u64,
    /// In this month (UTC).
    pub this_month: u64,
}

/// What of a bucket may be turned while it is used: how fast may be sent, and how much may be asked.
#[derive(Clone, Default)]
pub(super) struct Dials {
    rate: Arc<Mutex<Timetable>>,
    budget: Arc<Mutex<Option<Budget>>>,
}

impl Dials {
    pub(super) fn new(place: &Place) -> Self {
        let dials = Self::default();
        dials.turn_to(place);
        dials
    }

    /// From the next request on.
    pub(super) fn turn_to(&self, place: &Place) {
        if let Place::Bucket(bucket) = place {
            *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = bucket.rate_limit.clone();
            *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = bucket.request_budget;
        }
    }

    fn rate(&self) -> Arc<dyn Fn() -> Option<u64> + Send + Sync> {
        let timetable = Arc::clone(&self.rate);
        Arc::new(move || {
            let timetable = timetable.lock().unwrap_or_else(PoisonError::into_inner);
            if timetable.is_unlimited() {
                return None;
            }
            let (weekday, minute) = clock::local();
            timetable.rate(weekday, minute)
        })
    }

    fn allowed(&self, used: Used) -> Allowed {
        let budget = Arc::clone(&self.budget);
        let meter: Mutex<Option<Meter>> = Mutex::default();
        let begun = clock::wall();
        Arc::new(move |made| {
            let Some(budget) = *budget.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
            let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
            if meter.is_none_or(|meter| meter.budget.per != budget.per) {
                // All that this run has made counts, as far as it began in this period.
                *meter = Some(Meter::new(budget, used, begun));
            }
            let meter = meter.get_or_insert_with(|| Meter::new(budget, used, begun));
            meter.budget = budget;
            meter.allow(made.of_server(), clock::wall())
        })
    }
}

/// Opens a bucket; sends nothing yet.
pub(super) fn open(bucket: &Bucket, seat: &Seat<'_>, dials: &Dials) -> S3Target {
    let sse = bucket.sse.as_ref().map(|sse| match sse {
        crate::config::Sse::S3 => Sse::S3,
        crate::config::Sse::Kms { key } => Sse::Kms { key: key.clone() },
    });
    S3Target::new(S3Setup {
        bucket: bucket.bucket.clone(),
        prefix: bucket.prefix.clone(),
        region: bucket.region.clone(),
        endpoint: bucket.endpoint.clone(),
        // Without an endpoint in the configuration there may be one in the environment.
        path_style: (bucket.path_style || bucket.endpoint.is_some()).then_some(bucket.path_style),
        profile: bucket.profile.clone(),
        storage_class: bucket.storage_class.clone(),
        sse,
        tags: bucket.tags.clone(),
        adopt_read: bucket.adopt == Adopt::Read,
        target_id: seat.bound.clone(),
        share_id: seat.share_uid.to_owned(),
        writer: seat.agent.to_owned(),
        berth: seat.berth.clone(),
        state: seat.state_dir.map(|state| own_folder(state, bucket, seat.share_uid)),
        events: bucket.events.as_ref().map(|queue| QueueAt { url: queue.url.clone(), region: queue.region.clone() }),
        clock: Clock { wall: clock::wall, moment: clock::moment, chance: clock::chance },
        rate: dials.rate(),
        allowed: dials.allowed(seat.used),
        sizes: Sizes::default(),
    })
}

fn own_folder(state: &Path, bucket: &Bucket, share_uid: &str) -> PathBuf {
    state.join("buckets").join(Digest::of(format!("{bucket} {share_uid}").as_bytes()).short())
}

/// Counts the requests of one period of the calendar.
#[derive(Clone, Copy, Debug)]
struct Meter {
    budget: Budget,
    period: i64,
    /// Those of earlier runs in this period.
    before: u64,
    /// Those of this run when the period began.
    mark: u64,
}

impl Meter {
    fn new(budget: Budget, used: Used, now: Wall) -> Self {
        let before = match budget.per {
            Period::Day => used.today,
            Period::Month => used.this_month,
        };
        Self { budget, period: span(budget.per, now).0, before, mark: 0 }
    }

    /// Whether another one is allowed, after `made` in this run.
    fn allow(&mut self, made: u64, now: Wall) -> Result<(), Refused> {
        let (begins, ends) = span(self.budget.per, now);
        if begins != self.period {
            (self.period, self.before, self.mark) = (begins, 0, made);
        }
        if self.before + made.saturating_sub(self.mark) < self.budget.requests {
            return Ok(());
        }
        let wait = Duration::from_nanos(u64::try_from(ends.saturating_sub(now.0)).unwrap_or(0));
        Err(Refused { cause: format!("the request budget of {} is used up", self.budget), wait })
    }
}

/// The beginning and the end of the day or month that a time lies in, in UTC.
fn span(period: Period, now: Wall) -> (i64, i64) {
    let day = now.day();
    let (first, last) = match period {
        Period::Day => (day, day + 1),
        Period::Month => clock::month_of(day),
    };
    (Wall::from_day(first).0, Wall::from_day(last).0)
}

/// Requests of earlier runs, as the index counted them.
pub(super) fn used(index: &Index, target: TargetId) -> Result<Used, IndexError> {
    let day = clock::wall().day();
    let since = |day| index.requests_in(target, day).map(|requests| requests.of_server());
    Ok(Used { today: since(day)?, this_month: since(clock::month_of(day).0)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Requests;

    /// 2026-11-24 18:00 UTC.
    const NOW: Wall = Wall(1_795_543_200_000_000_000);

    #[test]
    fn a_budget_counts_what_earlier_runs_used() {
        let budget = Budget { requests: 100, per: Period::Day };
        let mut meter = Meter::new(budget, Used { today: 90, this_month: 5000 }, NOW);
        assert_eq!(meter.allow(9, NOW), Ok(()));
        let refused = meter.allow(10, NOW).expect_err("the hundredth was the last");
        assert_eq!(refused.cause, "the request budget of 100/day is used up");
        assert_eq!(refused.wait, Duration::from_secs(6 * 3600));
        let tomorrow = Wall(NOW.0 + 6 * 3_600_000_000_000);
        assert_eq!(meter.allow(10, tomorrow), Ok(()), "a new day");
        assert_eq!(meter.allow(109, tomorrow), Ok(()));
        assert!(meter.allow(110, tomorrow).is_err());
    }

    #[test]
    fn a_month_ends_when_the_calendar_says() {
        let budget = Budget { requests: 1, per: Period::Month };
        let mut meter = Meter::new(budget, Used { today: 0, this_month: 1 }, NOW);
        let wait = meter.allow(0, NOW).expect_err("used up").wait;
        assert_eq!(wait, Duration::from_secs(6 * 86_400 + 6 * 3600));
    }

    #[test]
    fn a_dial_that_is_turned_counts_from_the_next_request_on() {
        let place = |budget: Option<&str>, rate: &[&str]| {
            let request_budget = budget.map(|text| text.parse().expect("a budget"));
            let rate_limit = Timetable::parse(rate.iter().copied()).expect("a timetable");
            Place::Bucket(Box::new(Bucket { request_budget, rate_limit, ..Bucket::default() }))
        };
        let dials = Dials::new(&place(None, &[]));
        let (rate, allowed) = (dials.rate(), dials.allowed(Used::default()));
        let made = Requests { put: 1000, ..Requests::default() };
        assert_eq!((rate(), allowed(&made)), (None, Ok(())));
        dials.turn_to(&place(Some("100/day"), &["1 MB/s"]));
        assert!(allowed(&made).is_err(), "what was made before counts");
        assert_eq!(rate(), Some(1_000_000));
        dials.turn_to(&place(Some("2000/day"), &[]));
        assert_eq!((rate(), allowed(&made)), (None, Ok(())));
    }

    #[test]
    fn what_is_asked_of_the_queue_uses_up_no_budget() {
        let request_budget = Some(Budget { requests: 100, per: Period::Month });
        let dials = Dials::new(&Place::Bucket(Box::new(Bucket { request_budget, ..Bucket::default() })));
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("known").id;
        let target = index.register_target(share, "t", "s3://t").expect("known").id;
        let made = |put, queue| Requests { put, queue, ..Requests::default() };
        index.count_requests(target, clock::wall().day(), made(50, 5000)).expect("counted");
        let earlier = used(&index, target).expect("read");
        assert_eq!(earlier, Used { today: 50, this_month: 50 });
        let allowed = dials.allowed(earlier);
        assert_eq!(allowed(&made(49, 5000)), Ok(()));
        assert!(allowed(&made(50, 5000)).is_err(), "the hundredth was the last");
    }
}
