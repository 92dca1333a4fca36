//! `plimsoll demo`, as its own text tells to use it.

use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::plimsoll;
use crate::support::{Load, get, in_time, metric, request, until};

/// A running demo with what it has printed.
struct Demo {
    child: Child,
    text: String,
}

impl Demo {
    async fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--switch", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        in_time("what the demo prints", async {
            while !text.contains("Ctrl-C") {
                let mut bytes = [0; 4096];
                let count = out.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the demo has ended: {text}");
                text += std::str::from_utf8(&bytes[..count]).unwrap();
            }
        })
        .await;
        Self { child, text }
    }

    /// The address in the first printed line with this text in its URL.
    fn address(&self, path: &str) -> SocketAddr {
        let line = self.text.lines().find(|line| line.contains(path));
        let url = line.unwrap_or_else(|| panic!("no {path} in {}", self.text));
        let (_, url) = url.split_once("http://").unwrap();
        url.split('/').next().unwrap().parse().unwrap()
    }

    async fn turn(&self, origin: &str, to: &str) {
        let path = format!("/origins/{origin}/{to}");
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let response = request(self.address("/origins/b/down"), head).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// The configuration that it prints.
    fn toml(&self) -> String {
        let lines = self.text.lines().skip_while(|line| !line.contains("[access_log]"));
        let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
        lines.map(|line| line.trim_start().to_owned() + "\n").collect()
    }
}

#[tokio::test]
async fn demo_spreads_requests_survives_an_origin_and_prints_its_configuration() {
    let mut demo = Demo::start().await;
    let proxy = demo.address("several times");
    let admin = demo.address("/metrics");
    let mut seen = std::collections::BTreeSet::new();
    until("every origin has answered", async || {
        let response = get(proxy, "/").await;
        assert_eq!(response.status, 200);
        seen.insert(response.text());
        seen.len() == 3
    })
    .await;
    let down = "plimsoll_upstream_backends{state=\"down\"}";
    let until_down = async |count: f64| {
        until("the probes have noticed", async || {
            metric(&get(admin, "/metrics").await.text(), down) == Some(count)
        })
        .await;
    };
    let load = Load::start(proxy, 4);
    load.until_answered(50).await;
    demo.turn("b", "down").await;
    until_down(1.0).await;
    load.until_answered(50).await;
    for _ in 0..6 {
        assert_ne!(get(proxy, "/").await.text(), "hello from origin b\n");
    }
    demo.turn("b", "up").await;
    until_down(0.0).await;
    until("it is back", async || get(proxy, "/").await.text() == "hello from origin b\n").await;
    load.expect_all_good().await;
    let backends = get(demo.address("/api/v1"), "/api/v1/ha/load-balancer/backends").await;
    assert_eq!(backends.status, 200);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), demo.toml()).unwrap();
    let checked = plimsoll(&["check", file.path().to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", super::out(&checked));
    assert!(!super::out(&checked).contains("warning"), "{}", super::out(&checked));
    let pid = Pid::from_raw(demo.child.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = in_time("the end of the demo", demo.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn demo_explains_an_unknown_origin() {
    let demo = Demo::start().await;
    let head = "POST /origins/d/down HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let response = request(demo.address("/origins/b/down"), head).await;
    assert_eq!(response.status, 404);
    assert!(response.text().contains("a, b and c"), "{}", response.text());
}

#[test]
fn demo_on_an_occupied_port_exits_with_1_and_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--admin", "--switch"] {
        let free = ["--listen", "--admin", "--switch"]
            .into_iter()
            .filter(|other| *other != option)
            .flat_map(|other| [other, "127.0.0.1:0"]);
        let arguments: Vec<_> = ["demo", option, &address].into_iter().chain(free).collect();
        let output = plimsoll(&arguments);
        assert_eq!(output.status.code(), Some(1), "{option}");
        let said = super::err(&output);
        assert!(said.contains(&address) && said.contains("in use"), "{said}");
        assert!(said.contains(option), "no remedy: {said}");
    }
}
