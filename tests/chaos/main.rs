//! Faults under a constant load: 200 requests a second, one in five a POST, to three backends of which
//! one fails in every way that backends fail.
//!
//! Of each fault it is printed how long it took until the backend was left, and until it was back
//! (`cargo test --test chaos -- --nocapture`). No time is judged, for machines differ; what is judged:
//! no request that may be repeated fails once the fault is known, and no POST ever comes twice.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]
#![allow(clippy::print_stdout, reason = "how long it took is told, and not judged")]

#[path = "../support/mod.rs"]
mod support;

mod front;
mod load;
mod names;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use front::{Door, Front};
use load::{Ended, Load};
use names::Names;
use server::Server;
use support::{Answer, Lb, Origin, config, until};

/// Probes find out what requests do not, and keep trials away from who is down.
const SETTINGS: &str = "strategy = \"round_robin\"\n\
    timeouts = { connect = \"500ms\", read = \"1s\" }\n\
    retry = { statuses = [503], budget = 100 }\n\
    passive = { max_fails = 3, fail_timeout = \"1s\", statuses = [503], hung_time = \"500ms\" }\n\
    health = { path = \"/health\", interval = \"200ms\", timeout = \"500ms\", fall = 1, rise = 1, \
               fast_interval = \"200ms\", down_interval = \"200ms\" }";

/// Three backends under load; the first one is at that address.
struct Play {
    lb: Lb,
    load: Load,
    first: String,
    others: [Origin; 2],
    fault: &'static str,
}

impl Play {
    async fn begin(fault: &'static str, first: SocketAddr) -> Self {
        Self::with(fault, first.to_string(), "").await
    }

    /// The same with an address as a configuration writes it, and further sections.
    async fn with(fault: &'static str, first: String, more: &str) -> Self {
        let others = [Origin::start("b").await, Origin::start("c").await];
        let addresses = [first.clone(), others[0].address(), others[1].address()];
        let backends = addresses.map(|address| format!("address = \"{address}\""));
        let lb = Lb::start(config("", SETTINGS, &backends) + more).await;
        let load = Load::start(lb.addr("main"));
        let play = Self { lb, load, first, others, fault };
        until("all serve", async || play.serves().await).await;
        // So many that it is known what is usual.
        play.load.until_more(300).await;
        play
    }

    /// Whether the first backend may be picked.
    async fn serves(&self) -> bool {
        let list = self.lb.api("/api/v1/ha/load-balancer/backends").await;
        let mut backends = list["backends"].as_array().unwrap().iter();
        // What a name resolves to stands behind it.
        let is_first =
            |one: &&Value| one["backend"].as_str().is_some_and(|of| of.starts_with(&self.first));
        let Some(first) = backends.find(is_first) else { return false };
        first["eligible"] == true && first["passive_state"] == "ok"
    }

    /// Waits until the fault is known; gives the first request of after that.
    async fn until_left(&self) -> usize {
        let begun = Instant::now();
        until("it is left", async || !self.serves().await).await;
        println!("{}: left after {:.0?}", self.fault, begun.elapsed());
        self.load.begun()
    }

    /// Has the load go on for a while, mends the fault and waits until the first backend is back.
    async fn mend(&self, mend: impl AsyncFnOnce()) {
        self.load.until_more(300).await;
        mend().await;
        let begun = Instant::now();
        until("it is back", async || self.serves().await).await;
        println!("{}: back after {:.0?}", self.fault, begun.elapsed());
        self.load.until_more(100).await;
    }

    /// Judges the requests from `known` on; `targets` are those that the first backend got.
    async fn end(self, known: usize, targets: impl FnOnce() -> Vec<String>) -> Ended {
        let ended = self.load.end().await;
        let (made, failed) = ended.counts();
        println!("{}: {failed} of {made} requests failed", self.fault);
        let failed = ended.failed_gets(known..usize::MAX);
        assert!(failed.is_empty(), "{}: {failed:?}", self.fault);
        let others = self.others.iter().flat_map(targets_of);
        once_each(targets().into_iter().chain(others));
        ended
    }
}

/// The targets that an origin was asked for.
fn targets_of(origin: &Origin) -> Vec<String> {
    let seen = origin.seen();
    seen.iter().map(|one| one.line().split(' ').nth(1).unwrap().to_owned()).collect()
}

/// Fails if a POST has come twice, wherever.
fn once_each(targets: impl Iterator<Item = String>) {
    let mut times = BTreeMap::<String, u32>::new();
    for target in targets.filter(|target| target.starts_with("/post/")) {
        *times.entry(target).or_default() += 1;
    }
    assert!(times.len() > 50, "POSTs have come: {}", times.len());
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
}

/// A fault of an origin.
async fn answers(fault: &'static str, answer: Answer) {
    let origin = Origin::start("a").await;
    let play = Play::begin(fault, origin.socket_addr()).await;
    origin.answer(answer);
    let known = play.until_left().await;
    play.mend(async || origin.answer(Answer::Status(200))).await;
    play.end(known, || targets_of(&origin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_killed() {
    let mut server = Server::start().await;
    let play = Play::begin("kill -9", server.address()).await;
    server.kill();
    let known = play.until_left().await;
    play.mend(async || server.restart().await).await;
    play.end(known, || server.targets()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_stopped() {
    let server = Server::start().await;
    let play = Play::begin("SIGSTOP", server.address()).await;
    server.pause();
    let known = play.until_left().await;
    play.mend(async || server.go_on()).await;
    play.end(known, || server.targets()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_break_off_in_the_middle() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Le".to_vec();
    answers("reset in the middle of an answer", Answer::RawThenClose(half)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_errors() {
    answers("burst of 503", Answer::Status(503)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_two_seconds_late() {
    let origin = Origin::start("a").await;
    let front = Front::before(origin.socket_addr());
    let play = Play::begin("two seconds later", front.address()).await;
    front.is(Door::Late);
    let known = play.until_left().await;
    play.mend(async || front.is(Door::Open)).await;
    play.end(known, || targets_of(&origin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_lead_nowhere() {
    let origin = Origin::start("a").await;
    let front = Front::before(origin.socket_addr());
    let play = Play::begin("black hole", front.address()).await;
    front.is(Door::BlackHole);
    let known = play.until_left().await;
    play.mend(async || front.is(Door::Open)).await;
    play.end(known, || targets_of(&origin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_server_is_gone() {
    let (origin, names) = (Origin::start("a").await, Names::start().await);
    let more = format!("\n[dns]\nservers = [\"{}\"]\ntimeout = \"100ms\"\n", names.address());
    let first = format!("app.test:{}", origin.port());
    let play = Play::with("DNS gone", first, &more).await;
    let known = play.load.begun();
    names.fall_silent();
    let failed = "plimsoll_discovery_updates_total{result=\"failed\"}";
    until("the name was asked for in vain", async || {
        play.lb.metric(failed).await.is_some_and(|times| times >= 2.0)
    })
    .await;
    play.load.until_more(100).await;
    until("the last good answer is kept", async || play.serves().await).await;
    play.end(known, || targets_of(&origin)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_go_down_and_come_back() {
    let mut origin = Origin::start("a").await;
    let mut play = Play::begin("all down", origin.socket_addr()).await;
    origin.stop().await;
    for other in &mut play.others {
        other.stop().await;
    }
    play.load.until_more(200).await;
    let begun = Instant::now();
    origin.restart().await;
    for other in &mut play.others {
        other.restart().await;
    }
    play.load.until_served().await;
    println!("all down: served again after {:.0?}", begun.elapsed());
    until("all serve", async || play.serves().await).await;
    let known = play.load.begun();
    play.load.until_more(200).await;
    let ended = play.end(known, || targets_of(&origin)).await;
    assert!(ended.counts().1 > 0, "nobody was there for a while");
}
