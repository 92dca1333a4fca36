//! The loop as its neighbours see it: a handle, events, a reader.

mod concurrent;
mod dns;
mod files;
mod name_server;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::*;
use crate::config::parse;
use crate::model::{BackendId, Clock, PassiveState, ProbedState};
use crate::snapshot::{Snapshot, Upstream};

const HEAD: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"api\"\n";

/// A configuration with these backends in the upstream `api`, and `more`.
fn text(backends: &[&str], more: &str) -> String {
    let backends = backends
        .iter()
        .map(|address| format!("[[upstream.api.backend]]\naddress = \"{address}\"\n"));
    format!("{HEAD}{}{more}", backends.collect::<String>())
}

fn load(text: &str) -> Loaded {
    parse("test.toml", text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

async fn start_text(text: &str) -> Handle {
    start(load(text), None, Registry::new(1), Box::new(NoStage)).await
}

/// Waits until a snapshot is as wanted, and gives it.
async fn until(handle: &Handle, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut reader = handle.reader();
    let waiting = async {
        while !wanted(reader.current()) {
            assert!(reader.changed().await, "the loop has ended");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never came");
    Arc::clone(reader.current())
}

/// An address where nobody listens. Each test names an IP of its own: another might be given the port.
async fn nobody(at: &str) -> SocketAddr {
    TcpListener::bind(at).await.unwrap().local_addr().unwrap()
}

fn api(snapshot: &Snapshot) -> &Arc<Upstream> {
    snapshot.upstream_by_name("api").unwrap()
}

fn passive(snapshot: &Snapshot, id: BackendId) -> PassiveState {
    let backend = api(snapshot).backends.iter().find(|backend| backend.id == id);
    backend.expect("it is there").state.passive
}

fn is_parked(snapshot: &Snapshot, id: BackendId) -> bool {
    matches!(passive(snapshot, id), PassiveState::Parked { .. })
}

fn crossed(backend: BackendId) -> Event {
    Event::FailuresCrossed { backend, at: Clock::now() }
}

#[tokio::test]
async fn first_snapshot_is_there_at_once() {
    let handle = start_text(&text(&["10.0.0.1:80"], "")).await;
    let mut reader = handle.reader();
    assert_eq!(reader.current().generation, Generation(1));
    assert_eq!(api(reader.current()).backends[0].label, "10.0.0.1:80");
    let journal = handle.journal();
    assert_eq!(journal.len(), 1);
    assert_eq!(journal[0].origin, Origin::Start);
}

#[tokio::test]
async fn the_loop_ends_with_its_last_handle() {
    let handle = start_text(&text(&["10.0.0.1:80"], "")).await;
    let mut reader = handle.reader();
    drop(handle);
    while reader.changed().await {}
}

#[tokio::test]
async fn a_burst_of_events_gives_one_snapshot() {
    let handle = start_text(&text(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], "")).await;
    let first = until(&handle, |_| true).await;
    let ids: Vec<_> = api(&first).backends.iter().map(|backend| backend.id).collect();
    // The loop shares this thread: it runs only when this task waits.
    for id in [ids[0], ids[1], ids[0], ids[2], ids[1], BackendId(999)] {
        handle.events().try_send(crossed(id)).unwrap();
    }
    let second = until(&handle, |snapshot| snapshot.generation > first.generation).await;
    assert_eq!(second.generation, Generation(2));
    assert!(is_parked(&second, ids[0]) && is_parked(&second, ids[1]));
    assert_eq!(passive(&second, ids[2]), PassiveState::Ok, "the last one left is not parked");
    assert_eq!(*api(&second).eligible, [false, false, true]);
    let journal = handle.journal();
    assert_eq!(journal[1].origin, Origin::Health);
    assert_eq!(
        journal[1].cause,
        "api/10.0.0.1:80 parked: 5 failed requests within 10s; \
         api/10.0.0.2:80 parked: 5 failed requests within 10s",
    );
}

#[tokio::test]
async fn where_all_ask_to_be_left_alone_half_of_them_are() {
    let addresses = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"];
    let handle = start_text(&text(&addresses, "")).await;
    let first = until(&handle, |_| true).await;
    let ids: Vec<_> = api(&first).backends.iter().map(|backend| backend.id).collect();
    let pause = Duration::from_mins(1);
    let asked = |backend| Event::AskedToWait { backend, pause, at: Clock::now() };
    handle.events().try_send(crossed(ids[4])).unwrap();
    for id in &ids[..4] {
        handle.events().try_send(asked(*id)).unwrap();
        handle.events().try_send(asked(*id)).unwrap();
    }
    let second = until(&handle, |snapshot| snapshot.generation > first.generation).await;
    let parked: Vec<_> = ids.iter().map(|id| is_parked(&second, *id)).collect();
    assert_eq!(parked, [true, false, false, false, true]);
}

#[tokio::test]
async fn a_parked_backend_returns_by_its_trial() {
    let settings = "[upstream.api.passive]\nfail_timeout = \"20ms\"\n";
    let handle = start_text(&text(&["10.0.0.1:80", "10.0.0.2:80"], settings)).await;
    let first = until(&handle, |_| true).await;
    let (id, live) = (api(&first).backends[0].id, Arc::clone(&api(&first).live[0]));
    let trial_ended = |ok| Event::TrialEnded { backend: id, ok, at: Clock::now() };
    let on_trial = |snapshot: &Snapshot| passive(snapshot, id) == PassiveState::Trial;

    handle.events().send(crossed(id)).await.unwrap();
    let trial = until(&handle, on_trial).await;
    assert_eq!(*api(&trial).eligible, [false, true]);
    assert_eq!(api(&trial).trials.len(), 1);
    assert!(live.begin_trial(), "one request may try");
    handle.events().send(trial_ended(false)).await.unwrap();
    until(&handle, |now| now.generation > trial.generation && is_parked(now, id)).await;

    until(&handle, on_trial).await;
    assert!(live.begin_trial(), "and one more after the next pause");
    handle.events().send(trial_ended(true)).await.unwrap();
    let back = until(&handle, |now| passive(now, id) == PassiveState::Ok).await;
    assert_eq!(*api(&back).eligible, [true, true]);
}

#[tokio::test]
async fn a_trial_of_which_nothing_is_heard_is_offered_again() {
    let settings = "[upstream.api.passive]\nfail_timeout = \"20ms\"\n";
    let handle = start_text(&text(&["10.0.0.1:80", "10.0.0.2:80"], settings)).await;
    let first = until(&handle, |_| true).await;
    let (id, live) = (api(&first).backends[0].id, Arc::clone(&api(&first).live[0]));
    handle.events().send(crossed(id)).await.unwrap();
    until(&handle, |now| passive(now, id) == PassiveState::Trial).await;
    assert!(live.begin_trial(), "taken, and then lost");
    let offered = async {
        while !live.begin_trial() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), offered).await.expect("it is offered again");
}

#[tokio::test]
async fn probes_take_a_backend_down_and_bring_it_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let well = listener.local_addr().unwrap();
    let gone = nobody("127.0.0.2:0").await;
    let settings = "[upstream.api.health]\ntype = \"tcp\"\ninterval = \"20ms\"\n\
                    fast_interval = \"10ms\"\n";
    let backends = [well.to_string(), gone.to_string()];
    let handle = start_text(&text(&[&backends[0], &backends[1]], settings)).await;
    let states = |snapshot: &Snapshot| -> Vec<_> {
        api(snapshot).backends.iter().map(|backend| backend.state.probed).collect()
    };
    let first = until(&handle, |_| true).await;
    assert_eq!(states(&first), [ProbedState::Checking, ProbedState::Checking]);
    assert_eq!(*api(&first).eligible, [true, true], "none is proven yet");
    let judged = until(&handle, |now| states(now) == [ProbedState::Up, ProbedState::Down]).await;
    assert_eq!(*api(&judged).eligible, [true, false]);

    let origin = TcpListener::bind(gone).await.unwrap();
    drop(listener);
    let turned = until(&handle, |now| states(now) == [ProbedState::Down, ProbedState::Up]).await;
    assert_eq!(*api(&turned).eligible, [false, true]);
    drop(origin);
    let causes: Vec<_> = handle.journal().into_iter().map(|entry| entry.cause).collect();
    let told = |words: &str| causes.iter().any(|cause| cause.contains(words));
    assert!(
        told(&format!("api/{gone} down: probe: connection refused (3 in a row)")),
        "{causes:?}"
    );
    assert!(told(&format!("api/{gone} up: probe: connected (2 in a row)")), "{causes:?}");
}

#[tokio::test]
async fn known_health_survives_a_reload_and_new_probes_begin() {
    let gone = nobody("127.0.0.3:0").await;
    let settings = |fall: u8| {
        let more = format!(
            "[upstream.api.health]\ntype = \"tcp\"\ninterval = \"20ms\"\n\
             fast_interval = \"10ms\"\nfall = {fall}\n"
        );
        text(&[&gone.to_string()], &more)
    };
    let handle = start_text(&settings(1)).await;
    let probed = |snapshot: &Snapshot| api(snapshot).backends[0].state.probed;
    let down = until(&handle, |now| probed(now) == ProbedState::Down).await;
    assert!(api(&down).fail_open);
    let generation = handle.apply(load(&settings(2)), Origin::Api).await.unwrap();
    let after = until(&handle, |now| now.generation == generation).await;
    assert_eq!(probed(&after), ProbedState::Down);
    let origin = TcpListener::bind(gone).await.unwrap();
    until(&handle, |now| probed(now) == ProbedState::Up).await;
    drop(origin);
    // Without probes nothing speaks against it.
    let plain = text(&[&gone.to_string()], "");
    let generation = handle.apply(load(&plain), Origin::Api).await.unwrap();
    let after = until(&handle, |now| now.generation == generation).await;
    assert_eq!(probed(&after), ProbedState::Unprobed);
}

/// Nothing is needed of the system.
struct NoStage;

impl Stage for NoStage {
    fn prepare(&mut self, _: &Config) -> Result<(), String> {
        Ok(())
    }

    fn applied(&mut self, _: &Config) {}
}
