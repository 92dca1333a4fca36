//! Who may what: tokens, roles, sockets, web pages, keys of requests, the audit log.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::support::{Lb, Origin, at, config, until};
use super::{ask, backend, open, two_with};

/// `printf %s viewer | sha256sum`, and so on.
const TOKENS: &str = "
[admin.tokens.eve]
sha256 = \"d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799\"
[admin.tokens.oscar]
sha256 = \"06e55b633481f7bb072957eabcf110c972e86691c3cfedabe088024bffe42f23\"
role = \"operator\"
[admin.tokens.ann]
sha256 = \"8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918\"
role = \"admin\"
";

#[tokio::test]
async fn each_role_may_what_it_may_and_no_more() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let text = config("", "", &[at(&a), at(&b)]);
    let text = text.replace("[admin]\n", "[admin]\nanonymous = \"nobody\"\n") + TOKENS;
    let lb = Lb::start(text).await;
    let (admin, one) = (lb.admin_addr(), backend(&a));
    let weigh = r#"{"weight": 2}"#;
    let reload = "/api/v1/ha/config/reload";
    for (token, read, change, configure) in [
        ("", 401, 401, 401),
        ("Authorization: Bearer wrong", 401, 401, 401),
        ("Authorization: Bearer viewer", 200, 403, 403),
        ("Authorization: Bearer operator", 200, 200, 403),
        ("Authorization: Bearer admin", 200, 200, 200),
    ] {
        let fields: &[&str] = if token.is_empty() { &[] } else { &[token] };
        assert_eq!(ask(admin, "GET", &one, fields, "").await.status, read, "{token}");
        assert_eq!(ask(admin, "GET", "/metrics", fields, "").await.status, read, "{token}");
        assert_eq!(ask(admin, "PATCH", &one, fields, weigh).await.status, change, "{token}");
        assert_eq!(ask(admin, "POST", reload, fields, "").await.status, configure, "{token}");
        assert_eq!(ask(admin, "GET", "/api/v1/ha/audit", fields, "").await.status, read, "{token}");
        let backup = ask(admin, "GET", "/api/v1/ha/config/backup", fields, "").await;
        assert_eq!(backup.status, configure, "{token}");
        // Whoever may is told what is wrong: it has no body.
        let may = if configure == 200 { 415 } else { configure };
        let restored = ask(admin, "POST", "/api/v1/ha/config/restore", fields, "").await;
        assert_eq!(restored.status, may, "{token}");
        for path in ["/livez", "/readyz"] {
            assert_eq!(ask(admin, "GET", path, fields, "").await.status, 200, "{token} {path}");
        }
    }
    let by = ["Authorization: Bearer operator"];
    let events = ask(admin, "GET", "/api/v1/ha/events?kind=override", &by, "").await.body;
    let actors: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| &e["actor"]).collect();
    assert_eq!(actors, ["operator:oscar", "operator:ann"]);
}

#[tokio::test]
async fn without_a_token_a_loopback_address_only_tells() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let told = ask(lb.admin_addr(), "PATCH", &backend(&a), &[], r#"{"weight": 2}"#).await;
    assert_eq!((told.status, &told.body["needed"]), (403, &json!("operator")), "{}", told.body);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_tokens() {
    let a = Origin::start("a").await;
    let public = |more: &str| {
        let text = config("", "", &[at(&a)]);
        text.replace(
            "[admin]\naddress = \"127.0.0.1:0\"",
            &format!("[admin]\naddress = \"0.0.0.0:0\"\n{more}"),
        )
    };
    for (text, said) in [
        (public(""), "nobody is asked who they are"),
        (public("anonymous = \"operator\"") + TOKENS, "could change what is served"),
    ] {
        let output = Lb::refuse(text).await;
        assert_eq!(output.status.code(), Some(2));
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(said) && err.contains("[admin.tokens.NAME]"), "{err}");
    }
    let lb = Lb::start(public("") + TOKENS).await;
    let mut admin = lb.admin_addr();
    admin.set_ip([127, 0, 0, 1].into());
    assert_eq!(ask(admin, "GET", "/metrics", &[], "").await.status, 401);
    let by = ["Authorization: Bearer viewer"];
    assert_eq!(ask(admin, "GET", "/metrics", &by, "").await.status, 200);
}

#[tokio::test]
async fn on_a_unix_socket_its_mode_says_who_may() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address =
        format!("[admin]\naddress = \"unix:{}\"\nsocket_mode = \"0640\"\n", path.display());
    let text = config("", "", &[at(&a)]).replace("[admin]\naddress = \"127.0.0.1:0\"\n", &address);
    let mut lb = Lb::start(text).await;
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let one = backend(&a);
    let head = format!(
        "PATCH {one} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"weight\":3}}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"weight\": 3"), "{answer}");
    lb.signal(rustix::process::Signal::TERM);
    assert!(lb.exit().await.success());
    assert!(!path.exists(), "the file goes with the process");
}

#[tokio::test]
async fn a_web_page_of_another_site_changes_nothing() {
    let (a, _b, lb) = two_with("").await;
    let (admin, one) = (lb.admin_addr(), backend(&a));
    let weigh = r#"{"weight": 2}"#;
    for field in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        let told = ask(admin, "PATCH", &one, &[field], weigh).await;
        assert_eq!((told.status, &told.body["code"]), (403, &json!("foreign_origin")), "{field}");
    }
    let own = format!("Origin: http://{admin}");
    assert_eq!(ask(admin, "PATCH", &one, &[&own], weigh).await.status, 200);
}

#[tokio::test]
async fn a_request_that_comes_again_under_its_key_is_done_once() {
    let (_a, _b, lb) = two_with("").await;
    let c = Origin::start("c").await;
    let body = format!(r#"{{"upstream": "api", "address": "{}"}}"#, c.address());
    let path = "/api/v1/ha/load-balancer/backends";
    let key = ["Idempotency-Key: 4711"];
    for _ in 0..2 {
        let told = ask(lb.admin_addr(), "POST", path, &key, &body).await;
        assert_eq!(told.status, 201, "{}", told.body);
    }
    let told =
        ask(lb.admin_addr(), "POST", path, &key, &body.replace('}', ", \"weight\": 2}")).await;
    assert_eq!((told.status, &told.body["code"]), (422, &json!("key_used")));
    let told = ask(lb.admin_addr(), "POST", path, &[], &body).await;
    assert_eq!(told.status, 409, "without a key it is another request");
}

#[tokio::test]
async fn whatever_would_change_something_stands_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let a = Origin::start("a").await;
    let b = Origin::start("b").await;
    let admin = format!("audit_log = \"{}\"", log.display());
    let lb = Lb::start(open("", "", &[at(&a), at(&b)], &admin)).await;
    let one = backend(&a);
    ask(lb.admin_addr(), "GET", &one, &[], "").await;
    ask(lb.admin_addr(), "PATCH", &one, &[], r#"{"weight": 4, "reason": "x"}"#).await;
    ask(lb.admin_addr(), "PATCH", &one, &[], r#"{"weight": 0}"#).await;
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    until("both lines are there", async || lines().len() == 2).await;
    let lines = lines();
    assert_eq!((&lines[0]["actor"], &lines[0]["status"]), (&json!("anonymous"), &json!(200)));
    assert_eq!(lines[0]["asked"], json!({ "weight": 4, "reason": "x" }));
    assert!(lines[0]["generation"].is_u64() && lines[0]["at"].is_string());
    assert_eq!((&lines[1]["status"], &lines[1]["code"]), (&json!(400), &json!("bad_weight")));
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_and_who_was_denied_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let a = Origin::start("a").await;
    let lines = format!("[admin]\nanonymous = \"nobody\"\naudit_log = \"{}\"\n", log.display());
    let lb = Lb::start(config("", "", &[at(&a)]).replace("[admin]\n", &lines) + TOKENS).await;
    let (admin, one) = (lb.admin_addr(), backend(&a));
    let weigh = r#"{"weight": 4, "reason": "x"}"#;
    let [viewer, operator, boss] =
        ["viewer", "operator", "admin"].map(|token| format!("Authorization: Bearer {token}"));
    let told = async |query: &str| {
        let path = format!("/api/v1/ha/audit{query}");
        let told = ask(admin, "GET", &path, &[&viewer], "").await;
        assert_eq!(told.status, 200, "{}", told.body);
        told.body["entries"].as_array().unwrap().clone()
    };
    assert!(told("").await.is_empty());
    assert_eq!(ask(admin, "PATCH", &one, &[&operator], weigh).await.status, 200);
    // However often one is denied, the first time is written; reading is no change.
    for _ in 0..50 {
        assert_eq!(ask(admin, "PATCH", &one, &[&viewer], weigh).await.status, 403);
        let stranger = ["Authorization: Bearer geheim"];
        assert_eq!(ask(admin, "PATCH", &one, &stranger, weigh).await.status, 401);
        assert_eq!(ask(admin, "GET", &one, &stranger, "").await.status, 401);
    }
    let backup = "/api/v1/ha/config/backup";
    assert_eq!(ask(admin, "GET", backup, &[&operator], "").await.status, 403);
    assert_eq!(ask(admin, "GET", backup, &[&boss], "").await.status, 200);
    until("all is written", async || told("").await.len() == 5).await;

    let denied = told("?actor=eve").await;
    assert_eq!(denied.len(), 1);
    assert_eq!((&denied[0]["status"], &denied[0]["code"]), (&json!(403), &json!("role")));
    assert_eq!((&denied[0]["peer"], &denied[0]["role"]), (&json!("127.0.0.1"), &json!("viewer")));
    assert_eq!((&denied[0]["path"], &denied[0]["asked"]), (&json!(one), &Value::Null));
    let done = told("?actor=oscar&limit=9").await;
    let (first, second) = (&done[1], &done[0]);
    assert_eq!((&first["status"], &first["asked"]["reason"]), (&json!(200), &json!("x")));
    assert_eq!((&second["status"], &second["path"]), (&json!(403), &json!(backup)));
    assert_eq!(told("?actor=ann").await[0]["path"], json!(backup));
    assert_eq!(told("?limit=2").await, told("").await[..2]);
    let since = first["at"].as_str().unwrap();
    assert_eq!(told(&format!("?since={since}")).await.len(), 4);
    let strangers = told("").await.into_iter().filter(|line| line["code"] == "unknown_token");
    assert_eq!(strangers.map(|line| line["actor"].clone()).collect::<Vec<_>>(), [Value::Null]);
    assert!(!std::fs::read_to_string(&log).unwrap().contains("geheim"));
    for query in ["?limit=0", "?limit=1001", "?since=today", "?who=ann"] {
        let path = format!("/api/v1/ha/audit{query}");
        assert_eq!(ask(admin, "GET", &path, &[&viewer], "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn without_an_audit_log_there_is_none_to_tell() {
    let (_a, _b, lb) = two_with("").await;
    let told = lb.api("/api/v1/ha/audit").await;
    assert_eq!(told, json!({ "file": null, "rotated": null, "entries": [] }));
}
