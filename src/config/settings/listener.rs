//! Settings of `[[listener]]`.

use super::onward;
use crate::config::table::{COUNT, Kind, Section, Setting, TEXTS, TIMEOUT, TIMEOUT_OR_OFF};

/// What may be done with a forwarding header.
const FORWARD: Kind = Kind::Word(&["auto", "append", "set", "remove", "off"]);

/// The same, where a value of another setting stands in.
const fn forward(key: &'static str, doc: &'static str) -> Setting {
    Setting::with_default(key, FORWARD, r#""auto""#, doc, r#""append""#)
}

static X_FORWARDED: Section = Section {
    title: "x_forwarded = { … }",
    doc: "What is done with each of the three fields, in the words of `x_forwarded`.",
    settings: &[
        forward("for", "With `X-Forwarded-For`."),
        forward("proto", "With `X-Forwarded-Proto`."),
        forward("host", "With `X-Forwarded-Host`."),
    ],
};

pub(super) const LISTENER: Setting = Setting::with_default(
    "listener",
    Kind::List(&KIND),
    "[]",
    "Where clients connect. At least one, in any of the files.",
    r#"[{ address = "0.0.0.0:8080" }]"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[[listener]]",
    doc: "An address where clients connect, and what they may do there.",
    settings: &[
        Setting::optional(
            "name",
            Kind::Text,
            "the address",
            "The name used by routes, metrics and logs.",
            r#""main""#,
        ),
        Setting::required(
            "address",
            Kind::Text,
            "IP address and port. `0.0.0.0:8080` is every IPv4 address, `[::]:8080` every IPv6 \
             address (as with nginx, two listeners for both); port 0 lets the system choose. \
             `unix:/run/app.sock` is a Unix socket: its file is made, and removed when the listener goes; \
             one that nobody listens on any more is replaced. Its clients have the address `unix:`, \
             in `access` and `trusted_proxies` too.",
            r#""0.0.0.0:8080""#,
        ),
        Setting::with_default(
            "socket_mode",
            Kind::Text,
            r#""0666""#,
            "Of a Unix socket: who may connect, as in `chmod`. Whom its folder lets in counts as well.",
            r#""0660""#,
        ),
        super::listener_tls::TLS,
        super::listener_tcp::MODE,
        super::listener_tcp::UPSTREAM,
        super::listener_tcp::SNI,
        super::listener_tcp::TUNNEL_TIMEOUT,
        Setting::with_default(
            "trusted_proxies",
            TEXTS,
            "[]",
            "Networks (CIDR) and addresses of proxies before this one. The client's address is \
             taken from what they forward; from all others, forwarding headers are not believed.",
            r#"["10.0.0.0/8", "fd00::/8"]"#,
        ),
        Setting::with_default(
            "proxy_protocol",
            Kind::Bool,
            "false",
            "Whether trusted proxies begin each connection with a header of the PROXY protocol (version \
             1 or 2). The address in it counts as the other end of the connection; anything else in \
             its place ends it. Others than trusted proxies speak plain HTTP.",
            "true",
        ),
        Setting::with_default(
            "client_address",
            Kind::Text,
            r#""X-Forwarded-For""#,
            "Where trusted proxies tell the client's address: a field with a list of addresses in \
             which each proxy appends whom it was asked by, `\"Forwarded\"` (RFC 7239), \
             `\"proxy_protocol\"`, or `\"off\"`.",
            r#""X-Real-IP""#,
        ),
        Setting::with_default(
            "x_forwarded",
            Kind::Or(&FORWARD, &X_FORWARDED),
            r#""auto""#,
            "What is done with `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. \
             `auto`: append to what a trusted proxy sent, replace what others sent; `append`: \
             append whoever sent it; `set`: replace; `remove`: take away; `off`: leave alone.",
            r#"{ for = "append", proto = "set", host = "off" }"#,
        ),
        Setting::with_default(
            "forwarded",
            FORWARD,
            r#""remove""#,
            "The same for `Forwarded` (RFC 7239). Removed unless told otherwise, so that no client \
             can make a backend believe it.",
            r#""auto""#,
        ),
        Setting::with_default(
            "x_real_ip",
            Kind::Bool,
            "true",
            "Whether `X-Real-IP` is set to the client's address.",
            "false",
        ),
        Setting::with_default(
            "request_id",
            Kind::Text,
            r#""X-Request-Id""#,
            "The field of a request's id. What a client sends in it is kept if it is 1 to 128 \
             visible characters, else an id is made, and sent on. `\"off\"`: none is kept or sent; \
             `${request_id}` and the logs have one made anew.",
            r#""off""#,
        ),
        Setting::with_default(
            "header_timeout",
            TIMEOUT,
            r#""10s""#,
            "Whole time for a request head, from its first byte. Afterwards: 408.",
            r#""30s""#,
        ),
        Setting::with_default(
            "idle_timeout",
            TIMEOUT,
            r#""75s""#,
            "How long a connection may stay open without a request.",
            r#""2m""#,
        ),
        Setting::with_default(
            "body_timeout",
            TIMEOUT,
            r#""60s""#,
            "Between two reads of a request body. Afterwards: 408.",
            r#""20s""#,
        ),
        Setting::with_default(
            "write_timeout",
            TIMEOUT,
            r#""60s""#,
            "Between two writes of a response to a client that does not read on.",
            r#""20s""#,
        ),
        Setting::with_default(
            "max_requests",
            COUNT,
            "10000",
            "Requests after which a connection is closed, so that none stays for ever with one worker, \
             or with who wears it out; 0 is no limit.",
            "1000",
        ),
        Setting::with_default(
            "max_lifetime",
            TIMEOUT_OR_OFF,
            r#""off""#,
            "Age from which a connection is closed after the request that it serves.",
            r#""1h""#,
        ),
        Setting::with_default(
            "max_connections",
            COUNT,
            "0",
            "Open connections on this listener, over all workers; 0 is no limit.",
            "10000",
        ),
        Setting::with_default(
            "max_connections_per_client",
            Kind::Integer { min: 0, max: 65_535 },
            "0",
            "The same from one address, of IPv6 from one network of 64 bits; 0 is no limit. Those of \
             `trusted_proxies` do not count.",
            "100",
        ),
        Setting::with_default(
            "min_rate",
            Kind::Size { min: 0, max: 1 << 30, unlimited: false },
            r#""50B""#,
            "Bytes a second that a client has to send of a request body that is waited for, and to take \
             of a response; 0 is no minimum. A client that stays below it for `min_rate_over` is given \
             up, as after `body_timeout` or `write_timeout`.",
            r#""1KiB""#,
        ),
        Setting::with_default(
            "min_rate_over",
            TIMEOUT,
            r#""60s""#,
            "The time over which `min_rate` is taken. Only time in which the client is waited for counts.",
            r#""30s""#,
        ),
        Setting::with_default(
            "max_head",
            Kind::Size { min: 1_024, max: 1 << 20, unlimited: false },
            r#""32KiB""#,
            "Bytes of a whole request head. More: 431.",
            r#""64KiB""#,
        ),
        Setting::with_default(
            "max_headers",
            Kind::Integer { min: 1, max: 1_000 },
            "100",
            "Number of request header fields. More: 431.",
            "200",
        ),
        Setting::with_default(
            "max_target",
            Kind::Size { min: 64, max: 1 << 20, unlimited: false },
            r#""8KiB""#,
            "Bytes of the request target (path and query). More: 414. At most `max_head`.",
            r#""16KiB""#,
        ),
        Setting::with_default(
            "max_body",
            Kind::Size { min: 0, max: 1 << 40, unlimited: true },
            r#""unlimited""#,
            "Bytes of a request body. More: 413. Bodies are streamed, not collected, so that none \
             needs a limit for memory's sake (nginx: 1 MiB).",
            r#""10MiB""#,
        ),
        Setting::optional(
            "http2",
            Kind::Bool,
            "`true` with `tls`, else `false`",
            "Whether clients may speak HTTP/2 on this port, beside HTTP/1. With `tls` it is offered in \
             the handshake (ALPN); without, it is spoken with those whose first bytes are its preface \
             (prior knowledge, as of gRPC clients and of proxies before this one). Off, they get 505.",
            "true",
        ),
        Setting::with_default(
            "max_streams",
            Kind::Integer { min: 1, max: 10_000 },
            "100",
            "Requests that a client may have under way at once on one HTTP/2 connection. More are \
             refused (`REFUSED_STREAM`), and may be sent again.",
            "250",
        ),
        Setting::with_default(
            "http2_window",
            Kind::Size { min: 65_535, max: 1 << 24, unlimited: false },
            r#""64KiB""#,
            "Bytes of a request's body that an HTTP/2 client may send ahead of what the backend takes; \
             of all requests on its connection together, 16 times as many.",
            r#""1MiB""#,
        ),
        onward::ERROR_PAGES,
        super::listener_nginx::NGINX,
    ],
};
