//! A new process that cannot serve: the old one goes on, and says why.

use std::path::PathBuf;
use std::process::Command;

use crate::family::Family;
use crate::support::{Load, Origin, at, config, get, in_time, request, until};

/// An executable of this text, beside the configuration. Another process writes it: while this one has a
/// file open for writing, processes that other tests start at that moment hold it open too, and it cannot
/// be executed.
fn script(family: &Family, name: &str, text: &str) -> PathBuf {
    let path = family.path(name);
    let written = Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .arg(text)
        .status();
    assert!(written.unwrap().success());
    path
}

/// Asks for an upgrade that fails, and gives why.
async fn refused(family: &Family) -> String {
    let output = family.upgrade().await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("process {} goes on", family.first_pid())), "{told}");
    assert_eq!(family.pid(), family.first_pid());
    told
}

#[tokio::test]
async fn broken_programs_and_configurations_leave_the_old_process_serving_under_load() {
    let a = Origin::start("a").await;
    let good = config("", "", &[at(&a)]);
    let family = Family::start(&good).await;
    let load = Load::start(family.addr("main"), 2);

    family.replace_program(&script(&family, "ends", "#!/bin/sh\nexit 7\n"));
    assert!(refused(&family).await.contains("ended before it was ready (exit status: 7)"));

    family.replace_program(&script(&family, "text", "not a program"));
    assert!(refused(&family).await.contains("cannot start"));

    family.replace_program(&family.path("nowhere"));
    assert!(refused(&family).await.contains("cannot start"));

    family.replace_program(crate::family::PROGRAM.as_ref());
    family.rewrite(&good.replace("upstream = \"api\"", "upstrem = \"api\""));
    let told = refused(&family).await;
    assert!(told.contains("upstrem") && told.contains("plimsoll.toml:"), "{told}");

    // What the new process cannot have of the system.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    family.rewrite(
        &(good.clone() + &format!("[[listener]]\nname = \"x\"\naddress = \"{address}\"\n")),
    );
    assert!(refused(&family).await.contains("in use"));

    load.until_answered(50).await;
    load.expect_all_good().await;
    // And after all of that it works.
    family.rewrite(&good);
    family.upgrade_well().await;
    assert_eq!(get(family.addr("main"), "/").await.text(), "a");
    let told = "not upgraded, this process goes on";
    until("the log tells of each failure", async || family.count(told) == 5).await;
}

#[tokio::test]
async fn program_that_never_gets_ready_is_given_up_in_time() {
    let a = Origin::start("a").await;
    let family = Family::start(&config("upgrade_timeout = \"500ms\"", "", &[at(&a)])).await;
    family.replace_program(&script(&family, "sleeps", "#!/bin/sh\nexec sleep 1000\n"));
    assert!(refused(&family).await.contains("not ready within 500ms"));
    assert_eq!(get(family.addr("main"), "/").await.text(), "a");
}

#[tokio::test]
async fn reload_that_is_asked_for_meanwhile_waits_and_is_done_after_a_failure() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let family = Family::start(&config("upgrade_timeout = \"8s\"", "", &[at(&a)])).await;
    let text = "#!/bin/sh\necho started >&2\nexec sleep 1000\n";
    family.replace_program(&script(&family, "sleeps", text));
    let upgrading = family.upgrade();
    let reloading = async {
        let started = || family.text().lines().any(|line| line == "started");
        until("it has started", async || started()).await;
        family.rewrite(&config("upgrade_timeout = \"8s\"", "", &[at(&b)]));
        Family::signal(family.pid(), rustix::process::Signal::HUP);
        assert_eq!(get(family.addr("main"), "/").await.text(), "a");
    };
    let (output, ()) = tokio::join!(upgrading, reloading);
    assert_eq!(output.status.code(), Some(1));
    until("the reload is done", async || get(family.addr("main"), "/").await.text() == "b").await;
}

#[tokio::test]
async fn what_has_to_prove_itself_is_not_forgotten_by_an_upgrade() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let state = format!("state = \"{}\"\n", folder.path().join("state").display());
    for (state, is_kept) in [("", false), (&*state, true)] {
        let section = format!("[admin]\nanonymous = \"admin\"\n{state}");
        let good = config("", "", &[at(&a)]).replace("[admin]\n", &section);
        let family = Family::start(&good).await;
        let next = std::fs::read_to_string(family.path("plimsoll.toml")).unwrap() + "# more\n";
        let head = format!(
            "POST /api/v1/ha/config/update?confirm_seconds=3600 HTTP/1.1\r\nHost: localhost\r\n\
             If-Match: *\r\nContent-Length: {}\r\n\r\n{next}",
            next.len()
        );
        let told = request(family.admin(), head).await;
        assert_eq!(told.status, 200, "{}", told.text());
        if is_kept {
            family.upgrade_well().await;
            let list = get(family.admin(), "/api/v1/ha/config/revisions").await.text();
            assert!(list.contains("\"back_to\": 1"), "{list}");
        } else {
            let told = refused(&family).await;
            assert!(told.contains("revision 2 has not proved itself yet"), "{told}");
            let head = "POST /api/v1/ha/config/confirm HTTP/1.1\r\nHost: localhost\r\n\
                        Content-Length: 0\r\n\r\n";
            assert_eq!(request(family.admin(), head).await.status, 200);
            family.upgrade_well().await;
        }
    }
}

#[tokio::test]
async fn only_a_process_that_runs_can_be_asked() {
    let asked = tokio::process::Command::new(crate::family::PROGRAM)
        .args(["upgrade", &std::process::id().to_string()])
        .output();
    let output = in_time("the answer", asked).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("cannot ask process") && told.contains("USR2"), "{told}");
}
