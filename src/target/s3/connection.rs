//! The line to the server: the client, its credentials, and each request counted, paced, bounded in time and tried again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents, SharedHttpClient,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::authorities;
use super::fault::{Kind, Outcome, Refusal};
use super::lean::lean;
use super::pace::{Pace, Rate};
use super::quick::{Known, Quick, Remembering};
use super::{Clock, S3Setup};
use crate::model::Requests;
use crate::target::Fault;

/// The service's credentials, for root alone; `systemd/driftline.tmpfiles` sees to that.
const CREDENTIALS: &str = "/etc/driftline/aws";
/// How long a server has to take up a connection. AWS's own default.
const CONNECT: Duration = Duration::from_millis(3100);
/// How long a request may take besides the time for its bytes...
const ANSWER: Duration = Duration::from_secs(30);
/// ... which have to go at least so fast (bytes a second).
const SLOWEST: u64 = 32 * 1024;
/// How often a request is tried (count); then the lane rests.
const TRIES_MAX: u32 = 4;
/// The pause before a request is tried again, doubled each time...
const PAUSE: Duration = Duration::from_millis(200);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The region where none is named: what S3 itself falls back to.
pub(super) const REGION: &str = "us-east-1";
/// Threads that carry requests (count): one is enough for some thousand requests a second, and with more they wake each
/// other for every request.
const THREADS: usize = 1;

/// What a request is counted as, and paid as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Put,
    Get,
    Head,
    List,
    Delete,
    Copy,
    Queue,
}

/// A client, and what is known of its line.
pub(super) struct Line {
    pub(super) client: Client,
    /// Encrypted: what is sent need not be signed byte for byte as well.
    pub(super) secure: bool,
    pub(super) quick: Quick,
}

/// The line to one bucket.
pub(super) struct Connection {
    line: OnceCell<Line>,
    counts: [AtomicU64; 7],
    pace: Pace,
    rate: Rate,
}

/// The one runtime of the process. Only requests run on it; whoever waits for them does so in a thread of his own.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("bucket").enable_all();
        builder.build().expect("a thread can be started, or nothing can be done at all")
    })
}

impl Connection {
    /// Sends nothing yet.
    pub(super) fn new() -> Self {
        Self { line: OnceCell::new(), counts: Default::default(), pace: Pace::new(), rate: Rate::default() }
    }

    /// One whose client is there.
    #[cfg(test)]
    pub(super) fn with(line: Line) -> Self {
        Self { line: OnceCell::new_with(Some(line)), ..Self::new() }
    }

    /// The client, made when it is first wanted: finding credentials may take requests of its own.
    pub(super) async fn line(&self, setup: &S3Setup) -> &Line {
        // By itself in memory: it is large, and every request could have to wait for it.
        self.line.get_or_init(|| Box::pin(connect(setup))).await
    }

    /// The requests that were sent, tries included.
    pub(super) fn requests(&self) -> Requests {
        let count = |sort: Sort| self.counts[sort as usize].load(Ordering::Relaxed);
        Requests {
            put: count(Sort::Put),
            get: count(Sort::Get),
            head: count(Sort::Head),
            list: count(Sort::List),
            delete: count(Sort::Delete),
            copy: count(Sort::Copy),
            queue: count(Sort::Queue),
        }
    }

    /// Another one is sent.
    pub(super) fn count(&self, sort: Sort) {
        self.counts[sort as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one request once, when it is its turn.
    pub(super) async fn once<T>(
        &self,
        setup: &S3Setup,
        sort: Sort,
        body: u64,
        request: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        self.rate.wait(&setup.clock, (setup.rate)(), body).await;
        let bounded = async {
            (setup.allowed)(&self.requests()).map_err(|refused| {
                let hint = "raise request_budget, or wait: it goes on by itself";
                Refusal::fault(Fault::Throttled(Some(refused.wait)), refused.cause, hint)
            })?;
            self.count(sort);
            let limit = ANSWER + Duration::from_secs(body / SLOWEST);
            let answer = tokio::time::timeout(limit, request).await.unwrap_or_else(|_| Err(silence(limit)));
            answer.map_err(|refusal| refusal.with_own_time((setup.clock.wall)()))
        };
        self.pace.run(&setup.clock, bounded).await
    }

    /// Sends a request that does no harm if it is carried out twice, until it is answered or was tried often enough.
    pub(super) async fn call<T, F, R>(&self, setup: &S3Setup, sort: Sort, body: u64, mut request: F) -> Outcome<T>
    where
        F: FnMut() -> R,
        R: Future<Output = Outcome<T>>,
    {
        for tried in 1.. {
            match self.once(setup, sort, body, request()).await {
                Err(refusal) if refusal.is_passing() && tried < TRIES_MAX => pause(&setup.clock, tried).await,
                answer => return answer,
            }
        }
        unreachable!("the last try returns")
    }

    /// Sends a change that must not be made twice. After an answer that says nothing, `made` looks whether it was made
    /// before it is sent again.
    pub(super) async fn change<T, F, R, M, L>(
        &self,
        setup: &S3Setup,
        (sort, body): (Sort, u64),
        mut request: F,
        mut made: M,
    ) -> Outcome<T>
    where
        F: FnMut() -> R,
        R: Future<Output = Outcome<T>>,
        M: FnMut() -> L,
        L: Future<Output = Outcome<Option<T>>>,
    {
        for tried in 1.. {
            let refusal = match self.once(setup, sort, body, request()).await {
                Ok(done) => return Ok(done),
                Err(refusal) => refusal,
            };
            if matches!(refusal.kind, Kind::Unclear | Kind::Broken | Kind::Garbled)
                && let Some(done) = made().await?
            {
                return Ok(done);
            }
            if !refusal.is_passing() || tried >= TRIES_MAX {
                return Err(refusal);
            }
            pause(&setup.clock, tried).await;
        }
        unreachable!("the last try returns")
    }
}

fn silence(limit: Duration) -> Refusal {
    let cause = format!("no answer came within {} s", limit.as_secs());
    Refusal::new(Kind::Unclear, cause, "see whether the line to the server is up; driftline tries again by itself")
}

/// Half to all of a pause that doubles each time ("full jitter" would begin at nothing).
async fn pause(clock: &Clock, tried: u32) {
    let whole = PAUSE.saturating_mul(1 << tried.min(10)).min(PAUSE_MAX);
    let chance = u32::from((clock.chance)());
    tokio::time::sleep(whole / 2 + whole / 512 * chance).await;
}

async fn connect(setup: &S3Setup) -> Line {
    let endpoint = setup.endpoint.clone().or_else(endpoint_of_environment);
    let shared = loader(setup, endpoint.is_some()).load().await;
    let endpoint = endpoint.or_else(|| shared.endpoint_url().map(str::to_owned));
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        // Tries are ours: each is counted, and after one that says nothing it is looked before another is made.
        .retry_config(RetryConfig::disabled())
        // So are checksums: a value of ours goes with each request that has a body.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(setup.path_style.unwrap_or(endpoint.is_some()));
    if shared.region().is_none() {
        config = config.region(Region::from_static(REGION));
    }
    if let Some(endpoint) = &endpoint {
        config = config.endpoint_url(endpoint);
    }
    let secure = endpoint.is_none_or(|endpoint| !endpoint.starts_with("http://"));
    let (config, place) = lean(config, &setup.bucket);
    let (client, connector) = Remembering::before(http_client());
    let quick = Quick::new(place.map(|place| Known { place, connector, credentials: shared.credentials_provider() }));
    Line { client: Client::from_conf(config.http_client(client).build()), secure, quick }
}

fn endpoint_of_environment() -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok())
}

pub(super) fn loader(setup: &S3Setup, elsewhere: bool) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts);
    loader = loader.app_name(AppName::new("driftline").expect("letters only"));
    if let Some(region) = &setup.region {
        loader = loader.region(Region::new(region.clone()));
    } else if elsewhere {
        // Another server than AWS's: the machine's instance service, the last of the default chain, is not asked.
        let named = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        let named = named.or_else(ProfileFileRegionProvider::new());
        loader = loader.region(named.or_else(Region::from_static(REGION)));
    }
    if let Some(profile) = &setup.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(file) = service_credentials() {
        let files = EnvConfigFiles::builder().include_default_config_file(true);
        loader = loader.profile_files(files.with_file(EnvConfigFileKind::Credentials, file).build());
    }
    loader.http_client(http_client())
}

/// What systemd hands to the service with `LoadCredential=aws:FILE`: a shared credentials file; without systemd, the file that
/// it is handed from, for those who may read it: what an administrator types works with the credentials of the service.
fn service_credentials() -> Option<PathBuf> {
    let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join("aws"));
    handed.into_iter().chain([PathBuf::from(CREDENTIALS)]).find(|file| std::fs::File::open(file).is_ok())
}

/// The SDK's own, through the proxy that the environment names; it also trusts the authorities in the file that
/// `AWS_CA_BUNDLE` names, as aws-cli does.
pub(super) fn http_client() -> SharedHttpClient {
    let trusted = authorities::trusted();
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        builder.tls_context(trusted.clone()).build()
    })
}
