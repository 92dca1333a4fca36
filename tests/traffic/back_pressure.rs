//! Whoever does not read stops whoever sends: nothing is collected in between.

use std::sync::atomic::Ordering::Relaxed;

use crate::support::{Answer, Client, Origin, at_rest};
use crate::wired::Wired;
use crate::{GET, Setup, plain};

/// Far more than fits into sockets.
const MUCH: usize = 96 << 20;
/// What sockets may swallow: two of them, each with both its buffers, at the kernel's most.
const SOCKETS: usize = 48 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_backend() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Stream(MUCH));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    let written = at_rest(|| origin.written()).await;
    assert!(written < SOCKETS, "{written} bytes were taken from the backend");
    let response = client.read_response().await;
    assert_eq!(response.body.len(), MUCH, "and goes on once the client reads");
}

#[tokio::test]
async fn a_backend_that_does_not_read_stops_the_client() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {MUCH}\r\n\r\n")).await;
    let mut wire = backend.accept().await;
    let sent = client.upload(MUCH);
    let taken = at_rest(|| sent.load(Relaxed)).await;
    assert!(taken < SOCKETS, "{taken} bytes were taken from the client");
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
}
