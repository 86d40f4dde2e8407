//! `--login spn`: a service principal with its client secret or certificate (RFC 6749 section 4.4).

use crate::entra::{Client, ClientAuth, Grant};
use crate::error::Error;
use crate::flag::Flag;
use crate::options::{Options, missing};
use crate::retry::Deadline;
use crate::system::System;
use crate::token::{Scope, Token};

pub fn new(options: &Options) -> Result<Client, Error> {
    let secret = options.client_secret.clone();
    let secret = secret.ok_or_else(|| missing(Flag::ClientSecret, options.login));
    super::client(options, ClientAuth::Secret(secret?))
}

pub fn acquire(
    client: &Client,
    scope: &Scope,
    deadline: Deadline,
    system: &dyn System,
) -> Result<Token, Error> {
    client
        .exchange(system, deadline)?
        .token(&Grant::ClientCredentials, scope, deadline)
}
