//! The data plane over real sockets: every byte on both sides of the real program is the test's.
//!
//! One module per behaviour. [`Setup`] starts the program with one worker, so that which connection
//! is used again is never a matter of luck.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod actions;
mod addresses;
mod astray;
mod back_pressure;
mod bodies;
mod books;
mod choosing;
mod connections;
mod crowds;
mod cut;
mod deadlines;
mod failures;
mod forwarding;
mod gone;
mod hedging;
mod interim;
mod like_nginx;
mod limits;
mod memory;
mod messages;
mod newer;
mod onward;
mod overload;
mod pacing;
mod passed_through;
mod pool;
mod proxy_protocol;
mod queue;
mod rates;
mod request_buffering;
mod retries;
mod sending;
mod sticky;
mod storm;
mod strategies;
mod transparent;
mod upgrade;
mod wired;
mod zones;

use std::fmt::Write as _;

use serde_json::Value;
use support::{Lb, Origin, until};

/// A request that most tests can do with.
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The program between one listener, `web`, one route, `all`, and one upstream, `app`.
#[derive(Default)]
struct Setup<'a> {
    /// Lines of the listener's section.
    listener: &'a str,
    /// Lines of the route's section.
    route: &'a str,
    /// Lines of the upstream's section.
    upstream: &'a str,
    /// Whole sections besides.
    more: &'a str,
}

impl Setup<'_> {
    /// Starts it with these backends. The first one is the primary, the others are backups: a
    /// request goes to the first, and elsewhere only when that failed or is full.
    async fn start(&self, backends: &[&str]) -> Lb {
        let Self { listener, route, upstream, more } = self;
        let mut config = format!(
            "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{listener}\n\
             [[route]]\nname = \"all\"\nupstream = \"app\"\n{route}\n{more}\n\
             [upstream.app]\npassive = {{ max_fails = 0 }}\n{upstream}\n"
        );
        for (place, backend) in backends.iter().enumerate() {
            let backup = place > 0;
            writeln!(
                config,
                "[[upstream.app.backend]]\naddress = \"{backend}\"\nbackup = {backup}"
            )
            .unwrap();
        }
        Lb::start(config).await
    }

    /// The same before origins.
    async fn before(&self, origins: &[&Origin]) -> Lb {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address()).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        self.start(&addresses).await
    }
}

/// The program with defaults before one origin.
async fn plain(origin: &Origin) -> Lb {
    Setup::default().before(&[origin]).await
}

/// The access line that contains this text, once it is there.
async fn logged(lb: &Lb, text: &str) -> Value {
    serde_json::from_str(&lb.until_out(text).await).unwrap()
}

/// What was noted of an attempt: outcome, and why another one followed.
fn attempts(line: &Value) -> Vec<(String, Option<String>)> {
    let attempts = line["attempts"].as_array().unwrap().iter();
    let attempt = |attempt: &Value| {
        let because = attempt["retried_because"].as_str().map(str::to_owned);
        (attempt["outcome"].as_str().unwrap().to_owned(), because)
    };
    attempts.map(attempt).collect()
}

/// An attempt as [`attempts`] tells it.
fn attempt(outcome: &str, because: Option<&str>) -> (String, Option<String>) {
    (outcome.to_owned(), because.map(str::to_owned))
}

/// Waits until the program has so many connections of clients.
async fn until_clients(lb: &Lb, count: u64) {
    let name = "plimsoll_listener_connections_active{listener=\"web\"}";
    lb.until_metric(name, count as f64).await;
}

/// Waits until a backend whose connections the program shall close has none left.
async fn until_none_open(origin: &Origin) {
    until("the backend's connections are closed", async || origin.open() == 0).await;
}

/// A GET of this target.
fn ask(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A POST of this body.
fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The program with these routes and sections before the origins `a` and `b`, which are upstreams of that name.
async fn between(a: &Origin, b: &Origin, more: &str) -> Lb {
    let (a, b) = (a.address(), b.address());
    Lb::start(format!(
        "workers = 1\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{more}\n\
         [[upstream.a.backend]]\naddress = \"{a}\"\n[[upstream.b.backend]]\naddress = \"{b}\"\n"
    ))
    .await
}
