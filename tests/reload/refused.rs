//! Bad configurations change nothing and explain themselves.

use super::{ask, reload};
use crate::support::{Lb, Origin, at, config};

const SUCCESSFUL: &str = "plimsoll_config_last_reload_successful";
const REFUSED: &str = "plimsoll_config_reloads_total{result=\"refused\"}";

#[tokio::test]
async fn bad_file_changes_nothing_is_explained_and_a_good_one_mends_it() {
    let a = Origin::start("a").await;
    let good = config("", "", &[at(&a)]);
    let lb = Lb::start(&good).await;
    let generation = lb.generation().await;
    let bad = good
        .replace("upstream = \"api\"", "upstream = \"apl\"")
        .replace("workers = 2", "worker = 2");
    lb.reload(bad);
    lb.until_metric(REFUSED, 1.0).await;
    assert_eq!(lb.metric(SUCCESSFUL).await, Some(0.0));
    assert_eq!(lb.generation().await, generation);
    assert_eq!(ask(&lb, "/").await, (200, "a".to_owned()));
    // Every fault, with its place and a remedy.
    lb.until_log("configuration refused, the one before stays in force").await;
    let log = lb.log_text();
    for said in ["plimsoll.toml:2:1", "did you mean", "workers", "apl"] {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
    reload(&lb, good).await;
    assert_eq!(lb.metric(SUCCESSFUL).await, Some(1.0));
    assert_eq!(lb.status().await["reloads"]["refused"], 1);
}

#[tokio::test]
async fn file_that_is_gone_or_is_no_toml_is_refused_too() {
    let a = Origin::start("a").await;
    let good = config("", "", &[at(&a)]);
    let lb = Lb::start(&good).await;
    lb.reload("[[[");
    lb.until_metric(REFUSED, 1.0).await;
    std::fs::remove_file(lb.config_path()).unwrap();
    lb.signal(rustix::process::Signal::HUP);
    lb.until_metric(REFUSED, 2.0).await;
    assert_eq!(ask(&lb, "/").await, (200, "a".to_owned()));
    reload(&lb, good).await;
    assert_eq!(lb.metric(SUCCESSFUL).await, Some(1.0));
}

#[tokio::test]
async fn changed_file_is_taken_without_a_signal_and_a_bad_one_is_told_once() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let watched = |origin: &Origin| {
        config("", "", &[at(origin)])
            .replace("watch_interval = \"off\"", "watch_interval = \"100ms\"")
    };
    let lb = Lb::start(watched(&a)).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    lb.rewrite("nonsense");
    lb.until_metric(REFUSED, 1.0).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    lb.rewrite(watched(&b));
    lb.until_metric(SUCCESSFUL, 1.0).await;
    assert_eq!(ask(&lb, "/").await.1, "b");
    assert_eq!(lb.metric(REFUSED).await, Some(1.0));
    lb.until_log("file_watch").await;
}

#[tokio::test]
async fn included_file_is_watched_too() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let extra = |origin: &Origin| {
        format!(
            "[[route]]\npath = \"/extra\"\nupstream = \"extra\"\n\
             [[upstream.extra.backend]]\n{}\n",
            at(origin)
        )
    };
    let main = config("include = [\"extra-*.toml\"]", "", &[at(&a)])
        .replace("watch_interval = \"off\"", "watch_interval = \"100ms\"");
    let lb = Lb::start(main).await;
    assert_eq!(ask(&lb, "/extra").await.1, "a");
    let directory = lb.config_path().parent().unwrap().to_owned();
    std::fs::write(directory.join("extra-1.toml"), extra(&b)).unwrap();
    lb.until_metric("plimsoll_config_reloads_total{result=\"ok\"}", 2.0).await;
    assert_eq!(ask(&lb, "/extra").await.1, "b");
}

#[tokio::test]
async fn settings_that_wait_for_a_restart_are_named() {
    let a = Origin::start("a").await;
    let first = config("", "", &[at(&a)]);
    let lb = Lb::start(&first).await;
    let second = first
        .replace("workers = 2", "workers = 3")
        .replace("[admin]\naddress = \"127.0.0.1:0\"", "");
    reload(&lb, second).await;
    for setting in ["workers", "admin"] {
        lb.until_log(&format!("\"setting\":\"{setting}\"")).await;
    }
    assert!(lb.log_text().contains("takes effect after a restart"));
    // Back to what is in force: nothing waits any more.
    let said = lb.log_text().matches("\"setting\"").count();
    reload(&lb, first).await;
    assert_eq!(lb.log_text().matches("\"setting\"").count(), said);
}

#[tokio::test]
async fn file_that_returns_to_what_is_in_force_ends_the_alarm() {
    let a = Origin::start("a").await;
    let good =
        config("", "", &[at(&a)]).replace("watch_interval = \"off\"", "watch_interval = \"100ms\"");
    let lb = Lb::start(&good).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let listener = format!("[[listener]]\nname = \"taken\"\naddress = \"{}\"\n", taken.1);
    for bad in ["[[[", &(good.clone() + &listener)] {
        lb.rewrite(bad);
        lb.until_metric(SUCCESSFUL, 0.0).await;
        lb.rewrite(&good);
        lb.until_metric(SUCCESSFUL, 1.0).await;
    }
}
