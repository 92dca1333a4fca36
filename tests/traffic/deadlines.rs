//! Until when a request has to be answered, and what backends say of when to come back.

use crate::support::{Answer, Client, Lb, Origin, request};
use crate::{GET, Setup, logged};

const CLIENT: &str = "timeouts = { client = \"${header.x-timeout-ms}\" }";
const LEFT: &str = "request_headers = { set = { X-Left = \"${time_left}\" } }";

fn with(field: &str) -> String {
    format!("GET /timed HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_tells_how_long_it_waits_is_believed() {
    let origin = Origin::start("a").await;
    origin.hold();
    let lb = Setup { upstream: CLIENT, ..Setup::default() }.before(&[&origin]).await;
    assert_eq!(request(lb.addr("web"), with("X-Timeout-Ms: 100")).await.status, 504);
    assert_eq!(logged(&lb, "/timed").await["failure"], "deadline");
    origin.release();
    for no_time in ["X-Timeout-Ms: soon", "X-Timeout-Ms:", "X-Other: 1"] {
        assert_eq!(request(lb.addr("web"), with(no_time)).await.status, 200, "{no_time}");
    }
}

#[tokio::test]
async fn a_response_at_a_rate_ends_when_the_client_waits_no_longer() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(vec![b'x'; 500_000]));
    for route in
        ["rate = { client = 1000 }", "rate = { client = 1000 }\nresponse_buffer = \"1MiB\""]
    {
        let lb = Setup { upstream: CLIENT, route, ..Setup::default() }.before(&[&origin]).await;
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(with("X-Timeout-Ms: 1500")).await;
        // At its rate it would take minutes.
        let broken = client.try_read_response().await.unwrap_err();
        assert_eq!(broken.partial.unwrap().status, 200, "{route}");
        assert_eq!(logged(&lb, "/timed").await["failure"], "deadline", "{route}");
    }
}

/// The program before a backend and its backup, with these lines of their upstream.
async fn before(origins: &[&Origin], upstream: &str) -> Lb {
    let mut config = format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [upstream.app]\n{upstream}\n"
    );
    for (place, origin) in origins.iter().enumerate() {
        let (address, backup) = (origin.address(), place > 0);
        let backend = format!("address = \"{address}\"\nbackup = {backup}\n");
        config += "[[upstream.app.backend]]\n";
        config += &backend;
    }
    Lb::start(config).await
}

#[tokio::test]
async fn that_a_clients_time_is_over_says_nothing_of_the_backend() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.hold();
    let lb = before(&[&a, &b], &format!("passive = {{ max_fails = 1 }}\n{CLIENT}")).await;
    for _ in 0..3 {
        assert_eq!(request(lb.addr("web"), with("X-Timeout-Ms: 30")).await.status, 504);
    }
    a.release();
    assert_eq!(request(lb.addr("web"), GET).await.text(), "a");
    assert_eq!(b.requests(), 0);
    let outcome = |outcome| format!("plimsoll_upstream_attempts_total{{outcome=\"{outcome}\"}}");
    assert_eq!(lb.metric(&outcome("cancelled")).await, Some(3.0));
    assert_eq!(lb.metric(&outcome("timeout")).await, Some(0.0));
}

#[tokio::test]
async fn nobody_is_asked_for_whom_no_time_is_left() {
    let origin = Origin::start("a").await;
    let lb = Setup { upstream: CLIENT, ..Setup::default() }.before(&[&origin]).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    for n in 0..3 {
        let hurried = with("X-Timeout-Ms: 0").replace("/timed", &format!("/hurried/{n}"));
        assert_eq!(request(lb.addr("web"), hurried).await.status, 504);
    }
    assert_eq!(logged(&lb, "/hurried/2").await["failure"], "deadline");
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn backends_are_told_the_time_that_is_left() {
    let origin = Origin::start("a").await;
    let lb = Setup { upstream: CLIENT, route: LEFT, ..Setup::default() }.before(&[&origin]).await;
    assert_eq!(request(lb.addr("web"), with("X-Timeout-Ms: 60000")).await.status, 200);
    let left: u64 = origin.last().header("x-left").unwrap().parse().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    assert_eq!(origin.last().header("x-left"), None, "there is no limit");
}

#[tokio::test]
async fn a_retry_leaves_the_next_backend_less_time() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let upstream = "timeouts = { total = \"1h\" }";
    let lb = Setup { upstream, route: LEFT, ..Setup::default() }.before(&[&a, &b]).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    let left = |origin: &Origin| origin.last().header("x-left").unwrap().parse::<u64>().unwrap();
    assert!(left(&b) <= left(&a) && left(&a) <= 3_600_000);
}

const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";

/// The program before a backend and its backup, which are left alone for so long at most.
async fn heeding(most: &str, origins: &[&Origin]) -> Lb {
    before(origins, &format!("passive = {{ retry_after = \"{most}\" }}")).await
}

#[tokio::test]
async fn a_backend_that_asks_to_be_left_alone_is() {
    for (passive, status) in [("1h", 200), ("off", 503)] {
        let (a, b) = (Origin::start("a").await, Origin::start("b").await);
        a.answer(Answer::Raw(BUSY.into()));
        let lb = heeding(passive, &[&a, &b]).await;
        assert_eq!(request(lb.addr("web"), GET).await.status, 503);
        if status == 200 {
            lb.until_log("it asked to be left alone for 3600.0s (Retry-After)").await;
            let state =
                format!("plimsoll_backend_state{{upstream=\"app\",backend=\"{}\"}}", a.address());
            lb.until_metric(&state, 4.0).await;
        }
        assert_eq!(request(lb.addr("web"), GET).await.status, status);
    }
}

#[tokio::test]
async fn the_last_backend_serves_on_whatever_it_asks() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Raw(BUSY.into()));
    let lb = heeding("1h", &[&origin]).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 503);
    origin.answer(Answer::Status(200));
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
}
