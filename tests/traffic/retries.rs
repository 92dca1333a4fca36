//! Another attempt: where it helps and is safe, and never otherwise.

use crate::support::{Answer, Client, Lb, Origin, request};
use crate::wired::Wired;
use crate::{GET, Setup, attempt, attempts, logged, until_clients};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";
const PUT_CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                           3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";

async fn two(upstream: &str) -> (Origin, Origin, Lb) {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let setup = Setup { upstream, ..Setup::default() };
    let lb = setup.before(&[&a, &b]).await;
    (a, b, lb)
}

/// What the client got, and what was logged of the attempts.
async fn answered(lb: &Lb, head: &str) -> (u16, Vec<(String, Option<String>)>) {
    let response = request(lb.addr("web"), head).await;
    (response.status, attempts(&logged(lb, "\"attempts\"").await))
}

#[tokio::test]
async fn a_refused_connection_sends_any_request_elsewhere() {
    for head in [GET, POST, PUT_CHUNKED] {
        let (mut a, b, lb) = two("retry = { on = [] }").await;
        a.stop().await;
        let expected = [attempt("connect_failed", Some("connect_failed")), attempt("ok", None)];
        assert_eq!(answered(&lb, head).await, (200, expected.to_vec()), "{head}");
        assert_eq!(b.requests(), 1);
    }
}

#[tokio::test]
async fn each_backend_is_tried_once() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let setup = Setup { upstream: "retry = { tries = 9 }", ..Setup::default() };
    let lb = setup.before(&[&a, &b]).await;
    a.answer(Answer::Reset);
    b.answer(Answer::Close);
    let expected = [attempt("reset", Some("reset")), attempt("reset", None)];
    assert_eq!(answered(&lb, GET).await, (502, expected.to_vec()));
    assert_eq!((a.requests(), b.requests()), (1, 1));
    let line = logged(&lb, "attempts").await;
    let backends: Vec<_> =
        [0, 1].map(|ix| line["attempts"][ix]["backend"].as_str().unwrap().to_owned()).into();
    assert_eq!(backends, [a.address(), b.address()]);
}

#[tokio::test]
async fn a_reset_before_the_head_is_retried_for_idempotent_requests() {
    for (upstream, head, status, others) in [
        ("", GET, 200, 1),
        ("", PUT_CHUNKED, 200, 1),
        ("", POST, 502, 0),
        ("retry = { non_idempotent = true }", POST, 200, 1),
        ("retry = { on = [] }", GET, 502, 0),
        ("retry = { tries = 1 }", GET, 502, 0),
    ] {
        for answer in [Answer::Reset, Answer::Close] {
            let (a, b, lb) = two(upstream).await;
            a.answer(answer);
            let got = request(lb.addr("web"), head).await.status;
            assert_eq!((got, b.requests()), (status, others), "{upstream} {head}");
        }
    }
}

#[tokio::test]
async fn a_body_is_sent_again_whole() {
    let (a, b, lb) = two("").await;
    a.answer(Answer::Reset);
    assert_eq!(request(lb.addr("web"), PUT_CHUNKED).await.status, 200);
    for seen in [a.last(), b.last()] {
        assert_eq!(seen.body, b"abcde");
        assert_eq!(seen.trailers.one("x-t"), Some("1"));
    }
}

#[tokio::test]
async fn a_body_is_sent_again_up_to_the_limit_only() {
    for (length, status) in [(1000, 200), (1001, 502)] {
        let (a, b, lb) = two("retry = { replay_body = 1000 }").await;
        a.answer(Answer::Reset);
        let body = "x".repeat(length);
        let head =
            format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}");
        let got = request(lb.addr("web"), &head).await.status;
        assert_eq!(got, status, "{length}");
        assert_eq!(b.requests(), usize::from(status == 200));
    }
}

#[tokio::test]
async fn the_rest_of_a_body_follows_what_is_sent_again() {
    let (a, b) = (Wired::bind("127.0.0.1").await, Origin::start("b").await);
    let lb = Setup::default().start(&[&a.address(), &b.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc").await;
    let mut wire = a.accept().await;
    // The id in the head may have the same letters.
    wire.head().await;
    wire.read_until("abc").await;
    drop(wire);
    b.until_requests(1).await;
    client.send("def").await;
    assert_eq!(client.read_response().await.status, 200);
    assert_eq!(b.last().body, b"abcdef");
}

#[tokio::test]
async fn a_time_out_is_retried_if_listed() {
    for (on, status) in [("[\"timeout\"]", 200), ("[\"reset\"]", 504)] {
        let upstream = format!("retry = {{ on = {on} }}\ntimeouts = {{ read = \"1s\" }}");
        let (a, b, lb) = two(&upstream).await;
        a.answer(Answer::Never);
        let (got, tries) = answered(&lb, GET).await;
        assert_eq!((got, tries[0].0.as_str()), (status, "timeout"));
        assert_eq!(b.requests(), usize::from(status == 200));
    }
}

#[tokio::test]
async fn a_listed_status_is_retried_and_the_last_one_passed_on() {
    let (a, b, lb) = two("retry = { statuses = [503, 404] }").await;
    a.answer(Answer::Status(503));
    let expected = [attempt("status", Some("status")), attempt("ok", None)];
    assert_eq!(answered(&lb, GET).await, (200, expected.to_vec()));
    b.answer(Answer::Status(404));
    let response = request(lb.addr("web"), GET).await;
    assert_eq!((response.status, response.text().as_str()), (404, "b"));
    let response = request(lb.addr("web"), POST).await;
    assert_eq!((response.status, response.text().as_str()), (503, "a"));
    a.answer(Answer::Status(500));
    assert_eq!(request(lb.addr("web"), GET).await.status, 500);
}

#[tokio::test]
async fn an_invalid_response_is_retried_if_listed() {
    for (on, status) in [("[\"invalid_response\"]", 200), ("[\"reset\"]", 502)] {
        let (a, _b, lb) = two(&format!("retry = {{ on = {on} }}")).await;
        a.answer(Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
        let (got, tries) = answered(&lb, GET).await;
        assert_eq!((got, tries[0].0.as_str()), (status, "invalid_response"));
    }
}

#[tokio::test]
async fn no_attempt_is_begun_after_the_time_for_them() {
    let upstream = "retry = { timeout = \"50ms\" }\ntimeouts = { read = \"100ms\" }";
    let (a, b, lb) = two(upstream).await;
    a.answer(Answer::Never);
    assert_eq!(request(lb.addr("web"), GET).await.status, 504);
    assert_eq!(b.requests(), 0);
}

#[tokio::test]
async fn the_total_time_bounds_all_attempts() {
    let (a, b, lb) = two("timeouts = { read = \"30s\", total = \"200ms\" }").await;
    a.answer(Answer::Never);
    assert_eq!(answered(&lb, GET).await, (504, vec![attempt("timeout", None)]));
    assert_eq!(b.requests(), 0);
    assert_eq!(logged(&lb, "attempts").await["failure"], "total_timeout");
}

#[tokio::test]
async fn nothing_is_retried_once_the_response_has_begun() {
    let (a, b, lb) = two("").await;
    a.answer(Answer::Cut { declared: 10, sent: 4 });
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let broken = client.try_read_response().await.unwrap_err();
    assert_eq!(broken.partial.unwrap().body, b"xxxx");
    assert_eq!(b.requests(), 0);
    let line = logged(&lb, "attempts").await;
    assert_eq!(attempts(&line), [attempt("truncated", None)]);
    assert_eq!((line["status"].as_u64(), line["response_bytes"].as_u64()), (Some(200), Some(4)));
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_leaves_the_backend_its_time() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        upstream: "timeouts = { connect = \"1s\", read = \"1s\", total = \"1s\" }",
        more: "[[listener]]\nname = \"hasty\"\naddress = \"127.0.0.1:0\"\n\
               header_timeout = \"1500ms\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let mut slow = Client::connect(lb.addr("web")).await;
    slow.send(&GET[..9]).await;
    until_clients(&lb, 1).await;
    // Once another client is refused for its slowness, more time has passed than a backend has.
    let mut other = Client::connect(lb.addr("hasty")).await;
    other.send(&GET[..9]).await;
    assert_eq!(other.read_response().await.status, 408);
    slow.send(&GET[9..]).await;
    assert_eq!(slow.read_response().await.status, 200);
}

#[tokio::test]
async fn no_more_is_repeated_than_the_budget_allows_and_who_was_not_seen_needs_none() {
    let upstream = "retry = { budget = 0, budget_min = 2, backoff = \"off\" }";
    let (mut a, b, lb) = two(upstream).await;
    a.answer(Answer::Reset);
    for status in [200, 200, 502] {
        assert_eq!(request(lb.addr("web"), GET).await.status, status);
    }
    let denied = "plimsoll_upstream_retries_denied_total{upstream=\"app\",reason=\"budget\"}";
    assert_eq!(lb.metric(denied).await, Some(1.0));
    a.stop().await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    assert_eq!(b.requests(), 3);
}

/// Between a failure and the next attempt, drawn from 0 to this: practically never soon.
const LONG: &str = "retry = { backoff = \"24h\" }";

#[tokio::test]
async fn a_request_waits_before_it_is_sent_again_and_a_client_that_leaves_ends_that() {
    let (a, b, lb) = two(LONG).await;
    a.answer(Answer::Reset);
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    a.until_requests(1).await;
    drop(client);
    assert_eq!(logged(&lb, "attempts").await["failure"], "client_gone");
    assert_eq!(b.requests(), 0);
}

#[tokio::test]
async fn the_time_for_all_attempts_ends_the_wait_before_the_next() {
    let upstream = format!("{LONG}\ntimeouts = {{ total = \"1s\" }}");
    let (a, b, lb) = two(&upstream).await;
    a.answer(Answer::Reset);
    // Who waited in vain has nothing to say of the next one.
    assert_eq!(answered(&lb, GET).await, (504, vec![attempt("reset", Some("reset"))]));
    assert_eq!(b.requests(), 0);
}

#[tokio::test]
async fn a_request_that_nobody_has_seen_goes_elsewhere_at_once() {
    let (mut a, _b, lb) = two(LONG).await;
    a.stop().await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
}
