//! What goes wrong, with which requests, and how often.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buckets::proxy::Request;

/// What goes wrong with one request.
#[derive(Clone)]
pub(crate) enum Fault {
    /// It never reaches the server: the connection breaks at once.
    LoseRequest,
    /// The server carries it out; the connection breaks before the client hears of it.
    LoseAnswer,
    /// It does not reach the server, and is answered with an error.
    Refuse(Answer),
    /// Everything takes that much longer.
    Delay(Duration),
    /// Its body goes to the server no faster than this, in bytes per second.
    SlowRequest(u64),
    /// The answer's body comes no faster than this, in bytes per second.
    SlowAnswer(u64),
    /// Behind so many bytes of its body, nothing moves any more: for ever, or until the client gives up.
    StallRequest(u64),
    /// Behind so many bytes of the answer's body, nothing comes any more; with 0, not even its head.
    StallAnswer(u64),
    /// Behind so many bytes of its body, the connection is reset, on both sides.
    ResetRequest(u64),
    /// Behind so many bytes of the answer's body, the connection is reset.
    ResetAnswer(u64),
    /// The answer's body is another one, of which the length is right.
    Edit(Edit),
    /// The server gets it twice, and the client hears the second answer.
    Twice,
    /// The server gets it once more after this time, and nobody hears that answer. Then it is noted as another request,
    /// of which the fault is `echo`.
    Echo(Duration),
}

/// Makes another body of one.
pub(crate) type Edit = Arc<dyn Fn(String) -> String + Send + Sync>;

/// An error as S3 writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// S3's word for it.
    pub(crate) code: &'static str,
    /// More headers, as lines without their ends.
    pub(crate) headers: Vec<String>,
}

impl Answer {
    /// An error with this status and code.
    pub(crate) fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, headers: Vec::new() }
    }

    /// With one header more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }
}

impl Fault {
    /// 503 SlowDown: too many requests.
    pub(crate) fn slow_down() -> Self {
        Self::Refuse(Answer::new(503, "SlowDown"))
    }

    /// 500 InternalError.
    pub(crate) fn internal_error() -> Self {
        Self::Refuse(Answer::new(500, "InternalError"))
    }

    /// 403 RequestTimeTooSkewed: the two clocks differ by more than a quarter of an hour. The server's says `date`.
    pub(crate) fn skewed(date: &str) -> Self {
        Self::Refuse(Answer::new(403, "RequestTimeTooSkewed").with("Date", date))
    }

    /// The answer's body ends in its middle, as if that were its end.
    pub(crate) fn half_an_answer() -> Self {
        Self::Edit(Arc::new(|body| body.chars().take(body.chars().count() / 2).collect()))
    }

    /// A listing says that more is to come, and how to go on does not hold.
    pub(crate) fn wrong_token() -> Self {
        Self::Edit(Arc::new(|body| {
            let wrong = "<IsTruncated>true</IsTruncated><NextContinuationToken>no token</NextContinuationToken>";
            body.replacen("<IsTruncated>false</IsTruncated>", wrong, 1)
        }))
    }

    /// A listing leaves out all that it should say of `key`, and claims to be complete.
    pub(crate) fn forgets(key: &str) -> Self {
        let wanted = format!("<Key>{key}</Key>");
        Self::Edit(Arc::new(move |body| {
            let parts = body.split_inclusive("</Contents>");
            let kept = parts.map(|part| match part.find("<Contents>") {
                Some(start) if part.contains(&wanted) => &part[..start],
                _ => part,
            });
            kept.collect()
        }))
    }

    /// Its name in the record.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::LoseRequest => "request lost",
            Self::LoseAnswer => "answer lost",
            Self::Refuse(answer) => answer.code,
            Self::Delay(_) => "delayed",
            Self::SlowRequest(_) => "request slow",
            Self::SlowAnswer(_) => "answer slow",
            Self::StallRequest(_) => "request stalled",
            Self::StallAnswer(_) => "answer stalled",
            Self::ResetRequest(_) => "request reset",
            Self::ResetAnswer(_) => "answer reset",
            Self::Edit(_) => "answer edited",
            Self::Twice => "delivered twice",
            Self::Echo(_) => "delivered again",
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which requests a fault takes hold of.
pub(crate) struct Rule {
    such: Box<dyn Fn(&Request) -> bool + Send>,
    fault: Fault,
    spare: u64,
    left: u64,
    until: Option<Instant>,
}

impl Rule {
    /// The first such request.
    pub(crate) fn once(fault: Fault, such: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        Self::always(fault, such).times(1)
    }

    /// All such requests.
    pub(crate) fn always(fault: Fault, such: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        Self { such: Box::new(such), fault, spare: 0, left: u64::MAX, until: None }
    }

    /// That many of them.
    pub(crate) fn times(self, left: u64) -> Self {
        Self { left, ..self }
    }

    /// Not the first ones.
    pub(crate) fn sparing(self, spare: u64) -> Self {
        Self { spare, ..self }
    }

    /// From now on for so long.
    pub(crate) fn lasting(self, time: Duration) -> Self {
        Self { until: Some(Instant::now() + time), ..self }
    }

    /// What happens to this request.
    pub(super) fn takes(&mut self, request: &Request) -> Option<Fault> {
        let over = self.left == 0 || self.until.is_some_and(|until| Instant::now() >= until);
        if over || !(self.such)(request) {
            return None;
        }
        if self.spare > 0 {
            self.spare -= 1;
            return None;
        }
        self.left -= 1;
        Some(self.fault.clone())
    }
}
