//! What operators say holds after a restart where that is asked for; events are told as they happen.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{Client, Lb, Origin, at, in_time};
use super::{ask, backend, open, two_with};

#[tokio::test]
async fn what_is_said_holds_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new/state");
    let admin = format!("state = \"{}\"", state.display());
    let (a, b, c) = (Origin::start("a").await, Origin::start("b").await, Origin::start("c").await);
    let text = open("", "", &[at(&a), at(&b)], &admin);
    let mut lb = Lb::start(&text).await;
    let weigh = r#"{"weight": 7, "reason": "kept"}"#;
    assert_eq!(ask(lb.admin_addr(), "PATCH", &backend(&a), &[], weigh).await.status, 200);
    let soon = r#"{"state": "draining", "expires_in_seconds": 3600}"#;
    assert_eq!(ask(lb.admin_addr(), "PATCH", &backend(&a), &[], soon).await.status, 200);
    let new = format!(r#"{{"upstream": "api", "address": "{}"}}"#, c.address());
    let all = "/api/v1/ha/load-balancer/backends";
    assert_eq!(ask(lb.admin_addr(), "POST", all, &[], &new).await.status, 201);
    assert_eq!(ask(lb.admin_addr(), "DELETE", &backend(&b), &[], "").await.status, 200);
    let before = lb.api("/api/v1/ha/overrides").await;
    // At once and without a word: what was answered is written.
    lb.signal(Signal::KILL);
    lb.exit().await;

    let lb = Lb::start(&text).await;
    assert_eq!(lb.api("/api/v1/ha/overrides").await, before);
    let list = lb.api(all).await;
    let told: Vec<_> = list["backends"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 2, "{list}");
    assert_eq!(told[0]["backend"], json!(a.address()));
    assert_eq!((&told[0]["weight"], &told[0]["admin_state"]), (&json!(7), &json!("draining")));
    assert_eq!(told[1]["backend"], json!(c.address()));
}

#[tokio::test]
async fn what_ended_while_nobody_was_there_is_told_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (a, b, lb) = two_with(&format!("state = \"{}\"", state.display())).await;
    for (one, say) in [
        (&a, r#"{"weight": 7, "expires_in_seconds": 3600, "reason": "a try"}"#),
        (&b, r#"{"weight": 8, "expires_in_seconds": 3600}"#),
    ] {
        assert_eq!(ask(lb.admin_addr(), "PATCH", &backend(one), &[], say).await.status, 200);
    }
    // As if the hour of the first were over.
    let path = state.join("overrides.json");
    let mut said: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    said["overrides"][0]["until"] = json!(1);
    std::fs::write(&path, said.to_string()).unwrap();

    let lb = lb.restart().await;
    let told = lb.api("/api/v1/ha/overrides").await;
    let left = told["overrides"].as_array().unwrap();
    assert!(left.len() == 1 && left[0]["weight"] == json!(8), "{told}");
    let told = lb.api("/api/v1/ha/events?kind=override.").await;
    let events = told["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{told}");
    assert_eq!(events[0]["kind"], json!("override.expired"));
    assert_eq!(events[0]["cause"], json!("weight 7 has ended: a try"));
    assert_eq!(events[0]["backend"], json!(a.address()));
    let list = lb.api("/api/v1/ha/load-balancer/backends").await;
    assert_eq!(list["backends"][0]["weight"], json!(1), "{list}");
    crate::support::until("it is not written down any more", async || {
        let said: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        said["overrides"].as_array().unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_told_at_start() {
    let a = Origin::start("a").await;
    let output = Lb::refuse(open("", "", &[at(&a)], "state = \"/proc/none\"")).await;
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("admin.state /proc/none"), "{err}");
}

#[tokio::test]
async fn events_are_told_as_they_happen() {
    let (a, _b, mut lb) = two_with("").await;
    let admin = lb.admin_addr();
    let mut client = Client::connect(admin).await;
    let head = format!(
        "GET /api/v1/ha/events?kind=override.&follow=1 HTTP/1.0\r\nHost: {admin}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    client.send(head).await;
    ask(admin, "PATCH", &backend(&a), &[], r#"{"weight": 4, "reason": "follow me"}"#).await;
    lb.signal(Signal::TERM);
    // The stream ends with the process, so that all of it can be read.
    let all = in_time("the end of the stream", client.read_to_end()).await;
    let all = String::from_utf8(all).unwrap();
    assert!(all.contains("content-type: text/event-stream"), "{all}");
    let data = all.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let event: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&event["kind"], &event["cause"]),
        (&json!("override.set"), &json!("weight 4: follow me"))
    );
    assert!(lb.exit().await.success());
}
