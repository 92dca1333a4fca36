//! Responses that are not passed on as they come: read ahead of a slow client, or slowed down.

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Origin, at_rest, get, until};
use crate::{GET, Setup, logged};

/// More than sockets take, and less than the buffer holds.
const LONG: usize = 12 << 20;

fn long() -> Vec<u8> {
    (0..LONG).map(|n| (n % 253) as u8).collect()
}

/// Whether the backend has nothing in flight by now.
async fn until_free(lb: &crate::support::Lb, origin: &Origin) {
    let backend = origin.address();
    let name = format!("plimsoll_backend_in_flight{{upstream=\"app\",backend=\"{backend}\"}}");
    lb.until_metric(&name, 0.0).await;
}

#[tokio::test]
async fn a_slow_client_does_not_hold_a_backend_that_is_read_ahead() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "response_buffer = \"16MiB\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for answer in [
        Answer::Ok(long()),
        Answer::Chunked(long().chunks(100_000).map(<[u8]>::to_vec).collect(), vec![("X-T", "1")]),
        Answer::UntilClose(long()),
    ] {
        origin.answer(answer.clone());
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        origin.until_requests(1).await;
        until_free(&lb, &origin).await;
        let mut other = Client::connect(lb.addr("web")).await;
        other.send("GET /other HTTP/1.1\r\nHost: test\r\n\r\n").await;
        assert_eq!(other.read_response().await.body.len(), LONG, "nobody else is held up");
        let response = client.read_response().await;
        assert!(response.body == long(), "{answer:.20?}");
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200, "the connection goes on");
    }
    let line = logged(&lb, "/other").await;
    assert_eq!(line["response_bytes"], LONG);
}

#[tokio::test]
async fn no_more_is_read_ahead_than_the_buffer_holds() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "response_buffer = \"1MiB\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    origin.answer(Answer::Stream(256 << 20));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    let written = at_rest(|| origin.written()).await;
    assert!(written < (48 << 20) + (2 << 20), "{written} bytes were taken from the backend");
    drop(client);
    until("the backend's connection is closed", async || origin.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_handed_the_rest_is_told_of() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "response_buffer = \"16MiB\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    origin.answer(Answer::Ok(long()));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    until_free(&lb, &origin).await;
    drop(client);
    let line = logged(&lb, "client_gone").await;
    assert_eq!(line["status"], 200);
    assert!(line["response_bytes"].as_u64().unwrap() < LONG as u64);
    assert_eq!(line["attempts"][0]["outcome"], "ok", "the backend has done its part");
}

#[tokio::test]
async fn rates_hold_towards_clients_and_backends() {
    let origin = Origin::start("a").await;
    let body = vec![b'x'; 300_000];
    for route in [
        "rate = { client = 100000, client_after = 50000 }",
        "rate = { client = 100000, client_after = 50000 }\nresponse_buffer = \"1MiB\"",
        "rate = { backend = 125000 }",
        "rate = { client = \"${arg.rate}\", client_after = 50000 }",
        "rate = { backend = \"${arg.rate}\" }",
        "nginx = { x_accel = [\"limit_rate\"] }",
    ] {
        let lb = Setup { route, ..Setup::default() }.before(&[&origin]).await;
        let head =
            "HTTP/1.1 200 OK\r\nX-Accel-Limit-Rate: 120000\r\nContent-Length: 300000\r\n\r\n";
        origin.answer(Answer::Raw([head.as_bytes(), &body].concat()));
        let begun = Instant::now();
        let response = get(lb.addr("web"), "/?rate=100k").await;
        assert_eq!(response.body.len(), body.len(), "{route}");
        // 300 kB of which the first second takes twice the rate or so.
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1200), "{route}: {took:?}");
        assert!(took < Duration::from_secs(10), "{route}: {took:?}");
    }
}
