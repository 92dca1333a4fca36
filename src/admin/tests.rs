use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::*;
use crate::config::model::{Admin, AdminRole};
use crate::config::parse;
use crate::control::Ledger;
use crate::model::{
    Address, BackendState, Generation, Outcome, PassiveState, ProbedState, Tick, WorkerIx,
};
use crate::snapshot::build::{Identities, Input, Known, build};
use crate::snapshot::{Cell, Course, Snapshot};
use crate::telemetry::LastProbe;

const NOW: Tick = Tick(60_000_000);

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[route]]
name = "shop"
path = "/shop"
upstream = "cart"

[[route]]
name = "search"
path = "/search"
upstream = "search"

[upstream.cart]
strategy = "least_connections"
health = { path = "/ready", interval = "2s", timeout = "1s" }
backend = [
    { address = "10.0.0.1:80", weight = 3 },
    { address = "10.0.0.2:80", max_connections = 9 },
    { address = "10.0.0.3:80" },
    { address = "10.0.0.4:80", backup = true },
    { address = "10.0.0.5:80", state = "draining" },
    { address = "10.0.0.6:80", state = "disabled" },
]

[upstream.search]
passive = { max_fails = 3 }
backend = [{ address = "10.0.1.1:80" }, { address = "unix:/run/search.sock" }]
"#;

fn state(probed: ProbedState, passive: PassiveState) -> BackendState {
    BackendState { probed, passive, ..BackendState::default() }
}

/// The snapshot of [`CONFIG`] with these states; a backend that is not named is up.
fn snapshot(registry: &Registry, states: &[(&str, BackendState)]) -> Snapshot {
    let loaded = parse("test.toml", CONFIG, &|_| None).unwrap();
    let mut identities = Identities::default();
    let mut labels = BTreeMap::new();
    for (upstream, section) in &loaded.config.upstreams {
        for backend in &section.backends {
            let label = backend.address.to_string();
            labels.insert(identities.backend(upstream, &label), label);
        }
    }
    let known = |id| {
        let named = states.iter().find(|(label, _)| *label == labels[&id]);
        Some(named.map_or(state(ProbedState::Up, PassiveState::Ok), |(_, state)| *state))
    };
    build(Input {
        config: &loaded.config,
        hash: 0xbeef,
        generation: Generation(7),
        previous: None,
        known: Known {
            states: &known,
            orders: &BTreeMap::default(),
            courses: &|_| Course::default(),
            addresses: &BTreeMap::new(),
            identities: &mut identities,
            challenges: &Arc::default(),
            registry,
        },
    })
}

/// A router over a snapshot, and what keeps it going.
pub(super) fn admin(states: &[(&str, BackendState)]) -> (axum::Router, watch::Sender<Phase>, Cell) {
    let (state, phase, cell) = admin_state(states);
    (router(state), phase, cell)
}

fn admin_state(states: &[(&str, BackendState)]) -> (State, watch::Sender<Phase>, Cell) {
    let registry = Registry::new(1);
    let cell = Cell::new(snapshot(&registry, states));
    let (phase, seen) = watch::channel(Phase::Ready);
    let (reader, control) = (cell.reader(), Handle::idle(cell.reader()));
    let access = Arc::new(Access::of(&Admin {
        address: Address::Unix("/none".into()),
        socket_mode: 0o600,
        anonymous: Some(AdminRole::Admin),
        tokens: Vec::new(),
        tls: None,
        certificates: Vec::new(),
        max_rate: 0,
        state: None,
        revisions: 50,
        guard: crate::config::model::Guard::default(),
        audit_log: None,
    }));
    let started = Instant::now();
    let state = State { reader, control, access, registry, phase: seen, started };
    (state, phase, cell)
}

async fn ask(router: &axum::Router, method: &str, path: &str, host: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).header(header::HOST, host);
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json(router: &axum::Router, path: &str) -> (StatusCode, Value) {
    let (status, body) = ask(router, "GET", path, "localhost:9901").await;
    (status, serde_json::from_str(&body).unwrap())
}

// --- endpoints ------------------------------------------------------------------------------

#[tokio::test]
async fn every_path_of_the_index_answers() {
    let (router, _phase, _cell) = admin(&[]);
    let (_, index) = json(&router, "/").await;
    let paths: Vec<_> = index["endpoints"].as_array().unwrap().iter().collect();
    assert_eq!(paths.len(), 27);
    for path in paths {
        let path = path["path"].as_str().unwrap();
        // Asked by POST, or of a control loop that runs, or no JSON: in `what_would_become_of_a_request`, in
        // `tests/operate`, and in `tests/cli`.
        if path.ends_with("/explain")
            || path.ends_with("/diagnose")
            || ["", "/validate", "/plan", "/backup"]
                .iter()
                .any(|end| path.ends_with(&format!("/config{end}")))
        {
            continue;
        }
        let (status, body) = ask(&router, "GET", path, "127.0.0.1:9901").await;
        assert_eq!(status, StatusCode::OK, "{path}");
        if path.ends_with("/metrics") {
            assert!(body.contains(r#"plimsoll_backend_up{upstream="cart""#), "{body}");
        } else if path == "/dashboard" {
            assert!(body.starts_with("<!doctype html>"), "{body}");
        } else {
            assert!(serde_json::from_str::<Value>(&body).unwrap().is_object(), "{path}");
            assert!(body.starts_with("{\n") && body.ends_with("}\n"), "for people too: {body}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_and_a_method_that_would_change_something_are_refused() {
    let (router, _phase, _cell) = admin(&[]);
    let (status, body) = json(&router, "/api/v1/ha/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["detail"].as_str().unwrap().contains("/api/v1/ha/nothing"), "{body}");
    assert_eq!((&body["code"], &body["status"]), (&"unknown_path".into(), &404.into()));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (status, body) = ask(&router, method, "/healthz", "localhost").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(body.contains("urn:plimsoll:problem:unknown_method"), "{body}");
    }
}

async fn explain(router: &axum::Router, question: &str) -> (StatusCode, Value) {
    let request = Request::post("/api/v1/ha/explain")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(question.to_owned()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn what_would_become_of_a_request() {
    let (router, _phase, cell) = admin(&[]);
    let mut reader = cell.reader();
    let _busy = reader.current().upstream_by_name("cart").unwrap().live[0].enter_owned();
    let (status, told) = explain(&router, r#"{"url": "http://a/shop/x", "method": "POST"}"#).await;
    assert_eq!((status, &told["route"]), (StatusCode::OK, &"shop".into()), "{told}");
    let upstream = &told["upstreams"][0];
    assert_eq!(upstream["backends"][0]["in_flight"], 1, "{told}");
    assert_eq!(upstream["order"][0], "10.0.0.2:80", "the idle one: {told}");
    for (question, code, words) in [
        (r#"{"url": "ftp://a/"}"#, 422, "write http or https"),
        (r#"{"url": "/", "listener": "none"}"#, 422, "there are: web"),
        (r#"{"url": "/", "hedaers": []}"#, 400, "hedaers"),
        ("{", 400, "EOF"),
    ] {
        let (status, told) = explain(&router, question).await;
        assert_eq!(status, code, "{told}");
        assert!(told["detail"].as_str().unwrap().contains(words), "{told}");
    }
}

#[tokio::test]
async fn the_api_has_another_name() {
    let (router, _phase, _cell) = admin(&[]);
    for path in ["status", "load-balancer/backends", "overrides"] {
        let (status, by_one) = json(&router, &format!("/api/v1/ha/{path}")).await;
        let (_, by_other) = json(&router, &format!("/api/ha/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(by_one.as_object().unwrap().len(), by_other.as_object().unwrap().len());
    }
    let (status, _) = json(&router, "/api/ha/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_page_with_a_name_of_its_own_reads_nothing() {
    let (router, _phase, _cell) = admin(&[]);
    for path in ["/metrics", "/api/v1/ha/status", "/nothing"] {
        let (status, body) = ask(&router, "GET", path, "rebound.example:9901").await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
        assert!(body.contains("Host") && !body.contains("cart"), "{body}");
    }
}

#[tokio::test]
async fn readiness_follows_the_phase_and_says_why_and_life_does_not() {
    let (router, phase, _cell) = admin(&[]);
    for (now, expected, word) in [
        (Phase::Starting, StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (Phase::Ready, StatusCode::OK, "ready"),
        (Phase::Draining, StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (Phase::Replaced, StatusCode::SERVICE_UNAVAILABLE, "replaced"),
    ] {
        phase.send_replace(now);
        let (status, body) = json(&router, "/readyz").await;
        assert_eq!((status, body["status"].as_str()), (expected, Some(word)));
        assert!(body["why"].is_string());
        assert_eq!(json(&router, "/livez").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn health_is_of_upstreams_and_only_fails_when_none_can_serve() {
    let down = state(ProbedState::Down, PassiveState::Ok);
    let trial = state(ProbedState::Unprobed, PassiveState::Trial);
    let cart: Vec<_> = ["1", "2", "3", "4"].map(|last| (format!("10.0.0.{last}:80"), down)).into();
    let cart: Vec<_> = cart.iter().map(|(label, state)| (label.as_str(), *state)).collect();
    let search = [("10.0.1.1:80", trial), ("unix:/run/search.sock", trial)];
    let (one_down, all_of_cart) = ([cart[0]], cart.clone());
    let everything = [&cart[..], &search[..]].concat();
    for (states, expected, overall, of_cart) in [
        (&[][..], StatusCode::OK, "healthy", "healthy"),
        (&one_down[..], StatusCode::OK, "degraded", "degraded"),
        (&all_of_cart[..], StatusCode::OK, "degraded", "unhealthy"),
        (&everything[..], StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "unhealthy"),
    ] {
        let (router, _phase, _cell) = admin(states);
        let (status, body) = json(&router, "/healthz").await;
        assert_eq!(status, expected, "{body}");
        assert_eq!(body["status"], overall, "{body}");
        assert_eq!(body["checks"][0]["upstream"], "cart");
        assert_eq!(body["checks"][0]["status"], of_cart, "{body}");
    }
}

#[tokio::test]
async fn what_is_published_later_is_seen() {
    let (router, _phase, cell) = admin(&[]);
    let registry = Registry::new(1);
    cell.publish(Snapshot { generation: Generation(8), ..snapshot(&registry, &[]) });
    assert_eq!(json(&router, "/api/v1/ha/status").await.1["generation"], 8);
}

// --- shapes ---------------------------------------------------------------------------------

/// Every kind of state, and some traffic.
fn busy() -> (Arc<Registry>, Snapshot) {
    let registry = Registry::new(1);
    let until = NOW.after(Duration::from_millis(7_200));
    let snapshot = snapshot(
        &registry,
        &[
            ("10.0.0.2:80", state(ProbedState::Down, PassiveState::Ok)),
            ("10.0.0.3:80", state(ProbedState::Checking, PassiveState::Ok)),
            ("10.0.1.1:80", state(ProbedState::Unprobed, PassiveState::Parked { until })),
            ("unix:/run/search.sock", state(ProbedState::Unprobed, PassiveState::Trial)),
        ],
    );
    let worker = WorkerIx(0);
    let cart = &snapshot.upstreams[0];
    let cell = cart.backends[0].series.worker(worker);
    cell.pick();
    cell.attempt(Outcome::Reset, Duration::from_millis(3));
    cell.set_idle(2);
    let check = &cart.backends[1].series.set_checks(["health"].into_iter())[0];
    let (ok, why, took) = (false, "status 503".to_owned(), Duration::from_millis(1));
    check.probed(LastProbe { ok, why, took, at: Tick(NOW.0 - 250_000) });
    check.stands(ProbedState::Down, Some(NOW.after(Duration::from_secs(6))));
    cart.series.worker(worker).retry(Outcome::Reset);
    cart.live[0].observe(Duration::from_millis(20), NOW);
    let listener = &snapshot.listeners[0];
    listener.series.worker(worker).connection_opened();
    let route = listener.routes[0].series.worker(worker);
    route.begin();
    route.finish(200, Duration::from_millis(3), 0, 10);
    (registry, snapshot)
}

fn pretty(view: &impl Serialize) -> String {
    serde_json::to_string_pretty(view).unwrap()
}

#[test]
fn the_shape_of_status() {
    let (_registry, snapshot) = busy();
    let ledger = Ledger::default();
    let view = view::Summary::of(
        &snapshot,
        Phase::Ready,
        Duration::from_millis(1_500),
        (2, 1, false),
        &ledger,
        NOW,
    );
    let text = pretty(&view).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text.replace(&std::process::id().to_string(), "4711"));
}

#[test]
fn the_shape_of_stats() {
    let (_registry, snapshot) = busy();
    insta::assert_snapshot!(pretty(&view::Stats::of(&snapshot, NOW)));
}

#[test]
fn the_shape_of_backends() {
    let (_registry, snapshot) = busy();
    insta::assert_snapshot!(pretty(&view::BackendList::of(&snapshot, NOW)));
}

#[test]
fn the_shape_of_failover() {
    let (_registry, snapshot) = busy();
    insta::assert_snapshot!(pretty(&view::Failover::of(&snapshot)));
}

#[test]
fn the_shape_of_health_checks() {
    let (_registry, snapshot) = busy();
    insta::assert_snapshot!(pretty(&view::HealthChecks::of(&snapshot, NOW)));
}

// --- connections ----------------------------------------------------------------------------

#[tokio::test]
async fn the_listener_answers_and_ends_when_told_even_if_a_client_holds_a_connection() {
    let (state, _phase, _cell) = admin_state(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = crate::net::Listener::Tcp(listener.into_std().unwrap()).register().unwrap();
    let serving = tokio::spawn(serve(listener, state, async {
        let _ = stopped.await;
        true
    }));

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}\n") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));

    // This one is in the queue at the end.
    let mut last = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut last, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut last, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(silent.read_buf(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(client.read_buf(&mut Vec::new()).await.unwrap(), 0, "kept alive until then");
}
