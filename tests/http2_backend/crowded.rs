//! More at once than one connection bears: each carries what its backend allows, and no more are opened
//! than are needed.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use tokio::sync::Semaphore;

use crate::origin::{Origin, telling};
use crate::support::frames::{
    END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, asking, block, frame, setting,
};
use crate::support::{Lb, get, in_time, until};
use crate::{before, config, with};

#[tokio::test]
async fn a_connection_carries_what_its_backend_allows_and_the_rest_goes_over_others() {
    let gate = Arc::new(Semaphore::new(1));
    let origin = Origin { gate: Some(Arc::clone(&gate)), most: Some(2), ..Origin::default() };
    let lb = before(&[origin.clone().start().await]).await;
    // The limit is known with the first answer.
    assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    let address = lb.addr("main");
    let ask = |count| -> Vec<_> {
        (0..count).map(|_| tokio::spawn(async move { get(address, "/").await.status })).collect()
    };
    // Two of them a connection, and nobody is refused.
    let clients = ask(6);
    until("all are asked at once", async || origin.under_way.load(SeqCst) == 7).await;
    assert_eq!(origin.connections.load(SeqCst), 3);
    gate.add_permits(6);
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    lb.until_metric("plimsoll_pool_connections", 3.0).await;
    // They are all used again.
    let clients = ask(6);
    until("all are asked at once", async || origin.under_way.load(SeqCst) == 13).await;
    gate.add_permits(6);
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    assert_eq!((origin.connections.load(SeqCst), origin.closed.load(SeqCst)), (3, 0));
}

#[tokio::test]
async fn of_those_that_are_idle_again_as_many_are_kept_as_shall_be() {
    let gate = Arc::new(Semaphore::new(1));
    let origin = Origin { gate: Some(Arc::clone(&gate)), most: Some(1), ..Origin::default() };
    let lb = with("pool = { max_idle = 2 }", &[origin.clone().start().await]).await;
    let address = lb.addr("main");
    assert_eq!(get(address, "/").await.status, 200);
    let clients: Vec<_> =
        (0..5).map(|_| tokio::spawn(async move { get(address, "/").await.status })).collect();
    until("all are asked at once", async || origin.under_way.load(SeqCst) == 6).await;
    gate.add_permits(6);
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    lb.until_metric("plimsoll_pool_connections", 2.0).await;
    until("the others are closed", async || origin.closed.load(SeqCst) == 3).await;
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody_else() {
    // Once the backend allows more than there are, once they take all of what it allows.
    // Of each answer the backend's window may wait here, with some 250 bytes for each of its frames (in KiB).
    for (path, streams, most, needed, held) in
        [("/much", 400, 1000, 1, 128), ("/many", 20, 1000, 1, 3072), ("/much", 100, 100, 2, 128)]
    {
        let origin = Origin { most: Some(most), ..Origin::default() };
        let backend = origin.clone().start().await;
        let listener = "name = \"main\"\nhttp2 = true\nmax_streams = 1000";
        let config = config("", &[backend]).replace("name = \"main\"", listener);
        let lb = Lb::start(config).await;
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
        let before = lb.memory();
        // With no window for any answer.
        let mut frames = Frames::with_settings(lb.addr("main"), &setting(4, 0)).await;
        for n in 0..streams {
            let asked = block(&asking("GET", path));
            frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, asked)).await;
        }
        for _ in 0..streams {
            frames.until(|frame| frame.kind == HEADERS).await.unwrap();
        }
        let asked = || origin.under_way.load(SeqCst);
        until("all have been asked", async || asked() > streams as usize).await;
        for _ in 0..20 {
            assert_eq!(get(lb.addr("main"), "/").await.body, b"got 0");
        }
        assert_eq!(origin.connections.load(SeqCst), needed, "{path}");
        let now = lb.memory();
        let most = before + streams as usize * held + (16 << 10);
        assert!(now < most, "{path}: {before} KiB before, {now} now");
    }
}

#[tokio::test]
async fn who_gives_up_request_after_request_leaves_none_at_the_backend() {
    // One at a time, so that each has the place of the one before.
    let (backend, mut told) = telling(setting(3, 1), |_| Vec::new()).await;
    let config = config("", &[backend]).replace("name = \"main\"", "name = \"main\"\nhttp2 = true");
    let lb = Lb::start(config).await;
    let mut frames = Frames::open(lb.addr("main")).await;
    for stream in (1..300).step_by(2) {
        let asked = block(&asking("GET", "/"));
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, asked)).await;
        in_time("it is asked", async { while told.recv().await != Some((HEADERS, stream)) {} })
            .await;
        frames.send(frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes())).await;
        let reset = async { while told.recv().await != Some((RST_STREAM, stream)) {} };
        in_time("it is told", reset).await;
    }
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
}
