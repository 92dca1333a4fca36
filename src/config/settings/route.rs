//! Settings of `[[route]]`.

use super::access::ACCESS;
use super::condition::WHEN;
use super::upstream_retry::RETRY_SETTINGS;
use super::{SECRET, SECRET_TEXT, onward};
use super::{request, response, route_nginx};
use crate::config::table::{Kind, Section, Setting, TEXTS, TIMEOUT};

pub(super) const ROUTE: Setting = Setting::with_default(
    "route",
    Kind::List(&KIND),
    "[]",
    "Which request goes where. At least one, in any of the files.",
    r#"[{ upstream = "api" }]"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[[route]]",
    doc: "Which requests, and what becomes of them. A request takes the route that fits it most \
          closely; the order in the file decides only between routes that are equal in all else:\n\
          \n\
          1. host: an exact name, then the longest `*.` suffix, then the longest `.*` prefix, then \
          `~` expressions in the order of the files, then no `hosts`;\n\
          2. `first`;\n\
          3. path: `path_exact`, then `path_regex` in the order of the files, then the longest \
          `path` or `path_prefix`;\n\
          4. conditions: the more of `methods` and `when` (each of the two counts once) and \
          `headers` (each field counts), the sooner;\n\
          5. the order of the files.\n\
          \n\
          When conditions fail, the next route in this order is tried; when none is left, the \
          answer is 404. A route does exactly one of `upstream`, `split`, `redirect`, `respond` and \
          `go_to`.",
    settings: &[
        Setting::optional(
            "name",
            Kind::Text,
            "`route-N`, counted from 1 over all files",
            "The name used by metrics and logs.",
            r#""api""#,
        ),
        Setting::optional(
            "listeners",
            TEXTS,
            "every listener",
            "Names of the listeners on which the route holds.",
            r#"["main"]"#,
        ),
        Setting::optional(
            "hosts",
            TEXTS,
            "every host",
            "Host names without port. `*.example.com` is any name below, at any depth, but not \
             `example.com` itself; `example.*` is any name that goes on so. With `~` before it, it is \
             a regular expression, found anywhere in the name unless it says `^` or `$`. An empty \
             name is a request without a host. Upper and lower case are the same.",
            r#"["api.example.com", "*.example.com"]"#,
        ),
        Setting::optional(
            "path",
            Kind::Text,
            "`/`",
            "A prefix by whole segments: `/v1` fits `/v1` and `/v1/x`, not `/v10`. A slash at its \
             end makes no difference. Compared with the decoded, normalised path, as the other two. \
             `@name` is no path but a name: requests go on there, and none comes there by itself.",
            r#""/v1""#,
        ),
        Setting::optional(
            "path_prefix",
            Kind::Text,
            "see `path`",
            "A prefix by bytes, as nginx's: `/v1` fits `/v1`, `/v1/x` and `/v10`, and `/v1/` does not \
             fit `/v1`. Beside `path_regex`: the expression is tried only where this is the longest \
             prefix of a route that fits, and before expressions without a prefix.",
            r#""/v1/""#,
        ),
        Setting::optional(
            "path_exact",
            Kind::Text,
            "see `path`",
            "The very path.",
            r#""/favicon.ico""#,
        ),
        Setting::optional(
            "path_regex",
            Kind::Text,
            "see `path`",
            "A regular expression (syntax of the Rust crate `regex`), found anywhere in the path \
             unless it says `^` or `$`.",
            r#""^/u/[0-9]+$""#,
        ),
        Setting::with_default(
            "before_regex",
            Kind::Bool,
            "false",
            "Where the route's prefix is the longest that fits, it goes before `path_regex` without \
             a prefix (nginx: `^~`).",
            "true",
        ),
        Setting::with_default(
            "first",
            Kind::Bool,
            "false",
            "The route goes before all routes of its hosts that do not say so, whatever its path; \
             several in the order of the files.",
            "true",
        ),
        Setting::optional(
            "methods",
            TEXTS,
            "every method",
            "Request methods.",
            r#"["GET", "HEAD"]"#,
        ),
        Setting::optional(
            "headers",
            Kind::Map(&Kind::Or(&Kind::Text, &HEADER_RULE)),
            "any header fields",
            "What header fields must be, by name; all must hold. A plain text is the very value.",
            r#"{ x-canary = "1", authorization = { present = true } }"#,
        ),
        WHEN,
        ACCESS,
        Setting::optional(
            "upstream",
            Kind::Text,
            "another action is given",
            "Action: send the request to this upstream.",
            r#""api""#,
        ),
        Setting::optional(
            "split",
            Kind::List(&Kind::Table(&SHARE)),
            "another action is given",
            "Action: send each request to one of several upstreams, by share.",
            r#"[{ upstream = "api", weight = 9 }, { upstream = "canary", weight = 1 }]"#,
        ),
        Setting::optional(
            "redirect",
            Kind::Table(&REDIRECT),
            "another action is given",
            "Action: answer with a redirect.",
            r#"{ status = 308, to = "https://${host}${uri}" }"#,
        ),
        Setting::optional(
            "respond",
            Kind::Or(&Kind::Word(&["close"]), &RESPOND),
            "another action is given",
            "Action: answer with a fixed response, or close the connection without any.",
            r#"{ status = 200, body = "ok" }"#,
        ),
        onward::GO_TO,
        onward::INTERNAL,
        onward::REWRITE,
        onward::AUTH,
        onward::ACCESS_OR_AUTH,
        onward::MIRROR,
        onward::MIRROR_BODY,
        onward::ERROR_PAGES,
        onward::INTERCEPT_ERRORS,
        Setting::with_default(
            "strip_prefix",
            Kind::Bool,
            "false",
            "Cut the route's `path` or `path_prefix` off before the request is sent on; what is left \
             begins with `/`.",
            "true",
        ),
        Setting::optional(
            "replace_prefix",
            Kind::Text,
            "the path is sent byte for byte as it came",
            "Put this in place of the route's `path`; of `path_prefix` and `path_exact`, byte for byte. Behind a `?` \
             in it what follows belongs to the query, and the client's query is joined by `&`. A path \
             that would climb by that, as `/a../b` does when `/a` becomes `/x/`, is refused with 400.",
            r#""/v2""#,
        ),
        Setting::with_default(
            "host_header",
            Kind::Or(&Kind::Word(&["preserve", "backend"]), &HOST_HEADER),
            r#""preserve""#,
            "The `Host` sent on: as the client sent it, the backend's address, or a text of your own.",
            r#"{ set = "api.internal" }"#,
        ),
        Setting::optional(
            "request_headers",
            Kind::Table(&REQUEST_HEADERS),
            "sent on as they came",
            "Changes to the request's header fields.",
            r#"{ set = { X-Client = "${client_ip}" } }"#,
        ),
        Setting::optional(
            "response_headers",
            Kind::Table(&RESPONSE_HEADERS),
            "sent on as they came",
            "Changes to the response's header fields.",
            r#"{ remove = ["Server"] }"#,
        ),
        super::sending::SEND,
        request::BUFFERING,
        response::RESPONSE_TRAILERS,
        response::REDIRECT_REWRITE,
        response::COOKIE_REWRITE,
        response::EARLY_HINTS,
        response::EARLY_HINTS_WHEN,
        response::RESPONSE_BUFFER,
        response::RATE,
        Setting::optional(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            "those of the upstream",
            "Time-outs in place of the upstream's.",
            r#"{ read = "5m" }"#,
        ),
        Setting::optional(
            "retry",
            Kind::Table(&RETRY),
            "that of the upstream",
            "A retry policy in place of the upstream's.",
            "{ tries = 1 }",
        ),
        Setting::optional(
            "max_body",
            Kind::Size { min: 0, max: 1 << 40, unlimited: true },
            "that of the listener",
            "Bytes of a request body. More: 413.",
            r#""10MiB""#,
        ),
        super::limit::LIMITS,
        Setting::optional(
            "trace_sample",
            super::traces::RATIO,
            "that of `[tracing]`",
            "Which part of the requests of this route is traced, of those that begin a trace.",
            "0.0",
        ),
        Setting::with_default(
            "access_log",
            Kind::Bool,
            "true",
            "`false`: requests that take this route are not logged in `[access_log]`.",
            "false",
        ),
        Setting::with_default(
            "access_logs",
            TEXTS,
            "[]",
            "Named logs (`[access_logs.NAME]`) in which requests that take this route are logged besides.",
            r#"["shop"]"#,
        ),
        Setting::with_default(
            "upgrades",
            TEXTS,
            r#"["websocket"]"#,
            "Protocols that a client may switch to by `Upgrade`, or over HTTP/2 by extended CONNECT (RFC 8441). \
             Backends are asked in their own way, each tunnel on a connection of its own; one of HTTP/2 has to \
             say that it leads tunnels, else: 501.",
            "[]",
        ),
        route_nginx::NGINX,
    ],
};

static HEADER_RULE: Section = Section {
    title: "headers = { NAME = … }",
    doc: "What one header field must be; exactly one of these.",
    settings: &[
        Setting::optional(
            "present",
            Kind::Bool,
            "another rule is given",
            "`true`: the field must be there; `false`: it must not.",
            "true",
        ),
        Setting::optional(
            "exact",
            Kind::Text,
            "another rule is given",
            "A field line must have the very value; the same as a plain text.",
            r#""1""#,
        ),
        Setting::optional(
            "regex",
            Kind::Text,
            "another rule is given",
            "A regular expression that must be found in a field line.",
            r#""^Bearer ""#,
        ),
    ],
};

static SHARE: Section = Section {
    title: "split = [{ … }]",
    doc: "One part of a split.",
    settings: &[
        Setting::required("upstream", Kind::Text, "The upstream's name.", r#""canary""#),
        Setting::with_default(
            "weight",
            Kind::Integer { min: 1, max: 65_535 },
            "1",
            "Its share of the requests, relative to the other parts.",
            "9",
        )
        .remedy("to send nothing there leave the part out"),
    ],
};

static REDIRECT: Section = Section {
    title: "redirect = { … }",
    doc: "A redirect.",
    settings: &[
        Setting::required(
            "to",
            Kind::Text,
            "Where to: a text with `${variables}`.",
            r#""https://${host}${uri}""#,
        ),
        Setting::with_default(
            "status",
            Kind::Integer { min: 301, max: 308 },
            "302",
            "301, 302, 303, 307 or 308. 307 and 308 keep the method; 301 and 308 are remembered \
             by browsers.",
            "308",
        ),
    ],
};

static RESPOND: Section = Section {
    title: "respond = { … }",
    doc: "A fixed response.",
    settings: &[
        Setting::with_default(
            "status",
            Kind::Integer { min: 200, max: 599 },
            "200",
            "The status.",
            "503",
        ),
        Setting::with_default(
            "body",
            Kind::Or(&Kind::Text, &SECRET),
            r#""""#,
            "The body: a text with `${variables}`; those of the response are of this one, and those of \
             upstreams of what was asked before, where it stands in place of an error. From a file, it may be any bytes, up to 1 MiB.",
            r#""back soon""#,
        ),
        Setting::with_default(
            "content_type",
            Kind::Text,
            r#""text/plain; charset=utf-8""#,
            "The body's `Content-Type`.",
            r#""application/json""#,
        ),
    ],
};

static HOST_HEADER: Section = Section {
    title: "host_header = { … }",
    doc: "A `Host` of your own.",
    settings: &[Setting::required(
        "set",
        Kind::Text,
        "The `Host`: a text with `${variables}`. Where nothing comes of it, the backend's address \
         is sent.",
        r#""api.internal""#,
    )],
};

const SET: Setting = Setting::optional(
    "set",
    Kind::Map(&SECRET_TEXT),
    "nothing is set",
    "Fields of which there shall be exactly one, with this value: a text with `${variables}`, or \
     `{ file = … }` or `{ env = … }`.",
    r#"{ X-Request-Start = "now", Authorization = "Basic ${header.x-auth}" }"#,
);

const ADD: Setting = Setting::optional(
    "add",
    Kind::Map(&SECRET_TEXT),
    "nothing is added",
    "Fields put beside those of that name.",
    r#"{ Via = "edge" }"#,
);

const REMOVE: Setting = Setting::optional(
    "remove",
    TEXTS,
    "nothing is removed",
    "Names of fields to remove.",
    r#"["X-Internal"]"#,
);

static REQUEST_HEADERS: Section = Section {
    title: "request_headers = { … }",
    doc: "Changes to the request's header fields: first removed, then set, then added. The fields \
          that frame a message or belong to one connection (`Content-Length`, `Connection`, …) are \
          not to be touched; for `Host` there is `host_header`. A value that turns out empty is not sent.",
    settings: &[SET, ADD, REMOVE],
};

static RESPONSE_HEADERS: Section = Section {
    title: "response_headers = { … }",
    doc: "The same for the response's header fields.",
    settings: &[SET, ADD, REMOVE, response::FIELDS],
};

static TIMEOUTS: Section = Section {
    title: "timeouts = { … } of a route",
    doc: "Time-outs in place of the upstream's, each for itself.",
    settings: &[
        Setting::optional(
            "connect",
            TIMEOUT,
            "the upstream's",
            "Until the connection to a backend stands.",
            r#""1s""#,
        ),
        Setting::optional(
            "read",
            TIMEOUT,
            "the upstream's",
            "Between two reads from the backend.",
            r#""5m""#,
        ),
        Setting::optional(
            "write",
            TIMEOUT,
            "the upstream's",
            "Between two writes to the backend.",
            r#""30s""#,
        ),
        Setting::optional(
            "total",
            TIMEOUT,
            "the upstream's",
            "For the request with all attempts, until the response head.",
            r#""10s""#,
        ),
        Setting::optional(
            "client",
            Kind::Text,
            "the upstream's",
            "What tells how long the client waits.",
            r#""${header.x-request-timeout-ms}""#,
        ),
    ],
};

static RETRY: Section = Section {
    title: "retry = { … } of a route",
    doc: "A retry policy in place of the upstream's, as a whole: what is not written here has its \
          default, not the upstream's value.",
    settings: RETRY_SETTINGS,
};
