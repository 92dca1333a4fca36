//! Limits of how often, and how often at once, a client may ask.

use std::time::{Duration, Instant};

use crate::support::{Client, Lb, Origin, request, until};
use crate::{GET, Setup, logged};

/// The program with a limit `l` of these settings, used in this way.
async fn limited(origin: &Origin, limit: &str, uses: &str) -> Lb {
    let more = format!("[limit.l]\n{limit}\n");
    let route = format!("limits = [{uses}]");
    let setup = Setup { route: &route, more: &more, ..Setup::default() };
    setup.before(&[origin]).await
}

fn judged(result: &str) -> String {
    format!("plimsoll_limit_requests_total{{limit=\"l\",result=\"{result}\"}}")
}

async fn statuses(lb: &Lb, count: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(request(lb.addr("web"), GET).await.status);
    }
    all
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_refused_beyond_the_burst() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "rate = \"1/min\"\nburst = 2", "\"l\"").await;
    assert_eq!(statuses(&lb, 5).await, [200, 200, 200, 429, 429]);
    assert_eq!(origin.requests(), 3);
    let line = logged(&lb, "\"limited\"").await;
    assert_eq!((line["status"].as_u64(), line["route"].as_str()), (Some(429), Some("all")));
    lb.until_metric(&judged("passed"), 3.0).await;
    lb.until_metric(&judged("refused"), 2.0).await;
}

#[tokio::test]
async fn a_refusal_keeps_the_connection() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "rate = \"1/min\"", "{ name = \"l\", status = 503 }").await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET.repeat(3)).await;
    for status in [200, 503, 503] {
        assert_eq!(client.read_response().await.status, status);
    }
}

#[tokio::test]
async fn keys_are_counted_each_for_itself_and_an_empty_one_not_at_all() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "rate = \"1/min\"\nkey = \"${header.x-key}\"", "\"l\"").await;
    let ask = async |key: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n");
        request(lb.addr("web"), head).await.status
    };
    for key in ["a", "b", "c"] {
        assert_eq!((ask(key).await, ask(key).await), (200, 429), "{key}");
    }
    assert_eq!((ask("").await, ask("").await), (200, 200));
    assert_eq!(statuses(&lb, 3).await, [200, 200, 200]);
}

#[tokio::test]
async fn who_is_ahead_of_the_rate_waits_until_it_is_due() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "rate = \"1/s\"\nburst = 5\nundelayed = 1", "\"l\"").await;
    let begun = Instant::now();
    assert_eq!(statuses(&lb, 3).await, [200, 200, 200]);
    assert!(begun.elapsed() >= Duration::from_millis(800), "{:?}", begun.elapsed());
    assert!(lb.metric(&judged("delayed")).await >= Some(1.0));
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_not_sent_on() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "rate = \"1/min\"\nburst = 5\nundelayed = 0", "\"l\"").await;
    assert_eq!(statuses(&lb, 1).await, [200]);
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    lb.until_metric(&judged("delayed"), 1.0).await;
    drop(client);
    assert_eq!(logged(&lb, "client_gone").await["status"], 499);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn so_many_at_once_and_no_more_however_they_end() {
    let origin = Origin::start("a").await;
    let lb = limited(&origin, "concurrency = 2", "\"l\"").await;
    for round in 0..3 {
        origin.hold();
        let (mut first, mut second) =
            (Client::connect(lb.addr("web")).await, Client::connect(lb.addr("web")).await);
        first.send(GET).await;
        second.send(GET).await;
        origin.until_requests(round * 2 + 2).await;
        assert_eq!(request(lb.addr("web"), GET).await.status, 429);
        if round == 0 {
            origin.release();
            assert_eq!(first.read_response().await.status, 200);
            assert_eq!(second.read_response().await.status, 200);
        } else {
            first.reset();
            drop(second);
            origin.release();
        }
        until("their places are free", async || {
            lb.metric("plimsoll_requests_in_flight{route=\"all\"}").await == Some(0.0)
        })
        .await;
    }
    assert_eq!(statuses(&lb, 3).await, [200, 200, 200]);
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_tells_what_it_would_have_done() {
    let origin = Origin::start("a").await;
    let limit = "rate = \"1/min\"\nconcurrency = 1\ndry_run = true\nlog_level = \"warn\"";
    let lb = limited(&origin, limit, "\"l\"").await;
    assert_eq!(statuses(&lb, 3).await, [200, 200, 200]);
    lb.until_metric(&judged("refused"), 2.0).await;
    lb.until_log("too many requests").await;
}

#[tokio::test]
async fn a_reload_forgets_nothing_unless_the_key_changes() {
    let origin = Origin::start("a").await;
    let file = |limit: &str| {
        format!(
            "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[[listener]]\nname = \"web\"\n\
             address = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\nlimits = [\"l\"]\n\
             [[upstream.app.backend]]\naddress = \"{}\"\n[limit.l]\n{limit}\n",
            origin.address()
        )
    };
    let lb = Lb::start(file("rate = \"1/min\"\nburst = 1")).await;
    assert_eq!(statuses(&lb, 3).await, [200, 200, 429]);
    for (limit, expected) in
        [("rate = \"2/min\"\nburst = 2", [200, 429]), ("rate = \"2/min\"\nkey = \"x\"", [200, 429])]
    {
        let before = lb.generation().await;
        lb.reload(file(limit));
        lb.until_generation(before + 1).await;
        assert_eq!(statuses(&lb, 2).await, expected, "{limit}");
    }
}
