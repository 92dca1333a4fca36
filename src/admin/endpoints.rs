//! Paths and what answers on them.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State as Extract, rejection::QueryRejection};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use serde::Serialize;
use serde_json::json;

use super::asked::read;
use super::problem::{Problem, in_form};
use super::recorded::LARGEST;
use super::state::Shared;
use super::view::explain::Question;
use super::view::{self, Health};
use super::{
    Phase, State, audit, backup, change, configure, dashboard, diagnose, exposition, follow, guard,
    openapi,
};
use crate::model::Clock;
use crate::proxy::explain::explain;
use crate::telemetry::Exposition;

/// Where the API is. It answers under [`ALIAS`] as well.
const API: &str = "/api/v1/ha";

/// Another name of the API.
const ALIAS: &str = "/api/ha";

/// Every path that can be read with what it tells, for the index.
pub(super) const ENDPOINTS: [(&str, &str); 27] = [
    ("/", "this list"),
    ("/dashboard", "a page for people: what is going on, and drain and weight at hand"),
    ("/openapi.json", "this API as a document that programs read (OpenAPI 3.1)"),
    ("/metrics", "metrics as Prometheus text, or as OpenMetrics with exemplars"),
    ("/livez", "200 as long as the process runs"),
    ("/readyz", "200 when every listener accepts, 503 while starting or draining"),
    ("/healthz", "health of every upstream; 503 when none can serve"),
    ("/api/v1/ha/status", "version, generation, configuration, listeners, upstreams in short"),
    ("/api/v1/ha/health", "as /healthz"),
    ("/api/v1/ha/metrics", "as /metrics"),
    ("/api/v1/ha/load-balancer", "counters by listener, route and upstream"),
    ("/api/v1/ha/load-balancer/stats", "the same"),
    ("/api/v1/ha/load-balancer/backends", "every backend: may it be picked, why, and what it does"),
    ("/api/v1/ha/health-checks", "how backends are judged, and the verdicts"),
    ("/api/v1/ha/failover/status", "which tiers serve, panics and circuit breakers"),
    ("/api/v1/ha/failover-manager", "the same"),
    ("/api/v1/ha/failover/events", "events of failover groups"),
    (
        "/api/v1/ha/explain",
        "POST a request, `{\"method\", \"url\", …}`: its route, its backends, and why",
    ),
    ("/api/v1/ha/overrides", "what operators say beside the configuration"),
    ("/api/v1/ha/config", "the configuration in force, secrets masked"),
    (
        "/api/v1/ha/config/revisions",
        "those that were in force: when, from whom, why; /NUMBER has its text, /NUMBER/diff what differs",
    ),
    ("/api/v1/ha/config/validate", "POST a configuration: what is wrong with it"),
    ("/api/v1/ha/config/plan", "POST a configuration: what would come of it"),
    ("/api/v1/ha/config/backup", "the configuration and all that is kept of it, as one archive"),
    (
        "/api/v1/ha/audit",
        "who changed what, or was denied it, latest first: ?since=TIME, ?actor=, ?limit=NUMBER",
    ),
    (
        "/api/v1/ha/diagnose",
        "what somebody needs who shall help from afar, as one archive, secrets masked",
    ),
    ("/api/v1/ha/events", "what happened: ?upstream=, ?backend=, ?kind=, ?since=NUMBER, ?follow=1"),
];

/// The admin application, ready to be served or to be nested in another one.
pub fn router(state: State) -> Router {
    let shared = Shared::from(state);
    paths()
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::map_response(in_form))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::protect))
        .with_state(shared)
}

/// All there is, for who is let in.
pub(super) fn paths() -> Router<Shared> {
    Router::new()
        .route("/", get(index))
        .merge(dashboard::router())
        .route("/openapi.json", get(openapi::document))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .nest(API, api())
        .nest(ALIAS, api())
}

fn api() -> Router<Shared> {
    Router::new()
        .route("/status", get(status))
        .route("/health", get(healthz))
        .route("/metrics", get(metrics))
        .route("/load-balancer", get(stats))
        .route("/load-balancer/stats", get(stats))
        .route("/load-balancer/backends", get(backends).post(change::add))
        .route(
            "/load-balancer/backends/{id}",
            get(change::one).patch(change::patch).delete(change::remove),
        )
        .route("/health-checks", get(health_checks))
        .route("/health-checks/{id}/run", post(change::run_checks))
        .route("/overrides", get(change::overrides))
        .route("/overrides/{id}", get(change::overrides_of).put(change::put).delete(change::lift))
        .route("/failover/status", get(failover))
        .route("/failover-manager", get(failover))
        .route("/failover/events", get(failover_events))
        .route("/events", get(events))
        .route("/audit", get(audit::audit))
        .route("/diagnose", get(diagnose::diagnose))
        .route("/explain", post(explained))
        .route("/config", get(configure::current))
        .route("/config/validate", post(configure::validate).layer(room()))
        .route("/config/plan", post(configure::plan).layer(room()))
        .route("/config/update", post(configure::update).layer(room()))
        .route("/config/backup", get(backup::backup))
        .route("/config/restore", post(backup::restore).layer(room()))
        .route("/config/confirm", post(configure::confirm))
        .route("/config/rollback", post(configure::rollback))
        .route("/config/revisions", get(configure::revisions))
        .route("/config/revisions/{id}", get(configure::revision))
        .route("/config/revisions/{id}/diff", get(configure::diff))
        .route("/config/reload", post(change::reload))
}

/// Room for a whole configuration.
fn room() -> DefaultBodyLimit {
    DefaultBodyLimit::max(LARGEST)
}

/// An answer as JSON that people can read in a terminal without further tools.
pub(super) fn told(status: StatusCode, what: &impl Serialize) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string_pretty(what) {
        Ok(text) => (status, json, text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn index() -> Response {
    let endpoints = ENDPOINTS.map(|(path, tells)| json!({ "path": path, "tells": tells }));
    told(StatusCode::OK, &json!({ "endpoints": endpoints }))
}

async fn unknown_path(uri: Uri) -> Problem {
    let told = format!("there is nothing at {}; see / for what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", told)
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    let told = format!("{} does not take {method}; Allow says what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", told)
}

async fn metrics(Extract(state): Extract<Shared>, headers: HeaderMap) -> Response {
    let form = exposition::accepted(&headers);
    let media = match form {
        Exposition::Prometheus => prometheus::TEXT_FORMAT,
        Exposition::OpenMetrics => exposition::OPEN_METRICS,
    };
    let told = [(header::CONTENT_TYPE, media), (header::VARY, "accept")];
    (told, state.registry.encode_as(form)).into_response()
}

async fn livez() -> Response {
    told(StatusCode::OK, &json!({ "status": "alive" }))
}

async fn readyz(Extract(state): Extract<Shared>) -> Response {
    let phase = *state.phase.borrow();
    let (status, why) = match phase {
        Phase::Ready => (StatusCode::OK, "every listener accepts"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "not every listener accepts yet"),
        Phase::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, "listeners are closed, requests under way finish")
        }
        Phase::Replaced => {
            (StatusCode::SERVICE_UNAVAILABLE, "another process serves, requests under way finish")
        }
    };
    told(status, &json!({ "status": phase, "why": why }))
}

async fn healthz(Extract(mut state): Extract<Shared>) -> Response {
    let checks = view::Checks::of(state.reader.current(), Clock::now());
    let status = match checks.status {
        Health::Healthy | Health::Degraded => StatusCode::OK,
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    told(status, &checks)
}

async fn status(Extract(mut state): Extract<Shared>) -> Response {
    let phase = *state.phase.borrow();
    let snapshot = state.reader.current();
    let reloads = state.registry.process().reloads();
    let (uptime, ledger) = (state.started.elapsed(), state.control.ledger());
    let summary = view::Summary::of(snapshot, phase, uptime, reloads, &ledger, Clock::now());
    told(StatusCode::OK, &summary)
}

async fn stats(Extract(mut state): Extract<Shared>) -> Response {
    told(StatusCode::OK, &view::Stats::of(state.reader.current(), Clock::now()))
}

async fn backends(Extract(mut state): Extract<Shared>) -> Response {
    told(StatusCode::OK, &view::BackendList::of(state.reader.current(), Clock::now()))
}

async fn health_checks(Extract(mut state): Extract<Shared>) -> Response {
    told(StatusCode::OK, &view::HealthChecks::of(state.reader.current(), Clock::now()))
}

async fn events(
    Extract(state): Extract<Shared>,
    headers: HeaderMap,
    wanted: Result<Query<view::Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) =
        wanted.map_err(|error| Problem::bad_request("bad_query", error.body_text()))?;
    if wanted.follows()? {
        return follow::follow(&state, &headers, wanted);
    }
    Ok(told(StatusCode::OK, &view::Events::of(state.registry.history(), &wanted)))
}

/// What would become of a request. Nothing is sent and nothing counted.
async fn explained(
    Extract(mut state): Extract<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted = read::<Question>(&headers, &body)?.wanted();
    let explained = explain(state.reader.current(), &wanted, Clock::now());
    let explained = explained
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_question", error))?;
    Ok(told(StatusCode::OK, &explained))
}

async fn failover(Extract(mut state): Extract<Shared>) -> Response {
    told(StatusCode::OK, &view::Failover::of(state.reader.current()))
}

async fn failover_events(Extract(state): Extract<Shared>) -> Response {
    let wanted = view::Wanted::of_kind("failover.");
    told(StatusCode::OK, &view::Events::of(state.registry.history(), &wanted))
}
