//! `--login ropc`: a user name and a password (RFC 6749 section 4.3), for accounts without a second factor.

use crate::entra::{Client, ClientAuth, Grant};
use crate::error::Error;
use crate::flag::Flag;
use crate::options::{Options, missing};
use crate::retry::Deadline;
use crate::secret::Secret;
use crate::system::System;
use crate::token::{Scope, Token};

/// Who signs in.
#[derive(Debug)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

pub fn new(options: &Options) -> Result<(Client, User), Error> {
    let client = super::client(options, ClientAuth::Public)?;
    let required = |flag| missing(flag, options.login);
    let name = options.username.clone();
    let password = options.password.clone();
    let user = User {
        name: name.ok_or_else(|| required(Flag::Username))?,
        password: password.ok_or_else(|| required(Flag::Password))?,
    };
    Ok((client, user))
}

/// Sends the password to the token endpoint and nowhere else. The original first asks for the user's realm and sends
/// the password of a federated user to the federation's server too; here such a user is told to use a browser.
pub fn acquire(
    client: &Client,
    user: &User,
    scope: &Scope,
    deadline: Deadline,
    system: &dyn System,
) -> Result<Token, Error> {
    let grant = Grant::Password {
        username: &user.name,
        password: &user.password,
    };
    client
        .exchange(system, deadline)?
        .token(&grant, scope, deadline)
}
