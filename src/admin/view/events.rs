//! `/api/v1/ha/events`: what happened, why, and what was to come next.

use serde::{Deserialize, Serialize};

use crate::admin::problem::Problem;
use crate::telemetry::{Happened, History};

/// Which events are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Wanted {
    /// Those of this upstream.
    upstream: Option<String>,
    /// Those of this backend.
    backend: Option<String>,
    /// Those whose kind begins so.
    kind: Option<String>,
    /// Those after this number.
    pub(in crate::admin) since: Option<u64>,
    /// `1`: those to come as well, as they happen.
    follow: Option<String>,
}

impl Wanted {
    /// Whether those to come are wanted as well.
    pub(in crate::admin) fn follows(&self) -> Result<bool, Problem> {
        match self.follow.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => Err(Problem::bad_request("bad_query", "follow is 0 or 1")),
        }
    }

    /// Those whose kind begins so.
    pub(in crate::admin) fn of_kind(kind: &str) -> Self {
        Self { kind: Some(kind.to_owned()), ..Self::default() }
    }
}

/// `/api/v1/ha/events`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Events {
    /// Oldest first.
    pub(in crate::admin) events: Vec<EventView>,
}

/// One event.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct EventView {
    pub(in crate::admin) number: u64,
    at: String,
    generation: u64,
    /// `null`: it concerns the process as a whole.
    upstream: Option<String>,
    /// `null`: it concerns the upstream as a whole.
    backend: Option<String>,
    kind: &'static str,
    actor: String,
    cause: String,
    /// `null`: nothing is to come by itself.
    next: Option<String>,
}

impl Events {
    pub(in crate::admin) fn of(history: &History, wanted: &Wanted) -> Self {
        // A number that is still to come is one of a process before whose clock was ahead.
        let since = wanted.since.filter(|since| *since <= history.last()).unwrap_or(0);
        let is = |want: &Option<String>, found: Option<&str>| {
            want.as_deref().is_none_or(|want| found == Some(want))
        };
        let events = history.events(|event| {
            is(&wanted.upstream, event.upstream.as_deref())
                && is(&wanted.backend, event.backend.as_deref())
                && wanted.kind.as_deref().is_none_or(|kind| event.kind.starts_with(kind))
                && event.number > since
        });
        Self { events: events.into_iter().map(EventView::of).collect() }
    }
}

impl EventView {
    fn of(event: Happened) -> Self {
        Self {
            number: event.number,
            at: event.time(),
            generation: event.generation.0,
            upstream: event.upstream,
            backend: event.backend,
            kind: event.kind,
            actor: event.actor.into_owned(),
            cause: event.cause,
            next: Some(event.next).filter(|next| !next.is_empty()),
        }
    }
}
