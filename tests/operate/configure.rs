//! Configurations by the admin listener: checked, planned, put in force, confirmed or gone back by
//! themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{Lb, Load, Origin, at, config, get, until};
use super::{Told, open};

const CONFIG: &str = "/api/v1/ha/config";

/// Sends a configuration.
pub(super) async fn post(lb: &Lb, path: &str, fields: &[&str], text: &str) -> Told {
    let fields = [fields, &["Content-Type: application/toml"]].concat();
    super::send(lb.admin_addr(), ("POST", &format!("{CONFIG}/{path}")), &fields, text).await
}

/// Asks with a body of JSON, or none.
pub(super) async fn ask(lb: &Lb, method: &str, path: &str, body: &str) -> Told {
    super::ask(lb.admin_addr(), method, &format!("{CONFIG}{path}"), &[], body).await
}

pub(super) fn file(lb: &Lb) -> String {
    fs::read_to_string(lb.config_path()).unwrap()
}

/// The text of the file with `b` in place of `a`.
pub(super) fn turned(lb: &Lb, a: &Origin, b: &Origin) -> String {
    let text = file(lb).replace(&a.address(), &b.address());
    assert_ne!(text, file(lb));
    text
}

/// The line that says on which revision a change is based.
pub(super) async fn on(lb: &Lb, revision: u64) -> String {
    let list = ask(lb, "GET", "/revisions", "").await.body;
    let mut all = list["revisions"].as_array().unwrap().iter();
    let known = all.find(|one| one["revision"] == revision);
    let hash = known.map_or("01234567", |one| &one["hash"].as_str().unwrap()[..8]);
    format!("If-Match: \"{revision}-{hash}\"")
}

/// Who answers at present.
async fn served(lb: &Lb) -> String {
    get(lb.addr("main"), "/").await.text()
}

pub(super) async fn running(lb: &Lb) -> u64 {
    let list = ask(lb, "GET", "/revisions", "").await.body;
    list["running"].as_u64().unwrap_or_else(|| panic!("{list}"))
}

/// A balancer before the first of two origins, which may be asked for anything.
pub(super) async fn before_one_of_two(admin: &str) -> (Origin, Origin, Lb) {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(open("", "", &[at(&a)], admin)).await;
    (a, b, lb)
}

#[tokio::test]
async fn a_bad_configuration_changes_neither_what_is_in_force_nor_the_file() {
    let (_a, b, lb) = before_one_of_two("").await;
    let before = file(&lb);
    let bad = before.replace("workers = 2", "worker = 2");
    for path in ["validate", "plan", "update"] {
        let told = post(&lb, path, &[&on(&lb, 1).await], &bad).await;
        assert_eq!((told.status, &told.body["code"]), (422, &json!("invalid_config")), "{path}");
        assert_eq!(told.content_type, "application/problem+json");
        let fault = &told.body["diagnostics"][0];
        assert_eq!((&fault["line"], &fault["column"]), (&json!(2), &json!(1)), "{fault}");
        assert!(fault["help"].as_str().unwrap().contains("workers"), "{fault}");
    }
    // Good in itself, but not to be had: the address is somebody else's.
    let taken = before.replace(
        "name = \"main\"\naddress = \"127.0.0.1:0\"",
        &format!("name = \"main\"\naddress = \"{}\"", b.address()),
    );
    assert_ne!(taken, before);
    let told = post(&lb, "update?confirm_seconds=60", &[&on(&lb, 1).await], &taken).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("unavailable")), "{}", told.body);
    // The file holds what is in force: there is nothing to be alarmed of.
    assert_eq!(lb.metric("plimsoll_config_last_reload_successful").await, Some(1.0));
    assert_eq!(lb.status().await["reloads"]["last_successful"], json!(true));
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    assert_eq!((&list["running"], &list["probation"]), (&json!(1), &Value::Null));
    assert_eq!(file(&lb), before);
    assert_eq!(served(&lb).await, "a");
    let names = fs::read_dir(lb.config_path().parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "nothing is left beside the file");
}

#[tokio::test]
async fn an_update_holds_for_the_revision_it_is_based_on_and_stays_after_a_restart() {
    let (a, b, lb) = before_one_of_two("").await;
    let new = turned(&lb, &a, &b);
    fs::set_permissions(lb.config_path(), fs::Permissions::from_mode(0o640)).unwrap();
    let told = post(&lb, "update", &[], &new).await;
    assert_eq!((told.status, &told.body["code"]), (428, &json!("if_match_needed")));
    let told = post(&lb, "update", &[&on(&lb, 9).await], &new).await;
    assert_eq!((told.status, &told.body["code"]), (412, &json!("other_revision")), "{}", told.body);
    assert_eq!(served(&lb).await, "a");

    let told = post(&lb, "update?dry_run=1", &[&on(&lb, 1).await], &new).await;
    assert_eq!((told.status, &told.body["dry_run"]), (200, &json!(true)), "{}", told.body);
    let changes = told.body["effect"]["changes"].as_array().unwrap();
    let hows: Vec<_> = changes.iter().map(|one| (&one["what"], &one["how"])).collect();
    assert_eq!(
        hows,
        [(&json!("backend"), &json!("added")), (&json!("backend"), &json!("removed")),]
    );
    assert_eq!(running(&lb).await, 1);

    let told = post(&lb, "update?reason=b%20is%20new", &[&on(&lb, 1).await], &new).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(2)), "{}", told.body);
    assert_eq!(served(&lb).await, "b");
    assert_eq!(file(&lb), new);
    let mode = fs::metadata(lb.config_path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let told = post(&lb, "update", &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 412, "who is late has to look again");
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let latest = &list["revisions"][0];
    assert_eq!(
        (&latest["author"], &latest["reason"], &latest["origin"]),
        (&json!("anonymous"), &json!("b is new"), &json!("api"))
    );
    assert_eq!(list["kept"], json!(false), "there is no folder for it");
    let diff = ask(&lb, "GET", "/revisions/1/diff", "").await.body;
    let diff = diff["diff"].as_str().unwrap();
    assert!(diff.contains(&format!("-address = \"{}\"", a.address())), "{diff}");
    assert!(diff.contains(&format!("+address = \"{}\"", b.address())), "{diff}");

    let lb = lb.restart().await;
    assert_eq!(served(&lb).await, "b");
}

#[tokio::test]
async fn a_plan_can_be_required() {
    let (a, b, lb) = before_one_of_two("").await;
    let new = turned(&lb, &a, &b);
    let plan = post(&lb, "plan", &[], &new).await;
    assert_eq!((plan.status, &plan.body["revision"]), (200, &json!(1)), "{}", plan.body);
    let expect = plan.body["expect"].as_str().unwrap();
    let path = format!("update?expect={expect}");
    let told = post(&lb, &path, &[], &format!("{new}\n# more\n")).await;
    assert_eq!((told.status, &told.body["code"]), (412, &json!("not_as_planned")));
    let told = post(&lb, &path, &[], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = post(&lb, &path, &[], &new).await;
    assert_eq!(told.status, 412, "another revision is in force now");
}

#[tokio::test]
async fn what_somebody_wrote_into_the_file_is_not_lost_unasked() {
    let (a, b, lb) = before_one_of_two("").await;
    let new = turned(&lb, &a, &b);
    let by_hand = format!("{}\n# by hand\n", file(&lb));
    fs::write(lb.config_path(), &by_hand).unwrap();
    let told = post(&lb, "update", &[&on(&lb, 1).await], &new).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("file_changed")));
    let detail = told.body["detail"].as_str().unwrap();
    assert!(detail.contains("plimsoll.toml") && detail.contains("reload"), "{detail}");
    assert_eq!(file(&lb), by_hand);
    assert_eq!(ask(&lb, "POST", "/reload", "").await.status, 200);
    assert_eq!(running(&lb).await, 2);
    fs::write(lb.config_path(), "nonsense").unwrap();
    let told = post(&lb, "update?overwrite=1", &[&on(&lb, 2).await], &new).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(3)), "{}", told.body);
    assert_eq!(file(&lb), new);
}

#[tokio::test]
async fn what_is_not_confirmed_goes_back_and_no_request_fails() {
    let (a, b, lb) = before_one_of_two("").await;
    let old = file(&lb);
    let load = Load::start(lb.addr("main"), 2);
    load.until_answered(20).await;
    let path = "update?confirm_seconds=4";
    let told = post(&lb, path, &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["probation"]["back_to"], json!(1), "{}", told.body);
    b.until_requests(20).await;
    let again = post(&lb, "update", &[&on(&lb, 2).await], &format!("{old}# x\n")).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("on_probation")));
    until("it has gone back", async || running(&lb).await == 3).await;
    let so_far = a.requests();
    a.until_requests(so_far + 20).await;
    load.expect_all_good().await;
    assert_eq!(file(&lb), old);
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    assert_eq!(list["probation"], Value::Null);
    let latest = &list["revisions"][0];
    assert_eq!(
        (&latest["author"], &latest["reason"]),
        (&json!("policy"), &json!("back to revision 1: nobody confirmed it in time"))
    );
    let events = lb.api("/api/v1/ha/events?kind=config.").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["config.applied", "config.reverted"]);
    let next = events["events"][0]["next"].as_str().unwrap();
    assert_eq!(next, "it goes back to revision 1 unless it is confirmed within 4s");
}

#[tokio::test]
async fn what_is_confirmed_stays() {
    let (a, b, lb) = before_one_of_two("").await;
    assert_eq!(ask(&lb, "POST", "/confirm", "").await.body["code"], "nothing_to_confirm");
    let new = turned(&lb, &a, &b);
    let told = post(&lb, "update?confirm_seconds=3600", &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let of_another = [&*on(&lb, 1).await];
    for dry_run in [0, 1] {
        let path = format!("{CONFIG}/confirm?dry_run={dry_run}");
        let told = super::ask(lb.admin_addr(), "POST", &path, &of_another, "").await;
        assert_eq!((told.status, &told.body["code"]), (412, &json!("other_revision")));
    }
    let told = ask(&lb, "POST", "/confirm", r#"{"reason": "looks good"}"#).await;
    assert_eq!((told.status, &told.body["probation"]), (200, &Value::Null), "{}", told.body);
    let events = lb.api("/api/v1/ha/events?kind=config.confirmed").await;
    let event = &events["events"][0];
    assert_eq!(event["cause"], "revision 2 stays in force: looks good");
    assert_eq!(served(&lb).await, "b");
    let told = post(&lb, "update", &[&on(&lb, 2).await], &turned(&lb, &b, &a)).await;
    assert_eq!(told.status, 200, "nothing is on probation any more: {}", told.body);
}

#[tokio::test]
async fn a_configuration_that_does_harm_goes_back() {
    let (a, mut b, lb) = before_one_of_two("").await;
    let new = turned(&lb, &a, &b);
    b.stop().await;
    for _ in 0..30 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
    let told = post(&lb, "update?guard_seconds=3600", &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    until("it has gone back", async || {
        get(lb.addr("main"), "/").await;
        running(&lb).await == 3
    })
    .await;
    assert_eq!(served(&lb).await, "a");
    let events = lb.api("/api/v1/ha/events?kind=config.reverted").await;
    let cause = events["events"][0]["cause"].as_str().unwrap();
    assert!(
        cause.starts_with("revision 3: back to revision 1: ")
            && cause.contains("were answered with 5xx, 0.0 % before"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_configuration_that_does_none_passes_its_guard() {
    let (a, b, lb) = before_one_of_two("").await;
    let told =
        post(&lb, "update?guard_seconds=1", &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    until("it has passed", async || {
        assert_eq!(served(&lb).await, "b");
        let events = lb.api("/api/v1/ha/events?kind=config.guard_passed").await;
        !events["events"].as_array().unwrap().is_empty()
    })
    .await;
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    assert_eq!((&list["running"], &list["probation"]), (&json!(2), &Value::Null));
}

#[tokio::test]
async fn revisions_are_rolled_back_to() {
    let (a, b, lb) = before_one_of_two("").await;
    let old = file(&lb);
    assert_eq!(ask(&lb, "POST", "/rollback", "").await.body["code"], "none_before");
    post(&lb, "update", &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    let told = ask(&lb, "POST", "/rollback?dry_run=1", "").await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(2)), "{}", told.body);
    let told = ask(&lb, "POST", "/rollback", r#"{"reason": "b is slow"}"#).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(3)), "{}", told.body);
    assert_eq!((file(&lb), &*served(&lb).await), (old, "a"));
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 2}"#).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(4)), "{}", told.body);
    assert_eq!(served(&lb).await, "b");
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 9}"#).await;
    assert_eq!((told.status, &told.body["code"]), (404, &json!("no_revision")));
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let reasons: Vec<_> =
        list["revisions"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["back to revision 2", "back to revision 1: b is slow", "", ""]);
}

#[tokio::test]
async fn revisions_and_a_probation_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let state = format!("state = \"{}\"", folder.path().join("state").display());
    let (a, b, lb) = before_one_of_two(&state).await;
    let old = file(&lb);
    let path = "update?confirm_seconds=3&reason=try";
    let told = post(&lb, path, &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    // At once and without a word: what was answered is written.
    let lb = lb.restart().await;
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    assert_eq!(list["kept"], json!(true));
    until("it has gone back", async || running(&lb).await == 3).await;
    assert_eq!(file(&lb), old);
    assert_eq!(served(&lb).await, "a");
    let third = folder.path().join("state/revisions/3.json");
    until("that is written down", async || third.exists()).await;
    let lb = lb.restart().await;
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let told: Vec<_> = list["revisions"].as_array().unwrap().iter().collect();
    let told: Vec<_> = told.iter().map(|one| (&one["revision"], &one["author"])).collect();
    assert_eq!(
        told,
        [
            (&json!(3), &json!("policy")),
            (&json!(2), &json!("anonymous")),
            (&json!(1), &json!("start")),
        ]
    );
    assert_eq!(list["probation"], Value::Null);
    assert_eq!(fs::metadata(third).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn whoever_brings_another_text_is_named() {
    let (a, b, lb) = before_one_of_two("").await;
    lb.rewrite(open("", "", &[at(&a), at(&b)], ""));
    lb.signal(Signal::HUP);
    until("it is a revision", async || running(&lb).await == 2).await;
    // The same again is no other revision.
    let generation = lb.generation().await;
    lb.signal(Signal::HUP);
    lb.until_generation(generation + 1).await;
    assert_eq!(running(&lb).await, 2);
    let watched = open("", "", &[at(&b)], "")
        .replace("watch_interval = \"off\"", "watch_interval = \"100ms\"");
    lb.rewrite(&watched);
    lb.signal(Signal::HUP);
    until("it is watched", async || running(&lb).await == 3).await;
    lb.rewrite(watched.replace("workers = 2", "workers = 2 # two"));
    until("the change is seen", async || running(&lb).await == 4).await;
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let told: Vec<_> = list["revisions"].as_array().unwrap().iter().collect();
    let told: Vec<_> = told.iter().map(|one| (&one["origin"], &one["author"])).collect();
    let signal = (&json!("signal"), &json!("signal"));
    assert_eq!(
        told,
        [
            (&json!("file_watch"), &json!("file")),
            signal,
            signal,
            (&json!("start"), &json!("start")),
        ]
    );
}

#[tokio::test]
async fn only_the_main_file_is_written() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let folder = tempfile::tempdir().unwrap();
    let included = folder.path().join("more.toml");
    let upstream = |origin: &Origin| {
        format!("[[upstream.more.backend]]\naddress = \"{}\"\n", origin.address())
    };
    fs::write(&included, upstream(&a)).unwrap();
    let include = format!("include = [\"{}\"]", included.display());
    let lb = Lb::start(open(&include, "", &[at(&a)], "")).await;
    let told = post(&lb, "update", &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(2)), "{}", told.body);
    fs::write(&included, upstream(&b)).unwrap();
    let told = post(&lb, "update", &[&on(&lb, 2).await], &turned(&lb, &b, &a)).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("file_changed")), "{}", told.body);
    assert!(told.body["detail"].as_str().unwrap().contains("more.toml"), "{}", told.body);
    assert_eq!(ask(&lb, "POST", "/reload", "").await.status, 200);
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 1}"#).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("included_changed")));
    let detail = told.body["detail"].as_str().unwrap();
    assert!(detail.contains("more.toml") && detail.contains("revision 1"), "{detail}");
    fs::write(&included, upstream(&a)).unwrap();
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 1, "overwrite": true}"#).await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(4)), "{}", told.body);
    assert_eq!(served(&lb).await, "a");
}

#[tokio::test]
async fn secrets_are_masked_and_masks_refused() {
    let a = Origin::start("a").await;
    let sticky = "sticky = { cookie = \"sid\", secret = \"a-secret-of-16-bytes\" }";
    let lb = Lb::start(open("", sticky, &[at(&a)], "")).await;
    let told = ask(&lb, "GET", "", "").await;
    let shown = told.body["files"][0]["text"].as_str().unwrap();
    assert!(shown.contains("secret = \"***\"") && !told.body.to_string().contains("of-16"));
    let told = ask(&lb, "GET", "/revisions/1", "").await;
    assert!(!told.body.to_string().contains("of-16"), "{}", told.body);
    let told = post(&lb, "update", &[&on(&lb, 1).await], shown).await;
    assert_eq!((told.status, &told.body["code"]), (422, &json!("masked")));
}

#[tokio::test]
async fn who_may_not_configure_may_check_and_plan_but_not_look_into_other_files() {
    let a = Origin::start("a").await;
    // On a loopback address without a token: a viewer.
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let text = file(&lb);
    for path in ["validate", "plan"] {
        assert_eq!(post(&lb, path, &[], &text).await.status, 200, "{path}");
        let other = format!("include = [\"/etc/passwd\"]\n{text}");
        let told = post(&lb, path, &[], &other).await;
        assert_eq!((told.status, &told.body["code"]), (403, &json!("other_files")));
        assert!(!told.body.to_string().contains("root"), "{}", told.body);
    }
    assert_eq!(post(&lb, "update", &[&on(&lb, 1).await], &text).await.status, 403);
    for (method, path, status) in [
        ("GET", "/revisions", 200),
        ("GET", "/revisions/1", 403),
        ("GET", "/revisions/1/diff", 403),
        ("GET", "", 403),
        ("POST", "/confirm", 403),
        ("POST", "/rollback", 403),
    ] {
        assert_eq!(ask(&lb, method, path, "").await.status, status, "{method} {path}");
    }
}
