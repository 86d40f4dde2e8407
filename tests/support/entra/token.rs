//! The token endpoint: client authentication, grants, and issued tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::http1::{Reply, Request};
use super::super::jwt::{self, Jwt};
use super::parameters::Version;
use super::refusal::{Refusal, refused, violation};
use super::rules::{RefreshTokens, Registration, TENANT_ID, User};
use super::{Route, State};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a login asked for. It goes into the tokens, and the refresh token remembers it.
#[derive(Clone, Debug)]
pub struct Session {
    pub client_id: String,
    pub tenant: String,
    /// The audience of the access token.
    pub server: String,
    /// `None`: the client itself.
    pub user: Option<User>,
    pub wants_id_token: bool,
    pub wants_refresh_token: bool,
    pub nonce: Option<String>,
    /// The authentication context of the sign-in, if a resource required one.
    pub context: Option<String>,
}

impl State {
    pub fn token(&mut self, to: &Route, request: &Request) -> Result<Reply, Refusal> {
        let client = self.authenticate(to, request)?;
        let grant_type = request.field("grant_type").unwrap_or_default();
        let session = match grant_type {
            "client_credentials" if !has_credential(request) => return Err(refused(7000218, "")),
            "client_credentials" => self.asked(to, request, &client)?,
            "password" => self.password(to, request, &client)?,
            "authorization_code" => self.redeem_authorization_code(request, &client)?,
            "refresh_token" => self.refresh(to, request, &client)?,
            _ => self.poll_device_code(request, &client)?,
        };
        match grant_type {
            "refresh_token" => self.refreshes += 1,
            _ => self.logins += 1,
        }
        Ok(Reply::json(200, &self.issue(to, request, &session)))
    }

    /// Finds the registered client, and checks its credential if it sent one.
    fn authenticate(&mut self, to: &Route, request: &Request) -> Result<Registration, Refusal> {
        let client = self.registered(request.field("client_id"))?;
        let uses_own_name = request.field("grant_type") == Some("client_credentials");
        if !has_credential(request) {
            return if client.is_public || uses_own_name {
                Ok(client)
            } else {
                Err(refused(7000218, ""))
            };
        }
        if client.is_public {
            return Err(refused(700025, ""));
        }
        match (
            request.field("client_secret"),
            request.field("client_assertion"),
        ) {
            (Some(secret), _) if client.secrets.iter().any(|good| good == secret) => Ok(client),
            (Some(_), _) => Err(refused(
                7000215,
                "Ensure the secret being sent is the client secret value, not its ID.",
            )),
            (_, assertion) => {
                if request.field("client_assertion_type") != Some(JWT_BEARER) {
                    return Err(violation("unknown client_assertion_type"));
                }
                let jwt = Jwt::parse(assertion.unwrap_or_default())
                    .map_err(|error| violation(format!("client_assertion is {error}")))?;
                match jwt.header.get("x5t").or_else(|| jwt.header.get("x5t#S256")) {
                    Some(_) => self.check_certificate(to, request, &client, &jwt)?,
                    None => check_federated(&client, &jwt)?,
                }
                Ok(client)
            }
        }
    }

    pub fn registered(&self, client_id: Option<&str>) -> Result<Registration, Refusal> {
        let client_id = client_id.unwrap_or_default();
        let found = self
            .rules
            .clients
            .iter()
            .find(|client| client.client_id == client_id);
        found
            .cloned()
            .ok_or_else(|| refused(700016, &format!("Identifier '{client_id}'.")).reported())
    }

    /// RFC 7523, section 3, and Microsoft's "Certificate credentials". The client made this assertion itself, so a mistake in
    /// it is a violation.
    fn check_certificate(
        &mut self,
        to: &Route,
        request: &Request,
        client: &Registration,
        jwt: &Jwt,
    ) -> Result<(), Refusal> {
        let proof = if to.version == Version::V1 {
            jwt::RS256
        } else {
            jwt::PS256
        };
        if jwt.header["alg"] != proof.algorithm {
            return Err(violation(format!(
                "client_assertion: alg is {}, not {}",
                jwt.header["alg"], proof.algorithm
            )));
        }
        let certificate = client
            .certificates
            .iter()
            .find(|certificate| proof.names(jwt, certificate));
        let certificate = certificate.ok_or_else(|| refused(700027, ""))?;
        let wrong = |what: String| violation(format!("client_assertion: {what}"));
        proof.verify(jwt, certificate).map_err(wrong)?;
        jwt.verify_lifetime().map_err(wrong)?;
        let audience = format!("https://{}{}", request.host(), request.target);
        for (claim, expected) in [
            ("iss", &client.client_id),
            ("sub", &client.client_id),
            ("aud", &audience),
        ] {
            if jwt.claim(claim) != expected {
                return Err(wrong(format!(
                    "{claim} is {:?}, not {expected:?}",
                    jwt.claim(claim)
                )));
            }
        }
        if jwt.claim("jti").is_empty() || !self.assertion_ids.insert(jwt.claim("jti").to_owned()) {
            return Err(wrong("jti is missing or was used before".to_owned()));
        }
        Ok(())
    }

    /// The session that `scope` or `resource` asks for, without a user.
    pub fn asked(
        &self,
        to: &Route,
        request: &Request,
        client: &Registration,
    ) -> Result<Session, Refusal> {
        let asked = match to.version {
            Version::V2 => request
                .field("scope")
                .or(request.parameter("scope"))
                .unwrap_or_default(),
            Version::V1 => request.field("resource").unwrap_or_default(),
        };
        let mut words: Vec<&str> = asked.split(' ').collect();
        let mut wants = |word| match words.iter().position(|&other| other == word) {
            Some(index) => words.remove(index) == word,
            None => to.version == Version::V1,
        };
        let (wants_id_token, wants_refresh_token, _) =
            (wants("openid"), wants("offline_access"), wants("profile"));
        let [server] = words[..] else {
            return Err(violation(format!(
                "scope {asked:?} does not name exactly one server"
            )));
        };
        let server = match to.version {
            Version::V1 => server,
            Version::V2 => server
                .strip_suffix("/.default")
                .ok_or_else(|| violation(format!("scope {asked:?} is not .default")))?,
        };
        let name = if to.version == Version::V1 {
            server.strip_prefix("spn:").unwrap_or(server)
        } else {
            server
        };
        if !self.rules.servers.iter().any(|known| known == name) {
            return Err(refused(500011, &format!("Resource '{name}'.")));
        }
        // The v1 endpoint writes the audience as a service principal name.
        let audience = match to.version {
            Version::V1 => format!("spn:{name}"),
            Version::V2 => name.to_owned(),
        };
        Ok(Session {
            client_id: client.client_id.clone(),
            tenant: home_of(&to.tenant),
            server: audience,
            user: None,
            wants_id_token,
            wants_refresh_token,
            nonce: None,
            context: asked_context(request)?.filter(|_| self.rules.steps_up),
        })
    }

    /// The registered user with this name, if the user may sign in.
    pub fn user(&self, name: &str) -> Result<User, Refusal> {
        let user = self
            .rules
            .users
            .iter()
            .find(|user| user.name.eq_ignore_ascii_case(name));
        let user = user.ok_or_else(|| refused(50034, &format!("User '{name}'.")))?;
        match user.refused_with {
            Some(code) => Err(refused(code, "")),
            None => Ok(user.clone()),
        }
    }

    fn password(
        &self,
        to: &Route,
        request: &Request,
        client: &Registration,
    ) -> Result<Session, Refusal> {
        let session = self.asked(to, request, client)?;
        let user = self.user(request.field("username").unwrap_or_default())?;
        if request.field("password") != Some(user.password.as_str()) {
            return Err(refused(50126, ""));
        }
        Ok(Session {
            user: Some(user),
            ..session
        })
    }

    fn refresh(
        &mut self,
        to: &Route,
        request: &Request,
        client: &Registration,
    ) -> Result<Session, Refusal> {
        let token = request.field("refresh_token").unwrap_or_default();
        let session = self
            .refresh_tokens
            .get(token)
            .cloned()
            .ok_or_else(|| refused(700082, ""))?;
        if session.client_id != client.client_id || session.tenant != home_of(&to.tenant) {
            return Err(violation("a refresh token for another client or tenant"));
        }
        if let Some(user) = &session.user {
            self.user(&user.name)?;
        }
        let context = asked_context(request)?;
        if context.is_some() && context != session.context {
            return Err(refused(50076, "Only a new sign-in can reach that context."));
        }
        if self.rules.refresh_tokens == RefreshTokens::RotateAndRevoke {
            self.refresh_tokens.remove(token);
        }
        match request.field("scope").or(request.field("resource")) {
            // Entra's refresh tokens work for every server.
            Some(_) => Ok(Session {
                user: session.user,
                context: session.context,
                ..self.asked(to, request, client)?
            }),
            None => Ok(session),
        }
    }

    /// The successful response.
    fn issue(&mut self, to: &Route, request: &Request, session: &Session) -> Value {
        let lifetime = self.rules.token_lifetime;
        let serial = self.next_serial();
        let access_token = jwt::sign(&access_claims(session, request, lifetime, serial));
        let mut answer = match to.version {
            Version::V1 => json!({
                "expires_in": lifetime.to_string(), "ext_expires_in": lifetime.to_string(),
                "expires_on": (jwt::now() + lifetime).to_string(), "not_before": jwt::now().to_string(),
                "resource": session.server, "token_type": "Bearer", "access_token": access_token,
            }),
            Version::V2 => json!({
                "expires_in": lifetime, "ext_expires_in": lifetime,
                "token_type": request.field("token_type").unwrap_or("Bearer"), "access_token": access_token,
            }),
        };
        if let Some(refresh_in) = self.rules.refresh_in {
            answer["refresh_in"] = json!(refresh_in);
        }
        let Some(user) = &session.user else {
            return answer;
        };
        if to.version == Version::V2 {
            answer["scope"] = json!(format!("{0}/user.read {0}/.default", session.server));
        }
        if session.wants_id_token {
            answer["id_token"] = json!(jwt::sign(&id_claims(session, user, request, lifetime)));
        }
        if request.field("client_info").is_some() {
            let client_info = json!({"uid": user.object_id, "utid": session.tenant});
            answer["client_info"] = json!(jwt::base64url(client_info.to_string().as_bytes()));
        }
        if let Some(token) = self.refresh_token(request, session, serial) {
            answer["refresh_token"] = json!(token);
        }
        answer
    }

    fn refresh_token(
        &mut self,
        request: &Request,
        session: &Session,
        serial: u64,
    ) -> Option<String> {
        let refreshed = request.field("grant_type") == Some("refresh_token");
        match self.rules.refresh_tokens {
            RefreshTokens::Never => return None,
            RefreshTokens::Keep if refreshed => return None,
            _ if !session.wants_refresh_token => return None,
            RefreshTokens::Keep | RefreshTokens::Rotate | RefreshTokens::RotateAndRevoke => {}
        }
        let token = format!(
            "1.fake-refresh-token-{serial}.{}",
            jwt::sha256_base64url(&serial.to_be_bytes())
        );
        self.refresh_tokens.insert(token.clone(), session.clone());
        Some(token)
    }
}

/// The user's home tenant, if the sign-in does not name a tenant.
fn home_of(tenant: &str) -> String {
    match tenant {
        "organizations" => TENANT_ID.to_owned(),
        tenant => tenant.to_owned(),
    }
}

/// The authentication context (`acrs`) that `claims` asks for (OpenID Connect Core 1.0, section 5.5).
fn asked_context(request: &Request) -> Result<Option<String>, Refusal> {
    let Some(claims) = request.field("claims").or(request.parameter("claims")) else {
        return Ok(None);
    };
    let claims: Value = serde_json::from_str(claims)
        .map_err(|error| violation(format!("claims is not JSON: {error}")))?;
    match claims["access_token"]["acrs"]["value"].as_str() {
        Some(context) => Ok(Some(context.to_owned())),
        None => Err(violation("claims asks for nothing known")),
    }
}

fn has_credential(request: &Request) -> bool {
    request
        .field("client_secret")
        .or(request.field("client_assertion"))
        .is_some()
}

/// A token that another issuer made for the client, so a mistake in it is not a violation.
fn check_federated(client: &Registration, jwt: &Jwt) -> Result<(), Refusal> {
    let known = client.federated.iter().any(|trusted| {
        (jwt.claim("iss"), jwt.claim("sub"), jwt.claim("aud"))
            == (&trusted.issuer, &trusted.subject, &trusted.audience)
    });
    if !known {
        let presented = format!(
            "Issuer '{}', subject '{}', audience '{}'.",
            jwt.claim("iss"),
            jwt.claim("sub"),
            jwt.claim("aud")
        );
        return Err(refused(70021, &presented));
    }
    jwt.verify_entra().map_err(|error| refused(50013, &error))?;
    jwt.verify_lifetime()
        .map_err(|error| refused(700024, &error))
}

/// Version 1.0 claims, which AKS gets: <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>
fn access_claims(session: &Session, request: &Request, lifetime: u64, serial: u64) -> Value {
    let (now, tenant) = (jwt::now(), &session.tenant);
    let mut claims = json!({
        "aud": session.server, "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant, "appid": session.client_id,
        "iat": now, "nbf": now, "exp": now + lifetime, "uti": format!("fake-{serial}"), "ver": "1.0",
    });
    match &session.user {
        Some(user) => {
            claims["oid"] = json!(user.object_id);
            claims["upn"] = json!(user.name);
        }
        None => {
            claims["oid"] = json!(session.client_id);
            claims["idtyp"] = json!("app");
        }
    }
    if let Some(context) = &session.context {
        claims["acrs"] = json!([context]);
    }
    // RFC 7800: the token is bound to the key that `req_cnf` names.
    if let Some(confirmation) = request
        .field("req_cnf")
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
    {
        claims["cnf"] = serde_json::from_slice(&confirmation).unwrap_or_default();
    }
    claims
}

fn id_claims(session: &Session, user: &User, request: &Request, lifetime: u64) -> Value {
    let (now, tenant) = (jwt::now(), &session.tenant);
    let mut claims = json!({
        "aud": session.client_id, "iss": format!("https://{}/{tenant}/v2.0", request.host()), "tid": tenant,
        "iat": now, "nbf": now, "exp": now + lifetime, "ver": "2.0",
        "oid": user.object_id, "sub": format!("pairwise-{}", user.object_id), "preferred_username": user.name,
    });
    if let Some(nonce) = &session.nonce {
        claims["nonce"] = json!(nonce);
    }
    claims
}
