//! Configurations that have to prove themselves, where something comes between.

use std::fs;

use serde_json::{Value, json};

use super::configure::{ask, before_one_of_two, file, on, post, running, turned};
use super::open;
use super::support::{Client, Lb, Origin, at, get, metric, until};

const SUCCESSFUL: &str = "plimsoll_config_last_reload_successful";

async fn causes(lb: &Lb, kind: &str) -> Vec<String> {
    let told = lb.api(&format!("/api/v1/ha/events?kind={kind}")).await;
    let events = told["events"].as_array().unwrap();
    events.iter().map(|event| event["cause"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_cannot_go_back_is_told_of_once_and_goes_back_when_it_can() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let (secret, gone) = (folder.path().join("secret"), folder.path().join("gone"));
    fs::write(&secret, "a-secret-of-16-bytes").unwrap();
    let reference = format!("{{ file = \"{}\" }}", secret.display());
    let sticky = format!("sticky = {{ cookie = \"sid\", secret = {reference} }}");
    let lb = Lb::start(open("", &sticky, &[at(&a)], "")).await;
    let (old, new) = (file(&lb), file(&lb).replace(&sticky, ""));
    assert_ne!(old, new);
    let told = post(&lb, "update?confirm_seconds=4", &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    fs::rename(&secret, &gone).unwrap();
    until("it is told", async || !causes(&lb, "config.not_reverted").await.is_empty()).await;
    let told = &causes(&lb, "config.not_reverted").await[0];
    assert!(told.starts_with("revision 2 does not go back to 1: "), "{told}");
    assert!(told.contains("secret"), "{told}");
    let figures = async || {
        let text = lb.metrics().await;
        let of = |name| metric(&text, name);
        (of("plimsoll_config_not_reverted"), of(SUCCESSFUL))
    };
    assert_eq!(figures().await, (Some(1.0), Some(1.0)), "nothing is wrong with the file");
    let status = lb.api("/api/v1/ha/status").await;
    let why = status["probation"]["not_reverted"].as_str().unwrap();
    assert!(why.contains("secret"), "{status}");
    assert_eq!((running(&lb).await, file(&lb)), (2, new));
    fs::rename(&gone, &secret).unwrap();
    until("it has gone back", async || running(&lb).await == 3).await;
    assert_eq!(file(&lb), old);
    assert_eq!(causes(&lb, "config.not_reverted").await.len(), 1);
    assert_eq!(figures().await, (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn it_goes_back_even_if_its_file_cannot() {
    let (a, b, lb) = before_one_of_two("").await;
    let path = "update?confirm_seconds=4";
    let told = post(&lb, path, &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    fs::remove_file(lb.config_path()).unwrap();
    until("it has gone back", async || running(&lb).await == 3).await;
    assert_eq!(get(lb.addr("main"), "/").await.text(), "a");
    let told = causes(&lb, "config.file_left").await;
    assert!(told.len() == 1 && told[0].contains("plimsoll.toml cannot be replaced"), "{told:?}");
    assert!(causes(&lb, "config.not_reverted").await.is_empty());
}

#[tokio::test]
async fn it_goes_back_to_what_it_was_whatever_lies_beside_its_file_now() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let more = |name: &str| folder.path().join(name);
    let upstream = format!("[[upstream.more.backend]]\naddress = \"{}\"\n", a.address());
    fs::write(more("old.toml"), &upstream).unwrap();
    let include = format!("include = [\"{}\"]\n", more("*.toml").display());
    let lb = Lb::start(include + &open("", "", &[at(&a)], "")).await;
    let old = file(&lb);
    let path = "update?confirm_seconds=3";
    let new = format!("# no more than this\n{old}");
    let told = post(&lb, path, &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    // What somebody begins meanwhile is refused, and neither one file more nor one less holds it up.
    fs::write(more("new.toml"), "nonsense = 1\n").unwrap();
    fs::remove_file(more("old.toml")).unwrap();
    assert_eq!(ask(&lb, "POST", "/reload", "").await.status, 422);
    until("it has gone back", async || running(&lb).await == 3).await;
    assert_eq!(file(&lb), old);
    assert_eq!(lb.metric(SUCCESSFUL).await, Some(0.0), "a reload would be refused still");
    assert!(causes(&lb, "config.not_reverted").await.is_empty());
    let all = ask(&lb, "GET", "", "").await.body;
    let paths: Vec<_> = all["files"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert!(paths.len() == 2 && paths[1].as_str().unwrap().ends_with("old.toml"), "{all}");

    // Who goes back by hand is told.
    fs::write(more("old.toml"), &upstream).unwrap();
    fs::write(more("new.toml"), upstream.replace("more", "new")).unwrap();
    assert_eq!(ask(&lb, "POST", "/reload", "").await.status, 200);
    assert_eq!(lb.metric(SUCCESSFUL).await, Some(1.0));
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 1}"#).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("included_changed")));
    assert!(told.body["detail"].as_str().unwrap().contains("new.toml"), "{}", told.body);
    fs::remove_file(more("new.toml")).unwrap();
    let told = ask(&lb, "POST", "/rollback", r#"{"to": 1, "overwrite": true}"#).await;
    assert_eq!(told.status, 200, "{}", told.body);
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (a, b, lb) = before_one_of_two(&format!("state = \"{}\"", state.display())).await;
    let path = "update?confirm_seconds=2";
    let told = post(&lb, path, &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    // As it would stand there if the clock had been an hour ahead.
    let path = state.join("probation.json");
    let mut written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let ahead = |ms: &Value| json!(ms.as_u64().unwrap() + 3_600_000);
    written["confirm_until"] = ahead(&written["confirm_until"]);
    written["by"]["since"] = ahead(&written["by"]["since"]);
    fs::write(&path, written.to_string()).unwrap();
    let lb = lb.restart().await;
    assert_eq!(running(&lb).await, 2);
    until("it has gone back", async || running(&lb).await == 3).await;
}

#[tokio::test]
async fn the_operator_says_what_harm_is() {
    let guard = "guard = { min_requests = 3, min_failures = 2, failure_points = 50.0 }";
    let (a, mut b, lb) = before_one_of_two(guard).await;
    let new = turned(&lb, &a, &b);
    b.stop().await;
    let told = post(&lb, "update?guard_seconds=3600", &[&on(&lb, 1).await], &new).await;
    assert_eq!(told.status, 200, "{}", told.body);
    // Far fewer than it takes where nothing is said.
    for _ in 0..3 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 502);
    }
    until("it has gone back", async || running(&lb).await == 3).await;
}

#[tokio::test]
async fn a_probation_shows_in_status_and_metrics() {
    let (a, b, lb) = before_one_of_two("").await;
    let figures = async || {
        let text = lb.metrics().await;
        let of = |name| metric(&text, name);
        (of("plimsoll_config_revision"), of("plimsoll_config_on_probation"))
    };
    assert_eq!(figures().await, (Some(1.0), Some(0.0)));
    let path = "update?confirm_seconds=3600";
    let told = post(&lb, path, &[&on(&lb, 1).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(figures().await, (Some(2.0), Some(1.0)));
    let status = lb.api("/api/v1/ha/status").await;
    assert_eq!((&status["revision"], &status["probation"]["back_to"]), (&json!(2), &json!(1)));
    assert_eq!(ask(&lb, "POST", "/confirm", "").await.status, 200);
    assert_eq!(figures().await, (Some(2.0), Some(0.0)));
    assert_eq!(lb.api("/api/v1/ha/status").await["probation"], Value::Null);
}

#[tokio::test]
async fn as_many_revisions_are_kept_as_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let admin = format!("revisions = 3\nstate = \"{}\"", state.display());
    let (a, b, lb) = before_one_of_two(&admin).await;
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b), (&b, &a)] {
        let told = post(&lb, "update", &["If-Match: *"], &turned(&lb, from, to)).await;
        assert_eq!(told.status, 200, "{}", told.body);
    }
    let list = ask(&lb, "GET", "/revisions", "").await.body;
    let told: Vec<_> = list["revisions"].as_array().unwrap().iter().collect();
    let told: Vec<_> = told.iter().map(|one| &one["revision"]).collect();
    assert_eq!(told, [&json!(5), &json!(4), &json!(3)]);
    let mut files: Vec<_> = fs::read_dir(state.join("revisions"))
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["3.json", "4.json", "5.json"]);
}

#[tokio::test]
async fn two_revisions_are_compared_by_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a-secret-of-16-bytes").unwrap();
    let reference = format!("{{ file = \"{}\" }}", secret.display());
    let sticky = format!("sticky = {{ cookie = \"sid\", secret = {reference} }}");
    let (a, b, lb) = before_one_of_two("").await;
    let with_cookie =
        turned(&lb, &a, &b).replace("[upstream.api]\n", &format!("[upstream.api]\n{sticky}\n"));
    let new = turned(&lb, &a, &b);
    for text in [&new, &format!("# no more than this\n{new}")] {
        let told = post(&lb, "update", &["If-Match: *"], text).await;
        assert_eq!(told.status, 200, "{}", told.body);
    }
    let diff = ask(&lb, "GET", "/revisions/1/diff?to=2", "").await.body;
    let changes = diff["changes"].as_array().unwrap_or_else(|| panic!("{diff}"));
    let told: Vec<_> = changes.iter().map(|one| (&one["how"], &one["name"])).collect();
    let name = |origin: &Origin| json!(format!("api/{}", origin.address()));
    let (added, removed) = (name(&b), name(&a));
    assert_eq!(told, [(&json!("added"), &added), (&json!("removed"), &removed)]);
    let diff = ask(&lb, "GET", "/revisions/2/diff", "").await.body;
    assert_eq!((&diff["changes"], &diff["not_compared"]), (&json!([]), &Value::Null), "{diff}");
    // What a revision refers to may be gone since.
    let told = post(&lb, "update", &["If-Match: *"], &with_cookie).await;
    assert_eq!(told.status, 200, "{}", told.body);
    fs::remove_file(&secret).unwrap();
    let diff = ask(&lb, "GET", "/revisions/1/diff?to=4", "").await.body;
    assert_eq!(diff["changes"], Value::Null, "{diff}");
    let why = diff["not_compared"].as_str().unwrap();
    assert!(why.starts_with("revision 4: ") && why.contains("secret"), "{why}");
    assert!(diff["diff"].as_str().unwrap().contains("+[upstream.api.sticky"), "{diff}");
}

#[tokio::test]
async fn a_reload_can_be_tried() {
    let (a, b, lb) = before_one_of_two("").await;
    let generation = lb.generation().await;
    lb.rewrite(turned(&lb, &a, &b));
    let told = ask(&lb, "POST", "/reload?dry_run=1", "").await;
    assert_eq!((told.status, &told.body["dry_run"]), (200, &json!(true)), "{}", told.body);
    assert_eq!((lb.generation().await, running(&lb).await), (generation, 1));
    lb.rewrite("nonsense = 1\n");
    let told = ask(&lb, "POST", "/reload?dry_run=1", "").await;
    assert_eq!((told.status, &told.body["code"]), (422, &json!("invalid_config")));
    let told = post(&lb, "reload", &[&on(&lb, 2).await], "").await;
    assert_eq!((told.status, &told.body["code"]), (412, &json!("other_revision")));
    let told = ask(&lb, "POST", "/reload?dry=1", "").await;
    assert_eq!((told.status, &told.body["code"]), (400, &json!("bad_query")));
}

#[tokio::test]
async fn nobody_rolls_back_to_what_went_back_by_itself() {
    let (a, b, lb) = before_one_of_two("").await;
    let first = file(&lb);
    let good = format!("# no more than this\n{first}");
    let told = post(&lb, "update", &[&on(&lb, 1).await], &good).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let path = "update?confirm_seconds=1";
    let told = post(&lb, path, &[&on(&lb, 2).await], &turned(&lb, &a, &b)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    until("it has gone back", async || running(&lb).await == 4).await;
    assert_eq!(file(&lb), good);
    let told = ask(&lb, "POST", "/rollback", "").await;
    assert_eq!((told.status, &told.body["revision"]), (200, &json!(5)), "{}", told.body);
    assert_eq!(file(&lb), first);
}

#[tokio::test]
async fn another_spelling_of_a_revision_is_another_tag() {
    let (_a, _b, lb) = before_one_of_two("").await;
    let new = format!("# no more than this\n{}", file(&lb));
    let tag = etag(&lb).await;
    let bare = tag.trim_matches('"');
    for (tag, code) in [
        (format!("\"0{bare}\""), "other_revision"),
        ("\"1\"".to_owned(), "other_revision"),
        (bare.to_owned(), "bad_if_match"),
        (format!("W/{tag}"), "bad_if_match"),
        (format!("{tag}, {tag}"), "bad_if_match"),
    ] {
        let told = post(&lb, "update", &[&format!("If-Match: {tag}")], &new).await;
        assert_eq!((told.status, &told.body["code"]), (412, &json!(code)), "{tag}");
    }
    assert_eq!(post(&lb, "update", &[&on(&lb, 1).await], &new).await.status, 200);
}

/// What the configuration in force is told by.
async fn etag(lb: &Lb) -> String {
    let mut client = Client::connect(lb.admin_addr()).await;
    let head = format!("GET /api/v1/ha/config HTTP/1.1\r\nHost: {}\r\n\r\n", lb.admin_addr());
    client.send(head).await;
    client.read_response().await.header("etag").unwrap().to_owned()
}

#[tokio::test]
async fn who_looked_before_a_restart_does_not_change_another_configuration() {
    let (a, b, lb) = before_one_of_two("").await;
    let (first, mine) = (file(&lb), turned(&lb, &a, &b));
    let looked = format!("If-Match: {}", etag(&lb).await);
    lb.rewrite(format!("# somebody else's\n{first}"));
    let lb = lb.restart().await;
    assert_eq!(running(&lb).await, 1, "numbers begin anew: nothing keeps them");
    let told = post(&lb, "update", &[&looked], &mine).await;
    assert_eq!((told.status, &told.body["code"]), (412, &json!("other_revision")), "{}", told.body);
    // What is in force as it was then is the same one.
    lb.rewrite(first);
    let lb = lb.restart().await;
    let told = post(&lb, "update", &[&looked], &mine).await;
    assert_eq!(told.status, 200, "{}", told.body);
}

#[tokio::test]
async fn what_the_balancer_itself_answers_is_harm_as_well() {
    let (a, _b, lb) = before_one_of_two("").await;
    for _ in 0..30 {
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
    let address = at(&a);
    for (to, part, becomes, status, why) in [
        (1, "[[route]]", "[[route]]\nhosts = [\"other.example\"]", 404, "no route"),
        (3, &*address, &*format!("{address}\nstate = \"disabled\""), 503, "5xx"),
        (5, "upstream = \"api\"", "respond = { status = 403 }", 403, "4xx"),
    ] {
        let new = file(&lb).replace(part, becomes);
        assert_ne!(new, file(&lb));
        let told = post(&lb, "update?guard_seconds=3600", &["If-Match: *"], &new).await;
        assert_eq!(told.status, 200, "{}", told.body);
        assert_eq!(get(lb.addr("main"), "/").await.status, status);
        until("it has gone back", async || {
            get(lb.addr("main"), "/").await;
            running(&lb).await == to + 2
        })
        .await;
        let told = causes(&lb, "config.reverted").await.pop().unwrap();
        assert!(told.contains(why), "{told}");
        assert_eq!(get(lb.addr("main"), "/").await.status, 200);
    }
}
