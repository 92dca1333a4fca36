//! The cases: what is asked for, over how many connections.

use std::time::Duration;

use crate::frames;
use crate::link::NAME;
use crate::load::Exchange;
use crate::origin::{ECHO, MESSAGE};

/// What a case measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As much as the proxy can do.
    Closed,
    /// Latency by the clock, at this many requests per second; `None`: half of nginx's in `a64`.
    Open(Option<u32>),
    /// Memory of this many idle connections.
    Idle,
}

/// How connections within TLS begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshakes {
    /// With everything.
    Full,
    /// By going on from the session of an earlier one.
    Resumed,
}

/// What is spoken on both sides of a proxy, and so how it is set up.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) tls: Option<Handshakes>,
    /// HTTP/2 with clients, by prior knowledge where there is no TLS.
    pub(crate) http2: bool,
    /// HTTP/2 with origins.
    pub(crate) http2_to_origins: bool,
    /// Nothing that the proxy would look into.
    pub(crate) tcp: bool,
    /// Clients switch to a protocol of messages (RFC 6455).
    pub(crate) messages: bool,
}

const PLAIN: Spoken =
    Spoken { tls: None, http2: false, http2_to_origins: false, tcp: false, messages: false };
const TLS: Spoken = Spoken { tls: Some(Handshakes::Full), ..PLAIN };
const HTTP2: Spoken = Spoken { http2: true, ..PLAIN };

/// Backends of which four are also measured by themselves.
pub(crate) const BACKENDS: usize = 512;

/// Requests at once on a connection of HTTP/2.
const STREAMS: usize = 32;

/// One row of the tables.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The name on the command line and in tables.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Backends in the proxies' configurations.
    pub(crate) backends: usize,
    /// Whether the proxy has to take up another configuration twice a second.
    pub(crate) reloads: bool,
    /// Before the window, so that pools are filled and caches are warm.
    pub(crate) warm_up: Duration,
    /// The time that is measured.
    pub(crate) window: Duration,
    /// Whether each request is logged as JSON.
    pub(crate) log: bool,
    /// Whether the body is so large that nginx's default buffer is not the only one to look at.
    pub(crate) upload: bool,
    pub(crate) spoken: Spoken,
    request: Request,
}

#[derive(Clone, Copy)]
enum Request {
    /// `GET` of a path whose content has this many bytes.
    Get(&'static str, usize),
    /// The same with 30 header fields in all.
    GetManyFields(&'static str, usize),
    /// The same, and the connection ends with it.
    GetAndClose(&'static str, usize),
    /// `POST` of this many bytes.
    Post(usize),
    /// A switch to a WebSocket, and its messages.
    Messages,
}

/// An ordinary case; others say what differs.
const fn case(
    name: &'static str,
    title: &'static str,
    connections: usize,
    request: Request,
) -> Case {
    Case {
        name,
        title,
        kind: Kind::Closed,
        connections,
        backends: 4,
        reloads: false,
        warm_up: Duration::from_millis(400),
        window: Duration::from_secs(2),
        log: false,
        upload: false,
        spoken: PLAIN,
        request,
    }
}

const SMALL: Request = Request::Get("/128", 128);
const MIDDLE: Request = Request::Get("/10k", 10 * 1024);
const ONCE: Request = Request::GetAndClose("/128", 128);
const LARGE: Request = Request::Get("/1m", 1024 * 1024);

/// Long enough before for every backend to have been probed and connected to.
const MANY: Case = Case {
    kind: Kind::Open(Some(8_000)),
    backends: 10_000,
    warm_up: Duration::from_secs(8),
    window: Duration::from_secs(5),
    ..case("m10k", "128 B at 8,000 a second, 10,000 backends", 64, SMALL)
};

/// All cases, in the order of the tables.
pub(crate) const CASES: [Case; 28] = [
    case("a64", "128 B, 64 connections", 64, SMALL),
    case("a512", "128 B, 512 connections", 512, SMALL),
    case("b64", "10 KiB, 64 connections", 64, MIDDLE),
    case("b512", "10 KiB, 512 connections", 512, MIDDLE),
    case("k64", "10 KiB in chunks, 64 connections", 64, Request::Get("/chunked", 10 * 1024)),
    case("c8", "1 MiB, 8 connections", 8, LARGE),
    case("c64", "1 MiB, 64 connections", 64, LARGE),
    Case {
        upload: true,
        ..case("d64", "POST 100 KiB, 64 connections", 64, Request::Post(100 * 1024))
    },
    case("e64", "128 B, new connection per request, 64", 64, Request::GetAndClose("/128", 128)),
    Case { log: true, ..case("log64", "128 B with a JSON access log, 64 connections", 64, SMALL) },
    case(
        "h30",
        "128 B, 30 request fields, 64 connections",
        64,
        Request::GetManyFields("/128", 128),
    ),
    Case {
        backends: BACKENDS,
        // Who picks at random meets for seconds backends that have no connection left.
        warm_up: Duration::from_secs(4),
        ..case("n512", "128 B, 64 connections, 512 backends", 64, SMALL)
    },
    Case {
        kind: Kind::Open(None),
        ..case("open", "128 B at half of nginx's peak, 64 connections", 64, SMALL)
    },
    MANY,
    Case {
        name: "m10k-reload",
        title: "the same, one backend is replaced twice a second",
        reloads: true,
        ..MANY
    },
    Case { kind: Kind::Idle, ..case("idle", "memory per idle connection, 5000", 5000, SMALL) },
    Case { spoken: TLS, ..case("t64", "TLS 1.3, 128 B, 64 connections", 64, SMALL) },
    Case { spoken: TLS, ..case("tb64", "TLS 1.3, 10 KiB, 64 connections", 64, MIDDLE) },
    Case { spoken: TLS, ..case("ths", "TLS 1.3, a full handshake per request, 64", 64, ONCE) },
    Case {
        spoken: Spoken { tls: Some(Handshakes::Resumed), ..PLAIN },
        ..case("tre", "TLS 1.3, a resumed session per request, 64", 64, ONCE)
    },
    Case { spoken: HTTP2, ..case("g8", "HTTP/2 to HTTP/1, 128 B, 8 x 32 streams", 8, SMALL) },
    Case { spoken: HTTP2, ..case("gb8", "HTTP/2 to HTTP/1, 10 KiB, 8 x 32 streams", 8, MIDDLE) },
    Case {
        spoken: Spoken { http2: true, ..TLS },
        ..case("gs8", "HTTP/2 within TLS to HTTP/1, 128 B, 8 x 32 streams", 8, SMALL)
    },
    Case {
        spoken: Spoken { http2_to_origins: true, ..HTTP2 },
        ..case("gg8", "HTTP/2 on both sides, 128 B, 8 x 32 streams", 8, SMALL)
    },
    Case {
        spoken: Spoken { messages: true, ..PLAIN },
        ..case("ws64", "WebSocket, messages of 128 B, 64 connections", 64, Request::Messages)
    },
    Case {
        spoken: Spoken { tcp: true, ..PLAIN },
        ..case("tcp64", "TCP passed through, 128 B, 64 connections", 64, SMALL)
    },
    Case {
        spoken: Spoken { tcp: true, ..PLAIN },
        ..case("tcp8", "TCP passed through, 1 MiB, 8 connections", 8, LARGE)
    },
    Case {
        kind: Kind::Idle,
        spoken: TLS,
        ..case("idle-tls", "memory per idle connection within TLS, 5000", 5000, SMALL)
    },
];

impl Case {
    /// What is sent and expected.
    pub(crate) fn exchange(&self) -> Exchange {
        let (request, content, closes) = match self.request {
            Request::Get(path, content) => (head("GET", path, &[]), content, false),
            Request::GetManyFields(path, content) => {
                let fields = (7..=30)
                    .map(|number| {
                        format!("X-Field-{number:02}: value-{number:02}-of-a-usual-length")
                    })
                    .collect::<Vec<_>>();
                (head("GET", path, &fields), content, false)
            }
            Request::GetAndClose(path, content) => {
                (head("GET", path, &["Connection: close".to_owned()]), content, true)
            }
            Request::Post(length) => {
                let mut request = head("POST", "/sink", &[format!("Content-Length: {length}")]);
                request.resize(request.len() + length, b'x');
                (request, 2, false)
            }
            Request::Messages => {
                let fields = [
                    "Connection: Upgrade".to_owned(),
                    "Upgrade: websocket".to_owned(),
                    "Sec-WebSocket-Version: 13".to_owned(),
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
                ];
                (head("GET", "/messages", &fields), ECHO.len(), false)
            }
        };
        let Spoken { tls, http2, messages, .. } = self.spoken;
        let path = match self.request {
            Request::Get(path, _) => path,
            _ => "/",
        };
        Exchange {
            request,
            content,
            closes,
            tls,
            http2: http2.then(|| (streams_head(tls.is_some(), path), STREAMS)),
            message: messages.then(|| MESSAGE.to_vec()),
        }
    }
}

/// What [`head`] asks, over HTTP/2; names by their place in RFC 7541, appendix A.
fn streams_head(https: bool, path: &str) -> frames::Request {
    let [agent, accept, language, encoding, cookie] = FIELDS.map(|(_, value)| value);
    let fields = [(4, path), (1, NAME), (58, agent), (19, accept), (17, language), (16, encoding)];
    frames::Request::get(https, &[&fields[..], &[(32, cookie)]].concat())
}

/// The fields of an ordinary client, beside its host.
const FIELDS: [(&str, &str); 5] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=4f1c2d9a7be04b13a1d7c6f0; theme=dark"),
];

/// A request with the six fields of an ordinary client, about 330 bytes, and others.
fn head(method: &str, path: &str, others: &[String]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n");
    for (name, value) in FIELDS {
        head.extend([name, ": ", value, "\r\n"]);
    }
    for field in others {
        head.extend([field, "\r\n"]);
    }
    head.push_str("\r\n");
    head.into_bytes()
}
