//! The put of one small file, put together here: the client works out anew for each request what is the same for all, and
//! in a copy of many files that took half of the processor's time. It goes over the client's own connections, signed by the
//! client's own signer, and is the request that the client would make, byte for byte (a test compares them).
//!
//! Not here: any other request, and a bucket of which not all requests are signed alike; the client makes those. So it does
//! where anything is missing here, and says why in its own words.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::{
    HttpClient, ProvideCredentials, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::http::{Request, Response};
use bytes::Bytes;
use tokio::sync::Mutex;

use super::fault::{Outcome, Refusal, answered};
use super::lean::{self, USER_AGENT};
use crate::model::Wall;

/// The longest body (bytes). With a longer one the client's own work is nothing beside that for its bytes, and the client
/// also watches that they go on.
const BODY_MAX: usize = 1 << 20;
/// Credentials are asked for again after so long, as by the client ("default expiration" of its identity cache)...
const CREDENTIALS_LAST: Duration = Duration::from_secs(15 * 60);
/// ... and so long before they expire.
const CREDENTIALS_EARLY: Duration = Duration::from_secs(60);

/// What the client knows once it has made a request.
pub(super) struct Known {
    pub(super) place: lean::Known,
    pub(super) connector: Arc<OnceLock<SharedHttpConnector>>,
    pub(super) credentials: Option<SharedCredentialsProvider>,
}

/// Puts requests together.
pub(super) struct Quick {
    known: Option<Known>,
    /// Who signs, and until when he is not asked for again.
    signer: Mutex<Option<(Identity, Wall)>>,
}

/// A put. Names of headers are in lower case.
pub(super) struct Draft<'a> {
    /// As it stands in a URL.
    pub(super) key: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) metadata: &'a std::collections::HashMap<String, String>,
    pub(super) body: &'a Bytes,
    /// The line is encrypted.
    pub(super) secure: bool,
}

impl Quick {
    /// `None` where not all requests to a bucket are signed alike.
    pub(super) fn new(known: Option<Known>) -> Self {
        Self { known, signer: Mutex::default() }
    }

    /// Sends it once, if all that it takes is known.
    pub(super) async fn put(&self, draft: &Draft<'_>, now: Wall) -> Option<Outcome<Response>> {
        let known = self.known.as_ref().filter(|_| draft.body.len() <= BODY_MAX)?;
        let (place, connector) = (known.place.get()?, known.connector.get()?);
        let request = signed(place, draft, &self.signer(known, now).await?, now)?;
        Some(sent(connector, request).await)
    }

    async fn signer(&self, known: &Known, now: Wall) -> Option<Identity> {
        // Whoever comes meanwhile waits for the answer to one question.
        let mut signer = self.signer.lock().await;
        if let Some((identity, _)) = signer.as_ref().filter(|(_, until)| now < *until) {
            return Some(identity.clone());
        }
        let credentials = known.credentials.as_ref()?.provide_credentials().await.ok()?;
        let until = good_until(now, credentials.expiry().map(wall));
        let identity = Identity::from(credentials);
        *signer = Some((identity.clone(), until));
        Some(identity)
    }
}

/// `None` for what cannot be put into a request.
fn signed(place: &Endpoint, draft: &Draft<'_>, signer: &Identity, now: Wall) -> Option<Request> {
    let scheme = place.auth_schemes().iter().find(|scheme| scheme.name() == "sigv4")?;
    let word = |name| scheme.get(name).and_then(|value| value.as_string());
    let url = format!("{}/{}?x-id=PutObject", place.url().trim_end_matches('/'), draft.key);
    let mut request = Request::new(SdkBody::from(draft.body.clone()));
    request.set_method("PUT").ok()?;
    request.set_uri(url).ok()?;
    let headers = request.headers_mut();
    for (name, value) in &draft.headers {
        headers.try_insert(*name, value.clone()).ok()?;
    }
    for (name, value) in draft.metadata {
        headers.try_insert(format!("x-amz-meta-{name}"), value.clone()).ok()?;
    }
    headers.try_insert("content-length", draft.body.len().to_string()).ok()?;
    let params = SigningParams::builder().identity(signer).region(word("signingRegion")?).name(word("signingName")?);
    let params = params.time(system_time(now)).settings(settings()).build().ok()?.into();
    let body = if draft.secure { SignableBody::UnsignedPayload } else { SignableBody::Bytes(draft.body) };
    let signable = SignableRequest::new("PUT", request.uri(), request.headers().iter(), body).ok()?;
    let (signature, _) = sign(signable, &params).ok()?.into_parts();
    let headers = request.headers_mut();
    for header in signature.into_parts().0 {
        headers.try_insert(header.name(), header.value().to_owned()).ok()?;
    }
    headers.try_insert("user-agent", USER_AGENT).ok()?;
    Some(request)
}

/// As S3 wants it: keys are encoded once, and are what they are.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings
}

async fn sent(connector: &SharedHttpConnector, request: Request) -> Outcome<Response> {
    let mut response = connector.call(request).await.map_err(|error| {
        let error: SdkError<PutObjectError, Response> =
            if error.is_timeout() { SdkError::timeout_error(error) } else { SdkError::dispatch_failure(error) };
        Refusal::from(error)
    })?;
    // To its end: the line is free for another request only then.
    let body = ByteStream::new(response.take_body()).collect().await;
    if response.status().is_success() {
        return Ok(response);
    }
    let body = body.map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    Err(answered(&response, &within(&body, "Code"), &within(&body, "Message")))
}

/// What stands in the first element of this name.
fn within(xml: &str, name: &str) -> String {
    let begin = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    let text = begin.split_once("</").map_or("", |(text, _)| text).trim();
    let table = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    table.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn good_until(now: Wall, expire: Option<Wall>) -> Wall {
    let usual = after(now, CREDENTIALS_LAST);
    expire.map_or(usual, |expire| usual.min(expire.before(CREDENTIALS_EARLY)))
}

fn after(at: Wall, span: Duration) -> Wall {
    Wall(at.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
}

fn wall(at: SystemTime) -> Wall {
    let nanos = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Wall(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn system_time(at: Wall) -> SystemTime {
    SystemTime::UNIX_EPOCH + at.since(Wall(0))
}

/// Remembers the connections that a client uses.
#[derive(Debug)]
pub(super) struct Remembering {
    client: SharedHttpClient,
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

impl Remembering {
    /// For one client, whose requests all go over the same connections.
    pub(super) fn before(client: SharedHttpClient) -> (SharedHttpClient, Arc<OnceLock<SharedHttpConnector>>) {
        let connector = Arc::default();
        (SharedHttpClient::new(Self { client, connector: Arc::clone(&connector) }), connector)
    }
}

impl HttpClient for Remembering {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        self.connector.get_or_init(|| connector.clone());
        connector
    }
}

#[cfg(test)]
mod tests;
