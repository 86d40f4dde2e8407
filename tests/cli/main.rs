//! The program as a whole, against the stand-ins on loopback.
#![allow(
    clippy::disallowed_methods,
    reason = "the rules are for the program; tests start it and read the real clock"
)]

#[path = "../support/support.rs"]
mod support;

mod stand_in; // the stand-ins themselves: what they serve, and what they refuse
