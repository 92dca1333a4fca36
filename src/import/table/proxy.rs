//! Directives of the way to the backends and back.

use super::{Contexts, MANY, Part, Rule, missing, needless, row};
use crate::import::{onward, retries, settings, to_secured};

const LEVELS: Contexts = Contexts::LEVELS;
const PASS: Contexts = Contexts::LOCATION.and(Contexts::LOCATION_IF).and(Contexts::LIMIT_EXCEPT);

pub(super) const PROXY: Part = Part {
    title: "To the backends",
    rows: &[
        row("proxy_pass", PASS, (1, 1), Rule::Route(settings::pass),
            "`upstream` of the route; an address becomes an upstream of its own. With a path: \
             `strip_prefix` or `replace_prefix`, with variables in it `send.target`. Variables of `map` and \
             `split_clients` that choose an upstream become routes; others `send.to`, which may reach every \
             upstream and every address, and with `resolver` every name, as nginx has it; with `unix:` before \
             a variable, the sockets of that folder. `https` is \
             `tls` of the upstream.").own(),
        row("grpc_pass", PASS, (1, 1), Rule::Route(settings::pass),
            "`upstream` with `protocol = \"h2c\"`. What goes wrong in the proxy is told to callers in \
             `grpc-status`, where nginx has a page.").differs().own(),
        row("proxy_http_version", LEVELS, (1, 1), Rule::Route(settings::http_version),
            "2 is `protocol = \"h2c\"` of the upstream, `\"h2\"` with TLS. 1.0, nginx's default before 1.29.7, is \
             not spoken: it is HTTP/1.1 on connections that are not kept.").differs(),
        row("proxy_connect_timeout", LEVELS, (1, 1), Rule::Route(settings::connect_timeout), "`timeouts.connect`; 60 seconds if not written."),
        row("proxy_send_timeout", LEVELS, (1, 1), Rule::Route(settings::write_timeout), "`timeouts.write`."),
        row("proxy_read_timeout", LEVELS, (1, 1), Rule::Route(settings::read_timeout), "`timeouts.read`."),
        row("grpc_connect_timeout", LEVELS, (1, 1), Rule::Route(settings::grpc_connect_timeout), "`timeouts.connect`."),
        row("grpc_send_timeout", LEVELS, (1, 1), Rule::Route(settings::grpc_write_timeout), "`timeouts.write`."),
        row("grpc_read_timeout", LEVELS, (1, 1), Rule::Route(settings::grpc_read_timeout), "`timeouts.read`."),
        row("proxy_next_upstream", LEVELS, (1, MANY), Rule::Route(retries::next_upstream),
            "`retry`: `error` is `on = [\"reset\"]`, `timeout` and `invalid_header` are their like, \
             statuses go to `statuses`; `off` is `tries = 1`. Without `error` or `timeout`, `unsent = \
             \"as_listed\"`. Without `proxy_request_buffering`, bodies longer than `replay_body` are sent once."),
        row("proxy_next_upstream_tries", LEVELS, (1, 1), Rule::Route(retries::next_tries), "`retry.tries`; without it as many as there are backends."),
        row("proxy_next_upstream_timeout", LEVELS, (1, 1), Rule::Route(settings::next_timeout), "`retry.timeout`."),
        row("grpc_next_upstream", LEVELS, (1, MANY), Rule::Route(retries::grpc_next_upstream),
            "As `proxy_next_upstream`; a call that was sent is not repeated, as nothing of it is kept."),
        row("grpc_next_upstream_tries", LEVELS, (1, 1), Rule::Route(retries::grpc_next_tries), "`retry.tries`."),
        row("grpc_next_upstream_timeout", LEVELS, (1, 1), Rule::Route(settings::grpc_next_timeout), "`retry.timeout`."),
        row("proxy_buffering", LEVELS, (1, 1), Rule::Route(settings::buffering),
            "`response_buffer`, which reads ahead in memory only: at most 1 MiB where nginx would go on in a \
             file. `off` is without."),
        row("proxy_request_buffering", LEVELS, (1, 1), Rule::Route(settings::request_buffering),
            "`on`, nginx's default, is `request_buffering`; `off` is without, with `retry.replay_body = 0`."),
        row("proxy_buffers", LEVELS, (2, 2), Rule::Route(settings::buffers), "`response_buffer`: number × size, where there are no files."),
        needless("proxy_buffer_size", Contexts::ANY, "Heads of responses are read into a buffer that grows."),
        needless("proxy_busy_buffers_size", Contexts::ANY, "Responses are passed on as they come."),
        row("proxy_max_temp_file_size", LEVELS, (1, 1), Rule::Route(settings::temp_file),
            "Responses are never put into files; without 0, `response_buffer` is at least 1 MiB."),
        needless("proxy_temp_*", Contexts::ANY, "Responses are never put into files."),
        needless("proxy_headers_hash_*", Contexts::ANY, "Tables grow as they need."),
        needless("proxy_send_lowat", Contexts::ANY, "It is for FreeBSD."),
        needless("proxy_socket_keepalive", Contexts::ANY, "Connections to backends are closed by time-outs."),
        row("proxy_ignore_headers", LEVELS, (1, MANY), Rule::Route(settings::ignore_headers),
            "`nginx.x_accel` without X-Accel-Buffering or X-Accel-Limit-Rate, and no `nginx.accel_redirect`, \
             which routes have where the server has locations that are `internal` or a name. Nothing is \
             cached, so that the others need nothing."),
        needless("grpc_buffer_size", Contexts::ANY, "Responses are passed on as they come."),
        needless("grpc_socket_keepalive", Contexts::ANY, "Connections to backends are closed by time-outs."),
        row("proxy_ignore_client_abort", LEVELS, (1, 1), Rule::Route(settings::ignore_client_abort),
             "`nginx.ignore_client_abort` of the route."),
        row("proxy_intercept_errors", LEVELS, (1, 1), Rule::Route(onward::intercept),
            "`intercept_errors` of routes with `error_pages`."),
        row("grpc_intercept_errors", LEVELS, (1, 1), Rule::Route(onward::intercept), "As `proxy_intercept_errors`."),
        row("proxy_pass_request_headers", LEVELS, (1, 1), Rule::Route(settings::pass_request_headers), "With `off`, `send.headers = false`."),
        row("proxy_pass_request_body", LEVELS, (1, 1), Rule::Route(settings::pass_request_body), "With `off`, `send.body = \"\"`; a length is not sent then."),
        row("proxy_bind", LEVELS, (1, 2), Rule::Route(settings::bind), "`source` of the upstream, with `transparent`; then no connection is kept that speaks for one client."),
        row("grpc_bind", LEVELS, (1, 2), Rule::Route(settings::bind), "As `proxy_bind`."),
        row("proxy_method", LEVELS, (1, 1), Rule::Route(settings::method), "`send.method`."),
        row("proxy_set_body", LEVELS, (1, 1), Rule::Route(settings::set_body), "`send.body`."),
        row("proxy_limit_rate", LEVELS, (1, 1), Rule::Route(settings::proxy_limit_rate), "`rate.backend`."),
        missing("proxy_force_ranges", "Ranges are answered by the backend.", ""),
        row("proxy_ssl_name", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.server_name` of the upstream; the host of `proxy_pass` if not written. With variables no connection is kept."),
        row("proxy_ssl_server_name", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.sni`, which is off if not written."),
        row("proxy_ssl_verify", LEVELS, (1, 1), Rule::Route(to_secured::keep),
            "Without it `tls.insecure = true`, as in nginx. A name has to stand among the alternative names of a \
             certificate."),
        row("proxy_ssl_trusted_certificate", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.ca`."),
        row("proxy_ssl_crl", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.crl`."),
        row("proxy_ssl_verify_depth", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.depth`; 1 if not written."),
        row("proxy_ssl_certificate", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.certificate`, a text with variables where each request has its own file; `data:` and engines are not carried."),
        row("proxy_ssl_certificate_key", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.key`."),
        row("proxy_ssl_protocols", LEVELS, (1, MANY), Rule::Route(to_secured::keep), "TLS 1.2 and 1.3.").differs(),
        row("proxy_ssl_ciphers", LEVELS, (1, 1), Rule::Route(to_secured::keep), "The suites of `intermediate`.").differs(),
        row("proxy_ssl_password_file", LEVELS, (1, 1), Rule::Route(to_secured::keep), "`tls.password`; a key that is encrypted in the form before PKCS #8 has to be written anew."),
        row("proxy_ssl_certificate_cache", LEVELS, (1, MANY), Rule::Route(to_secured::keep), "Files are read when they change."),
        row("proxy_ssl_conf_command", LEVELS, (2, 2), Rule::Route(to_secured::keep), "There is no OpenSSL that would take commands.").not_carried(),
        row("proxy_ssl_key_log", LEVELS, (1, 1), Rule::Route(to_secured::keep), "Keys are not written down.").not_carried(),
        row("proxy_ssl_session_reuse", LEVELS, (1, 1), Rule::Route(to_secured::keep), "Sessions go on where backends allow it."),
        row("proxy_ssl_*", LEVELS, (1, MANY), Rule::Route(to_secured::keep), "The route answers 502 where TLS is spoken.").differs(),
        row("grpc_ssl_*", LEVELS, (1, MANY), Rule::Route(to_secured::keep), "As `proxy_ssl_…`.").differs(),
        missing("proxy_cache*", "Responses are not cached.", "put a cache before or behind it"),
        missing("proxy_no_cache", "Responses are not cached.", ""),
        missing("proxy_store*", "Responses are not stored.", ""),
        row("early_hints", LEVELS, (1, MANY), Rule::Route(settings::early_hints),
            "`early_hints_when`, if variables are in it; without it `early_hints = false`."),
    ],
};

pub(super) const HEADERS: Part = Part {
    title: "Header fields",
    rows: &[
        row(
            "proxy_set_header",
            LEVELS,
            (2, 2),
            Rule::Route(settings::set_header),
            "`host_header` for Host (without it nginx sends the name in `proxy_pass`, and so does the \
             imported file); `x_forwarded = \"append\"` of the listener for X-Forwarded-For where all \
             routes have `$proxy_add_x_forwarded_for`; `upgrades` for Upgrade; Connection is Plimsoll's \
             own business; all others `request_headers.set`, an empty value `request_headers.remove`.",
        ),
        row(
            "grpc_set_header",
            LEVELS,
            (2, 2),
            Rule::Route(settings::grpc_set_header),
            "As `proxy_set_header`.",
        ),
        row(
            "proxy_hide_header",
            LEVELS,
            (1, 1),
            Rule::Route(settings::hide_header),
            "`response_headers.remove`.",
        ),
        row(
            "grpc_hide_header",
            LEVELS,
            (1, 1),
            Rule::Route(settings::hide_header),
            "`response_headers.remove`.",
        ),
        row(
            "proxy_pass_header",
            LEVELS,
            (1, 1),
            Rule::Route(settings::pass_header),
            "`nginx.passed_headers`: an exception from what `nginx.hidden_headers` keeps from clients.",
        ),
        row(
            "grpc_pass_header",
            LEVELS,
            (1, 1),
            Rule::Route(settings::pass_header),
            "As `proxy_pass_header`.",
        ),
        row(
            "add_header",
            Contexts::LEVELS_AND_IF,
            (2, 3),
            Rule::Route(settings::add_header),
            "`response_headers.add`; without `always`, or for several values of one name, \
             `response_headers.fields` with its statuses.",
        ),
        row(
            "add_trailer",
            Contexts::LEVELS_AND_IF,
            (2, 3),
            Rule::Route(settings::add_trailer),
            "`response_trailers.add`.",
        ),
        row(
            "expires",
            Contexts::LEVELS_AND_IF,
            (1, 2),
            Rule::Route(settings::expires),
            "Expires and Cache-Control of `response_headers.fields`, with `${time.http.SECONDS}` for a time; a \
             time in the past is 1970. `modified`, `@` and variables are not carried.",
        ),
        row(
            "proxy_redirect",
            LEVELS,
            (1, 2),
            Rule::Route(settings::proxy_redirect),
            "`redirect_rewrite`; nginx's default, which makes the address in `proxy_pass` the \
             location's, is written out.",
        ),
        row(
            "proxy_cookie_domain",
            LEVELS,
            (1, 2),
            Rule::Route(settings::cookie_domain),
            "`cookie_rewrite.domain`.",
        ),
        row(
            "proxy_cookie_path",
            LEVELS,
            (1, 2),
            Rule::Route(settings::cookie_path),
            "`cookie_rewrite.path`.",
        ),
        row(
            "proxy_cookie_flags",
            LEVELS,
            (1, MANY),
            Rule::Route(settings::cookie_flags),
            "`cookie_rewrite.flags`, with `words` for flags that variables give.",
        ),
        row(
            "proxy_pass_trailers",
            LEVELS,
            (1, 1),
            Rule::Route(settings::pass_trailers),
            "`response_trailers.pass`; `false` without it.",
        ),
        missing(
            "more_*",
            "This module's directives are not read.",
            "use `request_headers` and `response_headers`",
        ),
    ],
};
