//! Many writers at once: no update is lost, no reader sees a torn world.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::model::{Clock, Finding, Found, ProbedState};

const WRITERS: usize = 8;
const BACKENDS: usize = 48;

fn world(with_another: bool) -> String {
    let backends = |upstream: &str, address: fn(usize) -> String| {
        let entry = |n| format!("[[upstream.{upstream}.backend]]\naddress = \"{}\"\n", address(n));
        (0..BACKENDS).map(entry).collect::<Vec<_>>().concat()
    };
    // Nobody listens at port 1: what real probes find agrees with what the writers tell.
    let another = "[[upstream.aaa.backend]]\naddress = \"10.1.0.1:80\"\n";
    [
        HEAD,
        &backends("api", |n| format!("10.0.0.{n}:80")),
        &backends("probed", |n| format!("127.0.0.{}:1", n + 1)),
        "[upstream.api.passive]\nfail_timeout = \"1h\"\n",
        "[upstream.probed.health]\ntype = \"tcp\"\nfall = 1\n\
         start_period = \"off\"\n",
        if with_another { another } else { "" },
    ]
    .concat()
}

/// What must hold within every single snapshot.
fn check(snapshot: &Snapshot) {
    for upstream in &snapshot.upstreams {
        assert_eq!(upstream.backends.len(), upstream.eligible.len());
        assert_eq!(upstream.backends.len(), upstream.live.len());
        let serves = |probed| matches!(probed, ProbedState::Up | ProbedState::Unprobed);
        let anyone = |wanted: &dyn Fn(ProbedState) -> bool| {
            let mut states = upstream.backends.iter().map(|backend| backend.state);
            states.any(|state| state.passive == PassiveState::Ok && wanted(state.probed))
        };
        let proven = anyone(&serves);
        let unproven = anyone(&|probed| probed == ProbedState::Checking);
        assert_eq!(upstream.fail_open, !proven && !unproven, "{}", upstream.name);
        for (backend, eligible) in upstream.backends.iter().zip(&upstream.eligible) {
            let state = backend.state;
            let ok = state.passive == PassiveState::Ok;
            let expected = upstream.fail_open
                || ok && (serves(state.probed) || !proven && state.probed == ProbedState::Checking);
            assert_eq!(*eligible, expected, "{} {state:?}", backend.label);
        }
    }
    let parked = api(snapshot).backends.iter().filter(|b| b.state.passive != PassiveState::Ok);
    assert!(parked.count() < BACKENDS, "the last one left is never parked");
}

/// Looks at every snapshot it can catch until `done`.
fn read(mut reader: Reader, done: &AtomicBool) {
    let mut last = Generation(0);
    while !done.load(Ordering::Relaxed) {
        let now = reader.current();
        assert!(now.generation >= last, "generations only grow");
        if now.generation > last {
            check(now);
            last = now.generation;
        }
        thread::yield_now();
    }
}

/// Tells of every backend, in an order of its own; two of the writers reload besides.
fn write(writer: usize, handle: &Handle, api_ids: &[BackendId], probed_ids: &[BackendId]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events = handle.events();
    for step in 0..BACKENDS {
        let n = (step * 5 + writer * 7) % BACKENDS;
        events.blocking_send(crossed(api_ids[n])).unwrap();
        let probed = Event::Probed {
            backend: probed_ids[n],
            // Numbers are given in the order of the file.
            check: n as u64 + 1,
            finding: Finding::new(Found::Down, "told by a test"),
            took: Duration::ZERO,
            at: Clock::now(),
        };
        events.blocking_send(probed).unwrap();
        if writer < 2 && step.is_multiple_of(8) {
            let loaded = load(&world(step.is_multiple_of(16)));
            runtime.block_on(handle.apply(loaded, Origin::Embedder)).unwrap();
        }
    }
}

#[tokio::test]
async fn many_writers_lose_nothing_and_tear_nothing() {
    let handle = start_text(&world(false)).await;
    let first = until(&handle, |_| true).await;
    let ids = |name: &str| -> Vec<_> {
        let upstream = first.upstream_by_name(name).unwrap();
        upstream.backends.iter().map(|backend| backend.id).collect()
    };
    let (api_ids, probed_ids) = (ids("api"), ids("probed"));
    let done = Arc::new(AtomicBool::new(false));
    let readers = [handle.reader(), handle.reader()].map(|reader| {
        let done = Arc::clone(&done);
        thread::spawn(move || read(reader, &done))
    });
    let writer = handle.clone();
    let writing = tokio::task::spawn_blocking(move || {
        thread::scope(|scope| {
            for n in 0..WRITERS {
                let (writer, api_ids, probed_ids) = (&writer, &api_ids, &probed_ids);
                scope.spawn(move || write(n, writer, api_ids, probed_ids));
            }
        });
    });
    writing.await.unwrap();
    // Events that were sent last may still wait.
    let last = until(&handle, |now| {
        let left = api(now).eligible.iter().filter(|eligible| **eligible).count();
        let probed = now.upstream_by_name("probed").unwrap();
        left == 1 && probed.backends.iter().all(|b| b.state.probed == ProbedState::Down)
    })
    .await;
    check(&last);
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    let generations: Vec<_> = handle.journal().iter().map(|entry| entry.generation.0).collect();
    assert!(generations.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is left out");
}
