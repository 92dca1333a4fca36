//! Those who ask and go away, or come back: what was begun is ended, and nothing is missed.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{Client, Lb, Origin, at, get, until};
use super::{ask, backend, open};

const BACKENDS: &str = "/api/v1/ha/load-balancer/backends";

/// Asks for a change, and does not wait for the answer.
async fn ask_for(lb: &Lb, (method, path): (&str, &str), fields: &str, body: &str) -> Client {
    let mut client = Client::connect(lb.admin_addr()).await;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(head.as_bytes()).await;
    client
}

#[tokio::test]
async fn a_key_of_who_left_gets_the_answer_of_what_was_done() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let folder = tempfile::tempdir().unwrap();
    let state = format!("state = \"{}\"", folder.path().join("state").display());
    let lb = Lb::start(open("", "", &[at(&a)], &state)).await;
    let new = json!({ "upstream": "api", "address": b.address() }).to_string();
    let asked = ask_for(&lb, ("POST", BACKENDS), "Idempotency-Key: one\r\n", &new).await;
    drop(asked);
    let count = async || lb.api(BACKENDS).await["backends"].as_array().unwrap().len();
    until("it is there", async || count().await == 2).await;
    let mut status = 0;
    until("the key has its answer", async || {
        let key = ["Idempotency-Key: one"];
        status = ask(lb.admin_addr(), "POST", BACKENDS, &key, &new).await.status;
        status != 409
    })
    .await;
    assert_eq!((status, count().await), (201, 2));
}

#[tokio::test]
async fn what_who_left_has_done_is_in_the_audit_log() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let audit = format!("audit_log = \"{}\"", log.display());
    // One after the other in turn, for there is one worker.
    let text = open("", "", &[at(&a), at(&b)], &audit).replace("workers = 2", "workers = 1");
    let lb = Lb::start(text).await;
    a.hold();
    let main = lb.addr("main");
    let asked = [0, 1].map(|_| tokio::spawn(async move { get(main, "/").await.status }));
    a.until_requests(1).await;
    let path = format!("{}?wait=drained", backend(&a));
    let waits = ask_for(&lb, ("DELETE", &path), "", r#"{"reason": "left"}"#).await;
    let left = async || lb.api(BACKENDS).await["backends"].as_array().unwrap().len() == 1;
    until("it has left", left).await;
    drop(waits);
    a.release();
    let mut text = String::new();
    until("it is written down", async || {
        text = fs::read_to_string(&log).unwrap_or_default();
        text.ends_with('\n')
    })
    .await;
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["status"], &line["asked"]["reason"]), (&json!(200), &json!("left")));
    for one in asked {
        assert_eq!(one.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn who_knows_the_process_before_is_told_all_of_this_one() {
    let a = Origin::start("a").await;
    let lb = Lb::start(open("", "", &[at(&a)], "")).await;
    let weigh = async |lb: &Lb, weight: u64| {
        let body = format!(r#"{{"weight": {weight}}}"#);
        assert_eq!(ask(lb.admin_addr(), "PATCH", &backend(&a), &[], &body).await.status, 200);
    };
    weigh(&lb, 2).await;
    let numbers = async |lb: &Lb, since: u64| {
        let told = lb.api(&format!("/api/v1/ha/events?since={since}")).await;
        let events = told["events"].as_array().unwrap().clone();
        events.iter().map(|event| event["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let last = *numbers(&lb, 0).await.last().unwrap();
    assert_eq!(numbers(&lb, last).await, Vec::<u64>::new());
    let lb = lb.restart().await;
    // More than the one before had.
    for weight in 3..10 {
        weigh(&lb, weight).await;
    }
    let all = numbers(&lb, 0).await;
    assert!(all.len() >= 7, "{all:?}");
    assert_eq!(numbers(&lb, last).await, all);
    // So it is if the clock was ahead then.
    assert_eq!(numbers(&lb, last + 3_600_000).await, all);
    // As browsers come back to a stream.
    let mut client = Client::connect(lb.admin_addr()).await;
    let head = format!(
        "GET /api/v1/ha/events?follow=1 HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    client.send(head.as_bytes()).await;
    lb.signal(Signal::TERM);
    let all = String::from_utf8(client.read_to_end().await).unwrap();
    assert!(all.contains("weight 9"), "{all}");
}
