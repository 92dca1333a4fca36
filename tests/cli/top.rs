//! `plimsoll top`: in a terminal with keys, and told once where there is none.

use serde_json::Value;

use super::operate::{ask, open};
use super::terminal::Terminal;
use super::{err, out};
use crate::support::{Lb, Origin, get, in_time, until};

/// What the admin listener says of this backend.
async fn told(lb: &Lb, origin: &Origin, key: &str) -> Value {
    let path = format!("/api/v1/ha/load-balancer/backends/api%2F{}", origin.address());
    lb.api(&path).await[key].take()
}

#[tokio::test]
async fn keys_drain_and_weigh_the_chosen_backend_of_a_running_process() {
    let (a, b, lb) = open().await;
    let mut top = Terminal::start(&lb.admin_addr().to_string(), &["top", "--interval", "200ms"]);
    let both = top.until("both backends are there", |screen| {
        [a.address(), b.address()].iter().all(|name| screen.contains(name))
    });
    let screen = both.await;
    assert!(screen.contains("ready for") && screen.contains("healthy"), "{screen}");
    // The first row is the upstream's, the next one its first backend's.
    top.press("\x1b[B");
    top.press("d");
    let question = format!("api/{}: drain? y: yes", a.address());
    top.until("it is asked", |screen| screen.contains(&question)).await;
    assert_eq!(told(&lb, &a, "admin_state").await, "enabled", "nothing without a yes");
    top.press("n");
    top.until("it is let be", |screen| screen.contains("nothing is changed")).await;
    top.press("d");
    top.until("it is asked again", |screen| screen.contains(&question)).await;
    top.press("y");
    until("it drains", async || told(&lb, &a, "admin_state").await == "draining").await;
    let row = format!("  {}", a.address());
    top.until("that is seen", |screen| {
        screen.lines().any(|line| line.starts_with(&row) && line.contains(" draining "))
    })
    .await;
    assert_eq!(get(lb.addr("main"), "/").await.text(), "b");

    // The last one is not taken out like that, and why not is told.
    top.press("\x1b[Bm");
    top.until("it is asked", |screen| screen.contains("maintenance? y: yes")).await;
    top.press("y");
    top.until("it is refused", |screen| screen.contains("answered 409")).await;
    for (key, state) in [("+", "enabled"), ("\x1b[Au", "enabled")] {
        top.press(key);
        top.until("it is asked", |screen| screen.contains("? y: yes")).await;
        top.press("y");
        let one = if key == "+" { &b } else { &a };
        until("it is so", async || told(&lb, one, "admin_state").await == state).await;
    }
    until("it weighs more", async || told(&lb, &b, "weight").await == 2).await;

    top.press("q");
    let ended = in_time("its end", top.program.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    until("the screen of before is back", async || top.written().contains("\x1b[?1049l")).await;
}

#[tokio::test]
async fn rates_and_latencies_are_told_to_programs() {
    let (a, _b, lb) = open().await;
    let telling = ask(&lb, &["top", "--json"]);
    let asking = async {
        loop {
            get(lb.addr("main"), "/").await;
        }
    };
    let output = tokio::select! {
        output = telling => output,
        never = asking => never,
    };
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let told: Value = serde_json::from_str(&out(&output)).unwrap();
    let api = &told["upstreams"][0];
    assert_eq!((&api["name"], &api["status"]), (&"api".into(), &"healthy".into()));
    assert!(told["requests_per_second"].as_f64().unwrap() > 0.0, "{told:#}");
    assert!(api["attempts_per_second"].as_f64().unwrap() > 0.0, "{told:#}");
    assert!(api["p99_seconds"].as_f64() >= api["p50_seconds"].as_f64(), "{told:#}");
    assert!(api["p50_seconds"].as_f64().unwrap() > 0.0, "{told:#}");
    let first = &api["backends"][0];
    assert_eq!((&first["name"], &first["state"]), (&a.address().into(), &"up".into()));
    assert!(first["state_seconds"].as_f64().is_some(), "{first:#}");
}

#[tokio::test]
async fn without_a_terminal_it_is_told_once() {
    let (a, _b, lb) = open().await;
    ask(&lb, &["drain", &a.address()]).await;
    let output = ask(&lb, &["top", "--interval", "100ms"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.starts_with("plimsoll ") && !text.contains('\x1b'), "{text}");
    let row = format!("api/{} ", a.address());
    let row = text.lines().find(|line| line.starts_with(&row)).unwrap();
    assert!(row.contains(" draining "), "{text}");

    let output = ask(&lb, &["top", "--admin", "unix:/no/such.sock"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("unix:/no/such.sock"), "{}", err(&output));
    assert_eq!(ask(&lb, &["top", "--interval", "1ms"]).await.status.code(), Some(2));
}
