//! What a test registers: tenants, clients, users, and how they behave.

use super::super::jwt;

/// The host names of the real Entra in each cloud.
pub const AUTHORIZATION_SERVER_NAMES: [&str; 5] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
];

pub const TENANT_ID: &str = "11111111-aaaa-4aaa-8aaa-111111111111";
pub const PUBLIC_CLIENT_ID: &str = "22222222-bbbb-4bbb-8bbb-222222222222";
pub const CONFIDENTIAL_CLIENT_ID: &str = "33333333-cccc-4ccc-8ccc-333333333333";
/// The cluster's server application. AKS's real one has another ID.
pub const SERVER_ID: &str = "44444444-dddd-4ddd-8ddd-444444444444";
/// Has characters that a form must escape.
pub const CLIENT_SECRET: &str = "a~Secret+with&odd=characters%";
/// A PEM file for `--client-certificate`, with certificate and key. It is registered for the confidential client.
pub const CLIENT_CERTIFICATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/fake_entra/test-client.pem"
);
pub const USER_NAME: &str = "alice@contoso.example";
/// Has characters that a form must escape, including non-ASCII ones.
pub const USER_PASSWORD: &str = "p&ss wörd+1";

/// What is registered at the fake Entra, and how it behaves.
#[derive(Clone, Debug)]
pub struct Rules {
    pub tenants: Vec<String>,
    pub clients: Vec<Registration>,
    pub users: Vec<User>,
    /// Server applications to issue tokens for.
    pub servers: Vec<String>,
    /// The user who signs in with a device code or a browser.
    pub person: String,
    pub device_code: DeviceCode,
    pub sign_in: SignIn,
    /// Seconds.
    pub token_lifetime: u64,
    /// Seconds after which Entra would like the token refreshed (`refresh_in`).
    pub refresh_in: Option<u64>,
    pub refresh_tokens: RefreshTokens,
    /// Users who sign in again for an authentication context get it.
    pub steps_up: bool,
    /// Hosts that the proxy connects to.
    pub host_names: Vec<String>,
    /// If set, the proxy refuses every `CONNECT` with this status.
    pub proxy_refuses_with: Option<u16>,
}

/// An application that may request tokens.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub client_id: String,
    /// May sign users in without a secret ("Allow public client flows").
    pub is_public: bool,
    pub secrets: Vec<String>,
    /// DER.
    pub certificates: Vec<Vec<u8>>,
    pub federated: Vec<FederatedCredential>,
}

/// An issuer whose tokens authenticate the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedCredential {
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub password: String,
    pub object_id: String,
    /// If set, every sign-in of this user fails with this AADSTS code, such as 50076 for MFA.
    pub refused_with: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// Seconds between polls. If `None`, it is not sent and the client must assume 5 seconds (RFC 8628).
    pub interval: Option<u64>,
    /// Seconds.
    pub expires_in: u64,
    /// Responses to the polls, in order; the last one repeats.
    pub polls: Vec<Poll>,
}

/// The response to one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    Pending,
    /// Adds 5 seconds to the interval from now on.
    SlowDown,
    Approve,
    Decline,
    Expire,
    /// With this AADSTS code.
    Refuse(u32),
}

/// What the user does in the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    Approve,
    Decline,
}

/// How refresh tokens behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokens {
    /// A refresh returns a new one; the old one keeps working.
    Rotate,
    /// A refresh returns a new one and revokes the old one.
    RotateAndRevoke,
    /// A refresh returns no new one; the old one keeps working.
    Keep,
    /// None are issued.
    Never,
}

impl Default for Rules {
    fn default() -> Self {
        let public = Registration {
            client_id: PUBLIC_CLIENT_ID.into(),
            is_public: true,
            ..Registration::default()
        };
        let confidential = Registration {
            client_id: CONFIDENTIAL_CLIENT_ID.into(),
            secrets: vec![CLIENT_SECRET.into()],
            certificates: vec![jwt::client_certificate()],
            federated: vec![FederatedCredential::default()],
            ..Registration::default()
        };
        Self {
            tenants: vec![TENANT_ID.into()],
            clients: vec![public, confidential],
            users: vec![User::new(USER_NAME, USER_PASSWORD)],
            servers: vec![SERVER_ID.into()],
            person: USER_NAME.into(),
            device_code: DeviceCode {
                interval: Some(1),
                expires_in: 900,
                polls: vec![Poll::Approve],
            },
            sign_in: SignIn::Approve,
            token_lifetime: 3600,
            refresh_in: None,
            refresh_tokens: RefreshTokens::Rotate,
            steps_up: true,
            host_names: AUTHORIZATION_SERVER_NAMES.map(str::to_owned).to_vec(),
            proxy_refuses_with: None,
        }
    }
}

impl Rules {
    /// The registered client with this ID, for changing it.
    ///
    /// # Panics
    /// If there is none.
    pub fn client(&mut self, client_id: &str) -> &mut Registration {
        let client = self
            .clients
            .iter_mut()
            .find(|client| client.client_id == client_id);
        client.unwrap_or_else(|| panic!("no client {client_id} is registered"))
    }
}

impl User {
    /// A user whose object ID is derived from the name.
    pub fn new(name: &str, password: &str) -> Self {
        let sum = name.bytes().fold(0, |sum: u64, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let object_id = format!("55555555-eeee-4eee-8eee-{:012x}", sum & 0xffff_ffff_ffff);
        Self {
            name: name.into(),
            password: password.into(),
            object_id,
            refused_with: None,
        }
    }
}

impl Default for FederatedCredential {
    fn default() -> Self {
        Self {
            issuer: "https://issuer.example/cluster".into(),
            subject: "system:serviceaccount:default:app".into(),
            audience: "api://AzureADTokenExchange".into(),
        }
    }
}
