//! Checks of several kinds, alone and together.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{
    CHECKING, DEGRADED, DOWN, DRAINING, STANDBY, UP, ask, ask_all_from, told, until_state,
};
use crate::support::{Answer, Lb, Origin, at, at_with, config, until};

const FAST: &str = "interval = \"40ms\"\nfast_interval = \"20ms\"\ntimeout = \"5s\"\n\
                    start_period = \"off\"\nrise = 2\nfall = 2\n";

fn check(name: &str, settings: &str) -> String {
    format!("[upstream.api.check.{name}]\n{FAST}{settings}\n")
}

fn of(origin: &Origin) -> String {
    format!("path = \"/{}\"\nport = {}", origin.port(), origin.port())
}

fn json(status: &str) -> Answer {
    let body = format!(r#"{{"status": "{status}"}}"#);
    Answer::Raw(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

/// A line that an agent tells whoever connects, and its port.
async fn agent(line: &'static str) -> (tokio::sync::watch::Sender<&'static str>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (says, line) = tokio::sync::watch::channel(line);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let line = *line.borrow();
            if line == "gone" {
                return;
            }
            // Who probes may have gone.
            let _ = stream.write_all(line.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 16]).await;
        }
    });
    (says, port)
}

#[tokio::test]
async fn a_backend_is_as_well_as_the_worst_of_its_checks() {
    let (a, web, deep) =
        (Origin::start("a").await, Origin::start("web").await, Origin::start("deep").await);
    let checks = check("web", &of(&web)) + &check("deep", &of(&deep));
    let lb = Lb::start(config("", &checks, &[at(&a)])).await;
    until_state(&lb, &a, UP).await;
    deep.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
    lb.until_log("check deep: status 500, expected 200-399 (2 in a row)").await;
    lb.until_metric("plimsoll_health_check_state{check=\"web\"}", UP).await;
    lb.until_metric("plimsoll_health_check_state{check=\"deep\"}", DOWN).await;
    let told = lb.api("/api/v1/ha/health-checks").await;
    let checks = &told["upstreams"][0]["backends"][0]["checks"];
    assert_eq!((&checks[0]["name"], &checks[1]["name"]), (&"web".into(), &"deep".into()), "{told}");
    assert_eq!(checks[1]["last"]["result"], "status 500, expected 200-399", "{told}");
    deep.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    // A check that goes takes its verdict with it.
    deep.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
    lb.reload(config("", &check("web", &of(&web)), &[at(&a)]));
    until_state(&lb, &a, UP).await;
}

#[tokio::test]
async fn enough_of_several_checks_are_enough_and_what_they_depend_on_only_degrades() {
    let (a, one, two, far) = (
        Origin::start("a").await,
        Origin::start("one").await,
        Origin::start("two").await,
        Origin::start("far").await,
    );
    let checks = check("one", &of(&one)) + &check("two", &of(&two)) + &check("far", &of(&far));
    let either = "[upstream.api.check.either]\ntype = \"composite\"\nchecks = [\"one\", \"two\"]\n\
                  at_least = 1\ndepends_on = [\"far\"]\n";
    let lb = Lb::start(config("", &(checks + either), &[at(&a)])).await;
    until_state(&lb, &a, UP).await;
    one.answer(Answer::Status(500));
    lb.until_metric("plimsoll_health_check_state{check=\"one\"}", DOWN).await;
    lb.until_metric("plimsoll_health_check_state{check=\"either\"}", UP).await;
    until_state(&lb, &a, UP).await;
    far.answer(Answer::Status(500));
    until_state(&lb, &a, DEGRADED).await;
    assert_eq!(ask(&lb).await, (200, "a".to_owned()), "nobody else is there");
    two.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
}

#[tokio::test]
async fn the_degraded_serve_what_the_others_cannot() {
    let a = Origin::start("a").await;
    let others = [Origin::start("b").await, Origin::start("c").await, Origin::start("d").await];
    let health = format!("[upstream.api.health]\n{FAST}");
    let backends = [at(&a), at(&others[0]), at(&others[1]), at(&others[2])];
    let lb = Lb::start(config("", &health, &backends)).await;
    until_state(&lb, &a, UP).await;
    for other in &others {
        until_state(&lb, other, UP).await;
    }
    a.answer(json("degraded"));
    until_state(&lb, &a, DEGRADED).await;
    let entry = told(&lb, &a).await;
    let why = entry["why"].as_str().unwrap();
    assert!(why.starts_with("degraded (health: status 200, and the body says"), "{why}");
    // Three of four are enough.
    for _ in 0..12 {
        assert!(!ask(&lb).await.1.contains("degraded"));
    }
    // Two of four are not: 70 % go to them, the rest to the degraded one.
    others[0].answer(json("unhealthy"));
    until_state(&lb, &others[0], DOWN).await;
    until("the degraded one serves too", async || ask(&lb).await.1.contains("degraded")).await;
    until("the others serve", async || ask(&lb).await.1 == "c").await;
    for other in &others {
        other.answer(json("unhealthy"));
        until_state(&lb, other, DOWN).await;
    }
    for _ in 0..12 {
        assert!(ask(&lb).await.1.contains("degraded"));
    }
}

#[tokio::test]
async fn an_agent_says_what_part_of_its_weight_a_backend_takes_and_whether_any() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let (says, port) = agent("up 20%\n").await;
    let health = format!("[upstream.api.check.agent]\n{FAST}type = \"agent\"\nport = {port}\n");
    // Only one of the two has an agent: both are asked at the same port, so they are told the same.
    let lb = Lb::start(config("", &health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    let share = format!("plimsoll_backend_share_ratio{{backend=\"{}\"}}", a.address());
    lb.until_metric(&share, 0.2).await;
    says.send("drain # night\n").unwrap();
    until_state(&lb, &a, DRAINING).await;
    lb.until_log("the agent says \\\"drain\\\": night").await;
    until("nobody serves", async || ask(&lb).await.0 == 503).await;
    says.send("maint\n").unwrap();
    until_state(&lb, &a, STANDBY).await;
    says.send("down\n").unwrap();
    until_state(&lb, &a, DOWN).await;
    says.send("ready 100%\n").unwrap();
    until_state(&lb, &a, UP).await;
    lb.until_metric(&share, 1.0).await;
    says.send("gone").unwrap();
    let failed = "plimsoll_health_checks_total{check=\"agent\",result=\"failed\"}";
    until("the agent is missed", async || lb.metric(failed).await.is_some_and(|n| n > 20.0)).await;
    until_state(&lb, &a, UP).await;
}

#[tokio::test]
async fn what_an_agent_has_said_is_over_when_nobody_asks_it_any_more() {
    let a = Origin::start("a").await;
    let (_says, port) = agent("up 20%\n").await;
    let health = format!("[upstream.api.check.agent]\n{FAST}type = \"agent\"\nport = {port}\n");
    let lb = Lb::start(config("", &health, &[at(&a)])).await;
    let share = format!("plimsoll_backend_share_ratio{{backend=\"{}\"}}", a.address());
    lb.until_metric(&share, 0.2).await;
    lb.reload(config("", "", &[at(&a)]));
    lb.until_metric(&share, 1.0).await;
}

#[tokio::test]
async fn a_program_speaks_for_a_backend() {
    let a = Origin::start("a").await;
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("status");
    let say = |status: &str| std::fs::write(&file, status).unwrap();
    say("0");
    let script = format!("read n < {}; echo it says $n; exit $n", file.display());
    let settings = format!("type = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    let lb = Lb::start(config("", &check("script", &settings), &[at(&a)])).await;
    until_state(&lb, &a, UP).await;
    say("1");
    until_state(&lb, &a, DEGRADED).await;
    say("2");
    until_state(&lb, &a, DOWN).await;
    lb.until_log("check script: it says 2 (2 in a row)").await;
    say("0");
    until_state(&lb, &a, UP).await;
}

#[tokio::test]
async fn a_backend_may_take_its_time_to_start() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    let patient = format!("[upstream.api.health]\n{FAST}").replace("\"off\"", "\"1h\"");
    let lb = Lb::start(config("", &patient, &[at(&a), at(&b)])).await;
    until_state(&lb, &b, UP).await;
    a.until_requests(10).await;
    until_state(&lb, &a, CHECKING).await;
    ask_all_from(&lb, 10, "b").await;
    a.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    a.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
}

#[tokio::test]
async fn who_goes_down_too_often_is_kept_down() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let flap = "[upstream.api.flap]\nhalf_life = \"1h\"\nsuppress = 1500\nmax = \"6s\"\n";
    let health = format!("{flap}[upstream.api.health]\n{FAST}");
    let lb = Lb::start(config("", &health, &[at(&a), at(&b)])).await;
    until_state(&lb, &a, UP).await;
    for kept in [false, true] {
        a.answer(Answer::Status(500));
        until_state(&lb, &a, DOWN).await;
        a.answer(Answer::Status(200));
        if kept {
            lb.until_log("it goes down too often and is kept down for 6s").await;
            let check = format!("plimsoll_health_check_state{{backend=\"{}\"}}", a.address());
            lb.until_metric(&check, UP).await;
            until_state(&lb, &a, DOWN).await;
            lb.until_log("it is kept down no longer").await;
        }
        until_state(&lb, &a, UP).await;
    }
}

/// Has probes find it down and up again so often; it is up at last, or kept down.
async fn falls(lb: &Lb, origin: &Origin, times: usize) {
    let check = format!("plimsoll_health_check_state{{backend=\"{}\"}}", origin.address());
    for _ in 0..times {
        for (status, state) in [(500, DOWN), (200, UP)] {
            origin.answer(Answer::Status(status));
            lb.until_metric(&check, state).await;
        }
    }
}

#[tokio::test]
async fn the_third_fall_in_a_row_keeps_down_unless_that_is_off_or_nobody_else_is_left() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let with = |flap: &str| {
        config("", &format!("{flap}\n[upstream.api.health]\n{FAST}"), &[at(&a), at(&b)])
    };
    let lb = Lb::start(with("")).await;
    until_state(&lb, &a, UP).await;
    falls(&lb, &a, 2).await;
    until_state(&lb, &a, UP).await;
    falls(&lb, &a, 1).await;
    lb.until_log("it goes down too often and is kept down for").await;
    until_state(&lb, &a, DOWN).await;
    ask_all_from(&lb, 10, "b").await;
    // The other one falls, and who is kept down works.
    b.answer(Answer::Status(500));
    lb.until_log("no other backend is left, so it is not kept down any longer").await;
    until_state(&lb, &a, UP).await;
    until_state(&lb, &b, DOWN).await;
    ask_all_from(&lb, 10, "a").await;
    // Nor is it when it falls once more, as long as it is the only one.
    falls(&lb, &a, 1).await;
    until_state(&lb, &a, UP).await;

    let other = Lb::start(with("flap = { max = \"off\" }")).await;
    b.answer(Answer::Status(200));
    until_state(&other, &a, UP).await;
    falls(&other, &a, 4).await;
    until_state(&other, &a, UP).await;
}

#[tokio::test]
async fn who_is_back_gets_its_weight_bit_by_bit() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let settings = format!("slow_start = \"5s\"\n[upstream.api.health]\n{FAST}");
    let backends = [at_with(&a, "weight = 3"), at(&b)];
    let lb = Lb::start(config("", &settings, &backends)).await;
    let share = format!("plimsoll_backend_share_ratio{{backend=\"{}\"}}", a.address());
    until_state(&lb, &a, UP).await;
    assert_eq!(lb.metric(&share).await, Some(1.0), "at the start all have all of it");
    a.answer(Answer::Status(500));
    until_state(&lb, &a, DOWN).await;
    a.answer(Answer::Status(200));
    until_state(&lb, &a, UP).await;
    let mut seen = Vec::new();
    until("it is warm", async || {
        let now = lb.metric(&share).await.unwrap();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        (now - 1.0).abs() < 1e-9
    })
    .await;
    assert!(seen[0] < 0.9 && seen.len() > 1 && seen.is_sorted(), "{seen:?}");
    until_state(&lb, &a, UP).await;
}
