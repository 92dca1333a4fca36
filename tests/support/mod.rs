//! The harness of the integration tests: origins, clients and the program between them.
//!
//! Each test binary takes it in with `#[path = "../support/mod.rs"] mod support;`.
//! [`Origin`] is a backend whose every byte the test decides, [`Client`] one whose every byte the
//! test writes and sees, [`Lb`] the real program with a configuration of the test's. Ports are
//! chosen by the kernel, or by [`free_port`] for programs that have to be told. Nothing here sleeps in the hope that something has happened: tests
//! wait for facts ([`until`]), and a fact that does not come fails with its name.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]
#![allow(dead_code, unused_imports, reason = "each test binary uses the part that it needs")]

mod client;
pub(crate) mod frames;
mod lb;
mod load;
mod origin;
mod serve;
mod tls;
mod toml;
mod wire;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub(crate) use client::{Broken, Client, get, request};
pub(crate) use lb::{Lb, metric};
pub(crate) use load::Load;
pub(crate) use origin::{Answer, Origin, Seen};
pub(crate) use tls::{Authority, Pair, Shake, Wrapper, prefixed, provider, server as tls_server};
pub(crate) use toml::{at, at_with, config};
pub(crate) use wire::{Fields, Response, find};

/// How long any single fact may take to come about. Generous: it is only ever waited for in full
/// by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A port that is free now, for a program that cannot be told to let the kernel choose: from below the
/// range of which the kernel gives ports by itself, and no port twice, so that nobody else takes it until
/// the program does.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let ports = 10_000..32_000;
    let next = NEXT.get_or_init(|| AtomicU16::new(fastrand::u16(ports.clone())));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let port = ports.start + number % (ports.end - ports.start);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `fact` holds; fails with `what` if it does not within [`PATIENCE`].
pub(crate) async fn until(what: &str, fact: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, fact).await;
}

/// Waits until a fact holds whose making takes its own time, as the start of a browser does.
pub(crate) async fn until_within(
    patience: Duration,
    what: &str,
    mut fact: impl AsyncFnMut() -> bool,
) {
    let end = Instant::now() + patience;
    while !fact().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(2)).await;
    }
    // What was said before the fact, and is here by now, is read by other tasks.
    tokio::task::yield_now().await;
}

/// Waits until a count that something holds back has come to rest, and gives it: how far a sender
/// got against back-pressure. It can only be too low, so what is asserted is an upper bound.
pub(crate) async fn at_rest(mut count: impl FnMut() -> usize) -> usize {
    let (mut last, mut since) = (count(), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        sleep(Duration::from_millis(10)).await;
        if count() != last {
            (last, since) = (count(), Instant::now());
        }
    }
    last
}

/// Waits for something that ends by itself; fails with `what` if it does not within [`PATIENCE`].
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
