//! The access log and the program log of a running program.

use std::path::Path;

use rustix::process::Signal;

use super::{ask, reload};
use crate::support::{Lb, Load, Origin, at, config, until};

/// The usual configuration with an access log in this file.
fn logging_to(path: &Path, a: &Origin) -> String {
    config("", "", &[at(a)]).replace(
        "format = \"off\"",
        &format!("format = \"combined\"\npath = \"{}\"", path.display()),
    )
}

fn lines(path: &Path) -> usize {
    // A line that is being written does not count yet.
    std::fs::read(path).map_or(0, |text| text.split(|byte| *byte == b'\n').count() - 1)
}

#[tokio::test]
async fn renamed_access_log_is_reopened_by_usr1_and_no_line_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) =
        (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let a = Origin::start("a").await;
    let lb = Lb::start(logging_to(&path, &a)).await;
    let load = Load::start(lb.addr("main"), 4);
    until("lines are written", async || lines(&path) > 0).await;
    std::fs::rename(&path, &moved).unwrap();
    lb.signal(Signal::USR1);
    until("the new file is there", async || path.exists()).await;
    until("lines are written", async || lines(&path) > 0).await;
    load.expect_all_good().await;
    until("every line is there", async || {
        let answered = lb.metric("plimsoll_requests_total{route=\"all\"}").await.unwrap();
        lines(&path) + lines(&moved) == answered as usize
    })
    .await;
    assert!(lines(&path) > 0 && lines(&moved) > 0);
    assert_eq!(lb.metric("plimsoll_access_log_dropped_lines_total").await, Some(0.0));
}

#[tokio::test]
async fn access_log_moves_by_reload_and_one_that_cannot_be_opened_refuses_it() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first.log"), directory.path().join("second.log"));
    let a = Origin::start("a").await;
    let lb = Lb::start(logging_to(&first, &a)).await;
    ask(&lb, "/").await;
    until("the line is there", async || lines(&first) == 1).await;
    lb.reload(logging_to(&directory.path().join("no/such/directory.log"), &a));
    lb.until_metric("plimsoll_config_last_reload_successful", 0.0).await;
    lb.until_log("no/such/directory.log").await;
    ask(&lb, "/").await;
    until("the line is there", async || lines(&first) == 2).await;
    reload(&lb, logging_to(&second, &a)).await;
    ask(&lb, "/").await;
    until("the line is there", async || lines(&second) == 1).await;
    assert_eq!(lines(&first), 2);
    assert!(!lb.log_text().contains("restart"), "{}", lb.log_text());
}

#[tokio::test]
async fn last_lines_are_written_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let a = Origin::start("a").await;
    let mut lb = Lb::start(logging_to(&path, &a)).await;
    for _ in 0..10 {
        ask(&lb, "/").await;
    }
    lb.signal(Signal::TERM);
    assert_eq!(lb.exit().await.code(), Some(0));
    assert_eq!(lines(&path), 10);
}

#[tokio::test]
async fn level_of_the_program_log_changes_by_reload() {
    let a = Origin::start("a").await;
    let at_level = |level| {
        config("", "", &[at(&a)]) + &format!("[log]\nformat = \"json\"\nlevel = \"{level}\"\n")
    };
    let lb = Lb::start(at_level("info")).await;
    reload(&lb, at_level("error")).await;
    let quiet = lb.log_text().lines().count();
    reload(&lb, at_level("error").replace("workers = 2", "workers = 3")).await;
    // A warning was due: workers take effect after a restart.
    assert_eq!(lb.log_text().lines().count(), quiet, "{}", lb.log_text());
    reload(&lb, at_level("info").replace("workers = 2", "workers = 3")).await;
    lb.until_log("\"setting\":\"workers\"").await;
}

#[tokio::test]
async fn routes_log_where_they_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let [usual, shop, moved] =
        ["usual.log", "shop.log", "shop.log.1"].map(|name| directory.path().join(name));
    let a = Origin::start("a").await;
    let named = |path: &Path, routes: &str| {
        logging_to(&usual, &a)
            + &format!(
                "[access_logs.shop]\npath = \"{}\"\nformat = \"template\"\n\
                 template = \"${{path}}\"\nwhen = \"${{arg.log}}\"\n{routes}",
                path.display()
            )
    };
    let route = |path: &str, more: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\nupstream = \"api\"\naccess_logs = [\"shop\"]\n{more}\n"
        )
    };
    let routes = route("/both", "") + &route("/alone", "access_log = false");
    let lb = Lb::start(named(&shop, &routes)).await;
    for path in ["/", "/both?log=1", "/both?log=0", "/alone?log=1"] {
        ask(&lb, path).await;
    }
    until("the lines are there", async || lines(&usual) == 3 && lines(&shop) == 2).await;
    // In no order: each worker writes its own lines.
    let text = std::fs::read_to_string(&shop).unwrap();
    let mut paths: Vec<_> = text.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/alone", "/both"]);
    std::fs::rename(&shop, &moved).unwrap();
    lb.signal(Signal::USR1);
    until("the new file is there", async || shop.exists()).await;
    ask(&lb, "/alone?log=1").await;
    until("the line is there", async || lines(&shop) == 1).await;
    lb.reload(named(Path::new("/nonexistent/x.log"), &routes));
    lb.until_log("/nonexistent/x.log").await;
    ask(&lb, "/alone?log=1").await;
    until("the line is there", async || lines(&shop) == 2).await;
    assert_eq!(lb.metric("plimsoll_access_log_dropped_lines_total").await, Some(0.0));
}
