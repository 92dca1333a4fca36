//! `Expect: 100-continue` and informational responses.

use crate::support::{Answer, Client, Origin, request};
use crate::{GET, Setup, attempt, attempts, logged, plain};

fn expecting(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\nExpect: 100-Continue\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn the_proxy_asks_for_the_body_itself() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..2 {
        client.send(expecting("/", 3)).await;
        let interim = client.read_exact(25).await;
        assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.send("abc").await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.interim.len()), (200, 0));
        assert_eq!(origin.last().body, b"abc");
        assert_eq!(origin.last().header("expect"), None);
    }
}

#[tokio::test]
async fn a_body_that_comes_unasked_is_taken_without_asking() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let response = request(lb.addr("web"), expecting("/", 3) + "abc").await;
    assert_eq!((response.status, response.interim.len()), (200, 0));
    assert_eq!(origin.last().body, b"abc");
}

#[tokio::test]
async fn a_request_that_is_refused_is_not_asked_for_its_body() {
    let mut origin = Origin::start("a").await;
    let setup = Setup { listener: "max_body = 100", route: "path = \"/in\"", ..Setup::default() };
    let lb = setup.before(&[&origin]).await;
    for (target, length, status) in [("/out", 3, 404), ("/in", 101, 413)] {
        let response = request(lb.addr("web"), expecting(target, length)).await;
        assert_eq!((response.status, response.interim.len()), (status, 0));
        assert_eq!(response.header("connection"), Some("close"));
    }
    origin.stop().await;
    let response = request(lb.addr("web"), expecting("/in", 3)).await;
    assert_eq!((response.status, response.interim.len()), (502, 0));
}

#[tokio::test]
async fn only_the_one_expectation_is_known() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let odd = "POST / HTTP/1.1\r\nHost: test\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(request(lb.addr("web"), odd).await.status, 417);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn an_expectation_that_means_nothing_is_ignored() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for head in [
        "GET / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let response = request(lb.addr("web"), head).await;
        assert_eq!((response.status, response.interim.len()), (200, 0), "{head}");
        assert_eq!(origin.last().header("expect"), None);
    }
}

#[tokio::test]
async fn the_backends_100_is_swallowed() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Continue);
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..2 {
        client.send(GET).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.interim.len()), (200, 0));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn early_hints_reach_clients_of_http_1_1_only() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::EarlyHints);
    let response = request(lb.addr("web"), GET).await;
    assert_eq!((response.status, response.interim[0].status), (200, 103));
    assert_eq!(response.interim[0].header("link"), Some("</style.css>"));
    let response = request(lb.addr("web"), "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

#[tokio::test]
async fn sixteen_informational_responses_are_borne_and_no_more() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for (count, status) in [(16, 200), (17, 502)] {
        let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(count);
        let answer = interim + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        origin.answer(Answer::Raw(answer.into_bytes()));
        assert_eq!(request(lb.addr("web"), GET).await.status, status, "{count}");
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_an_invalid_response() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::Upgrade);
    let response = request(lb.addr("web"), GET).await;
    assert_eq!((response.status, response.interim.len()), (502, 0));
    let line = logged(&lb, "502").await;
    assert_eq!(attempts(&line), [attempt("invalid_response", None)]);
}

#[tokio::test]
async fn after_early_hints_went_out_there_is_no_other_attempt() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Setup::default().before(&[&a, &b]).await;
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    a.answer(Answer::RawThenClose(hints));
    let response = request(lb.addr("web"), GET).await;
    assert_eq!((response.status, response.interim.len()), (502, 1));
    assert_eq!(b.requests(), 0);
}

#[tokio::test]
async fn a_text_decides_who_gets_early_hints() {
    let origin = Origin::start("a").await;
    let route = "early_hints_when = \"${header.sec-fetch-mode}\"";
    let lb = Setup { route, ..Setup::default() }.before(&[&origin]).await;
    origin.answer(Answer::EarlyHints);
    for (field, hints) in
        [("Sec-Fetch-Mode: navigate\r\n", 1), ("Sec-Fetch-Mode: 0\r\n", 0), ("", 0)]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n");
        let response = request(lb.addr("web"), head).await;
        assert_eq!((response.status, response.interim.len()), (200, hints), "{field}");
    }
}
