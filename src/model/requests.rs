//! How many requests were made of a server, by kind: what it charges for.

use std::ops::{Add, AddAssign, Sub};

/// Requests by kind, as a price list has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects and parts put, and uploads begun and ended.
    pub put: u64,
    /// Objects read.
    pub get: u64,
    /// Objects and buckets asked about.
    pub head: u64,
    /// Pages of listings.
    pub list: u64,
    /// Removals; many may be one request.
    pub delete: u64,
    /// Copies within the server.
    pub copy: u64,
    /// What was asked of the queue that tells of others' changes. A service of its own, on a line of its own.
    pub queue: u64,
}

impl Requests {
    /// Of all kinds together that are made of the server itself: what a budget bounds. Its queue is asked all the time, also
    /// while nothing happens.
    pub fn of_server(self) -> u64 {
        let kinds = [self.put, self.get, self.head, self.list, self.delete, self.copy];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    fn each(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            put: combine(self.put, other.put),
            get: combine(self.get, other.get),
            head: combine(self.head, other.head),
            list: combine(self.list, other.list),
            delete: combine(self.delete, other.delete),
            copy: combine(self.copy, other.copy),
            queue: combine(self.queue, other.queue),
        }
    }
}

/// Saturates: a count never wraps.
impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What came since `other`; of a kind that became fewer, none.
impl Sub for Requests {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }
}

impl std::iter::Sum for Requests {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Requests = Requests { put: 1, get: 2, head: 3, list: 4, delete: 5, copy: 6, queue: 7 };

    #[test]
    fn each_kind_is_counted_for_itself_and_the_queue_apart() {
        let twice = Requests { put: 2, get: 4, head: 6, list: 8, delete: 10, copy: 12, queue: 14 };
        assert_eq!((ONE + ONE, twice - ONE, twice.of_server()), (twice, ONE, 42));
        assert_eq!([ONE, ONE].into_iter().sum::<Requests>(), twice);
        let mut sum = ONE;
        sum += ONE;
        assert_eq!(sum, twice);
    }

    #[test]
    fn counts_never_wrap() {
        let most = Requests { put: u64::MAX, get: u64::MAX, ..Requests::default() };
        assert_eq!((most + ONE).put, u64::MAX);
        assert_eq!(most.of_server(), u64::MAX);
        assert_eq!(Requests::default() - ONE, Requests::default());
    }
}
