//! Backends weighted, drained, taken out, forced, added and taken away; their checks run.

use serde_json::json;

use super::support::{Answer, Client, Load, Origin, at, get, until};
use super::{ask, backend, open, two};
use crate::support::Lb;

#[tokio::test]
async fn a_weight_holds_until_it_is_taken_back_and_survives_a_reload() {
    let (a, b, lb) = two().await;
    let admin = lb.admin_addr();
    let body = r#"{"weight": 9, "reason": "bigger machine"}"#;
    let told = ask(admin, "PATCH", &backend(&a), &[], body).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["backend"]["weight"], 9);
    for _ in 0..20 {
        get(lb.addr("main"), "/").await;
    }
    assert_eq!((a.requests(), b.requests()), (18, 2), "by weight, over both workers");

    let generation = lb.generation().await;
    lb.reload(open("drain_timeout = \"9s\"", "", &[at(&a), at(&b)], ""));
    lb.until_generation(generation + 1).await;
    let told = ask(admin, "GET", &backend(&a), &[], "").await;
    assert_eq!(told.body["weight"], 9, "a reload does not touch it");

    let list = lb.api("/api/v1/ha/overrides").await;
    let one = &list["overrides"][0];
    assert_eq!((&one["weight"], &one["actor"]), (&json!(9), &json!("anonymous")));
    assert_eq!((&one["reason"], &one["until"]), (&json!("bigger machine"), &json!(null)));

    let told = ask(admin, "PATCH", &backend(&a), &[], r#"{"weight": null}"#).await;
    assert_eq!(told.body["backend"]["weight"], 1);
    let events = lb.api("/api/v1/ha/events?kind=override.").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["override.set", "override.lifted"]);
    assert_eq!(events["events"][0]["actor"], "operator:anonymous");
    assert_eq!(events["events"][0]["cause"], "weight 9: bigger machine");
}

#[tokio::test]
async fn a_drain_waits_for_the_last_request_and_costs_none() {
    let (a, b, lb) = two().await;
    let load = Load::start(lb.addr("main"), 4);
    load.until_answered(50).await;
    a.hold();
    let under_way = a.requests() + 1;
    a.until_requests(under_way).await;
    let admin = lb.admin_addr();
    let path = format!("{}?wait=drained&timeout_seconds=0", backend(&a));
    let told = ask(admin, "PATCH", &path, &[], r#"{"state": "draining"}"#).await;
    assert_eq!((told.status, &told.body["drained"]), (202, &json!(false)), "{}", told.body);
    assert_eq!(told.body["backend"]["eligible"], false);

    let path = format!("{}?wait=drained", backend(&a));
    let waiting =
        tokio::spawn(
            async move { ask(admin, "PATCH", &path, &[], r#"{"state": "draining"}"#).await },
        );
    a.release();
    let told = waiting.await.unwrap();
    assert_eq!((told.status, &told.body["drained"]), (200, &json!(true)), "{}", told.body);
    assert_eq!(told.body["backend"]["in_flight"], 0);
    let before = a.requests();
    load.until_answered(50).await;
    load.expect_all_good().await;
    assert_eq!(a.requests(), before, "it gets nothing any more");
    assert!(b.requests() > 0);
}

#[tokio::test]
async fn what_ends_by_itself_does_and_says_so_before_and_after() {
    let (a, _b, lb) = two().await;
    let body = r#"{"state": "disabled", "expires_in_seconds": 1, "reason": "disk swap"}"#;
    let told = ask(lb.admin_addr(), "PATCH", &backend(&a), &[], body).await;
    assert_eq!(told.body["backend"]["admin_state"], "disabled");
    until("it is back", async || {
        let told = ask(lb.admin_addr(), "GET", &backend(&a), &[], "").await;
        told.body["admin_state"] == "enabled" && told.body["eligible"] == true
    })
    .await;
    let events = lb.api("/api/v1/ha/events?kind=override.").await;
    let (set, ended) = (&events["events"][0], &events["events"][1]);
    assert_eq!(set["next"], "ends by itself 1s after it was said");
    assert_eq!(
        (&ended["kind"], &ended["cause"]),
        (&json!("override.expired"), &json!("disabled has ended: disk swap"),)
    );
    assert_eq!(lb.api("/api/v1/ha/overrides").await["overrides"], json!([]));
}

#[tokio::test]
async fn the_last_one_is_kept_unless_the_rule_is_named() {
    let (a, b, lb) = two().await;
    let admin = lb.admin_addr();
    ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "disabled"}"#).await;
    for state in ["draining", "disabled", "forced_down"] {
        let body = format!(r#"{{"state": "{state}"}}"#);
        let told = ask(admin, "PATCH", &backend(&b), &[], &body).await;
        assert_eq!(told.status, 409, "{state}: {}", told.body);
        assert_eq!(told.content_type, "application/problem+json");
        assert_eq!(told.body["code"], "keep_one");
    }
    let told = ask(admin, "DELETE", &backend(&b), &[], "").await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("keep_one")));
    assert_eq!(get(lb.addr("main"), "/").await.text(), "b");
    let body = r#"{"state": "disabled", "bypass": ["keep_one"]}"#;
    let told = ask(admin, "PATCH", &backend(&b), &[], body).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(get(lb.addr("main"), "/").await.status, 503);
}

#[tokio::test]
async fn who_is_forced_up_serves_whatever_its_probes_say() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Status(500));
    let health = "health = { path = \"/\", interval = \"50ms\", fast_interval = \"50ms\", \
                  fall = 1, timeout = \"10s\" }";
    let lb = Lb::start(open("", health, &[at(&a), at(&b)], "")).await;
    let admin = lb.admin_addr();
    let is = async |eligible: bool| {
        let told = ask(admin, "GET", &backend(&a), &[], "").await;
        told.body["probed_state"] == "down" && told.body["eligible"] == eligible
    };
    until("its probes have found it down", async || is(false).await).await;
    ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "forced_up"}"#).await;
    assert!(is(true).await);
    ask(admin, "DELETE", &backend(&a).replace("load-balancer/backends", "overrides"), &[], "")
        .await;
    assert!(is(false).await);
    ask(admin, "PATCH", &backend(&b), &[], r#"{"state": "forced_down", "bypass": ["keep_one"]}"#)
        .await;
    let told = ask(admin, "GET", &backend(&b), &[], "").await;
    assert_eq!(
        told.body["why"],
        "forced down, as if its probes failed; used all the same, because no backend is known to work"
    );
}

#[tokio::test]
async fn checks_are_run_at_once() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let health = "health = { path = \"/\", interval = \"1h\", fall = 1, timeout = \"10s\" }";
    let lb = Lb::start(open("", health, &[at(&a), at(&b)], "")).await;
    let path = format!("/api/v1/ha/health-checks/api%2F{}/run", a.address());
    let told = ask(lb.admin_addr(), "POST", &path, &[], "").await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["checks"][0]["last"]["ok"], true);
    assert_eq!(told.body["backend"]["probed_state"], "up");
    a.answer(Answer::Status(503));
    let told = ask(lb.admin_addr(), "POST", &path, &[], "").await;
    assert_eq!(told.body["checks"][0]["last"]["ok"], false, "{}", told.body);
    assert_eq!(told.body["backend"]["probed_state"], "down");
}

#[tokio::test]
async fn backends_join_and_leave_without_a_failed_request() {
    let (a, b, lb) = two().await;
    let c = Origin::start("c").await;
    let load = Load::start(lb.addr("main"), 4);
    let body = format!(r#"{{"upstream": "api", "address": "{}", "weight": 2}}"#, c.address());
    let path = "/api/v1/ha/load-balancer/backends";
    let told = ask(lb.admin_addr(), "POST", &format!("{path}?dry_run=1"), &[], &body).await;
    assert_eq!((told.status, &told.body["dry_run"]), (200, &json!(true)), "{}", told.body);
    assert_eq!(lb.api(path).await["backends"].as_array().unwrap().len(), 2);
    let told = ask(lb.admin_addr(), "POST", path, &[], &body).await;
    assert_eq!(told.status, 201, "{}", told.body);
    assert_eq!(told.body["backend"]["weight"], 2);
    c.until_requests(20).await;
    let told = ask(lb.admin_addr(), "POST", path, &[], &body).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("exists")));

    let told =
        ask(lb.admin_addr(), "DELETE", &format!("{}?wait=drained", backend(&a)), &[], "").await;
    assert_eq!((told.status, &told.body["drained"]), (200, &json!(true)), "{}", told.body);
    let generation = lb.generation().await;
    lb.reload(open("drain_timeout = \"9s\"", "", &[at(&a), at(&b)], ""));
    lb.until_generation(generation + 1).await;
    let told = ask(lb.admin_addr(), "GET", &backend(&a), &[], "").await;
    assert_eq!(told.status, 404, "it stays away over a reload");
    let (before, now) = (a.requests(), load.answered());
    load.until_answered(50).await;
    load.expect_all_good().await;
    assert_eq!(a.requests(), before, "{now}");
    let events = lb.api("/api/v1/ha/events").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert!(kinds.contains(&&json!("backend.added")) && kinds.contains(&&json!("backend.removed")));
    let reloads = &lb.api("/api/v1/ha/status").await["reloads"];
    assert_eq!(reloads["ok"], 2, "the start and the reload: {reloads}");
}

#[tokio::test]
async fn a_backend_of_the_file_that_was_taken_away_comes_back() {
    let (a, _b, lb) = two().await;
    let admin = lb.admin_addr();
    let told = ask(admin, "DELETE", &backend(&a), &[], r#"{"reason": "new disk"}"#).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let removed = async || lb.api("/api/v1/ha/overrides").await["removed"].clone();
    assert_eq!(removed().await[0]["reason"], "new disk");
    let path = backend(&a).replace("load-balancer/backends", "overrides");
    let told = ask(admin, "DELETE", &format!("{path}?dry_run=1"), &[], "").await;
    assert_eq!((told.status, &told.body["backend"]), (200, &json!(null)), "{}", told.body);
    let told = ask(admin, "DELETE", &path, &[], "").await;
    assert_eq!((told.status, &told.body["backend"]["admin_state"]), (200, &json!("enabled")));
    assert_eq!(removed().await, json!([]));
    until("it serves again", async || get(lb.addr("main"), "/").await.text() == "a").await;
    let told = ask(admin, "DELETE", &path.replace("127", "128"), &[], "").await;
    assert_eq!((told.status, &told.body["code"]), (404, &json!("no_backend")));
}

#[tokio::test]
async fn what_cannot_be_meant_is_told_and_changes_nothing() {
    let (a, _b, lb) = two().await;
    let admin = lb.admin_addr();
    let generation = lb.generation().await;
    let nobody = "/api/v1/ha/load-balancer/backends/nobody".to_owned();
    let all = "/api/v1/ha/load-balancer/backends".to_owned();
    let one = backend(&a);
    for (method, path, body, status, code) in [
        ("PATCH", &nobody, r#"{"weight": 1}"#, 404, "no_backend"),
        ("PATCH", &one, r#"{"weight": 0}"#, 400, "bad_weight"),
        ("PATCH", &one, r#"{"wait": 0}"#, 400, "bad_body"),
        ("PATCH", &one, r#"{"weight": 1"#, 400, "bad_body"),
        ("PATCH", &one, r#"{"state": "down"}"#, 400, "bad_state"),
        ("PATCH", &one, r#"{"weight": 1, "expires_in_seconds": 0}"#, 400, "bad_expiry"),
        ("PATCH", &one, "{}", 400, "nothing"),
        ("PATCH", &one, "", 400, "nothing"),
        ("PATCH", &format!("{one}?drain=1"), r#"{"weight": 1}"#, 400, "bad_query"),
        ("PATCH", &format!("{one}?dry_run=2"), r#"{"weight": 1}"#, 400, "bad_query"),
        ("POST", &all, r#"{"upstream": "no", "address": "10.0.0.1:80"}"#, 404, "no_upstream"),
        ("POST", &all, r#"{"upstream": "api", "address": "http://x"}"#, 422, "address"),
        ("POST", &all, "", 400, "bad_body"),
        ("PATCH", &one, &" ".repeat(3 << 20), 413, "too_large"),
        ("PATCH", &format!("{all}/%FF"), "{}", 400, "bad_request"),
        ("GET", &"/api/v1/ha/events?follow=maybe".to_owned(), "", 400, "bad_query"),
        ("DELETE", &all, "", 405, "unknown_method"),
        ("POST", &format!("/api/v1/ha/health-checks/{}/run", a.address()), "", 409, "no_checks"),
    ] {
        let told = ask(admin, method, path, &[], body).await;
        assert_eq!(
            (told.status, &told.body["code"]),
            (status, &json!(code)),
            "{method} {path} {body}"
        );
        assert_eq!(told.content_type, "application/problem+json");
        assert_eq!(told.body["status"], status);
    }
    let mut client = Client::connect(admin).await;
    let form = format!(
        "PATCH {one} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: text/plain\r\n\
         Content-Length: 12\r\n\r\n{{\"weight\":2}}"
    );
    client.send(form).await;
    assert_eq!(client.read_response().await.status, 415);
    let path = format!("{one}?dry_run=1");
    let told = ask(admin, "PATCH", &path, &[], r#"{"state": "disabled"}"#).await;
    assert_eq!((told.status, &told.body["dry_run"]), (200, &json!(true)));
    assert_eq!(lb.generation().await, generation);
}

#[tokio::test]
async fn the_last_one_is_kept_though_it_is_forced_up_or_only_used_for_want_of_another() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    b.answer(Answer::Status(500));
    let health = "health = { path = \"/\", interval = \"50ms\", fast_interval = \"50ms\", \
                  fall = 1, timeout = \"10s\" }";
    let lb = Lb::start(open("", health, &[at(&a), at(&b)], "")).await;
    let admin = lb.admin_addr();
    let is_down = async |origin: &Origin| {
        let told = ask(admin, "GET", &backend(origin), &[], "").await;
        told.body["probed_state"] == "down"
    };
    until("b is down", async || is_down(&b).await).await;
    ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "forced_up"}"#).await;
    for state in ["disabled", "forced_down"] {
        let told =
            ask(admin, "PATCH", &backend(&a), &[], &format!(r#"{{"state": "{state}"}}"#)).await;
        assert_eq!((told.status, &told.body["code"]), (409, &json!("keep_one")), "{state}");
    }
    // All are down and used all the same: one of them may go, and not both.
    ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "enabled"}"#).await;
    a.answer(Answer::Status(500));
    until("a is down too", async || is_down(&a).await).await;
    let disable = r#"{"state": "disabled"}"#;
    assert_eq!(ask(admin, "PATCH", &backend(&a), &[], disable).await.status, 200);
    let told = ask(admin, "PATCH", &backend(&b), &[], disable).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("keep_one")), "{}", told.body);
    assert_eq!(get(lb.addr("main"), "/").await.text(), "b");
}

#[tokio::test]
async fn a_name_is_taken_away_with_all_its_addresses_unless_nobody_else_serves() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(open("", "", &[at(&a)], "")).await;
    let (admin, path) = (lb.admin_addr(), "/api/v1/ha/load-balancer/backends");
    let name = format!("localhost:{}", b.port());
    let body = format!(r#"{{"upstream": "api", "address": "{name}"}}"#);
    assert_eq!(ask(admin, "POST", path, &[], &body).await.status, 201);
    until("it serves", async || get(lb.addr("main"), "/").await.text() == "b").await;

    let one = format!("{path}/api%2F{name}%2F127.0.0.1");
    let told = ask(admin, "DELETE", &one, &[], "").await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("one_of_a_name")), "{}", told.body);
    let whole = format!("{path}/api%2F{name}");
    let told = ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "disabled"}"#).await;
    assert_eq!(told.status, 200);
    let told = ask(admin, "DELETE", &whole, &[], "").await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("keep_one")), "{}", told.body);
    ask(admin, "PATCH", &backend(&a), &[], r#"{"state": "enabled"}"#).await;
    let told = ask(admin, "DELETE", &format!("{whole}?wait=drained"), &[], "").await;
    assert_eq!((told.status, &told.body["drained"]), (200, &json!(true)), "{}", told.body);
    let left = lb.api(path).await;
    let left: Vec<_> = left["backends"].as_array().unwrap().iter().map(|b| &b["backend"]).collect();
    assert_eq!(left, [&json!(a.address())]);
    assert_eq!(ask(admin, "DELETE", &whole, &[], "").await.status, 404);
}
