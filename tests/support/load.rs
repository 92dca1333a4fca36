//! Steady load: a few clients that ask again as soon as they are answered, and count.

use std::iter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::task::JoinSet;

use super::{Client, in_time, until};

/// Clients under way; each keeps its connection for as long as the other side does.
pub(crate) struct Load {
    clients: JoinSet<Vec<String>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answered: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// So many clients, one `GET /` after the other each.
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        Self::start_at(&[address], clients, "")
    }

    /// So many clients at each of these, who connect anew for each request.
    pub(crate) fn start_newcomers(addresses: &[SocketAddr], clients: usize) -> Self {
        Self::start_at(addresses, clients, "Connection: close\r\n")
    }

    fn start_at(addresses: &[SocketAddr], clients: usize, field: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let all = addresses.iter().flat_map(|address| iter::repeat_n(*address, clients));
        let clients = all.map(|address| client(address, field, Arc::clone(&shared)));
        Self { clients: clients.collect(), shared }
    }

    /// Requests that were answered with 200 so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(SeqCst)
    }

    /// Waits for so many further good answers.
    pub(crate) async fn until_answered(&self, more: usize) {
        let enough = self.answered() + more;
        until("the load is answered", async || self.answered() >= enough).await;
    }

    /// Lets the requests under way finish, and fails if any request of all ended otherwise than
    /// with a whole 200.
    pub(crate) async fn expect_all_good(self) {
        self.shared.stop.store(true, SeqCst);
        self.expect_served_to_the_end().await;
    }

    /// Goes on until nobody listens any more, and fails as [`Load::expect_all_good`] does.
    pub(crate) async fn expect_served_to_the_end(self) {
        let failures = in_time("the end of the load", self.clients.join_all()).await;
        let failures: Vec<_> = failures.into_iter().flatten().collect();
        assert!(
            failures.is_empty(),
            "{} failed requests beside {} good ones: {:#?}",
            failures.len(),
            self.shared.answered.load(SeqCst),
            &failures[..failures.len().min(3)]
        );
    }
}

/// One client; gives what went wrong. A connection ends only after an answer that says so.
async fn client(address: SocketAddr, field: &str, shared: Arc<Shared>) -> Vec<String> {
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n");
    let mut failures = Vec::new();
    let mut kept: Option<Client> = None;
    while !shared.stop.load(SeqCst) {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match Client::try_connect(address).await {
                Some(connection) => connection,
                None => break,
            },
        };
        connection.send_what_is_taken(&request).await;
        match connection.try_read_response().await {
            Ok(response) if response.status == 200 => {
                shared.answered.fetch_add(1, SeqCst);
                if response.header("connection") != Some("close") {
                    kept = Some(connection);
                }
            }
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}
