use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::model::{AdminState, BackendState, Generation, Outcome, Tick, WorkerIx};
use crate::telemetry::{
    Cause, Ejected, Exemplar, Exposition, Handshake, Hedged, LastProbe, Limited, QueueRejected,
    RetryDenied, Shed, SpansLost, Status, names,
};

const W0: WorkerIx = WorkerIx(0);
const W1: WorkerIx = WorkerIx(1);

/// The value of the sample that begins with `name` (with labels as printed).
fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// A registry in which something happened to everything, and what keeps its series alive.
fn busy() -> (Arc<Registry>, impl Sized) {
    let registry = Registry::new(2);
    let listener = registry.listener("web");
    for worker in [W0, W1] {
        listener.worker(worker).connection_opened();
    }
    listener.worker(W1).connection_closed();
    listener.worker(W0).connection_refused();

    let route = registry.route("web", "shop");
    route.worker(W0).begin();
    route.worker(W0).finish(204, Duration::from_millis(7), 10, 20);
    route.worker(W1).begin();
    route.worker(W1).finish(502, Duration::from_secs(31), 1, 2);
    route.worker(W1).begin();

    exemplify(&route);

    let tls = registry.tls("web");
    tls.worker(W0).handshake(Handshake::Full);
    tls.worker(W1).handshake(Handshake::Resumed);
    tls.set_certificates(vec![("a.pem".to_owned(), Duration::from_secs(7))]);

    let limit = registry.limit("clients");
    limit.worker(W0).judged(Limited::Passed);
    limit.worker(W1).judged(Limited::Refused);
    limit.worker(W1).judged(Limited::Delayed);

    let upstream = registry.upstream("cart");
    let cell = upstream.worker(W0);
    cell.retry(Outcome::Reset);
    cell.retry_denied(RetryDenied::NonIdempotent);
    cell.connected(Duration::from_micros(300));
    cell.none_eligible();
    cell.queued(Duration::from_millis(3));
    cell.queue_rejected(QueueRejected::Timeout);
    cell.fail_open_pick();
    cell.pool_reuse();
    cell.pool_open(true);
    upstream.worker(W1).pool_open(false);
    cell.stale_replay();
    upstream.set_fail_open(true);
    cell.kept_out();
    upstream.policy().set(&[70, 30], Some(2), true);
    upstream.policy().event("breaker.opened");
    upstream.policy().set_limit(Some(20));
    upstream.policy().set_refused(Some(0.25));
    upstream.policy().set_room(Some((500.0, 750.5)));
    upstream.worker(WorkerIx(0)).crossed(true);
    cell.hedged(Hedged::Won);
    cell.shed(Shed::Admission);
    let disabled = BackendState { admin: AdminState::Disabled, ..BackendState::default() };
    upstream.set_backends([disabled, BackendState::default(), disabled]);

    let backend = registry.backend("cart", "10.0.0.1:80");
    for worker in [W0, W1] {
        let cell = backend.worker(worker);
        cell.pick();
        cell.started();
        cell.attempt(Outcome::Timeout, Duration::from_millis(40));
        cell.set_idle(2);
    }
    backend.worker(W0).first_byte(Duration::from_millis(2));
    backend.worker(W0).ended();
    backend.worker(W1).set_idle(1);
    backend.set_state(disabled);
    backend.state_change(Status::Disabled, Cause::Config);
    backend.ejected(Ejected::Capped, "consecutive");
    backend.set_weight(5);
    backend.set_max_in_flight(100);
    let check = &backend.set_checks(["health"].into_iter())[0];
    for (ok, took) in [(true, Duration::from_millis(3)), (false, Duration::from_secs(1))] {
        check.probed(LastProbe { ok, why: String::new(), took, at: Tick(1) });
        backend.probed(took);
    }

    busy_process(&registry);
    (registry, (listener, tls, route, limit, upstream, backend))
}

fn exemplify(route: &RouteSeries) {
    route.worker(W1).exemplify(Exemplar {
        trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
        took: Duration::from_secs(31),
        at: Duration::from_millis(1_700_000_000_123),
    });
}

/// What is told of the process as a whole.
fn busy_process(registry: &Registry) {
    let process = registry.process();
    process.reloaded(UNIX_EPOCH + Duration::from_millis(1_500), Generation(4), 0xbeef);
    process.revision(7, true, false);
    process.reload_refused();
    process.event_dropped();
    process.access_log_dropped(3);
    process.memory_limit(Some(1 << 30));
    process.memory_refused_request();
    process.certificate_ordered(true);
    process.dns_update(true);
    process.spans_exported(3);
    process.spans_lost(SpansLost::QueueFull, 2);
}

#[test]
fn every_number_arrives_summed_over_the_workers() {
    let (registry, _alive) = busy();
    let text = registry.encode();
    let ours = text.lines().filter(|line| line.starts_with("plimsoll_"));
    let changing = ["plimsoll_build_info", "plimsoll_discovery_last_success_timestamp_seconds"];
    let stable = ours.filter(|line| !changing.iter().any(|name| line.starts_with(name)));
    insta::assert_snapshot!(stable.collect::<Vec<_>>().join("\n"));
}

#[test]
fn histograms_are_cumulated_and_end_in_their_count() {
    let (registry, _alive) = busy();
    let text = registry.encode();
    let of = |suffix: &str| {
        let labels = r#"listener="web",route="shop""#;
        sample(&text, &format!("plimsoll_request_duration_seconds{suffix}").replace('@', labels))
    };
    assert_eq!(of(r#"_bucket{@,le="0.005"}"#), Some(0.0));
    assert_eq!(of(r#"_bucket{@,le="0.01"}"#), Some(1.0));
    assert_eq!(of(r#"_bucket{@,le="30"}"#), Some(1.0));
    assert_eq!(of(r#"_bucket{@,le="+Inf"}"#), Some(2.0));
    assert_eq!(of("_count{@}"), Some(2.0));
    assert_eq!(of("_sum{@}"), Some(31.007));
}

#[test]
fn every_family_of_the_list_is_written_once_and_no_other() {
    let (registry, _alive) = busy();
    let text = registry.encode();
    let mut written: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut listed: Vec<_> = names::ALL.iter().map(|family| family.name).collect();
    written.sort_unstable();
    listed.sort_unstable();
    assert_eq!(written, listed);
}

#[test]
fn promtool_accepts_the_text() {
    let (registry, _alive) = busy();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed for this test: apt-get install prometheus");
    promtool.stdin.take().unwrap().write_all(registry.encode().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Read by the strict parser of Prometheus's own library for Python.
#[test]
fn the_parser_of_openmetrics_accepts_the_text_and_finds_the_exemplar() {
    let (registry, _alive) = busy();
    let text = registry.encode_as(Exposition::OpenMetrics);
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", OPEN_METRICS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let (said, fault) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{fault}");
    let lines: Vec<_> = said.lines().collect();
    let families = names::ALL.len().to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(lines[0], families);
    assert_eq!(
        lines[1..],
        [format!("plimsoll_request_duration_seconds_bucket +Inf {trace} 31 1700000000.123")]
    );
}

/// Prints how many families there are, and every exemplar.
const OPEN_METRICS: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(len(families))
for sample in (sample for family in families for sample in family.samples):
    if sample.exemplar:
        one = sample.exemplar
        print(sample.name, sample.labels["le"], one.labels["trace_id"], one.value, float(one.timestamp))
"#;

#[test]
fn a_series_survives_as_long_as_somebody_holds_it_and_then_leaves() {
    let registry = Registry::new(1);
    let before = registry.backend("cart", "a:1");
    before.worker(W0).pick();
    let after = registry.backend("cart", "a:1");
    assert!(Arc::ptr_eq(&before, &after));
    drop(before);
    assert!(registry.encode().contains(r#"backend_picks_total{upstream="cart",backend="a:1"} 1"#));
    drop(after);
    let text = registry.encode();
    assert!(!text.contains("a:1") && !text.contains("cart"), "{text}");
    assert_eq!(registry.backend("cart", "a:1").picks(), 0, "who comes back starts anew");
}

#[test]
fn the_time_of_attempts_stays_when_a_backend_leaves() {
    let registry = Registry::new(1);
    let upstream = registry.upstream("cart");
    registry.backend("cart", "a:1").worker(W0).attempt(Outcome::Ok, Duration::from_secs(2));
    let text = registry.encode();
    let sum = r#"plimsoll_upstream_attempt_duration_seconds_sum{upstream="cart"}"#;
    assert_eq!(sample(&text, sum), Some(2.0));
    drop(upstream);
}

#[test]
fn places_of_series_that_left_are_swept_out_without_a_scrape() {
    let registry = Registry::new(1);
    let kept = registry.backend("cart", "kept");
    for ix in 0..10_000 {
        registry.backend("cart", &format!("gone-{ix}"));
    }
    let places = registry.backends.0.lock().unwrap().by_name.len();
    assert!(places <= 64, "{places}");
    assert!(Arc::ptr_eq(&kept, &registry.backend("cart", "kept")));
}

#[test]
fn odd_label_values_are_escaped() {
    let registry = Registry::new(1);
    let _odd = registry.listener("a\"b\\c\nd");
    let text = registry.encode();
    assert!(text.contains(r#"{listener="a\"b\\c\nd"}"#), "{text}");
}

#[test]
fn a_scrape_beside_writers_never_sees_a_count_below_a_bucket_nor_a_step_back() {
    let registry = Registry::new(2);
    let route = registry.route("web", "shop");
    std::thread::scope(|scope| {
        for worker in [W0, W1] {
            let cell = route.worker(worker);
            scope.spawn(move || {
                for _ in 0..100_000 {
                    cell.begin();
                    cell.finish(200, Duration::from_millis(1), 1, 1);
                }
            });
        }
        let mut before = 0.0;
        while before < 200_000.0 {
            let text = registry.encode();
            let at = |le: &str| {
                let labels = r#"listener="web",route="shop""#;
                let name = "plimsoll_request_duration_seconds_bucket";
                sample(&text, &format!("{name}{{{labels},le=\"{le}\"}}")).unwrap()
            };
            assert!(at("+Inf") >= at("0.001"));
            assert!(at("+Inf") >= before);
            before = at("+Inf");
        }
    });
}
