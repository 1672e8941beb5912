//! What the client would work out anew for each request, and need not: where the bucket lies and how a request to it is
//! signed are the same each time, and nobody reads what the client says of itself and of its tries.

use std::sync::{Arc, OnceLock};

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_s3::config::auth::{DefaultAuthSchemeResolver, Params as AuthParams, ResolveAuthScheme};
use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut};
use aws_sdk_s3::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOption, AuthSchemeOptionsFuture};
use aws_smithy_runtime_api::client::interceptors::disable_interceptor;

/// How the client names itself.
pub(super) const USER_AGENT: &str = concat!("driftline/", env!("CARGO_PKG_VERSION"));
/// The end of the names of buckets ("directory buckets") whose requests are not all signed alike.
const DIRECTORY: &str = "--x-s3";

/// Where a bucket lies, once that was worked out.
pub(super) type Known = Arc<OnceLock<Endpoint>>;

/// A client's configuration that works these things out once; and where the bucket lies, unless that is not the same for
/// all requests.
pub(super) fn lean(config: Builder, bucket: &str) -> (Builder, Option<Known>) {
    let config = config.interceptor(Plain);
    if bucket.ends_with(DIRECTORY) || bucket.starts_with("arn:") {
        return (config, None);
    }
    let known = Known::default();
    let endpoint = OneEndpoint { bucket: bucket.to_owned(), whole: DefaultResolver::new(), known: Arc::clone(&known) };
    (config.endpoint_resolver(endpoint).auth_scheme_resolver(OneScheme::default()), Some(known))
}

/// Where one bucket lies.
#[derive(Debug)]
struct OneEndpoint {
    bucket: String,
    whole: DefaultResolver,
    known: Known,
}

impl ResolveEndpoint for OneEndpoint {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        if params.bucket() != Some(self.bucket.as_str()) {
            return ResolveEndpoint::resolve_endpoint(&self.whole, params);
        }
        if let Some(known) = self.known.get() {
            return EndpointFuture::ready(Ok(known.clone()));
        }
        EndpointFuture::new(async {
            let found = ResolveEndpoint::resolve_endpoint(&self.whole, params).await?;
            Ok(self.known.get_or_init(|| found).clone())
        })
    }
}

/// How requests to one bucket are signed.
#[derive(Debug, Default)]
struct OneScheme {
    whole: DefaultAuthSchemeResolver,
    known: OnceLock<Vec<AuthSchemeOption>>,
}

impl ResolveAuthScheme for OneScheme {
    fn resolve_auth_scheme<'a>(
        &'a self,
        params: &'a AuthParams,
        cfg: &'a ConfigBag,
        components: &'a RuntimeComponents,
    ) -> AuthSchemeOptionsFuture<'a> {
        if let Some(known) = self.known.get() {
            return AuthSchemeOptionsFuture::ready(Ok(known.clone()));
        }
        AuthSchemeOptionsFuture::new(async move {
            let found = self.whole.resolve_auth_scheme(params, cfg, components).await?;
            Ok(self.known.get_or_init(|| found).clone())
        })
    }
}

/// Leaves out headers that no server needs.
#[derive(Debug)]
struct Plain;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Plain {
    fn name(&self) -> &'static str {
        "Plain"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const WHY: &str = "no server needs it";
        let state = cfg.interceptor_state();
        state.store_put(disable_interceptor::<UserAgentInterceptor>(WHY));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>(WHY));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>(WHY));
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("user-agent", USER_AGENT);
        Ok(())
    }
}
