//! Traces: what a collector gets of requests, what backends are told, and what becomes of it all when
//! the collector is slow or gone.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod collector;
mod context;
mod delivery;
mod exemplars;
mod spans;

use std::fmt::Write as _;

use collector::Collector;
use support::{Lb, Origin, Response, request};

/// A context that a client names.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Its span.
const SPAN: &str = "00f067aa0ba902b7";

/// The program with one worker between listener `web`, route `all` and upstream `app`.
#[derive(Default)]
struct Setup<'a> {
    /// Lines of `[tracing]`.
    tracing: &'a str,
    /// Lines of the listener's section.
    listener: &'a str,
    /// Lines of the route's section.
    route: &'a str,
    /// Lines of the upstream's section.
    upstream: &'a str,
}

impl Setup<'_> {
    /// Its configuration: the first backend is the primary, the others are backups.
    fn config(&self, collector: Option<&Collector>, backends: &[&str]) -> String {
        let Self { tracing, listener, route, upstream } = self;
        let traced = collector.map(|one| one.section(tracing)).unwrap_or_default();
        let mut config = format!(
            "workers = 1\nwatch_interval = \"off\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [access_log]\nformat = \"json\"\n{traced}\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{listener}\n\
             [[route]]\nname = \"all\"\nupstream = \"app\"\n{route}\n\
             [upstream.app]\npassive = {{ max_fails = 0 }}\n{upstream}\n"
        );
        for (place, backend) in backends.iter().enumerate() {
            let backup = place > 0;
            let section = "[[upstream.app.backend]]";
            writeln!(config, "{section}\naddress = \"{backend}\"\nbackup = {backup}").unwrap();
        }
        config
    }

    async fn start(&self, collector: &Collector, origins: &[&Origin]) -> Lb {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address()).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        Lb::start(self.config(Some(collector), &addresses)).await
    }
}

/// A GET with these field lines, each with its end.
fn get_with(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n")
}

/// The answer to it.
async fn ask(lb: &Lb, target: &str, fields: &str) -> Response {
    request(lb.addr("web"), get_with(target, fields)).await
}

/// A `traceparent` as a backend got it: trace, span, flags.
fn parts(traceparent: &str) -> (String, String, String) {
    let parts: Vec<_> = traceparent.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { panic!("{traceparent}") };
    assert_eq!((version, trace.len(), span.len(), flags.len()), ("00", 32, 16, 2));
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

/// What the last request to this origin had as its trace.
fn seen(origin: &Origin) -> (String, String, String) {
    parts(&origin.last().header("traceparent").expect("a traceparent"))
}
