//! Paths and what answers on them.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, extract, middleware};
use serde::Serialize;
use serde_json::json;

use super::view::explain::Question;
use super::view::{self, Health};
use super::{Phase, State, guard};
use crate::model::Clock;
use crate::proxy::explain::explain;

/// Every path with what it tells, for the index.
pub(super) const ENDPOINTS: [(&str, &str); 13] = [
    ("/", "this list"),
    ("/metrics", "metrics as Prometheus text"),
    ("/livez", "200 as long as the process runs"),
    ("/readyz", "200 when every listener accepts, 503 while starting or draining"),
    ("/healthz", "health of every upstream; 503 when none can serve"),
    ("/api/v1/ha/status", "version, generation, configuration, listeners, upstreams in short"),
    ("/api/v1/ha/load-balancer/stats", "counters by listener, route and upstream"),
    ("/api/v1/ha/load-balancer/backends", "every backend: may it be picked, why, and what it does"),
    ("/api/v1/ha/health-checks", "how backends are judged, and the verdicts"),
    ("/api/v1/ha/failover/status", "which tiers serve, panics and circuit breakers"),
    ("/api/v1/ha/failover/events", "events of failover groups"),
    (
        "/api/v1/ha/explain",
        "POST a request, `{\"method\", \"url\", …}`: its route, its backends, and why",
    ),
    ("/api/v1/ha/events", "what happened: ?upstream=, ?backend=, ?kind=, ?since=NUMBER"),
];

/// The admin application, ready to be served or to be nested in another one.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/api/v1/ha/status", get(status))
        .route("/api/v1/ha/load-balancer/stats", get(stats))
        .route("/api/v1/ha/load-balancer/backends", get(backends))
        .route("/api/v1/ha/health-checks", get(health_checks))
        .route("/api/v1/ha/failover/status", get(failover))
        .route("/api/v1/ha/failover/events", get(failover_events))
        .route("/api/v1/ha/events", get(events))
        .route("/api/v1/ha/explain", post(explained))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn(guard::protect))
        .with_state(state)
}

/// An answer as JSON that people can read in a terminal without further tools.
fn told(status: StatusCode, what: &impl Serialize) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string_pretty(what) {
        Ok(text) => (status, json, text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// An answer that says what is wrong.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    told(status, &json!({ "error": error }))
}

async fn index() -> Response {
    let endpoints = ENDPOINTS.map(|(path, tells)| json!({ "path": path, "tells": tells }));
    told(StatusCode::OK, &json!({ "endpoints": endpoints }))
}

async fn unknown_path(uri: Uri) -> Response {
    let error = format!("there is nothing at {}; see / for what there is", uri.path());
    refusal(StatusCode::NOT_FOUND, &error)
}

async fn unknown_method() -> Response {
    refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "nothing here changes anything: use GET, or POST for /api/v1/ha/explain",
    )
}

async fn metrics(extract::State(state): extract::State<State>) -> Response {
    let content_type = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (content_type, state.registry.encode()).into_response()
}

async fn livez() -> Response {
    told(StatusCode::OK, &json!({ "status": "alive" }))
}

async fn readyz(extract::State(state): extract::State<State>) -> Response {
    let phase = *state.phase.borrow();
    let (status, why) = match phase {
        Phase::Ready => (StatusCode::OK, "every listener accepts"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "not every listener accepts yet"),
        Phase::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, "listeners are closed, requests under way finish")
        }
    };
    told(status, &json!({ "status": phase, "why": why }))
}

async fn healthz(extract::State(mut state): extract::State<State>) -> Response {
    let checks = view::Checks::of(state.reader.current());
    let status = match checks.status {
        Health::Healthy | Health::Degraded => StatusCode::OK,
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    told(status, &checks)
}

async fn status(extract::State(mut state): extract::State<State>) -> Response {
    let phase = *state.phase.borrow();
    let snapshot = state.reader.current();
    let reloads = state.registry.process().reloads();
    let summary = view::Summary::of(snapshot, phase, state.started.elapsed(), reloads);
    told(StatusCode::OK, &summary)
}

async fn stats(extract::State(mut state): extract::State<State>) -> Response {
    told(StatusCode::OK, &view::Stats::of(state.reader.current()))
}

async fn backends(extract::State(mut state): extract::State<State>) -> Response {
    told(StatusCode::OK, &view::BackendList::of(state.reader.current(), Clock::now()))
}

async fn health_checks(extract::State(mut state): extract::State<State>) -> Response {
    told(StatusCode::OK, &view::HealthChecks::of(state.reader.current(), Clock::now()))
}

async fn events(
    extract::State(state): extract::State<State>,
    wanted: Result<extract::Query<view::Wanted>, extract::rejection::QueryRejection>,
) -> Response {
    match wanted {
        Ok(extract::Query(wanted)) => {
            told(StatusCode::OK, &view::Events::of(state.registry.history(), &wanted))
        }
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error.body_text()),
    }
}

/// What would become of a request. Nothing is sent and nothing counted.
async fn explained(
    extract::State(mut state): extract::State<State>,
    question: Result<extract::Json<Question>, extract::rejection::JsonRejection>,
) -> Response {
    let wanted = match question {
        Ok(extract::Json(question)) => question.wanted(),
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    match explain(state.reader.current(), &wanted, Clock::now()) {
        Ok(explained) => told(StatusCode::OK, &explained),
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

async fn failover(extract::State(mut state): extract::State<State>) -> Response {
    told(StatusCode::OK, &view::Failover::of(state.reader.current()))
}

async fn failover_events(extract::State(state): extract::State<State>) -> Response {
    let wanted = view::Wanted::of_kind("failover.");
    told(StatusCode::OK, &view::Events::of(state.registry.history(), &wanted))
}
