//! Programs of others at both ends: gRPC's own library, Python's HTTP/2 and `WebSocket`s, a browser.
//!
//! The scripts beside this file check what they see themselves; a test starts what it needs and reads
//! `done`. They run on Debian's Python, for which Debian's packages are.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod grpc;
mod http2;
mod websocket;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use support::{Authority, Lb, PATIENCE, Pair, in_time};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// Debian's, whatever else is on the path.
const PYTHON: &str = "/usr/bin/python3";

/// The listeners of [`before`], and whether a client has to speak TLS there.
const PLAIN: &str = "plain";
const SECURED: &str = "secured";

fn script(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server of others. It ends when its standard input does.
struct Peer {
    port: u16,
    _child: Child,
    _stdin: ChildStdin,
}

impl Peer {
    /// Starts a script, which says its port in its first line.
    async fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(PYTHON)
            .arg(script(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = in_time("the port of a server", said.next_line()).await.unwrap().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self { port: port.parse().unwrap(), _child: child, _stdin: stdin }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Runs a client of others to its end, which has to be a good one.
async fn run(name: &str, arguments: &[&str]) {
    let client = Command::new(PYTHON)
        .arg(script(name))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    // Longer than its own patience, so that it can tell what it waited for.
    let output = timeout(PATIENCE * 3, client).await.expect("the client ends").unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("done"), "{name} {arguments:?}: {told}");
}

/// Files of TLS: those of `shop.test`, and who vouches for them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let (files, authority) = (TempDir::new().unwrap(), Authority::new("peers"));
        let pair: Pair = authority.issue(&["shop.test"]);
        pair.write(files.path(), "shop");
        std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
        Self(files)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn directory(&self) -> &Path {
        self.0.path()
    }
}

/// A balancer with a plain listener, one with TLS, and routes with their upstreams (`rest`).
async fn before(files: &Files, rest: &str) -> Lb {
    let directory = files.directory().display();
    let mut text = String::from(
        "workers = 2\nwatch_interval = \"off\"\n[access_log]\nformat = \"json\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n",
    );
    for name in [PLAIN, SECURED] {
        writeln!(text, "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nhttp2 = true")
            .unwrap();
    }
    writeln!(
        text,
        "[[listener.tls.certificate]]\nchain = \"{directory}/shop.pem\"\nkey = \"{directory}/shop.key\""
    )
    .unwrap();
    Lb::start(text + rest).await
}

/// What a client is told: the port, and for TLS whom to trust.
fn way(lb: &Lb, files: &Files, listener: &str) -> Vec<String> {
    let mut way = vec![lb.addr(listener).port().to_string()];
    if listener == SECURED {
        way.push(files.path("ca.pem"));
    }
    way
}

/// Runs a client over plain TCP and over TLS.
async fn run_both_ways(name: &str, what: &[&str], lb: &Lb, files: &Files) {
    for listener in [PLAIN, SECURED] {
        let way = way(lb, files, listener);
        let way: Vec<&str> = what.iter().copied().chain(way.iter().map(String::as_str)).collect();
        run(name, &way).await;
    }
}
