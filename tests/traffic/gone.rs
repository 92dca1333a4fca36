//! Clients that leave: the backend is spared the rest, and the books say so.

use crate::support::{Answer, Client, Origin};
use crate::{GET, Setup, logged, plain, until_clients};

const ATTEMPTS_GONE: &str = "plimsoll_upstream_attempts_total{outcome=\"client_gone\"}";

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_frees_the_backend() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Never);
    for (round, reset) in [(1, false), (2, true)] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        origin.until_requests(round).await;
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        origin.until_open(0).await;
        lb.until_metric(ATTEMPTS_GONE, round as f64).await;
    }
    let line = logged(&lb, "client_gone").await;
    assert_eq!((line["status"].as_u64(), line["response_bytes"].as_u64()), (Some(499), Some(0)));
    until_clients(&lb, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_response_frees_the_backend() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Stream(256 << 20));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    client.read_exact(100_000).await;
    drop(client);
    origin.until_open(0).await;
    let line = logged(&lb, "client_gone").await;
    assert_eq!(line["status"], 200, "that is what it was sent");
    assert_eq!(line["attempts"][0]["outcome"], "client_gone");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_request_frees_the_backend() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nabc";
    for (round, reset) in [(1, false), (2, true)] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(post).await;
        origin.until_requests(round).await;
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        origin.until_open(0).await;
        lb.until_metric(ATTEMPTS_GONE, round as f64).await;
    }
    assert!(origin.seen().is_empty());
    assert_eq!(logged(&lb, "client_gone").await["status"], 499);
}

#[tokio::test]
async fn a_client_that_pipelines_and_leaves_is_gone_too() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Never);
    let mut client = Client::connect(lb.addr("web")).await;
    client.send([GET, GET, "half of a"].concat()).await;
    origin.until_requests(1).await;
    drop(client);
    origin.until_open(0).await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_client_that_only_ends_its_side_is_served_where_that_is_told() {
    let origin = Origin::start("a").await;
    let setup = Setup { route: "nginx = { ignore_client_abort = true }", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    origin.hold();
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    origin.until_requests(1).await;
    client.half_close().await;
    origin.release();
    assert_eq!(client.read_response().await.text(), "a");
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_that_ends_its_side_at_once_is_served_or_given_up_as_told() {
    let origin = Origin::start("a").await;
    for (told, answered) in [("true", true), ("false", false)] {
        let route = format!("nginx = {{ ignore_client_abort = {told} }}");
        let lb = Setup { route: &route, ..Setup::default() }.before(&[&origin]).await;
        origin.hold();
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        client.half_close().await;
        if answered {
            origin.until_requests(1).await;
            origin.release();
            assert_eq!(client.read_response().await.status, 200);
        } else {
            assert_eq!(logged(&lb, "client_gone").await["status"], 499);
            origin.release();
        }
    }
}
