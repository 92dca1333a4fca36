//! `/api/v1/ha/events?follow=1`: events as they happen, one line of JSON each, or as server-sent events for
//! who accepts those.
//!
//! A stream ends by itself after some minutes, as every connection here does, and when the process drains;
//! who wants more asks again with the last number as `since`, as browsers do by `Last-Event-ID`.

use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval};

use super::Phase;
use super::problem::Problem;
use super::state::Shared;
use super::view::{EventView, Events, Wanted};

/// How often is looked for news.
const PAUSE: Duration = Duration::from_millis(200);
/// How long nothing is sent at most: a client that is gone is noticed by that.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a stream lasts.
const LIFETIME: Duration = Duration::from_mins(4);

/// How events are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Lines,
    ServerSent,
}

pub(super) fn follow(
    state: &Shared,
    headers: &HeaderMap,
    mut wanted: Wanted,
) -> Result<Response, Problem> {
    let seat = state.followers.clone().try_acquire_owned().map_err(|_| {
        let told = "too many clients follow events already";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", told)
    })?;
    let text = |name| headers.get(name).and_then(|field| field.to_str().ok());
    let accepts = text(header::ACCEPT.as_str()).unwrap_or_default();
    let (form, content_type) = if accepts.contains("text/event-stream") {
        (Form::ServerSent, "text/event-stream")
    } else {
        (Form::Lines, "application/jsonl")
    };
    if let Some(last) = text("last-event-id").and_then(|last| last.parse().ok()) {
        wanted.since = Some(last);
    }
    let (sender, body) = Channel::<Bytes>::new(4);
    tokio::spawn(send(state.clone(), wanted, form, sender, seat));
    Ok(([(header::CONTENT_TYPE, content_type)], Body::new(body)).into_response())
}

/// Sends events until the client is gone, the time is over or the process drains.
async fn send(
    mut state: Shared,
    mut wanted: Wanted,
    form: Form,
    mut sender: Sender<Bytes>,
    _seat: OwnedSemaphorePermit,
) {
    let (begun, mut ticks) = (Instant::now(), interval(PAUSE));
    let mut spoken = begun;
    while begun.elapsed() < LIFETIME {
        let draining = *state.phase.borrow_and_update() == Phase::Draining;
        let news = Events::of(state.registry.history(), &wanted);
        let mut text = String::new();
        for event in &news.events {
            wanted.since = Some(event.number);
            write(event, form, &mut text);
        }
        if text.is_empty() && spoken.elapsed() >= SILENCE {
            text.push_str(match form {
                Form::Lines => "\n",
                Form::ServerSent => ":\n\n",
            });
        }
        if !text.is_empty() {
            spoken = Instant::now();
            if sender.send_data(text.into()).await.is_err() {
                return;
            }
        }
        if draining {
            return;
        }
        tokio::select! {
            _ = ticks.tick() => {}
            changed = state.phase.changed() => if changed.is_err() { return },
        }
    }
}

fn write(event: &EventView, form: Form, into: &mut String) {
    let Ok(json) = serde_json::to_string(event) else { return };
    // Writing to a text cannot fail.
    let _ = match form {
        Form::Lines => writeln!(into, "{json}"),
        Form::ServerSent => writeln!(into, "id: {}\ndata: {json}\n", event.number),
    };
}
