//! Settings of connections to backends hold of those that requests share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::origin::Origin;
use crate::support::{Authority, Lb, Wrapper, get, tls_server, until};
use crate::{before, config, with};

#[tokio::test]
async fn none_is_kept_where_none_shall_be() {
    let origin = Origin::default();
    let (connections, closed) = (Arc::clone(&origin.connections), Arc::clone(&origin.closed));
    let lb = with("pool = { max_idle = 0 }", &[origin.start().await]).await;
    for count in 1..=3 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
        assert_eq!(connections.load(SeqCst), count);
        until("it is closed", async || closed.load(SeqCst) == count).await;
    }
}

#[tokio::test]
async fn of_too_many_in_all_the_one_that_is_idle_for_longest_goes() {
    let origins = [Origin::default(), Origin::default()];
    let closed = [0, 1].map(|n: usize| Arc::clone(&origins[n].closed));
    let connections = [0, 1].map(|n: usize| Arc::clone(&origins[n].connections));
    let [first, second] = origins;
    let backends = [first.start().await, second.start().await];
    let settings = "strategy = \"round_robin\"\npool = { max_idle_total = 1 }";
    let lb = with(settings, &backends).await;
    let sum =
        |counts: &[Arc<AtomicUsize>]| counts.iter().map(|count| count.load(SeqCst)).sum::<usize>();
    for count in 1..=4 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
        assert_eq!(sum(&connections), count);
        until("all but one are closed", async || sum(&closed) == count - 1).await;
    }
    lb.until_metric("plimsoll_pool_connections", 1.0).await;
}

#[tokio::test]
async fn one_on_which_a_request_is_under_way_is_not_idle() {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin { gate: Some(Arc::clone(&gate)), ..Origin::default() };
    let (connections, under_way) = (Arc::clone(&origin.connections), Arc::clone(&origin.under_way));
    let lb = with("pool = { idle_timeout = \"1s\" }", &[origin.start().await]).await;
    let address = lb.addr("main");
    let begun = Instant::now();
    let long = tokio::spawn(async move { get(address, "/").await.status });
    until("it is under way for longer than others are idle", async || {
        under_way.load(SeqCst) == 1 && begun.elapsed() > Duration::from_millis(2500)
    })
    .await;
    let other = tokio::spawn(async move { get(address, "/").await.status });
    until("both are under way", async || under_way.load(SeqCst) == 2).await;
    gate.add_permits(2);
    assert_eq!((long.await.unwrap(), other.await.unwrap()), (200, 200));
    assert_eq!(connections.load(SeqCst), 1);
}

/// What comes to this address goes on to the other one once the gate is open; gives how many came.
async fn gated(to: SocketAddr, gate: Arc<Semaphore>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let gate = Arc::clone(&gate);
            tokio::spawn(async move {
                // Closed is open for all.
                assert!(gate.acquire().await.is_err());
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, came)
}

#[tokio::test]
async fn requests_wait_for_a_connection_that_is_being_opened_and_open_none() {
    let origin = Origin::default().start().await;
    let mut server = tls_server(&Authority::new("any").issue(&["any.test"]));
    server.alpn_protocols = vec![b"h2".to_vec()];
    let secured = Wrapper::around_server(origin, server).await;
    let gate = Arc::new(Semaphore::new(0));
    let (backend, came) = gated(secured.addr(), Arc::clone(&gate)).await;
    let settings = "timeouts = { connect = \"5s\" }\npassive = { max_fails = 0 }\n\
                    tls = { insecure = true }";
    let config = config(settings, &[backend]).replace("\"h2c\"", "\"h2\"");
    let lb = Lb::start(config).await;
    let address = lb.addr("main");
    let ask = || tokio::spawn(async move { get(address, "/").await.status });
    let first = ask();
    until("one is being opened", async || came.load(SeqCst) == 1).await;
    let begun = Instant::now();
    until("others have more time", async || begun.elapsed() > Duration::from_secs(3)).await;
    let others: Vec<_> = (0..4).map(|_| ask()).collect();
    lb.until_metric("plimsoll_backend_in_flight", 5.0).await;
    assert_eq!(came.load(SeqCst), 1);
    // Who opened it has no more time: one of the others opens the next.
    assert_eq!(first.await.unwrap(), 504);
    until("another one is being opened", async || came.load(SeqCst) == 2).await;
    gate.close();
    for other in others {
        assert_eq!(other.await.unwrap(), 200);
    }
    assert_eq!(came.load(SeqCst), 2);
}

#[tokio::test]
async fn the_system_asks_whether_a_silent_backend_is_still_there() {
    let backend = Origin::default().start().await;
    let lb = before(&[backend]).await;
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    let (to, established, probes) = (format!(":{:04X}", backend.port()), "01", "02:");
    until("the timer of probes runs", async || {
        std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[2].ends_with(&to) && fields[3] == established && fields[5].starts_with(probes)
        })
    })
    .await;
}
