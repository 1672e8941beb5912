//! What a bucket's server answers when it does not do what was asked, sorted by what is done next.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::http::Response;

use super::authorities::lack;
use crate::model::{RelPath, Wall};
use crate::target::{Fault, TargetError};

/// Why a request was not carried out, or may not have been.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    /// The cause, for people.
    pub(super) cause: String,
    /// What to do, for people.
    pub(super) hint: Cow<'static, str>,
    /// What the server's clock showed, if that is the trouble.
    pub(super) their_time: Option<Wall>,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is there (404 for a key or an upload).
    NotThere,
    /// A condition did not hold (412), or another change was quicker (409). Nothing was changed.
    Precondition,
    /// Asked to slow down (503 and the like). Nothing was changed.
    Slow,
    /// No answer, or one that says nothing: the change may or may not have been made.
    Unclear,
    /// The server says that it failed (500): the change may or may not have been made.
    Broken,
    /// The server knows no such thing.
    Unknown,
    /// The server says that it was done, and the rest of its answer is not understood: what was to be changed may be changed.
    Garbled,
    /// What arrived was not what was sent. Nothing was changed.
    Damaged,
    /// Whoever asks has not the right to it. Nothing was changed.
    Forbidden,
    /// As the engine gets it.
    Fault(Fault),
}

pub(super) type Outcome<T> = Result<T, Refusal>;

/// S3's word for a clock that is more than a quarter of an hour off.
const SKEWED: &str = "RequestTimeTooSkewed";
const LOOK_AGAIN: &str = "driftline looks at it again and decides anew";
const BY_ITSELF: &str = "see whether the line to the server is up; driftline tries again by itself";
const RIGHTS: &str = "give the agent's user the rights that the admin's guide lists (on this bucket and prefix: \
                      s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload)";

impl Refusal {
    pub(super) fn new(kind: Kind, cause: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into(), hint: hint.into(), their_time: None }
    }

    pub(super) fn fault(fault: Fault, cause: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Fault(fault), cause, hint)
    }

    pub(super) fn stale(cause: impl Into<String>) -> Self {
        Self::new(Kind::Precondition, cause, LOOK_AGAIN)
    }

    pub(super) fn unstaged(cause: impl Into<String>) -> Self {
        Self::fault(Fault::Unstaged, cause, "driftline reads and stages it again")
    }

    /// True if the same request may well succeed a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self.kind {
            Kind::Slow | Kind::Unclear | Kind::Broken | Kind::Damaged => true,
            Kind::NotThere | Kind::Precondition | Kind::Unknown | Kind::Garbled | Kind::Forbidden | Kind::Fault(_) => {
                false
            }
        }
    }

    /// The same of a change: whoever may ask may still not be let change anything, and no answer to a question says otherwise.
    pub(super) fn of_a_change(self) -> Self {
        match self.kind {
            Kind::Forbidden => Self { kind: Kind::Fault(Fault::Closed), ..self },
            _ => self,
        }
    }

    fn as_fault(&self) -> Fault {
        match self.kind {
            // A change that carries a guard and finds nothing.
            Kind::NotThere | Kind::Precondition => Fault::Stale,
            Kind::Slow => Fault::Throttled(None),
            Kind::Unclear | Kind::Broken | Kind::Damaged | Kind::Forbidden => Fault::Unreachable,
            Kind::Unknown | Kind::Garbled => Fault::Unfit,
            Kind::Fault(fault) => fault,
        }
    }

    /// With how far this machine's clock is from the server's, if that is the trouble.
    pub(super) fn with_own_time(mut self, now: Wall) -> Self {
        if let Some(theirs) = self.their_time {
            let (apart, side) = if theirs > now { (theirs.since(now), "behind") } else { (now.since(theirs), "ahead") };
            self.cause.push_str(&format!(": it is {} {side}", span(apart)));
        }
        self
    }

    /// As the engine and people get it.
    pub(super) fn into_error(self, verb: &'static str, path: Option<&RelPath>) -> TargetError {
        TargetError {
            fault: self.as_fault(),
            verb,
            path: path.cloned(),
            cause: self.cause,
            hint: self.hint.into_owned(),
        }
    }
}

impl<E> From<SdkError<E>> for Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    SdkError<E>: RequestId,
{
    fn from(error: SdkError<E>) -> Self {
        let id = error.request_id().map(|id| format!(" (request {id})")).unwrap_or_default();
        match &error {
            SdkError::ServiceError(answer) => {
                let (code, message) = (answer.err().code(), answer.err().message());
                answered(answer.raw(), code.unwrap_or_default(), message.unwrap_or_default())
            }
            SdkError::TimeoutError(_) => Self::new(Kind::Unclear, "no answer came in time", BY_ITSELF),
            SdkError::ResponseError(_) => {
                Self::new(Kind::Unclear, format!("its answer cannot be understood{id}"), BY_ITSELF)
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => unsent(&error),
            _ => Self::new(Kind::Unclear, DisplayErrorContext(&error).to_string(), BY_ITSELF),
        }
    }
}

/// What a server said that did not do what was asked. A code that it gives stands in the body.
pub(super) fn answered(raw: &Response, code: &str, message: &str) -> Refusal {
    let headers = raw.headers();
    let date = headers.get("date").and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
    let said = Said {
        status: raw.status().as_u16(),
        code,
        message,
        region: headers.get("x-amz-bucket-region").map(str::to_owned),
        retry_after: headers.get("retry-after").and_then(|text| text.parse().ok()),
    };
    let mut refusal = said.sorted();
    if code == SKEWED {
        refusal.their_time = date.map(|date| Wall::from_parts(date.secs(), date.subsec_nanos()));
    }
    if let Some(id) = headers.request_id() {
        refusal.cause.push_str(&format!(" (request {id})"));
    }
    refusal
}

/// A time for people, in its two largest units.
fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// What never arrived: no credentials, no name, no line.
fn unsent<E>(error: &SdkError<E>) -> Refusal
where
    E: std::error::Error + Send + Sync + 'static,
{
    let causes = chain(error);
    let has = |words: &[&str]| words.iter().any(|word| causes.contains(word));
    if has(&["credentials", "CredentialsError", "credential provider"]) {
        let hint = "set a profile, a role or the environment's AWS_ keys for the agent; for the service see \
                    LoadCredential= in its unit";
        return Refusal::fault(Fault::Unreachable, format!("there are no credentials that work: {causes}"), hint);
    }
    if has(&["dns error", "failed to lookup address"]) {
        let hint = "check endpoint and region in the configuration, and this machine's name service";
        return Refusal::new(Kind::Unclear, "the server's name is not known", hint);
    }
    if has(&["certificate", "InvalidCertificate", "UnknownIssuer"]) {
        let hint = "give the server a certificate that this machine trusts, or name the file of its authority in \
                    AWS_CA_BUNDLE (beside those that are trusted) or SSL_CERT_FILE (instead of them)";
        let untrusted = format!("its certificate is not trusted: {causes}");
        return match lack() {
            Some(lack) => Refusal::fault(Fault::Unreachable, format!("{untrusted}; {lack}"), lack.hint()),
            None => Refusal::fault(Fault::Unreachable, untrusted, hint),
        };
    }
    Refusal::new(Kind::Unclear, format!("the line to the server failed: {causes}"), BY_ITSELF)
}

/// The causes of an error, outermost first, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes.join(": ")
}

/// What a server said.
struct Said<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    region: Option<String>,
    retry_after: Option<u64>,
}

impl Said<'_> {
    fn cause(&self, what: &str) -> String {
        let code = if self.code.is_empty() { self.status.to_string() } else { self.code.to_owned() };
        if self.message.is_empty() { format!("{what} ({code})") } else { format!("{what} ({code}: {})", self.message) }
    }

    /// The one table from codes to kinds. Codes are S3's ("Error responses" in its API reference) and those that servers of
    /// its kind add. The code decides, and the status only where there is none: HEAD has no body.
    fn sorted(&self) -> Refusal {
        let refusal = |kind, what: &str, hint: &'static str| Refusal::new(kind, self.cause(what), hint);
        let fault = |fault, what: &str, hint: &'static str| refusal(Kind::Fault(fault), what, hint);
        match self.code {
            "NoSuchBucket" => fault(
                Fault::Offline,
                "the bucket does not exist",
                "make the bucket, or correct url in the configuration; driftline never makes one",
            ),
            "NoSuchKey" | "NotFound" | "NoSuchUpload" | "NoSuchVersion" => {
                refusal(Kind::NotThere, "it is not there", LOOK_AGAIN)
            }
            "PreconditionFailed" => refusal(Kind::Precondition, "it is not as the guard says", LOOK_AGAIN),
            "ConditionalRequestConflict" | "OperationAborted" => {
                refusal(Kind::Precondition, "another change was under way", LOOK_AGAIN)
            }
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "ServiceUnavailable"
            | "SlowDownWrite"
            | "SlowDownRead"
            | "RequestThrottled" => self.slow(),
            SKEWED => fault(
                Fault::Unreachable,
                "this machine's clock differs too much from the server's",
                "set this machine's clock (timedatectl set-ntp true)",
            ),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => fault(
                Fault::Unreachable,
                "the credentials have expired",
                "renew them; with a role or credential_process this happens by itself",
            ),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "NotSignedUp" => fault(
                Fault::Unreachable,
                "the credentials are not valid there",
                "check the profile, the environment or the role that the agent uses",
            ),
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "TemporaryRedirect" => self.elsewhere(),
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => {
                refusal(Kind::Forbidden, "access is denied", RIGHTS)
            }
            "KeyTooLongError" => fault(Fault::Unfit, "its key is too long", "give it a shorter name on the share"),
            "MetadataTooLarge" => fault(
                Fault::Unfit,
                "what is carried with it is too much for S3's 2 KiB",
                "if it is a link, make it point to a shorter path",
            ),
            "EntityTooLarge" => {
                fault(Fault::Unfit, "it is larger than the server takes", "split it, or leave it out with ignore")
            }
            "InvalidObjectState" => fault(
                Fault::Unfit,
                "it lies in an archive class and cannot be read or copied now",
                "restore it from the archive first (aws s3api restore-object), or set storage_class to one that can be read",
            ),
            "QuotaExceeded" | "InsufficientStorage" | "StorageFull" | "XMinioStorageFull" | "InsufficientCapacity" => {
                fault(Fault::Full, "the server has no room", "free space on the server, or raise the quota")
            }
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentChecksumMismatch"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody"
            | "RequestTimeout" => refusal(
                Kind::Damaged,
                "what arrived was not what was sent",
                "driftline sends it again; if that goes on, look for a proxy on the way that changes what passes",
            ),
            "NotImplemented" | "MethodNotAllowed" | "XNotImplemented" => {
                refusal(Kind::Unknown, "the server does not know this request", "see what `driftline check` says of it")
            }
            _ => self.by_status(),
        }
    }

    fn by_status(&self) -> Refusal {
        let refusal = |kind, what: &str, hint: &'static str| Refusal::new(kind, self.cause(what), hint);
        match self.status {
            404 => refusal(Kind::NotThere, "it is not there", LOOK_AGAIN),
            409 | 412 => refusal(Kind::Precondition, "it is not as the guard says", LOOK_AGAIN),
            429 | 503 => self.slow(),
            301 | 307 => self.elsewhere(),
            401 | 403 => refusal(Kind::Forbidden, "access is denied", RIGHTS),
            501 | 405 => {
                refusal(Kind::Unknown, "the server does not know this request", "see what `driftline check` says of it")
            }
            507 => refusal(Kind::Fault(Fault::Full), "the server has no room", "free space on the server"),
            200..=299 => refusal(Kind::Garbled, "the server's answer cannot be understood", "see `driftline check`"),
            500.. => refusal(Kind::Broken, "the server failed", BY_ITSELF),
            _ => refusal(
                Kind::Fault(Fault::Unfit),
                "the server refuses it",
                "see what the server's own documentation says of this answer",
            ),
        }
    }

    fn slow(&self) -> Refusal {
        let hint = "nothing: driftline goes more slowly by itself";
        match self.retry_after {
            Some(seconds) => {
                let wait = Duration::from_secs(seconds);
                Refusal::fault(Fault::Throttled(Some(wait)), self.cause("the server asks to wait"), hint)
            }
            None => Refusal::new(Kind::Slow, self.cause("the server asks to slow down"), hint),
        }
    }

    fn elsewhere(&self) -> Refusal {
        let (what, hint) = match &self.region {
            Some(region) => (
                format!("the bucket lies in another region, {region}"),
                format!("set region = \"{region}\" for this target"),
            ),
            None => (
                "the bucket lies in another region".to_owned(),
                "set region for this target to the bucket's own (aws s3api get-bucket-location)".to_owned(),
            ),
        };
        Refusal::fault(Fault::Unreachable, self.cause(&what), hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, code: &str) -> Kind {
        Said { status, code, message: "", region: None, retry_after: None }.sorted().kind
    }

    #[test]
    fn every_code_that_matters_has_its_kind() {
        let table = [
            (404, "NoSuchBucket", Kind::Fault(Fault::Offline)),
            (404, "NoSuchKey", Kind::NotThere),
            (404, "", Kind::NotThere),
            (412, "PreconditionFailed", Kind::Precondition),
            (412, "", Kind::Precondition),
            // It has been seen within a 200.
            (200, "PreconditionFailed", Kind::Precondition),
            (409, "ConditionalRequestConflict", Kind::Precondition),
            (503, "SlowDown", Kind::Slow),
            (503, "", Kind::Slow),
            (429, "", Kind::Slow),
            (500, "InternalError", Kind::Broken),
            (502, "", Kind::Broken),
            (200, "", Kind::Garbled),
            (403, "RequestTimeTooSkewed", Kind::Fault(Fault::Unreachable)),
            (400, "ExpiredToken", Kind::Fault(Fault::Unreachable)),
            (403, "AccessDenied", Kind::Forbidden),
            (403, "", Kind::Forbidden),
            (301, "PermanentRedirect", Kind::Fault(Fault::Unreachable)),
            (400, "KeyTooLongError", Kind::Fault(Fault::Unfit)),
            (507, "", Kind::Fault(Fault::Full)),
            (400, "BadDigest", Kind::Damaged),
            (501, "NotImplemented", Kind::Unknown),
            (400, "SomethingNew", Kind::Fault(Fault::Unfit)),
        ];
        for (status, code, kind) in table {
            assert_eq!(sorted(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn the_region_that_the_server_names_is_in_the_hint() {
        let region = Some("eu-west-1".to_owned());
        let said = Said { status: 301, code: "PermanentRedirect", message: "", region, retry_after: None };
        assert_eq!(said.sorted().hint, "set region = \"eu-west-1\" for this target");
    }

    #[test]
    fn a_wait_that_the_server_names_is_kept() {
        let said = Said { status: 503, code: "SlowDown", message: "", region: None, retry_after: Some(7) };
        let wait = Some(std::time::Duration::from_secs(7));
        assert_eq!(said.sorted().kind, Kind::Fault(Fault::Throttled(wait)));
    }
}
