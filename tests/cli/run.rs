//! `plimsoll run`: which file, and what happens when it cannot start.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use rustix::process::Signal;

use super::{err, plimsoll};
use crate::support::{Lb, Origin, at, config, free_port, get};

fn run_in(directory: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("run")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn missing_file_exits_with_2_and_is_named() {
    let output = plimsoll(&["run", "--config", "no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("no/such/file.toml"), "{}", err(&output));
}

#[test]
fn usual_file_is_taken_from_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    if !std::path::Path::new("/etc/plimsoll/plimsoll.toml").exists() {
        let output = run_in(directory.path(), &[]);
        assert_eq!(output.status.code(), Some(2));
        let said = err(&output);
        for file in ["plimsoll.toml", "/etc/plimsoll/plimsoll.toml", "plimsoll demo"] {
            assert!(said.contains(file), "{said}");
        }
    }
    std::fs::write(directory.path().join("plimsoll.toml"), "worker = 1\n").unwrap();
    let output = run_in(directory.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("plimsoll.toml:1:1"), "{}", err(&output));
}

#[tokio::test]
async fn occupied_address_exits_with_1_names_it_and_is_never_ready() {
    let a = Origin::start("a").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listener = config("", "", &[at(&a)]).replacen(
        "name = \"main\"\naddress = \"127.0.0.1:0\"",
        &format!("name = \"main\"\naddress = \"{address}\""),
        1,
    );
    let admin = config("", "", &[at(&a)]).replacen(
        "[admin]\naddress = \"127.0.0.1:0\"",
        &format!("[admin]\naddress = \"{address}\""),
        1,
    );
    for text in [listener, admin] {
        let output = Lb::refuse(text).await;
        assert_eq!(output.status.code(), Some(1));
        let said = err(&output);
        assert!(said.contains(&address) && said.contains("in use"), "{said}");
        assert!(said.contains("ss -lxtnp"), "no remedy: {said}");
        assert!(!said.contains(" ready"), "{said}");
    }
}

#[tokio::test]
async fn second_process_cannot_share_the_first_ones_port() {
    let a = Origin::start("a").await;
    let first = Lb::start(config("", "", &[at(&a)])).await;
    let address = first.addr("main");
    let second = config("", "", &[at(&a)]).replacen(
        "name = \"main\"\naddress = \"127.0.0.1:0\"",
        &format!("name = \"main\"\naddress = \"{address}\""),
        1,
    );
    let output = Lb::refuse(second).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("in use"), "{}", err(&output));
    assert_eq!(get(address, "/").await.text(), "a");
}

#[tokio::test]
async fn every_address_and_one_of_them_may_be_listened_on_at_the_same_port() {
    let a = Origin::start("a").await;
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let every = format!("[[listener]]\nname = \"every\"\naddress = \"0.0.0.0:{}\"\n", free.port());
    let one = format!("[[listener]]\nname = \"one\"\naddress = \"{free}\"\n");
    let lb = Lb::start(config("", "", &[at(&a)]) + &every + &one).await;
    assert_eq!(get(free, "/").await.text(), "a");
    let accepted = "plimsoll_listener_connections_total{listener=\"one\",result=\"accepted\"}";
    lb.until_metric(accepted, 1.0).await;
}

#[tokio::test]
async fn access_log_that_cannot_be_opened_is_named() {
    let a = Origin::start("a").await;
    let text =
        config("", "", &[at(&a)]).replace("format = \"off\"", "path = \"/no/such/access.log\"");
    let output = Lb::refuse(text).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("/no/such/access.log"), "{}", err(&output));
}

#[tokio::test]
async fn every_worker_listens_before_the_program_is_ready() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let port = format!(":{:04X} ", lb.addr("main").port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listening = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} ", words[1]).ends_with(&port) && words[3] == "0A"
    };
    let sockets = table.lines().skip(1).filter(listening).count();
    assert_eq!(sockets, 2, "one for each worker:\n{table}");
}

#[tokio::test]
async fn soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", lb.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line:?}");
}

#[test]
fn low_limit_of_descriptors_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plimsoll.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[[listener]]\naddress = \"{}\"\n[[route]]\nrespond = {{}}\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let output = Command::new("bash")
        .args(["-c", "ulimit -n 512 && exec \"$0\" run --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_plimsoll"))
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("few descriptors"), "{}", err(&output));
}

#[tokio::test]
async fn signal_that_comes_right_after_ready_is_not_lost() {
    for _ in 0..5 {
        let a = Origin::start("a").await;
        let mut lb = Lb::start(config("", "", &[at(&a)])).await;
        lb.signal(Signal::TERM);
        assert_eq!(lb.exit().await.code(), Some(0));
    }
}
