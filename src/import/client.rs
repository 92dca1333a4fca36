//! What the directives that concern a listener as a whole say.

use std::time::Duration;

use super::draft::Setting;
use super::findings::Findings;
use super::listeners::MANY;
use super::refuse::is_network;
use super::settings::{Settings, carried_flag, number, time};
use super::tree::Directive;
use super::units;
use super::write::quote;
use crate::config::{is_token, show_size};

/// What concerns the listener.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub header: Option<Duration>,
    pub body: Option<Duration>,
    pub write: Option<Duration>,
    pub idle: Option<Duration>,
    /// What clients are told of it.
    pub keep_alive_field: Option<Duration>,
    pub requests: Option<u64>,
    /// Size of the first buffer.
    pub buffer: Option<u64>,
    /// Number and size of the large buffers.
    pub buffers: Option<(u64, u64)>,
    /// Fields of a request.
    pub headers: Option<u64>,
    /// Age of a connection at most.
    pub lifetime: Option<Duration>,
    pub trusted: Vec<String>,
    /// The field from which the client's address is taken; `X-Real-IP` if not written.
    pub real_ip_header: Option<String>,
    pub real_ip_recursive: bool,
    /// What is written of `ignore_invalid_headers` and `underscores_in_headers`.
    pub ignore_invalid: Option<bool>,
    pub underscores: Option<bool>,
    /// Browsers whose connections are closed; `None` was not written.
    pub closes_for: Option<Vec<String>>,
    pub keeps_slashes: bool,
    /// Streams of an HTTP/2 connection at once.
    pub streams: Option<u64>,
    /// How much of a body may come ahead over HTTP/2.
    pub ahead: Option<u64>,
}

pub(super) fn keepalive_timeout<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.idle = time(d, 0, f);
    if d.args.len() > 1 {
        s.client.keep_alive_field = time(d, 1, f);
    }
}

pub(super) fn keepalive_requests<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.requests = number(d, 0, f);
}

pub(super) fn keepalive_time<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.lifetime = time(d, 0, f);
}

pub(super) fn header_buffer<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.buffer = units::size(d.arg(0));
    match s.client.buffer {
        Some(_) => f.carried(d),
        None => f.missing(d, "this is no size", "write it like `1k`: nginx refuses it too"),
    }
}

pub(super) fn large_buffers<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    match (d.arg(0).parse(), units::size(d.arg(1))) {
        (Ok(count), Some(size)) => {
            f.carried(d);
            s.client.buffers = Some((count, size));
        }
        _ => f.missing(d, "this is no number with a size", "write it like `4 8k`"),
    }
}

pub(super) fn max_headers<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.headers = number(d, 0, f);
    if s.client.headers.is_some_and(|most| !(1..=MANY).contains(&most)) {
        f.differs(d, "it is 1 to 1000");
    }
}

pub(super) fn ignore_invalid<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.ignore_invalid = carried_flag(d, f);
    if s.client.ignore_invalid == Some(false) {
        f.differs(d, "fields whose names are no tokens (RFC 9110 §5.1) are refused with 400");
    }
}

pub(super) fn underscores<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.underscores = carried_flag(d, f);
}

pub(super) fn keepalive_disable<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    let mut browsers = Vec::new();
    for arg in &d.args {
        match &*arg.text {
            "none" => {}
            "msie6" | "safari" => browsers.push(arg.text.clone()),
            other => f.missing(d, &format!("`{other}` is no browser"), "it is `msie6` or `safari`"),
        }
    }
    s.client.closes_for = Some(browsers);
}

pub(super) fn merge_slashes<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.keeps_slashes = carried_flag(d, f) == Some(false);
}

pub(super) fn http2_streams<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.streams = number(d, 0, f);
}

pub(super) fn http2_ahead<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.ahead = units::size(d.arg(0));
    match s.client.ahead {
        Some(65_535..=0x0100_0000) => f.carried(d),
        Some(_) => f.differs(d, "it is 64 KiB to 16 MiB"),
        None => f.missing(d, "this is no size", "write it like `64k`: nginx refuses it too"),
    }
}

/// What holds of HTTP/2, where it is spoken.
pub(super) fn over_http2(client: &Client) -> Vec<Setting> {
    let streams = client.streams.unwrap_or(128).clamp(1, 10_000);
    let mut settings = vec![("max_streams", streams.to_string())];
    if let Some(ahead) = client.ahead {
        settings.push(("http2_window", quote(&show_size(ahead.clamp(65_535, 1 << 24)))));
    }
    settings
}

pub(super) fn real_ip_from<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    let text = d.arg(0);
    if is_network(text) || text == "unix:" {
        f.carried(d);
        s.client.trusted.push(text.to_owned());
    } else {
        f.missing(d, "this is neither an address nor a network", "write the proxies' addresses");
    }
}

pub(super) fn real_ip_header<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    let name = d.arg(0);
    if is_token(name) {
        f.carried(d);
        s.client.real_ip_header = Some(name.to_owned());
    } else {
        f.missing(d, "this is no name of a header field", "correct it");
    }
}

pub(super) fn real_ip_recursive<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.client.real_ip_recursive = carried_flag(d, f) == Some(true);
}
