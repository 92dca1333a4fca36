//! Requests at a constant rate, whoever answers: an open loop, so that a backend that hangs does not slow
//! its clients down. Each has an id of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::{Client, in_time, until};

/// Between two requests: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// One in so many is a POST.
const POSTS: usize = 5;

/// A load under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clock: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    begun: AtomicUsize,
    stop: AtomicBool,
    /// What went wrong, by id; `None` is nothing.
    ended: Mutex<BTreeMap<usize, Option<String>>>,
}

impl Load {
    /// Begins to ask there.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let of = Arc::clone(&shared);
        let clock = tokio::spawn(async move {
            let mut clock = interval(PACE);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !of.stop.load(SeqCst) {
                clock.tick().await;
                let (id, of) = (of.begun.fetch_add(1, SeqCst), Arc::clone(&of));
                tokio::spawn(async move {
                    let ended = ask(address, id).await.err();
                    of.ended.lock().unwrap().insert(id, ended);
                });
            }
        });
        Self { shared, clock }
    }

    /// Requests that were begun so far: the id of the next one.
    pub(crate) fn begun(&self) -> usize {
        self.shared.begun.load(SeqCst)
    }

    /// Waits until so many more were begun.
    pub(crate) async fn until_more(&self, more: usize) {
        let enough = self.begun() + more;
        until("the load goes on", async || self.begun() >= enough).await;
    }

    /// Waits until a request succeeds that was begun from now on.
    pub(crate) async fn until_served(&self) {
        let now = self.begun();
        until("requests are served", async || {
            self.shared.ended.lock().unwrap().range(now..).any(|(_, failed)| failed.is_none())
        })
        .await;
    }

    /// No further request is begun; waits for those under way, and gives what became of all.
    pub(crate) async fn end(self) -> Ended {
        self.shared.stop.store(true, SeqCst);
        in_time("the clock", self.clock).await.unwrap();
        let all = self.shared.begun.load(SeqCst);
        let done = || self.shared.ended.lock().unwrap().len();
        until("every request has ended", async || done() == all).await;
        Ended(std::mem::take(&mut self.shared.ended.lock().unwrap()))
    }
}

/// What became of the requests.
pub(crate) struct Ended(BTreeMap<usize, Option<String>>);

impl Ended {
    /// What failed among the requests of these ids that may be repeated.
    pub(crate) fn failed_gets(&self, ids: std::ops::Range<usize>) -> Vec<String> {
        let gets = self.0.range(ids).filter(|(id, _)| !is_post(**id));
        gets.filter_map(|(id, failed)| Some(format!("{id}: {}", failed.as_ref()?))).collect()
    }

    /// How many were made, and how many failed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().flatten().count())
    }
}

/// Whether the request of that id is a POST.
pub(crate) fn is_post(id: usize) -> bool {
    id.is_multiple_of(POSTS)
}

async fn ask(address: SocketAddr, id: usize) -> Result<(), String> {
    let request = if is_post(id) {
        format!("POST /post/{id} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nonce")
    } else {
        format!("GET /get/{id} HTTP/1.1\r\nHost: test\r\n\r\n")
    };
    let mut client = Client::try_connect(address).await.ok_or("refused")?;
    client.send_what_is_taken(&request).await;
    match client.try_read_response().await {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(format!("{} {}", response.status, response.text())),
        Err(broken) => Err(format!("{broken:?}")),
    }
}
