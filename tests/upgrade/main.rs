//! One process takes the place of another: the real program, upgraded to itself and to what is broken,
//! and what systemd is told.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod family;
mod hand_over;
mod load;
mod refused;
mod systemd;
