//! The examples, run as their first lines tell.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use support::{Origin, get, in_time};

/// The program of an example, built by now even when only this test is run.
fn example(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let built = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
        let program = PathBuf::from(env!("CARGO_BIN_EXE_plimsoll"));
        program.parent().unwrap().join("examples")
    });
    let mut command = Command::new(directory.join(name));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = in_time("a line", lines.next_line()).await.unwrap();
    line.unwrap_or_else(|| panic!("the example has ended"))
}

fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Ends it by Ctrl-C and expects that it ends well.
async fn interrupt(child: &mut Child) {
    let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = in_time("the end of the example", child.wait()).await;
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn embed_serves_changes_and_drains() {
    let mut child = example("embed").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = address(&line(&mut lines).await);
    assert_eq!(line(&mut lines).await, "generation 2 is served");
    assert_eq!(get(address, "/").await.text(), "changed\n");
    interrupt(&mut child).await;
    assert_eq!(line(&mut lines).await, "drained");
}

#[tokio::test]
async fn reverse_proxy_passes_requests_to_its_backend() {
    let origin = Origin::start("origin").await;
    let mut command = example("reverse_proxy");
    command.args([&origin.address(), "127.0.0.1:0"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = address(&line(&mut lines).await);
    assert_eq!(get(address, "/").await.text(), "origin");
    assert_eq!(origin.requests(), 1);
    interrupt(&mut child).await;
}

#[tokio::test]
async fn custom_strategy_prints_what_each_strategy_does() {
    let output = in_time("the example", example("custom_strategy").output()).await.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let counts = |strategy: &str| -> Vec<u32> {
        let line = text.lines().find(|line| line.starts_with(strategy)).unwrap();
        let counts = line.split_once('[').unwrap().1.trim_end_matches(']');
        counts.split(", ").map(|count| count.trim().parse().unwrap()).collect()
    };
    assert_eq!(counts("weighted_round_robin"), [2500; 4]);
    let pack = counts("pack");
    assert_eq!(pack[2..], [0, 0], "two are enough: {text}");
    assert_eq!(pack.iter().sum::<u32>(), 10_000);
}
