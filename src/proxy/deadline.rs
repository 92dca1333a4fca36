//! Until when a client waits, where it tells.

use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::request::State;
use crate::proxy::rpc;
use crate::proxy::vars;
use crate::snapshot::settings::Template;
use crate::snapshot::{Destination, RouteEntry};

/// When everything has to be over: by the `grpc-timeout` of a call, and by what the route looks at.
pub(super) fn of(
    at: &Entrance<'_>,
    entry: &RouteEntry,
    destination: &Destination,
    client: &ClientIdentity,
    state: &State,
) -> Option<Instant> {
    let called = if rpc::is_call(&state.head) { rpc::timeout(&state.head) } else { None };
    let asked = match &destination.timeouts.client {
        None => None,
        Some(text) => asked(text, at, entry, client, state),
    };
    let shorter = called.into_iter().chain(asked).min()?;
    Some(at.started + shorter)
}

/// What it means that the time until `total` is used up, where the client waits until `until`.
pub(super) fn used_up(total: Option<Instant>, until: Option<Instant>) -> Failure {
    if until.is_some() && until == total { Failure::Deadline } else { Failure::TotalTimeout }
}

#[cold]
fn asked(
    text: &Template,
    at: &Entrance<'_>,
    entry: &RouteEntry,
    client: &ClientIdentity,
    state: &State,
) -> Option<Duration> {
    let mut millis = Vec::new();
    vars::render(text, &state.vars(at, client, &entry.route.name), &mut millis);
    parse(&millis)
}

/// One to nine digits: eleven days are no limit that anybody waits for.
fn parse(millis: &[u8]) -> Option<Duration> {
    if millis.is_empty() || millis.len() > 9 || !millis.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(millis).ok()?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_milliseconds_and_nothing_else() {
        assert_eq!(parse(b"250"), Some(Duration::from_millis(250)));
        assert_eq!(parse(b"0"), Some(Duration::ZERO));
        for not in ["", "-1", "+1", "1s", "1.5", " 1", "1000000000"] {
            assert_eq!(parse(not.as_bytes()), None, "{not}");
        }
    }
}
