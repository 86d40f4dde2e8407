//! The test kit of every end-to-end test: fake servers, the usual logins, and the real program.
//!
//! [`FakeEntra`] signs users and applications in, and is strict: what Entra would not accept is refused *and* fails the test.
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
    reason = "each test binary uses another part of the test kit"
)]

mod api_server; // a Kubernetes API server: kubectl and helm can talk to it
mod arm; // the fake Azure Resource Manager
pub mod az; // the real az, if it is installed
mod browser; // the user's browser
mod entra; // the fake Entra: what is registered, what was requested, what was wrong with it
mod every_mode; // every login mode with all that it needs
mod http1; // HTTP/1.1 messages, read and written
mod jwt; // tokens and assertions: signed and checked
mod kubeconfig; // kubeconfigs of any size
mod kubelogin; // runs the program under test
mod login; // the usual logins
mod server; // listens, with TLS or as a forward proxy, and passes requests to a fake
mod socks; // a SOCKS proxy before the fake Entra
mod temp_dir; // folders that remove themselves
mod tls; // certificates for any name, signed by the tests' own certificate authority

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
