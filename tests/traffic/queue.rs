//! Requests that wait for a backend where all are full.

use tokio::task::JoinSet;

use crate::support::{Answer, Client, Lb, Origin, in_time, request, until};
use crate::{GET, Setup, ask, logged, post};

const DEPTH: &str = "plimsoll_upstream_queue_depth{upstream=\"app\"}";
const PRIORITIES: &str = "queue = { priority = \"${arg.p}\", timeout = \"1m\" }";

fn rejected(reason: &str) -> String {
    format!("plimsoll_upstream_queue_rejected_total{{upstream=\"app\",reason=\"{reason}\"}}")
}

/// The program before one backend that takes one request at a time, and holds it; on two workers.
async fn crowded(origin: &Origin, upstream: &str) -> Lb {
    origin.hold();
    Lb::start(config(origin, upstream, 1)).await
}

fn config(origin: &Origin, upstream: &str, most: u32) -> String {
    format!(
        "workers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [upstream.app]\n{upstream}\n[[upstream.app.backend]]\naddress = \"{}\"\n\
         max_connections = {most}\n",
        origin.address()
    )
}

/// A client whose request is with the backend.
async fn at_backend(lb: &Lb, origin: &Origin) -> Client {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(ask("/first")).await;
    origin.until_requests(1).await;
    client
}

/// Clients with requests for these targets, which wait one behind the other.
async fn in_line(lb: &Lb, targets: &[&str]) -> Vec<Client> {
    let mut clients = Vec::new();
    for (before, target) in targets.iter().enumerate() {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(ask(target)).await;
        clients.push(client);
        lb.until_metric(DEPTH, before as f64 + 1.0).await;
    }
    clients
}

/// What the backend was asked for, in order.
fn order(origin: &Origin) -> Vec<String> {
    let target = |line: String| line.split(' ').nth(1).map(str::to_owned);
    origin.seen().iter().filter_map(|seen| target(seen.line())).collect()
}

#[tokio::test]
async fn whoever_finds_the_backends_full_is_served_in_the_order_of_coming_over_all_workers() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, PRIORITIES).await;
    let first = at_backend(&lb, &origin).await;
    let targets = ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"];
    let clients = in_line(&lb, &targets).await;
    origin.release();
    for mut client in [first].into_iter().chain(clients) {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(order(&origin)[1..], targets);
    assert_eq!(lb.metric(DEPTH).await, Some(0.0));
    let waits = "plimsoll_upstream_queue_wait_seconds_count{upstream=\"app\"}";
    assert_eq!(lb.metric(waits).await, Some(8.0));
}

#[tokio::test]
async fn who_has_priority_goes_first() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, PRIORITIES).await;
    let first = at_backend(&lb, &origin).await;
    // What is no priority is 5.
    let clients = in_line(&lb, &["/9?p=9", "/5?p=much", "/1?p=1", "/none", "/0?p=0"]).await;
    origin.release();
    for mut client in [first].into_iter().chain(clients) {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(order(&origin)[1..], ["/0?p=0", "/1?p=1", "/5?p=much", "/none", "/9?p=9"]);
}

#[tokio::test]
async fn a_post_waits_too_and_its_body_is_whole() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, "queue = {}").await;
    let mut first = at_backend(&lb, &origin).await;
    let mut second = Client::connect(lb.addr("web")).await;
    second.send(post("/second", "all of it")).await;
    lb.until_metric(DEPTH, 1.0).await;
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(second.read_response().await.status, 200);
    assert_eq!(origin.last().body, b"all of it");
}

#[tokio::test]
async fn nobody_waits_on_when_the_circuit_breaker_opens() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Status(500));
    let breaker = "retry = { tries = 1 }\npassive = { max_fails = 0, statuses = [500] }\n\
                   breaker = { window = \"1s\", min_requests = 1, open_for = \"1h\" }\n";
    let lb = crowded(&origin, &format!("{breaker}{PRIORITIES}")).await;
    let mut first = at_backend(&lb, &origin).await;
    // Whoever comes behind it has the only place for good.
    origin.answer(Answer::Never);
    let mut clients = in_line(&lb, &["/1", "/2", "/3"]).await;
    origin.release();
    assert_eq!(first.read_response().await.status, 500);
    for client in &mut clients[1..] {
        let response = client.read_response().await;
        assert_eq!(response.status, 503);
        assert!(response.headers.one("retry-after").is_some());
    }
    for target in ["/2", "/3"] {
        assert_eq!(logged(&lb, target).await["failure"], "breaker_open");
    }
    assert_eq!(lb.metric(DEPTH).await, Some(0.0));
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_may() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, "queue = { timeout = \"50ms\" }").await;
    let mut first = at_backend(&lb, &origin).await;
    assert_eq!(request(lb.addr("web"), ask("/late")).await.status, 503);
    assert_eq!(logged(&lb, "/late").await["failure"], "queue_timeout");
    assert_eq!(lb.metric(&rejected("timeout")).await, Some(1.0));
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn no_more_wait_than_there_is_room_for() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, "queue = { depth = 2, timeout = \"1m\" }").await;
    let _first = at_backend(&lb, &origin).await;
    let _clients = in_line(&lb, &["/1", "/2"]).await;
    let refused = request(lb.addr("web"), ask("/3")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(logged(&lb, "/3").await["failure"], "queue_full");
    assert_eq!(lb.metric(&rejected("full")).await, Some(1.0));
}

#[tokio::test]
async fn a_client_that_leaves_gives_up_its_turn() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, "queue = { timeout = \"1m\" }").await;
    let mut first = at_backend(&lb, &origin).await;
    let mut clients = in_line(&lb, &["/leaves", "/stays"]).await;
    drop(clients.remove(0));
    lb.until_metric(&rejected("client_gone"), 1.0).await;
    lb.until_metric(DEPTH, 1.0).await;
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(clients[0].read_response().await.status, 200);
    assert_eq!(order(&origin), ["/first", "/stays"]);
}

#[tokio::test]
async fn the_time_for_all_attempts_goes_on_while_a_request_waits() {
    let origin = Origin::start("a").await;
    let route =
        "[[route]]\npath = \"/hasty\"\nupstream = \"app\"\ntimeouts = { total = \"100ms\" }\n";
    origin.hold();
    let config = config(&origin, "queue = { timeout = \"1m\" }", 1);
    let lb = Lb::start(config.replacen("[[route]]", &format!("{route}[[route]]"), 1)).await;
    let mut first = at_backend(&lb, &origin).await;
    assert_eq!(request(lb.addr("web"), ask("/hasty")).await.status, 504);
    assert_eq!(logged(&lb, "/hasty").await["failure"], "total_timeout");
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn an_upstream_takes_no_more_than_its_limit_and_the_next_waits() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.hold();
    b.hold();
    let upstream = "max_in_flight = 2\nqueue = { timeout = \"1m\" }";
    let lb = Setup { upstream, ..Setup::default() }.before(&[&a, &b]).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        clients.push(client);
    }
    a.until_requests(2).await;
    clients.extend(in_line(&lb, &["/3"]).await);
    assert_eq!((a.requests(), b.requests()), (2, 0));
    a.release();
    b.release();
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_is_tried_again_keeps_its_place_among_those_of_the_upstream() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    for origin in [&a, &b] {
        origin.answer(Answer::Close);
        origin.hold();
    }
    let upstream = "max_in_flight = 1\nqueue = { timeout = \"1m\" }\nretry.backoff = \"100ms\"";
    let lb = Setup { upstream, ..Setup::default() }.before(&[&a, &b]).await;
    let mut clients = vec![Client::connect(lb.addr("web")).await];
    clients[0].send(GET).await;
    until("somebody is asked", async || a.requests() + b.requests() == 1).await;
    let (first, other) = if a.requests() == 1 { (&a, &b) } else { (&b, &a) };
    other.answer(Answer::Status(200));
    clients.extend(in_line(&lb, &["/2"]).await);
    first.release();
    other.until_requests(1).await;
    // Who waited waits on, and this one behind it.
    let mut third = Client::connect(lb.addr("web")).await;
    third.send(ask("/3")).await;
    clients.push(third);
    lb.until_metric(DEPTH, 2.0).await;
    assert_eq!((first.requests(), other.requests()), (1, 1));
    first.answer(Answer::Status(200));
    other.release();
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn of_any_number_that_come_at_once_on_all_workers_no_more_than_the_limit_are_let_in() {
    let origin = Origin::start("a").await;
    let upstream = "max_in_flight = 3";
    let config = config(&origin, upstream, 0).replace("workers = 2", "workers = 4");
    let lb = Lb::start(config).await;
    for _ in 0..20 {
        let (before, address) = (origin.requests(), lb.addr("web"));
        origin.hold();
        let mut asked: JoinSet<_> =
            (0..40).map(|_| async move { request(address, GET).await.status }).collect();
        for _ in 0..37 {
            assert_eq!(in_time("a refusal", asked.join_next()).await.unwrap().unwrap(), 503);
        }
        origin.until_requests(before + 3).await;
        origin.release();
        assert_eq!(asked.join_all().await, [200; 3]);
        assert_eq!(origin.requests(), before + 3);
    }
}

#[tokio::test]
async fn without_a_queue_what_is_above_the_limit_is_refused() {
    let origin = Origin::start("a").await;
    origin.hold();
    let lb = Setup { upstream: "max_in_flight = 1", ..Setup::default() }.before(&[&origin]).await;
    let mut first = at_backend(&lb, &origin).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 503);
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
}

#[tokio::test]
async fn whoever_waits_sees_what_a_reload_changes() {
    let origin = Origin::start("a").await;
    let lb = crowded(&origin, PRIORITIES).await;
    let _first = at_backend(&lb, &origin).await;
    let _clients = in_line(&lb, &["/second"]).await;
    lb.reload(config(&origin, PRIORITIES, 2));
    origin.until_requests(2).await;
    assert_eq!(order(&origin), ["/first", "/second"]);
    lb.until_metric(DEPTH, 0.0).await;
}
