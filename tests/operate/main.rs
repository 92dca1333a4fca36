//! Changes by hand while requests are under way, by the real program on real sockets.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

mod access;
mod backends;
mod backup;
mod configure;
mod crowded;
mod document;
mod gone;
mod kept;
mod proving;
mod secured;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use serde_json::Value;
use support::{Client, Lb, Origin, at, config};

/// The configuration of most tests: anybody here may do anything.
fn open(top: &str, upstream: &str, backends: &[String], admin: &str) -> String {
    let text = config(top, upstream, backends);
    text.replace("[admin]\n", &format!("[admin]\nanonymous = \"admin\"\n{admin}\n"))
}

/// Two origins, a balancer before them that passes one request after the other in turn.
async fn two() -> (Origin, Origin, Lb) {
    two_with("").await
}

async fn two_with(admin: &str) -> (Origin, Origin, Lb) {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(open("", "", &[at(&a), at(&b)], admin)).await;
    (a, b, lb)
}

/// What the admin listener answers.
struct Told {
    status: u16,
    content_type: String,
    body: Value,
}

/// Asks the admin listener. `fields` are whole lines.
async fn ask(admin: SocketAddr, method: &str, path: &str, fields: &[&str], body: &str) -> Told {
    let json: &[&str] = if body.is_empty() { &[] } else { &["Content-Type: application/json"] };
    send(admin, (method, path), &[fields, json].concat(), body).await
}

/// Sends the admin listener a body of any kind.
async fn send(
    admin: SocketAddr,
    (method, path): (&str, &str),
    fields: &[&str],
    body: &str,
) -> Told {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n");
    for field in fields {
        head.extend([field, "\r\n"]);
    }
    let head = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut client = Client::connect(admin).await;
    client.send(head.as_bytes()).await;
    let response = client.read_response().await;
    let content_type = response.header("content-type").unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    Told { status: response.status, content_type, body }
}

/// The path of a backend of the upstream `api`.
fn backend(origin: &Origin) -> String {
    format!("/api/v1/ha/load-balancer/backends/api%2F{}", origin.address())
}
