//! The test kit for all end-to-end tests: fake servers, the usual logins, and the real program.
//!
//! [`FakeEntra`] signs users and applications in. It is strict: what Entra would reject, it rejects, *and* it fails the test.
//! [`FakeApiServer`] is a cluster that accepts the fake Entra's tokens and no others.
//! [`Kubelogin`] is the real program, in isolation. A test binary includes all of it like this:
//!
//! ```ignore
//! #[path = "../support/support.rs"]
//! mod support;
//! ```
//!
//! and a test reads like this:
//!
//! ```ignore
//! let entra = FakeEntra::start_with(|rules| rules.device_code.polls = vec![Poll::Pending, Poll::Approve]);
//! let token = devicecode(&entra).run().token();
//! assert_eq!(claims_of(&token)["upn"], USER_NAME);
//! assert_eq!((entra.prompts(), entra.device_polls()), (1, 2));
//! ```
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a different part of the test kit"
)]

mod api_server; // a Kubernetes API server for kubectl and helm
mod arm; // the fake Azure Resource Manager
pub mod az; // the real az, if it is installed
mod browser; // the user's browser
mod entra; // the fake Entra: registrations, requests, and what was wrong with them
mod every_mode; // every login mode with everything it needs
mod http1; // reads and writes HTTP/1.1 messages
mod jwt; // signs and checks tokens and assertions
mod kubeconfig; // kubeconfigs of any size
mod kubelogin; // runs the program under test
mod login; // the usual logins
mod server; // listens with TLS or as a forward proxy, and passes requests to a fake
mod socks; // a SOCKS proxy in front of the fake Entra
mod temp_dir; // temporary folders
mod tls; // certificates for any name, signed by the tests' certificate authority

pub use api_server::{FakeApiServer, Manner, Rbac};
pub use arm::{
    AZ_CLIENT_ID, ArmRules, ClusterLogin, FakeArm, FakeCluster, Graph, OTHER_SUBSCRIPTION_ID,
    STACK_AUDIENCE, SUBSCRIPTION_ID,
};
pub use browser::{Browser, Page};
pub use entra::{
    AUTHORIZATION_SERVER_NAMES, CLIENT_CERTIFICATE, CLIENT_SECRET, CONFIDENTIAL_CLIENT_ID,
    DeviceCode, Endpoint, FakeEntra, FederatedCredential, PUBLIC_CLIENT_ID, Poll, RefreshTokens,
    Registration, Rules, SERVER_ID, SignIn, TENANT_ID, USER_NAME, USER_PASSWORD, User,
};
pub use every_mode::{EveryMode, modes};
pub use http1::{Reply, Request, value_of};
pub use jwt::{Claims, claims_of, client_jwk, sign_as_client};
pub use kubeconfig::legacy_kubeconfig;
pub use kubelogin::{Kubelogin, Output, Running, exec_info, program_under_test};
pub use login::*;
pub use server::FakeHttp;
pub use socks::FakeSocks;
#[cfg(unix)]
pub use temp_dir::make_pipe;
pub use temp_dir::{TempDir, names_in};
pub use tls::{AnyName, Authority, Certificate};
