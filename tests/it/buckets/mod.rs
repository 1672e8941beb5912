//! S3 for tests: real servers with a bucket for each test, another program's view of it, and a proxy that fails on demand.
//!
//! Two servers, of which neither is AWS: SeaweedFS checks signatures, conditions and checksums; moto is there because it
//! is another implementation, and checks little. `tests/s3-server` starts them, once for all tests.

mod line;
mod mailbox;
mod outsider;
mod proxy;
mod server;
mod trial;

pub(crate) use line::{NOWHERE, Tls, Tunnel};
pub(crate) use mailbox::Mailbox;
pub(crate) use outsider::{Object, Outsider, Refusal};
pub(crate) use proxy::{Answer, Fault, Kind, Proxy, Request, Rule};
pub(crate) use server::{Bucket, Make};
