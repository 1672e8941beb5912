//! What a bucket costs, as an estimate: requests and storage at list prices.
//!
//! Not here: data that leaves the bucket, versions that are not current any more, what is free (such as the first million
//! requests of SQS in a month, of a whole account), discounts and taxes.

use std::time::Duration;

use crate::model::Requests;

/// A month, as it is reckoned here.
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// Less than a day says nothing of a month: it is taken for a day.
const SHORTEST: Duration = Duration::from_secs(86_400);
/// A gigabyte on the bill (bytes).
const GB: f64 = 1_073_741_824.0;

/// A price list. The default is Amazon's for S3 Standard in us-east-1, <https://aws.amazon.com/s3/pricing/>; removals are
/// free there. Of queues it is that of SQS, <https://aws.amazon.com/sqs/pricing/>.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// The currency, such as `USD`.
    pub currency: String,
    /// 1,000 requests that put or copy.
    pub put: f64,
    /// 1,000 requests that read an object or ask about one.
    pub get: f64,
    /// 1,000 pages of listings.
    pub list: f64,
    /// 1,000 requests of the queue that tells of others' changes.
    pub queue: f64,
    /// A GB (2^30 bytes) kept for a month.
    pub storage: f64,
}

/// What is to be paid in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// For requests, if they go on as they were made.
    pub requests: f64,
    /// For what is kept.
    pub storage: f64,
}

impl Estimate {
    /// Both together.
    pub fn total(self) -> f64 {
        self.requests + self.storage
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "USD".to_owned(), put: 0.005, get: 0.0004, list: 0.005, queue: 0.0004, storage: 0.023 }
    }
}

impl Prices {
    /// What these requests cost.
    pub fn cost(&self, requests: &Requests) -> f64 {
        let Requests { put, get, head, list, delete: _free, copy, queue } = *requests;
        let per_thousand = |count: u64, price: f64| count as f64 / 1000.0 * price;
        per_thousand(put.saturating_add(copy), self.put)
            + per_thousand(get.saturating_add(head), self.get)
            + per_thousand(list, self.list)
            + per_thousand(queue, self.queue)
    }

    /// What a month costs in which requests are made as they were made in the time `over`, and `bytes` are kept. Times of
    /// less than a day are taken for a day.
    pub fn monthly(&self, requests: &Requests, over: Duration, bytes: u64) -> Estimate {
        let months = over.max(SHORTEST).as_secs_f64() / MONTH.as_secs_f64();
        Estimate { requests: self.cost(requests) / months, storage: bytes as f64 / GB * self.storage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn is(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn each_kind_of_request_has_its_price() {
        let prices =
            Prices { currency: "EUR".to_owned(), put: 1.0, get: 10.0, list: 100.0, queue: 1000.0, storage: 0.0 };
        let none = Requests::default();
        let table = [
            (Requests { put: 1000, ..none }, 1.0),
            (Requests { copy: 1000, ..none }, 1.0),
            (Requests { get: 1000, ..none }, 10.0),
            (Requests { head: 1000, ..none }, 10.0),
            (Requests { list: 1000, ..none }, 100.0),
            (Requests { delete: 1000, ..none }, 0.0),
            (Requests { queue: 1000, ..none }, 1000.0),
            (Requests { put: 1000, get: 1000, head: 1000, list: 1000, delete: 1000, copy: 1000, queue: 1000 }, 1122.0),
            (none, 0.0),
        ];
        for (requests, cost) in table {
            is(prices.cost(&requests), cost);
        }
    }

    #[test]
    fn a_month_is_thirty_days_like_those_that_were_counted() {
        let prices = Prices::default();
        let requests = Requests { put: 10_000, get: 100_000, ..Requests::default() };
        is(prices.cost(&requests), 0.09);
        let monthly = |over: Duration| prices.monthly(&requests, over, 0).requests;
        is(monthly(30 * DAY), 0.09);
        is(monthly(60 * DAY), 0.045);
        is(monthly(DAY), 2.7);
        is(monthly(Duration::from_secs(60)), 2.7);
        is(monthly(Duration::ZERO), 2.7);
        // A queue that tells nothing, asked every twenty seconds.
        let queue = Requests { queue: 30 * 86_400 / 20, ..Requests::default() };
        is(prices.monthly(&queue, 30 * DAY, 0).requests, 0.05184);
    }

    #[test]
    fn storage_is_paid_by_the_gigabyte_of_the_bill() {
        let estimate = Prices::default().monthly(&Requests::default(), DAY, 100 << 30);
        is(estimate.storage, 2.3);
        is(estimate.total(), 2.3);
    }
}
