//! Directives of the client's side, and of logs.

use super::{Contexts, Parameter, Part, Rule, missing, needless, row};
use crate::import::findings::Verdict;
use crate::import::{client, limits, process, settings};

const HTTP_SERVER: Contexts = Contexts::HTTP.and(Contexts::SERVER);

pub(super) const CLIENT: Part = Part {
    title: "Clients",
    rows: &[
        row(
            "client_max_body_size",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(settings::body_limit),
            "`max_body` of the listener, or of a route that differs; 0 is `\"unlimited\"`. Without it \
             nginx allows 1 MiB, and so does the imported file.",
        ),
        row(
            "client_header_timeout",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(settings::header_timeout),
            "`header_timeout` of the listener; 60 seconds if not written.",
        ),
        row(
            "client_body_timeout",
            Contexts::LEVELS,
            (1, 1),
            Rule::Listener(settings::body_timeout),
            "`body_timeout` of the listener.",
        ),
        row(
            "send_timeout",
            Contexts::LEVELS,
            (1, 1),
            Rule::Listener(settings::send_timeout),
            "`write_timeout` of the listener.",
        ),
        row(
            "keepalive_timeout",
            Contexts::LEVELS.and(Contexts::UPSTREAM),
            (1, 2),
            Rule::Listener(client::keepalive_timeout),
            "`idle_timeout` of the listener; 0 is `max_requests = 1`. The second argument is \
             `nginx.keep_alive_field`. In an upstream: `pool.idle_timeout`.",
        ),
        row(
            "keepalive_requests",
            Contexts::LEVELS.and(Contexts::UPSTREAM),
            (1, 1),
            Rule::Listener(client::keepalive_requests),
            "`max_requests` of the listener; 1000 if not written. In an upstream: `pool.max_requests`.",
        ),
        row(
            "keepalive_time",
            Contexts::LEVELS.and(Contexts::UPSTREAM),
            (1, 1),
            Rule::Listener(client::keepalive_time),
            "`max_lifetime` of the listener; an hour if not written. In an upstream: \
             `pool.max_lifetime`.",
        ),
        row(
            "large_client_header_buffers",
            HTTP_SERVER,
            (2, 2),
            Rule::Listener(client::large_buffers),
            "`max_head` (number × size, and one of `client_header_buffer_size`), `max_target` and `nginx.max_field` (size) of the listener; \
             4 × 8 KiB if not written. Too large a head is answered with 400, as in nginx.",
        ),
        row(
            "max_headers",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::max_headers),
            "`max_headers` of the listener; 1000 if not written, and at most.",
        ),
        row(
            "ignore_invalid_headers",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::ignore_invalid),
            "`nginx.ignore_invalid_headers` of the listener; `on` if not written.",
        ),
        row(
            "underscores_in_headers",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::underscores),
            "`nginx.underscores_in_headers` of the listener.",
        ),
        row(
            "set_real_ip_from",
            Contexts::LEVELS,
            (1, 1),
            Rule::Listener(client::real_ip_from),
            "`trusted_proxies` of the listener.",
        ),
        row(
            "real_ip_header",
            Contexts::LEVELS,
            (1, 1),
            Rule::Listener(client::real_ip_header),
            "`client_address` of the listener; `X-Real-IP` if not written.",
        ),
        row(
            "real_ip_recursive",
            Contexts::LEVELS,
            (1, 1),
            Rule::Listener(client::real_ip_recursive),
            "`nginx.real_ip_recursive` of the listener; `off` if not written.",
        ),
        row(
            "client_header_buffer_size",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::header_buffer),
            "It is added to `max_head` of the listener; 1 KiB if not written.",
        ),
        row(
            "client_body_buffer_size",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(settings::body_memory),
            "`request_buffering.memory`; 16 KiB if not written.",
        ),
        needless(
            "client_body_temp_path",
            Contexts::ANY,
            "Long bodies go to files in `request_buffering.directory`, `/tmp`.",
        ),
        needless("client_body_in_single_buffer", Contexts::ANY, "It is about memory."),
        needless(
            "client_body_in_file_only",
            Contexts::ANY,
            "Files with bodies have no names, and are gone with their request.",
        ),
        needless("connection_pool_size", Contexts::ANY, "Memory is managed otherwise."),
        needless("request_pool_size", Contexts::ANY, "Memory is managed otherwise."),
        needless("postpone_output", Contexts::ANY, "Responses are passed on as they come."),
        needless("output_buffers", Contexts::ANY, "No files are served."),
        needless(
            "lingering_close",
            Contexts::ANY,
            "Connections are always closed so that the answer arrives.",
        ),
        needless(
            "lingering_time",
            Contexts::ANY,
            "Connections are always closed so that the answer arrives.",
        ),
        needless(
            "lingering_timeout",
            Contexts::ANY,
            "Connections are always closed so that the answer arrives.",
        ),
        needless(
            "reset_timedout_connection",
            Contexts::ANY,
            "A client that is timed out is not waited for.",
        ),
        needless("tcp_nodelay", Contexts::ANY, "It is on."),
        needless(
            "tcp_nopush",
            Contexts::ANY,
            "Heads and bodies are written together where that is possible.",
        ),
        needless("sendfile*", Contexts::ANY, "No files are served."),
        needless("aio*", Contexts::ANY, "No files are served."),
        needless("directio*", Contexts::ANY, "No files are served."),
        needless("server_tokens", Contexts::ANY, "Plimsoll does not name itself in responses."),
        row(
            "keepalive_disable",
            Contexts::LEVELS,
            (1, 3),
            Rule::Listener(client::keepalive_disable),
            "`nginx.keepalive_disable` of the listener. Without it nginx closes for Internet Explorer 6, \
             which the imported file does not.",
        ),
        needless("msie_*", Contexts::ANY, "It is for browsers that are gone."),
        needless("server_names_hash_*", Contexts::ANY, "Tables grow as they need."),
        needless("variables_hash_*", Contexts::ANY, "Tables grow as they need."),
        needless("types_hash_*", Contexts::ANY, "Tables grow as they need."),
        needless("map_hash_*", Contexts::ANY, "Tables grow as they need."),
        row(
            "merge_slashes",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::merge_slashes),
            "With `off`, `nginx.merge_slashes = false` of the listener.",
        ),
        row(
            "chunked_transfer_encoding",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(settings::chunked),
            "With `off`, `nginx.chunked = false` of the route.",
        ),
        row(
            "http2",
            HTTP_SERVER,
            (1, 1),
            Rule::Shape,
            "`http2` of the listener, by its default server.",
        ),
        row(
            "http2_max_concurrent_streams",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::http2_streams),
            "`max_streams` of the listener; 128 if not written.",
        ),
        row(
            "http2_body_preread_size",
            HTTP_SERVER,
            (1, 1),
            Rule::Listener(client::http2_ahead),
            "`http2_window` of the listener, 64 KiB to 16 MiB.",
        ),
        needless("http2_chunk_size", Contexts::ANY, "Frames are as large as what is sent at once."),
        needless("http2_recv_buffer_size", Contexts::ANY, "Buffers grow as they need."),
        needless("http2_push*", Contexts::ANY, "Clients do not take pushed responses any more."),
        missing("http2_*", "HTTP/2 has limits of its own.", "see `http2` of the listener"),
        missing("http3*", "Plimsoll does not speak HTTP/3.", ""),
        missing("quic_*", "Plimsoll does not speak HTTP/3.", ""),
        row(
            "limit_req_zone",
            Contexts::HTTP,
            (3, 4),
            Rule::Shape,
            "`[limit.NAME]` with `rate`; the zone's size becomes `max_keys`, at 128 bytes a key.",
        ),
        row(
            "limit_conn_zone",
            Contexts::HTTP,
            (2, 2),
            Rule::Shape,
            "`[limit.NAME]`; the zone's size becomes `max_keys`, at 64 bytes a key.",
        ),
        row(
            "limit_req",
            Contexts::LEVELS,
            (1, 3),
            Rule::Route(limits::limit_req),
            "`limits` of the route, with `burst` and `undelayed`.",
        ),
        row(
            "limit_conn",
            Contexts::LEVELS,
            (2, 2),
            Rule::Route(limits::limit_conn),
            "`limits` of the route, with `concurrency`.",
        ),
        row(
            "limit_req_status",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`status` of the route's limits; 503 if not written.",
        ),
        row(
            "limit_conn_status",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`status` of the route's limits; 503 if not written.",
        ),
        row(
            "limit_req_dry_run",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`dry_run` of the route's limits.",
        ),
        row(
            "limit_conn_dry_run",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`dry_run` of the route's limits.",
        ),
        row(
            "limit_req_log_level",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`log_level` of the route's limits; `error` if not written.",
        ),
        row(
            "limit_conn_log_level",
            Contexts::LEVELS,
            (1, 1),
            Rule::Route(limits::limit_rule),
            "`log_level` of the route's limits; `error` if not written.",
        ),
        row(
            "limit_rate",
            Contexts::LEVELS_AND_IF,
            (1, 1),
            Rule::Route(settings::limit_rate),
            "`rate.client`; what `set $limit_rate` says goes before it.",
        ),
        row(
            "limit_rate_after",
            Contexts::LEVELS_AND_IF,
            (1, 1),
            Rule::Route(settings::limit_rate_after),
            "`rate.client_after`.",
        ),
    ],
};

pub(super) const LOGS: Part = Part {
    title: "Logs",
    rows: &[
        row(
            "access_log",
            Contexts::LEVELS_AND_IF.and(Contexts::LIMIT_EXCEPT),
            (1, super::MANY),
            Rule::Process(process::access_log),
            "`[access_log]`, a file with its format and `if=`: the first of http, else the first of all. \
             Others are `[access_logs.NAME]`, which routes name; `off` is `access_log = false` of the routes.",
        ),
        row(
            "log_format",
            Contexts::HTTP,
            (2, super::MANY),
            Rule::Shape,
            "`template` of `[access_log]`, with its `escape`.",
        ),
        needless("open_log_file_cache", Contexts::ANY, "The log stays open."),
        needless("log_not_found", Contexts::ANY, "No files are served."),
        needless("log_subrequest", Contexts::ANY, "There are no subrequests."),
        needless("rewrite_log", Contexts::ANY, "It is for debugging."),
    ],
};

const fn parameter(
    name: &'static str,
    verdict: Verdict,
    doc: &'static str,
    instead: &'static str,
) -> Parameter {
    Parameter { name, verdict, doc, instead }
}

/// Parameters of `listen`.
pub(in crate::import) const LISTEN: &[Parameter] = &[
    parameter("default_server", Verdict::Carried, "The server's routes take every host.", ""),
    parameter("default", Verdict::Carried, "The server's routes take every host.", ""),
    parameter(
        "ssl",
        Verdict::Carried,
        "`tls` of the listener; where it cannot be carried whole, the listener is left out.",
        "",
    ),
    parameter("http2", Verdict::Carried, "`http2` of the listener.", ""),
    parameter(
        "quic",
        Verdict::NotCarried,
        "Plimsoll does not speak HTTP/3: the listener is left out.",
        "",
    ),
    parameter("spdy", Verdict::NotCarried, "SPDY is gone.", ""),
    parameter(
        "proxy_protocol",
        Verdict::Carried,
        "`proxy_protocol` of the listener, with `nginx.proxy_protocol_from_all`.",
        "",
    ),
    parameter(
        "reuseport",
        Verdict::Carried,
        "Each worker has a listening socket of its own anyhow.",
        "",
    ),
    parameter("deferred", Verdict::Carried, "Nothing is needed in its place.", ""),
    parameter("bind", Verdict::Carried, "Nothing is needed in its place.", ""),
    parameter("backlog=", Verdict::Difference, "The queue is as long as the system allows.", ""),
    parameter("rcvbuf=", Verdict::Difference, "Buffers have the system's sizes.", ""),
    parameter("sndbuf=", Verdict::Difference, "Buffers have the system's sizes.", ""),
    parameter("fastopen=", Verdict::Difference, "TCP fast open is not used.", ""),
    parameter("setfib=", Verdict::NotCarried, "It is for FreeBSD.", ""),
    parameter("accept_filter=", Verdict::NotCarried, "It is for FreeBSD.", ""),
    parameter(
        "ipv6only=",
        Verdict::Carried,
        "An IPv6 listener takes IPv6 only; with `off`, there is one for IPv4 beside it.",
        "",
    ),
    parameter(
        "so_keepalive=",
        Verdict::Difference,
        "Idle clients are closed by `idle_timeout`.",
        "",
    ),
];
