//! A listener on a Unix socket: its file comes, stays and goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::reload;
use crate::support::{Lb, Origin, at, config, in_time, until};

/// The usual configuration with a listener on a Unix socket.
fn with_socket(path: &Path, more: &str, a: &Origin) -> String {
    let listener =
        format!("[[listener]]\nname = \"unix\"\naddress = \"unix:{}\"\n{more}\n", path.display());
    config("", "", &[at(a)]) + &listener
}

/// What is answered over the socket.
async fn ask(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    in_time("the answer", stream.read_to_string(&mut text)).await.unwrap();
    text
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn unix_socket_is_listened_on_and_its_clients_have_an_address_of_their_own() {
    let (a, folder) = (Origin::start("a").await, TempDir::new().unwrap());
    let path = folder.path().join("x.sock");
    let more = "forwarded = \"auto\"";
    let lb = Lb::start(with_socket(&path, more, &a)).await;
    for _ in 0..8 {
        assert!(ask(&path).await.ends_with("\r\n\r\na"));
    }
    let last = a.last();
    let sent = |name: &str| last.header(name).unwrap_or_default();
    assert_eq!(sent("x-forwarded-for"), "unix:");
    assert_eq!(sent("x-real-ip"), "unix:");
    assert_eq!(sent("forwarded"), "for=unknown;host=test;proto=http");
    assert_eq!(mode(&path), 0o666);
    drop(lb);
}

#[tokio::test]
async fn rules_by_address_know_clients_of_unix_sockets() {
    let (a, folder) = (Origin::start("a").await, TempDir::new().unwrap());
    let path = folder.path().join("x.sock");
    let text = with_socket(&path, "trusted_proxies = [\"unix:\"]", &a);
    let rule =
        |rule: &str| text.replacen("[[route]]\n", &format!("[[route]]\naccess = {rule}\n"), 1);
    let lb = Lb::start(rule("[{ allow = [\"unix:\"] }, { deny = [\"all\"] }]")).await;
    assert!(ask(&path).await.starts_with("HTTP/1.1 200 "));
    reload(&lb, rule("[{ deny = [\"unix:\"] }]")).await;
    assert!(ask(&path).await.starts_with("HTTP/1.1 403 "));
    reload(&lb, rule("[{ allow = [\"0.0.0.0/0\"] }, { deny = [\"all\"] }]")).await;
    assert!(ask(&path).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn file_of_a_socket_stays_over_reloads_and_goes_with_its_listener() {
    let (a, folder) = (Origin::start("a").await, TempDir::new().unwrap());
    let path = folder.path().join("x.sock");
    // What a process left behind that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let mut lb = Lb::start(with_socket(&path, "", &a)).await;
    let mut before = UnixStream::connect(&path).await.unwrap();
    reload(&lb, with_socket(&path, "socket_mode = \"0600\"", &a)).await;
    until("the mode has changed", async || mode(&path) == 0o600).await;
    before.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut some = [0; 12];
    in_time("the answer", before.read_exact(&mut some)).await.unwrap();
    assert_eq!(&some, b"HTTP/1.1 200");
    reload(&lb, config("", "", &[at(&a)])).await;
    until("the file has gone", async || !path.exists()).await;
    reload(&lb, with_socket(&path, "", &a)).await;
    assert!(ask(&path).await.ends_with("\r\n\r\na"));
    lb.signal(rustix::process::Signal::TERM);
    lb.exit().await;
    assert!(!path.exists(), "it goes at the end");
}

#[tokio::test]
async fn socket_that_somebody_listens_on_refuses_the_reload() {
    let (a, folder) = (Origin::start("a").await, TempDir::new().unwrap());
    let path = folder.path().join("x.sock");
    let _theirs = UnixListener::bind(&path).unwrap();
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    lb.reload(with_socket(&path, "", &a));
    lb.until_metric("plimsoll_config_reloads_total{result=\"refused\"}", 1.0).await;
    lb.until_log("in use").await;
    assert!(path.exists());
}
