//! OAuth 2.0 with Microsoft Entra ID, and nothing else: a client presents a grant to the token endpoint and gets a token
//! or an error.
//!
//! - [`cloud`]: the Azure clouds; [`authority`]: which host and tenant, and the endpoints there
//! - [`client`]: the application, how it authenticates, and the requests it sends
//! - [`grant`]: what is exchanged for a token, and how a browser gets an authorization code
//! - [`answer`]: responses of the endpoints, read
//! - [`error`]: Entra's error responses, explained; [`access_token`]: what a cluster may not accept in a token
//! - [`token_proxy`]: a proxy in an AKS cluster that takes token requests
//! - [`certificate`] and [`assertion`]: authentication by private key, or by another identity provider's token

pub mod access_token;
pub mod answer;
mod assertion;
pub mod authority;
pub mod certificate;
mod client;
pub mod cloud;
pub mod error;
mod grant;
pub mod token_proxy;

pub use answer::DeviceAuthorization;
pub use assertion::{AssertionClaims, TOKEN_PROXY_AUDIENCE};
pub use client::{Client, ClientAuth, Exchange, check_client_id, is_application_id};
pub use grant::{AuthorizationRequest, Grant, ResponseMode};
