//! Requests that take long, and are sent to a second backend.

use crate::support::{Client, Lb, Origin, until};
use crate::{GET, Setup, ask, attempt, attempts, logged, post};

/// The second backend is asked soon, and as often as there are first ones.
const SOON: &str = "hedge = { after = \"20ms\", budget = 100 }";

fn hedges(result: &str) -> String {
    format!("plimsoll_upstream_hedges_total{{upstream=\"app\",result=\"{result}\"}}")
}

fn cancelled(origin: &Origin) -> String {
    let backend = origin.address();
    format!("plimsoll_upstream_attempts_total{{backend=\"{backend}\",outcome=\"cancelled\"}}")
}

async fn two(upstream: &str) -> (Origin, Origin, Lb) {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Setup { upstream, ..Setup::default() }.before(&[&a, &b]).await;
    (a, b, lb)
}

async fn sent(lb: &Lb, bytes: impl AsRef<[u8]>) -> Client {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(bytes).await;
    client
}

#[tokio::test]
async fn the_second_backend_answers_for_the_first_whose_attempt_is_given_up() {
    let (a, b, lb) = two(SOON).await;
    a.hold();
    let mut client = sent(&lb, ask("/slow")).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.text()), (200, "b".to_owned()));
    assert_eq!((a.requests(), b.requests()), (1, 1));
    assert_eq!(b.last().line(), a_line("/slow"));
    let line = logged(&lb, "/slow").await;
    assert_eq!(attempts(&line), [attempt("cancelled", Some("hedge")), attempt("ok", None)]);
    assert_eq!(line["attempts"][1]["backend"], b.address());
    lb.until_metric(&hedges("won"), 1.0).await;
    lb.until_metric(&cancelled(&a), 1.0).await;
    lb.until_metric("plimsoll_backend_in_flight{upstream=\"app\"}", 0.0).await;
    // The client's connection and the second backend's go on.
    a.release();
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 200);
    a.until_connections(2).await;
}

fn a_line(target: &str) -> String {
    format!("GET {target} HTTP/1.1")
}

#[tokio::test]
async fn the_first_backend_may_still_win() {
    let (a, b, lb) = two(SOON).await;
    a.hold();
    b.hold();
    let mut client = sent(&lb, ask("/both")).await;
    b.until_requests(1).await;
    a.release();
    assert_eq!(client.read_response().await.text(), "a");
    let line = logged(&lb, "/both").await;
    assert_eq!(attempts(&line), [attempt("cancelled", Some("hedge")), attempt("ok", None)]);
    assert_eq!(line["attempts"][0]["backend"], b.address());
    lb.until_metric(&hedges("lost"), 1.0).await;
    b.release();
}

#[tokio::test]
async fn what_may_not_be_repeated_or_has_a_body_asks_one_backend_only() {
    let (a, b, lb) = two(SOON).await;
    a.hold();
    let mut posts = sent(&lb, post("/post", "x")).await;
    let mut puts = sent(&lb, "PUT /put HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx").await;
    a.until_requests(2).await;
    // This one came later, and the second backend was asked for it.
    assert_eq!(sent(&lb, ask("/get")).await.read_response().await.text(), "b");
    a.release();
    for client in [&mut posts, &mut puts] {
        assert_eq!(client.read_response().await.text(), "a");
    }
    assert_eq!(b.requests(), 1);
}

#[tokio::test]
async fn second_requests_are_no_more_than_the_budget() {
    let (a, b, lb) = two("hedge = { after = \"20ms\", budget = 1 }").await;
    a.hold();
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(sent(&lb, ask(&format!("/{n}"))).await);
    }
    lb.until_metric(&hedges("denied"), 7.0).await;
    assert_eq!(b.requests(), 1, "one is allowed in any case");
    a.release();
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn what_takes_long_is_found_out_by_what_is_usual() {
    let (a, b, lb) = two("hedge = { percentile = 90.0, budget = 100 }").await;
    for _ in 0..120 {
        assert_eq!(sent(&lb, GET).await.read_response().await.text(), "a");
    }
    a.hold();
    let mut first = sent(&lb, ask("/first")).await;
    until("it is known what is usual, and a second request is made", async || {
        let mut client = sent(&lb, ask("/next")).await;
        // Those of before that is known wait for the first backend.
        let answered =
            tokio::time::timeout(std::time::Duration::from_millis(500), client.read_response());
        answered.await.is_ok_and(|response| response.text() == "b")
    })
    .await;
    assert!(b.requests() > 0);
    a.release();
    assert_eq!(first.read_response().await.status, 200);
}

#[tokio::test]
async fn a_second_backend_that_fails_changes_nothing() {
    let (a, mut b, lb) = two(SOON).await;
    b.stop().await;
    a.hold();
    let mut client = sent(&lb, ask("/alone")).await;
    lb.until_metric("plimsoll_pool_opens_total{upstream=\"app\",result=\"failed\"}", 1.0).await;
    a.release();
    assert_eq!(client.read_response().await.text(), "a");
    let line = logged(&lb, "/alone").await;
    assert_eq!(attempts(&line), [attempt("connect_failed", Some("hedge")), attempt("ok", None)]);
    lb.until_metric(&hedges("failed"), 1.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_both_attempts_with_it() {
    let (a, b, lb) = two(SOON).await;
    a.hold();
    b.hold();
    let client = sent(&lb, ask("/gone")).await;
    b.until_requests(1).await;
    client.reset();
    let line = logged(&lb, "/gone").await;
    let outcomes: Vec<_> = attempts(&line).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["client_gone", "client_gone"]);
    lb.until_metric("plimsoll_backend_in_flight{upstream=\"app\"}", 0.0).await;
    a.release();
    b.release();
}

#[tokio::test]
async fn a_client_that_is_bound_to_a_backend_is_not_taken_elsewhere() {
    let (a, b, lb) = two(&format!("{SOON}\nsticky = {{ cookie = \"srv\" }}")).await;
    let first = sent(&lb, GET).await.read_response().await;
    let cookie = first.header("set-cookie").unwrap().to_owned();
    a.hold();
    let bound = format!("GET /bound HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
    let mut bound = sent(&lb, bound).await;
    a.until_requests(2).await;
    // This one came later, and the second backend was asked for it.
    assert_eq!(sent(&lb, ask("/free")).await.read_response().await.text(), "b");
    a.release();
    let response = bound.read_response().await;
    assert_eq!(response.text(), "a");
    assert_eq!(response.header("set-cookie"), Some(&*cookie));
    assert_eq!(b.requests(), 1);
}

#[tokio::test]
async fn where_there_is_no_second_backend_nothing_of_the_budget_is_spent() {
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let hedge = "hedge = { after = \"20ms\", budget = 1 }";
    let backend = |upstream: &str, origin: &Origin, backup: bool| {
        let address = origin.address();
        format!("[[upstream.{upstream}.backend]]\naddress = \"{address}\"\nbackup = {backup}\n")
    };
    let text = [
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[[listener]]\nname = \"web\"\n\
         address = \"127.0.0.1:0\"\n[[route]]\nupstream = \"alone\"\n\
         [[route]]\npath = \"/two\"\nupstream = \"two\"\n",
        &format!("[upstream.alone]\n{hedge}\n[upstream.two]\n{hedge}\n"),
        &backend("two", &a, false),
        &backend("two", &c, true),
        &backend("alone", &a, false),
    ]
    .concat();
    let lb = Lb::start(&text).await;
    a.hold();
    let mut alone = sent(&lb, ask("/alone")).await;
    a.until_requests(1).await;
    // Once this one that came later has gone elsewhere, so would the first.
    assert_eq!(sent(&lb, ask("/two")).await.read_response().await.text(), "c");
    a.release();
    assert_eq!(alone.read_response().await.text(), "a");
    lb.reload(text + &backend("alone", &b, true));
    lb.until_generation(2).await;
    a.hold();
    let mut hedged = sent(&lb, ask("/alone")).await;
    assert_eq!(hedged.read_response().await.text(), "b");
    a.release();
}
