//! Clients over HTTP/2: what they ask arrives as it would over HTTP/1.1, and so does what they get.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod calls;
mod endings;
mod flow;
mod limits;
mod messages;
mod peer;
mod peers;
mod sockets;
mod waiting;

use support::{Lb, Origin, at};

/// A balancer with a log, before this origin. `listener` is put below `[[listener]]`, `rest` behind
/// everything.
async fn before(origin: &Origin, listener: &str, rest: &str) -> Lb {
    Lb::start(text(origin, listener, rest)).await
}

fn text(origin: &Origin, listener: &str, rest: &str) -> String {
    let text = support::config("", "", &[at(origin)]);
    let text = text
        .replace("workers = 2", "workers = 1")
        .replace("\"off\"\n\n[admin]", "\"json\"\n\n[admin]");
    let named = "name = \"main\"\n";
    text.replace(named, &format!("{named}http2 = true\n{listener}\n")) + rest
}

/// The line of the access log with this text in it.
async fn logged(lb: &Lb, text: &str) -> serde_json::Value {
    serde_json::from_str(&lb.until_out(text).await).unwrap()
}
