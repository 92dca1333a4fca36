//! A browser: a page with a `WebSocket`, over plain HTTP and over HTTP/2 with TLS.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{Answer, Lb, Origin, PATIENCE, until_within};
use crate::{Files, PLAIN, Peer, SECURED, before};

/// Says by a request what it saw.
const PAGE: &str = r#"<!doctype html><title>peer</title><script>
const told = [];
const tell = () => fetch("/told", { method: "POST", body: told.join("\n") });
const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
told.push("page over " + protocol);
const socket = new WebSocket(location.href.replace(/^http/, "ws") + "ws", ["chat"]);
socket.binaryType = "arraybuffer";
const sent = ["hello", "ü".repeat(1000), "x".repeat(500000)];
let next = 0;
socket.onopen = () => { told.push("open " + socket.protocol); socket.send(sent[0]); };
socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) {
        told.push("bytes " + data.byteLength);
        socket.send("close");
    } else {
        told.push("text " + (data === sent[next]) + " " + data.length);
        next += 1;
        socket.send(next < sent.length ? sent[next] : new Uint8Array(70000));
    }
};
socket.onclose = (end) => { told.push("closed " + end.code + " " + end.reason); tell(); };
socket.onerror = () => { told.push("error"); };
</script>"#;

/// Starts a browser with this page; its files go with the directory.
fn open(url: &str, files: &TempDir) -> Child {
    Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--ignore-certificate-errors", "--no-proxy-server"])
        .args(["--host-resolver-rules=MAP shop.test 127.0.0.1", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", files.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What the page says.
async fn told(lb: &Lb, origin: &Origin, listener: &str) -> String {
    let profile = TempDir::new().unwrap();
    let scheme = if listener == SECURED { "https" } else { "http" };
    let port = lb.addr(listener).port();
    let mut browser = open(&format!("{scheme}://shop.test:{port}/"), &profile);
    let told = || {
        let mut seen = origin.seen().into_iter();
        seen.find(|seen| seen.head.starts_with(b"POST /told "))
    };
    until_within(PATIENCE * 3, "the page has told", async || told().is_some()).await;
    browser.kill().await.unwrap();
    String::from_utf8(told().unwrap().body).unwrap()
}

#[tokio::test]
async fn a_browser_speaks_with_a_websocket() {
    for (listener, protocol) in [(PLAIN, "http/1.1"), (SECURED, "h2")] {
        let (files, origin) = (Files::new(), Origin::start("a").await);
        let page = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{PAGE}",
            PAGE.len()
        );
        origin.answer(Answer::Raw(page.into_bytes()));
        let server = Peer::start("ws_server.py", &[]).await;
        let rest = format!(
            "[[route]]\nname = \"page\"\nupstream = \"page\"\n\
             [[route]]\nname = \"chat\"\npath = \"/ws\"\nupstream = \"chat\"\n\
             [[upstream.page.backend]]\naddress = \"{}\"\n\
             [[upstream.chat.backend]]\naddress = \"{}\"\n",
            origin.address(),
            server.address()
        );
        let lb = before(&files, &rest).await;
        assert_eq!(
            told(&lb, &origin, listener).await,
            format!(
                "page over {protocol}\nopen chat\ntext true 5\ntext true 1000\ntext true 500000\n\
                 bytes 70000\nclosed 4001 as you wish"
            )
        );
        // The browser's WebSocket came over the page's connection, where that is one of HTTP/2.
        let line = lb.until_out("/ws").await;
        assert!(line.contains(if listener == SECURED { "HTTP/2" } else { "HTTP/1.1" }), "{line}");
    }
}
