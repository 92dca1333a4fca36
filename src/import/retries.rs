//! `proxy_next_upstream` and its like, and the time-outs towards backends.

use std::time::Duration;

use super::findings::Findings;
use super::settings::{Settings, number};
use super::tree::Directive;

/// Time-outs and retries towards backends.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub connect: Option<Duration>,
    pub read: Option<Duration>,
    pub write: Option<Duration>,
    pub next: Option<Next>,
    pub tries: Option<u32>,
    pub timeout: Option<Duration>,
}

/// `proxy_next_upstream`.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    pub off: bool,
    pub error: bool,
    pub timeout: bool,
    pub invalid: bool,
    pub non_idempotent: bool,
    pub statuses: Vec<u16>,
}

pub(super) fn next_tries(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.proxy.tries = number(d, 0, f);
}

pub(super) fn grpc_next_tries(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.grpc.tries = number(d, 0, f);
}

pub(super) fn next_upstream(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.proxy.next = Some(next(d, f));
}

pub(super) fn grpc_next_upstream(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.grpc.next = Some(next(d, f));
}

fn next(d: &Directive, f: &mut Findings<'_>) -> Next {
    let has = |word: &str| d.args.iter().any(|arg| arg.text == word);
    f.carried(d);
    let mut statuses = Vec::new();
    for arg in &d.args {
        let known = ["off", "error", "timeout", "invalid_header", "non_idempotent", "updating"];
        match arg.text.strip_prefix("http_").and_then(|code| code.parse::<u16>().ok()) {
            Some(code) if (400..600).contains(&code) => {
                if !statuses.contains(&code) {
                    statuses.push(code);
                }
            }
            _ if known.contains(&&*arg.text) => {}
            _ => f.missing(d, &format!("`{}` is not known", arg.text), "correct it"),
        }
    }
    if has("non_idempotent") {
        f.lint(
            d.name.place,
            "with `non_idempotent`, a POST whose answer got lost is sent to another server: an order \
             may be placed twice",
            "leave it out unless the application recognises repeated requests",
        );
    }
    Next {
        off: has("off"),
        error: has("error"),
        timeout: has("timeout"),
        invalid: has("invalid_header"),
        non_idempotent: has("non_idempotent"),
        statuses,
    }
}
