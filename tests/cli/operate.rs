//! `plimsoll status`, `backend`, `drain`, `events`, `reload`: asked of a running process.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{err, out};
use crate::support::{Answer, Lb, Origin, at, config, get, in_time};

/// A balancer before two origins whose admin listener lets anybody do anything.
pub(super) async fn open() -> (Origin, Origin, Lb) {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let text = config("", "", &[at(&a), at(&b)]);
    let text = text.replace("[admin]\n", "[admin]\nanonymous = \"admin\"\n");
    let lb = Lb::start(text).await;
    (a, b, lb)
}

/// The program with these arguments, asking this balancer.
pub(super) async fn ask(lb: &Lb, arguments: &[&str]) -> Output {
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program.args(arguments).env("PLIMSOLL_ADMIN", lb.admin_addr().to_string());
    in_time("the end of the command", program.output()).await.unwrap()
}

#[tokio::test]
async fn status_tells_it_to_people_and_to_programs() {
    let (_a, _b, lb) = open().await;
    let told = ask(&lb, &["status"]).await;
    let text = out(&told);
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    assert!(text.starts_with(concat!("plimsoll ", env!("CARGO_PKG_VERSION"), ": ready")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("api ") && line.contains("2 of 2")), "{text}");
    let told = ask(&lb, &["status", "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!(json["phase"], "ready");
}

#[tokio::test]
async fn backends_are_changed_and_told_of() {
    let (a, b, lb) = open().await;
    let (a, b) = (a.address(), b.address());
    let told = ask(&lb, &["backend", "weight", &a, "7", "--reason", "bigger"]).await;
    assert_eq!(
        out(&told),
        format!("api/{a}: enabled, weight 7, may be picked: nothing speaks against it\n")
    );
    let full = format!("api/{b}");
    let told = ask(&lb, &["drain", &full, "--wait", "--for", "1h"]).await;
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    assert!(
        out(&told).starts_with(&format!("{full}: draining, weight 1, is not picked")),
        "{}",
        out(&told)
    );
    assert_eq!(get(lb.addr("main"), "/").await.text(), "a");
    let told = ask(&lb, &["backend", "list"]).await;
    let text = out(&told);
    assert!(text.starts_with("BACKEND "), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with(&full) && line.contains(" draining ")),
        "{text}"
    );

    let told = ask(&lb, &["backend", "disable", &a]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(err(&told).contains("409") && err(&told).contains("keep_one"), "{}", err(&told));
    let told = ask(&lb, &["backend", "disable", &a, "--bypass", "keep_one", "--dry-run"]).await;
    assert_eq!(out(&told), format!("{a}: it would be done\n"));
    for (word, state) in [("enable", "enabled"), ("up", "forced up"), ("down", "forced down")] {
        let told = ask(&lb, &["backend", word, &b]).await;
        assert!(out(&told).replace('_', " ").contains(state), "{word}: {}", out(&told));
    }
    // Who asks how it is is told why it is not well.
    let text = out(&ask(&lb, &["status"]).await);
    assert!(text.contains(&format!("\napi/{b} is not picked: ")), "{text}");
    ask(&lb, &["backend", "reset", &b]).await;
    let text = out(&ask(&lb, &["status"]).await);
    assert!(!text.contains("is not picked"), "{text}");
    let told = ask(&lb, &["backend", "remove", &b]).await;
    assert!(out(&told).contains("is not there any more"), "{}{}", out(&told), err(&told));
    let told = ask(&lb, &["backend", "add", "api", &b, "--weight", "2", "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!(json["backend"]["weight"], 2);

    let told = ask(&lb, &["events", "--kind", "override.set", "--backend", &a]).await;
    let text = out(&told);
    assert!(
        text.contains(&format!("override.set  api/{a} (by operator:anonymous): weight 7: bigger")),
        "{text}"
    );
    let told = ask(&lb, &["why", &a]).await;
    assert!(out(&told).contains("(by operator:anonymous): weight 7: bigger"), "{}", out(&told));
}

#[tokio::test]
async fn checks_are_run_by_hand() {
    let a = Origin::start("a").await;
    let text =
        config("", "[upstream.api.check.deep]\npath = \"/deep\"\ninterval = \"1h\"", &[at(&a)]);
    let lb = Lb::start(text.replace("[admin]\n", "[admin]\nanonymous = \"admin\"\n")).await;
    let told = ask(&lb, &["backend", "check", &a.address()]).await;
    assert_eq!(told.status.code(), Some(0), "{}{}", out(&told), err(&told));
    let text = out(&told);
    assert!(text.starts_with("check deep: good, ") && text.contains("may be picked"), "{text}");
    a.answer(Answer::Status(503));
    let told = ask(&lb, &["backend", "check", &a.address()]).await;
    assert_eq!(told.status.code(), Some(1), "{}{}", out(&told), err(&told));
    assert!(out(&told).starts_with("check deep: failed, "), "{}", out(&told));
    let told = ask(&lb, &["backend", "check", &a.address(), "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!((&json["checks"][0]["last"]["ok"], told.status.code()), (&false.into(), Some(1)));
    let told = ask(&lb, &["backend", "check", &a.address(), "--dry-run"]).await;
    assert_eq!(out(&told), format!("{}: it would be done\n", a.address()));
}

#[tokio::test]
async fn events_are_followed() {
    let (a, _b, lb) = open().await;
    let mut following = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["events", "--follow", "--json", "--admin", &lb.admin_addr().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    ask(&lb, &["backend", "weight", &a.address(), "3"]).await;
    let line = in_time("an event", lines.next_line()).await.unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["kind"], &event["cause"]), (&"override.set".into(), &"weight 3".into()));
}

#[tokio::test]
async fn a_reload_tells_what_is_wrong() {
    let (a, b, lb) = open().await;
    let told = ask(&lb, &["reload"]).await;
    assert_eq!(out(&told), "generation 2 is in force\n", "{}", err(&told));
    let told = ask(&lb, &["reload", "--dry-run"]).await;
    assert_eq!((&*out(&told), told.status.code()), ("it would be done\n", Some(0)));
    assert_eq!(lb.generation().await, 2);
    lb.rewrite(config("worker = 1", "", &[at(&a), at(&b)]));
    let told = ask(&lb, &["reload", "--dry-run"]).await;
    assert_eq!(told.status.code(), Some(2), "as of `check`: {}", out(&told));
    let told = ask(&lb, &["reload", "--reason", "b is new"]).await;
    assert_eq!(told.status.code(), Some(2));
    let text = out(&told);
    assert!(text.contains("plimsoll.toml:1:1") && text.contains("workers"), "{text}");
    assert_eq!(lb.generation().await, 2);
    // Who looks later is told as well, without what stands in the file.
    let text = out(&ask(&lb, &["status"]).await);
    assert!(text.contains("the last reload was refused"), "{text}");
    let text = out(&ask(&lb, &["events", "--kind", "config.refused"]).await);
    assert!(text.contains("(by operator:anonymous): an error at "), "{text}");
    assert!(
        text.contains("plimsoll.toml:1: `plimsoll check` and the log tell it: b is new"),
        "{text}"
    );
    assert!(text.contains("then: revision 1 stays in force") && !text.contains("worker"), "{text}");
    lb.rewrite(config("", "", &[at(&a), at(&b)]));
    assert_eq!(ask(&lb, &["reload"]).await.status.code(), Some(0));
    let text = out(&ask(&lb, &["status"]).await);
    assert!(!text.contains("the last reload was refused"), "{text}");
}

#[test]
fn who_is_not_there_is_named() {
    let told = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["status", "--admin", "unix:/no/such.sock"])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(err(&told).contains("unix:/no/such.sock"), "{}", err(&told));
    let told = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["status", "--admin", "here"])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(2));
    assert!(err(&told).contains("unix:/run/plimsoll/admin.sock"), "{}", err(&told));
}
