//! `plimsoll plan`, `apply`, `confirm`, `config`: configurations of a running process.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::operate::{ask, open};
use super::{err, out};
use crate::support::{Lb, Load, Origin, at, config, get, until};

/// A file beside that of the balancer, with `b` in place of `a`.
fn next(lb: &Lb, a: &Origin, b: &str) -> String {
    let text = fs::read_to_string(lb.config_path()).unwrap().replace(&a.address(), b);
    let path = lb.config_path().with_file_name("next.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_plan_tells_what_would_come_of_it_and_changes_nothing() {
    let (a, b, lb) = open().await;
    let c = Origin::start("c").await;
    let file = next(&lb, &a, &c.address());
    let told = ask(&lb, &["plan", &file]).await;
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    let text = out(&told);
    for line in [
        "against revision 1:".to_owned(),
        format!("  + backend api/{}: weight 1", c.address()),
        format!("  - backend api/{}", a.address()),
        "connections are kept to 1 backends, made anew to 0, new to 1".to_owned(),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
    assert!(text.contains("to put exactly this in force: --expect "), "{text}");
    let told = ask(&lb, &["plan", &file, "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!(json["effect"]["pools"]["kept"], 1, "{json}");
    let same = lb.config_path().display().to_string();
    let told = ask(&lb, &["plan", &same]).await;
    assert!(out(&told).starts_with("nothing changes against revision 1\n"), "{}", out(&told));
    drop((a, b));
}

#[tokio::test]
async fn a_bad_configuration_exits_with_2_and_tells_where() {
    let (_a, _b, lb) = open().await;
    let bad = fs::read_to_string(lb.config_path()).unwrap().replace("workers", "worker");
    let path = lb.config_path().with_file_name("bad.toml");
    fs::write(&path, bad).unwrap();
    let path = path.display().to_string();
    for command in ["plan", "apply"] {
        let told = ask(&lb, &[command, &path]).await;
        assert_eq!(told.status.code(), Some(2), "{}", err(&told));
        assert!(out(&told).contains("plimsoll.toml:2:1"), "{}", out(&told));
    }
    let told = ask(&lb, &["plan", "/no/such.toml"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(err(&told).contains("/no/such.toml"), "{}", err(&told));
}

#[tokio::test]
async fn what_is_applied_is_confirmed_told_of_and_rolled_back() {
    let (a, b, lb) = open().await;
    let c = Origin::start("c").await;
    let file = next(&lb, &a, &c.address());
    let planned = ask(&lb, &["plan", &file, "--json"]).await;
    let planned: Value = serde_json::from_str(&out(&planned)).unwrap();
    let told = ask(&lb, &["apply", &file, "--expect", "0123456789abcdef"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(out(&told).contains("this is not what was planned"), "{}", out(&told));
    let told = ask(&lb, &["apply", &file, "--dry-run"]).await;
    assert!(out(&told).ends_with("it would be done\n"), "{}", out(&told));
    let expect = planned["expect"].as_str().unwrap();
    let arguments = ["apply", &file, "--expect", expect, "--confirm", "1h", "--reason", "c is new"];
    let told = ask(&lb, &arguments).await;
    assert_eq!(told.status.code(), Some(0), "{}{}", out(&told), err(&told));
    assert!(out(&told).contains("revision 2 is in force"), "{}", out(&told));
    assert!(out(&told).contains("it goes back to revision 1 at 20"), "{}", out(&told));
    assert!(out(&told).ends_with("a restart forgets that: `admin.state` names no folder\n"));
    let told = ask(&lb, &["config", "history"]).await;
    let text = out(&told);
    assert!(text.starts_with("REVISION  SINCE "), "{text}");
    let latest = text.lines().nth(1).unwrap();
    assert!(latest.starts_with("2* ") && latest.ends_with("c is new"), "{text}");
    assert!(text.contains("revision 2 goes back to 1 unless it is confirmed before "), "{text}");
    let told = out(&ask(&lb, &["status"]).await);
    assert!(told.contains(", revision 2, "), "{told}");
    assert!(told.contains("revision 2 goes back to 1 unless it is confirmed before "), "{told}");
    let told = ask(&lb, &["confirm"]).await;
    assert_eq!(out(&told), "revision 2 stays in force\n", "{}", err(&told));
    let told = ask(&lb, &["confirm"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert_eq!(out(&told), "no configuration waits to be confirmed\n");

    let told = ask(&lb, &["config", "diff", "1"]).await;
    let text = out(&told);
    assert!(text.contains(&format!("+address = \"{}\"", c.address())), "{text}");
    assert!(text.starts_with("revision 2 against 1:\n"), "{text}");
    assert!(text.contains(&format!("\n  + backend api/{}: weight 1\n", c.address())), "{text}");
    let told = ask(&lb, &["config", "diff", "2"]).await;
    assert_eq!(out(&told), "revision 2 means the same as 2\n");
    let told = ask(&lb, &["config", "show", "1"]).await;
    assert!(out(&told).contains(&a.address()), "{}", out(&told));
    let told = ask(&lb, &["config", "show"]).await;
    assert!(!out(&told).contains(&a.address()), "{}", out(&told));
    let told = ask(&lb, &["config", "rollback", "--reason", "c is slow"]).await;
    assert_eq!(told.status.code(), Some(0), "{}", out(&told));
    assert!(out(&told).starts_with("revision 3 is in force"), "{}", out(&told));
    let told = ask(&lb, &["config", "rollback", "2", "--confirm", "1h"]).await;
    assert!(
        out(&told).contains("it goes back to revision 3 at 20"),
        "{}{}",
        out(&told),
        err(&told)
    );
    let told = ask(&lb, &["config", "rollback", "1", "--confirm", "1h"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(out(&told).contains("revision 4 has not proved itself yet"), "{}", out(&told));
    let told = ask(&lb, &["config", "rollback", "1", "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!((&json["revision"], &json["probation"]), (&5.into(), &Value::Null), "{json}");
    let told = ask(&lb, &["config", "rollback", "7"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(out(&told).contains("there is no revision 7"), "{}", out(&told));
    let text = fs::read_to_string(lb.config_path()).unwrap();
    assert!(text.contains(&a.address()) && text.contains(&b.address()), "{text}");
}

#[tokio::test]
async fn a_backup_is_taken_and_restored() {
    let (a, _b, lb) = open().await;
    let c = Origin::start("c").await;
    let old = fs::read_to_string(lb.config_path()).unwrap();
    let archive = lb.config_path().with_file_name("backup.tar.gz");
    let path = archive.display().to_string();
    // Whoever could read the one of before cannot read this one.
    fs::write(&archive, "of before").unwrap();
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o644)).unwrap();
    let told = ask(&lb, &["config", "backup", &path]).await;
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    assert!(out(&told).starts_with(&format!("{path}: ")), "{}", out(&told));
    let told = ask(&lb, &["config", "backup", &path, "--json"]).await;
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    let bytes = fs::metadata(&archive).unwrap().len();
    assert_eq!((&json["file"], &json["bytes"]), (&path.clone().into(), &bytes.into()));
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let told = ask(&lb, &["apply", &next(&lb, &a, &c.address())]).await;
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    let told = ask(&lb, &["config", "restore", &path, "--dry-run"]).await;
    let added = format!("+ backend api/{}: weight 1\n", a.address());
    assert!(out(&told).contains(&added), "{}{}", out(&told), err(&told));
    let arguments = ["config", "restore", &path, "--confirm", "1h", "--reason", "c is lost"];
    let told = ask(&lb, &arguments).await;
    assert!(out(&told).starts_with("revision 3 is in force"), "{}{}", out(&told), err(&told));
    assert!(out(&told).contains("it goes back to revision 2 at 20"), "{}", out(&told));
    assert_eq!(fs::read_to_string(lb.config_path()).unwrap(), old);
    fs::write(&archive, "nothing").unwrap();
    let told = ask(&lb, &["config", "restore", &path]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(out(&told).starts_with("it is no whole archive (tar.gz): "), "{}", out(&told));
    let told = ask(&lb, &["config", "backup", "/no/such/folder"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(err(&told).contains("/no/such/folder: "), "{}", err(&told));
}

#[tokio::test]
async fn a_guarded_apply_waits_and_tells_why_it_went_back() {
    let (a, _b, lb) = open().await;
    let c = Origin::start("c").await;
    let good = next(&lb, &a, &c.address());
    let before = lb.generation().await;
    // So few that their times do not count, which a slow machine makes long.
    let judged = async {
        lb.until_generation(before + 1).await;
        for _ in 0..30 {
            get(lb.addr("main"), "/").await;
        }
    };
    let words = ["apply", &good, "--guard=1s"];
    let (told, ()) = tokio::join!(ask(&lb, &words), judged);
    assert_eq!(told.status.code(), Some(0), "{}", out(&told));
    assert!(out(&told).ends_with("nothing is worse than before\n"), "{}", out(&told));

    let text = fs::read_to_string(lb.config_path()).unwrap();
    let bad = lb.config_path().with_file_name("bad.toml");
    fs::write(&bad, text.replace("upstream = \"api\"", "respond = { status = 500 }")).unwrap();
    let asked = tokio::spawn({
        let main = lb.addr("main");
        async move {
            loop {
                get(main, "/").await;
            }
        }
    });
    let told = ask(&lb, &["apply", &bad.display().to_string(), "--guard"]).await;
    asked.abort();
    assert_eq!(told.status.code(), Some(1), "{}{}", out(&told), err(&told));
    let text = out(&told);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("it went back: back to revision 2: ") && last.contains("with 5xx"),
        "{text}"
    );
}

#[tokio::test]
async fn who_waits_for_a_guard_is_told_that_it_cannot_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a-secret-of-16-bytes").unwrap();
    let a = Origin::start("a").await;
    let reference = format!("{{ file = \"{}\" }}", secret.display());
    let sticky = format!("sticky = {{ cookie = \"sid\", secret = {reference} }}");
    let text = config("", &sticky, &[at(&a)]);
    let lb = Lb::start(text.replace("[admin]\n", "[admin]\nanonymous = \"admin\"\n")).await;
    let bad = fs::read_to_string(lb.config_path()).unwrap().replace(&sticky, "");
    let bad = bad.replace("upstream = \"api\"", "respond = { status = 500 }");
    let path = lb.config_path().with_file_name("bad.toml");
    fs::write(&path, bad).unwrap();
    let path = path.display().to_string();
    let arguments = ["apply", &path, "--guard=1h"];
    let harm = async {
        until("it is in force", async || lb.status().await["revision"] == 2).await;
        fs::remove_file(&secret).unwrap();
        Load::start(lb.addr("main"), 1)
    };
    let (told, load) = tokio::join!(ask(&lb, &arguments), harm);
    drop(load);
    assert_eq!(told.status.code(), Some(1), "{}{}", out(&told), err(&told));
    let last = "it should have gone back and cannot: ";
    assert!(out(&told).lines().last().unwrap().starts_with(last), "{}", out(&told));
    let told = ask(&lb, &["status"]).await;
    assert!(out(&told).lines().any(|line| line.starts_with(last)), "{}", out(&told));
}

#[tokio::test]
async fn who_rolls_back_or_restores_can_have_it_guarded_as_well() {
    let (_a, _b, lb) = open().await;
    let archive = lb.config_path().with_file_name("backup.tar.gz").display().to_string();
    let told = ask(&lb, &["config", "backup", &archive]).await;
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    let bad = lb.config_path().with_file_name("bad.toml");
    let text = fs::read_to_string(lb.config_path()).unwrap();
    fs::write(&bad, text.replace("upstream = \"api\"", "respond = { status = 500 }")).unwrap();
    let told = ask(&lb, &["apply", &bad.display().to_string()]).await;
    assert_eq!(told.status.code(), Some(0), "{}{}", out(&told), err(&told));
    let told = ask(&lb, &["config", "restore", &archive, "--guard=1s"]).await;
    assert!(out(&told).ends_with("nothing is worse than before\n"), "{}{}", out(&told), err(&told));
    let load = Load::start(lb.addr("main"), 1);
    load.until_answered(30).await;
    let told = ask(&lb, &["config", "rollback", "2", "--guard", "--json"]).await;
    drop(load);
    assert_eq!(told.status.code(), Some(1), "{}{}", out(&told), err(&told));
    let json: Value = serde_json::from_str(&out(&told)).unwrap();
    let why = json["reverted"].as_str().unwrap();
    assert!(why.starts_with("back to revision 3: ") && why.contains("with 5xx"), "{why}");
}
