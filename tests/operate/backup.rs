//! Backups of the configuration: taken, looked into, put in force again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::configure::{ask, before_one_of_two, file, on, post, running, turned};
use super::support::{Client, Lb, Origin, Response, get, until};
use super::{Told, backend};

const BACKUP: &str = "/api/v1/ha/config/backup";

/// Asks for a backup.
async fn backup(lb: &Lb) -> Response {
    let mut client = Client::connect(lb.admin_addr()).await;
    let head = format!("GET {BACKUP} HTTP/1.1\r\nHost: {}\r\n\r\n", lb.admin_addr());
    client.send(head).await;
    let response = client.read_response().await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/gzip"));
    response
}

/// The files of a backup by their names.
fn unpacked(packed: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name.strip_prefix("plimsoll-backup/").unwrap().to_owned(), text)
    });
    entries.collect()
}

async fn restore(lb: &Lb, query: &str, if_match: &str, packed: &[u8]) -> Told {
    let mut client = Client::connect(lb.admin_addr()).await;
    let head = format!(
        "POST /api/v1/ha/config/restore{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/gzip\r\n{if_match}Content-Length: {}\r\n\r\n",
        lb.admin_addr(),
        packed.len()
    );
    client.send([head.as_bytes(), packed].concat()).await;
    let response = client.read_response().await;
    let content_type = response.header("content-type").unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    Told { status: response.status, content_type, body }
}

#[tokio::test]
async fn a_backup_is_put_in_force_again_as_a_new_revision() {
    let (a, b, lb) = before_one_of_two("").await;
    let old = file(&lb);
    super::ask(lb.admin_addr(), "PATCH", &backend(&a), &[], r#"{"weight": 4}"#).await;
    let taken = backup(&lb).await;
    assert_eq!(taken.header("etag"), on(&lb, 1).await.strip_prefix("If-Match: "));
    let files = unpacked(&taken.body);
    assert_eq!(files["config/0-plimsoll.toml"], old);
    let manifest: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["revision"], json!(1));
    assert_eq!(manifest["sha256"].as_object().unwrap().len(), files.len() - 1);
    let said: Value = serde_json::from_str(&files["overrides.json"]).unwrap();
    assert_eq!(said["overrides"][0]["weight"], json!(4), "{said}");

    let told = post(&lb, "update", &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = restore(&lb, "", "", &taken.body).await;
    assert_eq!((told.status, &told.body["code"]), (428, &json!("if_match_needed")));
    let late = on(&lb, 1).await + "\r\n";
    let told = restore(&lb, "", &late, &taken.body).await;
    assert_eq!((told.status, &told.body["code"]), (412, &json!("other_revision")));
    let now = &(on(&lb, 2).await + "\r\n");
    let told = restore(&lb, "?dry_run=1", now, &taken.body).await;
    assert_eq!((told.status, &told.body["dry_run"]), (200, &json!(true)), "{}", told.body);
    assert_eq!(told.body["effect"]["changes"].as_array().unwrap().len(), 2, "{}", told.body);
    assert_eq!(running(&lb).await, 2);

    let told = restore(&lb, "?reason=b%20is%20lost", now, &taken.body).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(3)), "{}", told.body);
    assert_eq!(file(&lb), old);
    assert_eq!(get(lb.addr("main"), "/").await.text(), "a");
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let all = list["revisions"].as_array().unwrap();
    assert_eq!(all.len(), 3, "history goes on: {list}");
    assert_eq!(all[0]["reason"], "restored from a backup of revision 1: b is lost");

    // A later backup holds them all, and any of them can be had; here for a while.
    let later = backup(&lb).await.body;
    let told = restore(&lb, "?revision=9", "If-Match: *\r\n", &later).await;
    assert_eq!((told.status, &told.body["code"]), (422, &json!("bad_backup")), "{}", told.body);
    let query = "?revision=2&confirm_seconds=4";
    let told = restore(&lb, query, "If-Match: *\r\n", &later).await;
    assert_eq!((told.status, &told.body["probation"]["back_to"]), (200, &json!(3)));
    let told = restore(&lb, "", "If-Match: *\r\n", &later).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("on_probation")), "{}", told.body);
    until("it has gone back", async || running(&lb).await == 5).await;
    assert_eq!(file(&lb), old);
}

#[tokio::test]
async fn a_backup_that_is_not_what_it_was_changes_nothing() {
    let (_a, _b, lb) = before_one_of_two("").await;
    let old = file(&lb);
    let packed = backup(&lb).await.body;
    for bad in [&packed[..packed.len() / 2], b"no archive", b""] {
        let told = restore(&lb, "", "If-Match: *\r\n", bad).await;
        assert_eq!((told.status, &told.body["code"]), (422, &json!("bad_backup")), "{}", told.body);
        assert_eq!(told.content_type, "application/problem+json");
    }
    let told = super::send(
        lb.admin_addr(),
        ("POST", "/api/v1/ha/config/restore"),
        &["If-Match: *", "Content-Type: application/toml"],
        &old,
    );
    assert_eq!(told.await.status, 415);
    assert_eq!((running(&lb).await, file(&lb)), (1, old));
}

#[tokio::test]
async fn what_a_backup_included_has_to_be_there_as_it_was() {
    let (a, b, lb) = before_one_of_two("").await;
    let more = lb.config_path().with_file_name("more.toml");
    let upstream = |origin: &Origin| {
        format!("[[upstream.more.backend]]\naddress = \"{}\"\n", origin.address())
    };
    fs::write(&more, upstream(&a)).unwrap();
    let text = format!("include = [\"{}\"]\n{}", more.display(), file(&lb));
    let told = post(&lb, "update", &[&on(&lb, 1).await], &text).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let packed = backup(&lb).await.body;
    assert_eq!(unpacked(&packed)["config/1-more.toml"], upstream(&a));
    fs::write(&more, upstream(&b)).unwrap();
    assert_eq!(ask(&lb, "POST", "/reload", "").await.status, 200);
    let told = restore(&lb, "", "If-Match: *\r\n", &packed).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("included_changed")));
    assert!(told.body["detail"].as_str().unwrap().contains("more.toml"), "{}", told.body);
    fs::write(&more, upstream(&a)).unwrap();
    let told = restore(&lb, "?overwrite=1", "If-Match: *\r\n", &packed).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(4)), "{}", told.body);
}
