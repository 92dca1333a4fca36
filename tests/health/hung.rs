//! Backends that take requests and say nothing.

use std::time::Instant;

use tokio::task::JoinHandle;

use super::{PARKED, UP, ask, ask_all_from, told, until_state};
use crate::support::{
    Answer, Client, Lb, Origin, Response, at, at_with, config, get, in_time, until,
};

/// Nothing but silence parks anybody, and a pause lasts for the whole test.
const SETTINGS: &str = "strategy = \"round_robin\"\n\
                        passive = { max_fails = 0, hung_time = \"500ms\", fail_timeout = \"1h\" }";

/// So many answers say what is usual.
async fn make_usual(lb: &Lb) {
    for _ in 0..120 {
        assert_eq!(ask(lb).await.0, 200);
    }
}

/// Asks without waiting for answers until the backend is parked; gives who is waiting.
async fn until_left(lb: &Lb, origin: &Origin) -> Vec<JoinHandle<Response>> {
    let (mut asked, address) = (Vec::new(), lb.addr("main"));
    until("it is left", async || {
        asked.push(tokio::spawn(async move { get(address, "/").await }));
        told(lb, origin).await["passive_state"] == "parked"
    })
    .await;
    asked
}

#[tokio::test]
async fn a_hung_backend_is_left_while_its_victims_wait_and_is_back_when_it_answers_them() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", SETTINGS, &[at(&a), at(&b)])).await;
    make_usual(&lb).await;
    a.hold();
    let asked = until_left(&lb, &a).await;
    until_state(&lb, &a, PARKED).await;
    ask_all_from(&lb, 20, "b").await;
    lb.until_log("it hangs: ").await;
    let (label, reason) = (format!("backend=\"{}\"", a.address()), "reason=\"hung\"");
    let ejections =
        format!("plimsoll_backend_ejections_total{{{label},{reason},result=\"parked\"}}");
    lb.until_metric(&ejections, 1.0).await;
    let events = lb.api(&format!("/api/v1/ha/events?backend={}", a.address())).await;
    let cause = events["events"][0]["cause"].as_str().unwrap();
    assert!(cause.starts_with("it hangs: ") && cause.contains("requests not answered"), "{cause}");
    let waiting = asked.iter().filter(|one| !one.is_finished()).count();
    assert!(waiting >= 3, "nobody has timed out: {waiting} wait");
    a.release();
    for one in asked {
        assert_eq!(in_time("an answer", one).await.unwrap().status, 200);
    }
    until_state(&lb, &a, UP).await;
    lb.until_log("it has answered what it owed").await;
    until("it gets requests again", async || ask(&lb).await.1 == "a").await;
}

#[tokio::test]
async fn answers_that_take_long_are_no_silence() {
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let backends = [at_with(&a, "max_connections = 4"), at(&b), at(&c)];
    let lb = Lb::start(config("", SETTINGS, &backends)).await;
    make_usual(&lb).await;
    a.answer(Answer::Stream(50 << 20));
    let mut streams = Vec::new();
    until("it answers as often as it may", async || {
        let mut client = Client::connect(lb.addr("main")).await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let head = client.read_response_to_head().await;
        if head.header("x-origin") == Some("a") {
            streams.push(client);
        }
        streams.len() == 4
    })
    .await;
    c.hold();
    // It comes behind the first, and one of three may be out.
    let asked = until_left(&lb, &c).await;
    assert_eq!(told(&lb, &a).await["passive_state"], "ok");
    c.release();
    for one in asked {
        assert_eq!(in_time("an answer", one).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn who_answers_slowly_as_a_rule_is_given_time_that_others_are_not() {
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d"] {
        origins.push(Origin::start(name).await);
    }
    let (a, c) = (&origins[0], &origins[2]);
    let backends: Vec<_> = origins.iter().map(at).collect();
    let lb = Lb::start(config("", SETTINGS, &backends)).await;
    // Some answers of the first take more than half a second, before it is known what is usual.
    a.hold();
    let (address, begun) = (lb.addr("main"), Instant::now());
    let slow: Vec<_> =
        (0..20).map(|_| tokio::spawn(async move { get(address, "/").await })).collect();
    a.until_requests(4).await;
    until("half a second has passed", async || begun.elapsed().as_millis() > 600).await;
    a.release();
    for one in slow {
        assert_eq!(in_time("an answer", one).await.unwrap().status, 200);
    }
    // Of all answers these are less than one in a hundred, and of its own more.
    for _ in 0..800 {
        assert_eq!(ask(&lb).await.0, 200);
    }
    a.hold();
    c.hold();
    let asked = until_left(&lb, c).await;
    assert_eq!(told(&lb, a).await["passive_state"], "ok");
    a.release();
    c.release();
    for one in asked {
        assert_eq!(in_time("an answer", one).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn who_has_nothing_left_but_what_takes_long_does_not_hang() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = SETTINGS.replace("round_robin", "least_connections");
    let lb = Lb::start(config("", &settings, &[at(&a), at(&b)])).await;
    make_usual(&lb).await;
    until("nobody is asked for anything", async || {
        told(&lb, &a).await["in_flight"] == 0 && told(&lb, &b).await["in_flight"] == 0
    })
    .await;
    // Of six that take long, as their bodies do not come, each has three.
    let upload = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n";
    let mut long = Vec::new();
    let came = [a.requests(), b.requests()];
    for nth in 1..=3 {
        for _ in 0..2 {
            let before = b.requests();
            let mut client = Client::connect(lb.addr("main")).await;
            client.send(upload).await;
            let asked = || a.requests() + b.requests() - came[0] - came[1];
            until("it has come", async || asked() > long.len()).await;
            long.push((client, b.requests() > before));
        }
        assert_eq!([a.requests(), b.requests()], came.map(|came| came + nth));
    }
    until("the first answers beside them", async || ask(&lb).await.1 == "a").await;
    // When the other one has answered its own, it gets all the rest.
    let (its_own, mut left): (Vec<_>, Vec<_>) = long.into_iter().partition(|(_, is_b)| *is_b);
    for (mut client, _) in its_own {
        client.send("x").await;
        assert_eq!(client.read_response().await.text(), "b");
    }
    until("it has nothing to do", async || told(&lb, &b).await["in_flight"] == 0).await;
    let begun = Instant::now();
    until("two seconds have passed", async || {
        assert_eq!(ask(&lb).await, (200, "b".to_owned()));
        assert_eq!(told(&lb, &a).await["passive_state"], "ok");
        begun.elapsed().as_millis() > 2_000
    })
    .await;
    for (client, _) in &mut left {
        client.send("x").await;
        assert_eq!(client.read_response().await.text(), "a");
    }
}

#[tokio::test]
async fn who_does_not_answer_clients_of_little_patience_is_left() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = format!("{SETTINGS}\ntimeouts = {{ client = \"${{header.x-waits-ms}}\" }}");
    let lb = Lb::start(config("", &settings, &[at(&a), at(&b)])).await;
    make_usual(&lb).await;
    a.answer(Answer::Never);
    // One at a time, so that it never owes more than one answer.
    let ask = async |patience: u32| {
        let mut client = Client::connect(lb.addr("main")).await;
        let waits = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Waits-Ms: {patience}\r\n\r\n");
        client.send(waits).await;
        client.read_response().await.status
    };
    let mut late = 0;
    until("it is left", async || {
        late += u32::from(ask(100).await == 504);
        told(&lb, &a).await["passive_state"] == "parked"
    })
    .await;
    assert!(late >= 3, "{late} were late");
    lb.until_log("it hangs: ").await;
    for _ in 0..20 {
        assert_eq!(ask(10_000).await, 200);
    }
}

#[tokio::test]
async fn where_nobody_answers_nobody_is_left() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let c = Origin::start("c").await;
    let other = format!(
        "[upstream.other]\n{SETTINGS}\nbackend = [{{ {} }}, {{ {} }}]\n\
         [[route]]\npath = \"/other\"\nupstream = \"other\"\n",
        at(&b),
        at(&c),
    );
    let d = Origin::start("d").await;
    let lb = Lb::start(config("", SETTINGS, &[at(&a), at(&d)]) + &other).await;
    make_usual(&lb).await;
    for _ in 0..120 {
        assert_eq!(get(lb.addr("main"), "/other").await.status, 200);
    }
    // Both of one upstream fall silent before one of the other does.
    b.hold();
    c.hold();
    let (address, came) = (lb.addr("main"), [b.requests(), c.requests()]);
    let silent: Vec<_> =
        (0..12).map(|_| tokio::spawn(async move { get(address, "/other").await })).collect();
    b.until_requests(came[0] + 3).await;
    c.until_requests(came[1] + 3).await;
    a.hold();
    let asked = until_left(&lb, &a).await;
    assert_eq!(told(&lb, &b).await["passive_state"], "ok");
    assert_eq!(told(&lb, &c).await["passive_state"], "ok");
    for origin in [&a, &b, &c] {
        origin.release();
    }
    for one in asked.into_iter().chain(silent) {
        assert_eq!(in_time("an answer", one).await.unwrap().status, 200);
    }
}
