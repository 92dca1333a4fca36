//! The access log's line of a request.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::http1::{Known, Version};
use crate::proxy::done::Done;
use crate::proxy::entrance::Entrance;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::log_line;
use crate::proxy::request::State;
use crate::proxy::vars::{Answer, At, Vars};
use crate::proxy::view::Local;
use crate::snapshot::RouteEntry;
use crate::snapshot::settings::{AccessLogFormat, Template};
use crate::telemetry::{Attempt, Entry, Format, basic_user};

/// Where a request went, and where it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) entry: Option<&'a RouteEntry>,
    pub(super) local: Option<&'a Local>,
    /// Who sent it.
    pub(super) client: &'a ClientIdentity,
    /// The first line of what was not a request.
    pub(super) line: Option<&'a [u8]>,
}

/// Writes the line, if the log is on. Costs one comparison if it is off.
pub(super) fn access(
    at: &Entrance<'_>,
    place: Place<'_>,
    state: &State,
    done: &Done,
    duration: Duration,
) {
    let snapshot = &at.view.snapshot;
    if let Some(entry) = place.entry {
        if let Some(logs) = &entry.route.more_logs {
            for log in logs {
                let to = (&log.format, log.when.as_ref(), log.path.as_deref());
                one(at, place, state, (done, duration), to);
            }
        }
        if !entry.route.logs {
            return;
        }
    }
    let to = (&snapshot.access_log, snapshot.log_when.as_deref(), None);
    one(at, place, state, (done, duration), to);
}

/// A log: its form, which requests it wants, and its file; `None` is the usual one.
type To<'a> = (&'a AccessLogFormat, Option<&'a Template>, Option<&'a Path>);

/// Writes the line of one log.
fn one(
    at: &Entrance<'_>,
    place: Place<'_>,
    state: &State,
    (done, duration): (&Done, Duration),
    (format, when, path): To<'_>,
) {
    if let Some(when) = when
        && !log_line::is_wanted(when, &vars(at, place, state, done, duration))
    {
        return;
    }
    let format = match format {
        AccessLogFormat::Off => return,
        AccessLogFormat::Combined => Format::Combined,
        AccessLogFormat::Json => Format::Json,
        AccessLogFormat::Template(line) => {
            let vars = vars(at, place, state, done, duration);
            let mut log = at.worker.log.borrow_mut();
            return log.of(path).write(|out| log_line::write(line, &vars, out));
        }
    };
    let Place { entry, local, client, line } = place;
    let head = &state.head;
    let found = found(state, format);
    let attempts = attempts(at, state, format, &found);
    let user = head.first(Known::Authorization).and_then(basic_user);
    let line = Entry {
        time: SystemTime::now(),
        client: client.address.into(),
        user: user.as_deref(),
        method: head.received_method(),
        target: line.unwrap_or_else(|| head.received_target()),
        version: match head.version() {
            _ if line.is_some() => b"",
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
            Version::Http2 => b"HTTP/2.0",
        },
        host: Some(head.host()).filter(|host| !host.is_empty()),
        status: done.status,
        request_bytes: state.upload.received,
        body_bytes: done.body,
        duration,
        referer: head.first(Known::Referer),
        user_agent: head.first(Known::UserAgent),
        request_id: &state.id,
        trace_id: state.trace_ids().map(|ids| &ids.trace[..]),
        listener: &at.listener.name,
        route: entry.map_or("_none", |entry| &entry.route.name),
        upstream: local.map(|local| &*local.upstream.name),
        failure: done.failure.map(crate::proxy::failure::Failure::label),
        attempts: &attempts,
    };
    at.worker.log.borrow_mut().of(path).record(format, &line);
}

/// Addresses that requests named, as far as the line tells of attempts.
fn found(state: &State, format: Format) -> Vec<String> {
    let found = state.attempts.iter().filter_map(|attempt| match attempt.at {
        At::Address(address) if format == Format::Json => Some(address.to_string()),
        _ => None,
    });
    found.collect()
}

/// The attempts, as far as the line tells of them.
fn attempts<'a>(
    at: &'a Entrance<'a>,
    state: &'a State,
    format: Format,
    found: &'a [String],
) -> Vec<Attempt<'a>> {
    let upstreams = &at.view.snapshot.upstreams;
    let mut found = found.iter();
    let attempts = state.attempts.iter().filter(|_| format == Format::Json);
    let placed = attempts.filter_map(|attempt| match attempt.at {
        At::Backend(upstream, ix) => {
            Some((attempt, &*upstreams[upstream.index()].backends[ix.index()].label))
        }
        At::Address(_) => Some((attempt, &**found.next()?)),
        At::Nobody(_) => None,
    });
    placed
        .map(|(attempt, backend)| Attempt {
            backend,
            outcome: attempt.outcome,
            status: attempt.status,
            reused: attempt.reused,
            connect: attempt.connect,
            first_byte: attempt.first_byte,
            duration: attempt.duration.unwrap_or_default(),
            retried_because: attempt.retried_because,
        })
        .collect()
}

/// What a line may speak of.
fn vars<'a>(
    at: &'a Entrance<'a>,
    place: Place<'a>,
    state: &'a State,
    done: &Done,
    duration: Duration,
) -> Vars<'a> {
    let route = place.entry.map_or("", |entry| &entry.route.name);
    let vars = state.vars(at, place.client, route);
    let ended = at.started + duration;
    Vars {
        upstream: place.local.map_or("", |local| &local.upstream.name),
        clock: Some(at.clock(ended)),
        answer: Answer {
            status: done.status,
            head: &state.sent,
            trailers: &state.trailers,
            length: done.length,
            body: done.body,
            request_body: state.upload.received,
        },
        ..vars
    }
}
