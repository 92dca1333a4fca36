//! Settings of `[[route]]` about responses.

use super::SECRET;
use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) const FIELDS: Setting = Setting::with_default(
    "fields",
    Kind::List(&FIELD_KIND),
    "[]",
    "Fields put in one by one, after the others: for several of one name, and for certain statuses.",
    r#"[{ name = "X-Frame-Options", value = "DENY", statuses = ["200-299"] }]"#,
);

const STATUSES: Setting = Setting::optional(
    "statuses",
    Kind::List(&Kind::Statuses),
    "every status",
    "Statuses of the responses that get it.",
    r#"[200, "301-308"]"#,
);

static FIELD_KIND: Kind = Kind::Table(&FIELD);

static FIELD: Section = Section {
    title: "response_headers.fields = [{ … }]",
    doc: "A field of responses.",
    settings: &[
        Setting::required("name", Kind::Text, "Its name.", r#""X-Frame-Options""#),
        Setting::required(
            "value",
            Kind::Or(&Kind::Text, &SECRET),
            "Its value: a text with `${variables}`, or `{ file = … }` or `{ env = … }`. An empty \
             value adds nothing.",
            r#""DENY""#,
        ),
        STATUSES,
        Setting::with_default(
            "replace",
            Kind::Bool,
            "false",
            "Take the fields of that name away first.",
            "true",
        ),
    ],
};

pub(super) const REDIRECT_REWRITE: Setting = Setting::with_default(
    "redirect_rewrite",
    Kind::List(&REWRITE_KIND),
    "[]",
    "Changes of the URL in `Location` and `Refresh` of backends that do not know their public \
     address. The first one that fits is made.",
    r#"[{ from = "http://app.internal/", to = "/" }]"#,
);

static REWRITE_KIND: Kind = Kind::Table(&REWRITE);

static REWRITE: Section = Section {
    title: "redirect_rewrite = [{ … }]",
    doc: "A change of a value.",
    settings: &[
        Setting::optional(
            "from",
            Kind::Text,
            "`regex` is given",
            "What the value has to begin with, a text with `${variables}`; it is replaced. Of a \
             cookie's domain: what it has to be, in any case, a dot before it aside.",
            r#""http://app.internal/""#,
        ),
        Setting::optional(
            "regex",
            Kind::Text,
            "`from` is given",
            "A regular expression that has to be found in the value; all of the value is replaced.",
            r#""^http://[^/]+/(.*)$""#,
        ),
        Setting::required(
            "to",
            Kind::Text,
            "What is put in: a text with `${variables}`; behind a `regex` also with its groups, \
             `${1}` or `${name}`.",
            r#""/""#,
        ),
    ],
};

pub(super) const COOKIE_REWRITE: Setting = Setting::optional(
    "cookie_rewrite",
    Kind::Table(&COOKIES),
    "passed on as they are",
    "Changes of the cookies that backends set.",
    r#"{ path = [{ from = "/app/", to = "/" }] }"#,
);

static COOKIES: Section = Section {
    title: "cookie_rewrite = { … }",
    doc: "Changes of the cookies that backends set. What is not named here stays as it is.",
    settings: &[
        Setting::with_default(
            "domain",
            Kind::List(&Kind::Table(&REWRITE)),
            "[]",
            "Changes of `Domain`. The first one that fits is made.",
            r#"[{ from = "app.internal", to = "example.com" }]"#,
        ),
        Setting::with_default(
            "path",
            Kind::List(&Kind::Table(&REWRITE)),
            "[]",
            "Changes of `Path`. The first one that fits is made.",
            r#"[{ from = "/app/", to = "/" }]"#,
        ),
        Setting::with_default(
            "flags",
            Kind::List(&Kind::Table(&FLAGS)),
            "[]",
            "Changes of flags. The first one whose cookie it is counts.",
            r#"[{ cookie = "session", secure = true, same_site = "lax" }]"#,
        ),
    ],
};

static FLAGS: Section = Section {
    title: "flags = [{ … }] of a cookie",
    doc: "Flags of some cookies.",
    settings: &[
        Setting::optional(
            "cookie",
            Kind::Text,
            "`regex` is given",
            "The cookie's name, a text with `${variables}`; upper and lower case are the same.",
            r#""session""#,
        ),
        Setting::optional(
            "regex",
            Kind::Text,
            "`cookie` is given",
            "A regular expression that has to be found in the cookie's name.",
            r#""^sess""#,
        ),
        Setting::optional(
            "secure",
            Kind::Bool,
            "as the backend says",
            "`true`: add `Secure`; `false`: take it away.",
            "true",
        ),
        Setting::optional(
            "http_only",
            Kind::Bool,
            "as the backend says",
            "`true`: add `HttpOnly`; `false`: take it away.",
            "true",
        ),
        Setting::optional(
            "same_site",
            Kind::Word(&["strict", "lax", "none", "remove"]),
            "as the backend says",
            "The value of `SameSite`, or `remove` to take it away.",
            r#""lax""#,
        ),
        Setting::with_default(
            "words",
            TEXTS,
            "[]",
            "Texts with `${variables}`, each of which gives a flag that is not set by the other settings, in \
             nginx's words: `secure`, `httponly`, `samesite=strict`, `samesite=lax` and `samesite=none` add \
             one, `nosecure`, `nohttponly` and `nosamesite` take it away. Anything else does nothing.",
            r#"["${header.x-cookie-flag}"]"#,
        ),
    ],
};

pub(super) const RESPONSE_TRAILERS: Setting = Setting::optional(
    "response_trailers",
    Kind::Table(&TRAILERS),
    "passed on",
    "Fields behind the body.",
    "{ pass = false }",
);

static TRAILERS: Section = Section {
    title: "response_trailers = { … }",
    doc: "Fields behind the body (trailers). They reach clients of HTTP/1.1, behind a body in \
          chunks; a response that is to get one is sent in chunks.",
    settings: &[
        Setting::with_default("pass", Kind::Bool, "true", "Pass on those of the backend.", "false"),
        Setting::with_default(
            "add",
            Kind::List(&Kind::Table(&TRAILER)),
            "[]",
            "Fields that are added.",
            r#"[{ name = "X-Route", value = "${route}" }]"#,
        ),
    ],
};

static TRAILER: Section = Section {
    title: "response_trailers.add = [{ … }]",
    doc: "A field behind the body.",
    settings: &[
        Setting::required("name", Kind::Text, "Its name.", r#""X-Route""#),
        Setting::required(
            "value",
            Kind::Text,
            "Its value: a text with `${variables}`. An empty value adds nothing.",
            r#""${route}""#,
        ),
        STATUSES,
    ],
};

pub(super) const EARLY_HINTS: Setting = Setting::with_default(
    "early_hints",
    Kind::Bool,
    "true",
    "Pass early hints (103) of backends on to clients, who speak HTTP/1.1 or later.",
    "false",
);

pub(super) const EARLY_HINTS_WHEN: Setting = Setting::optional(
    "early_hints_when",
    Kind::Text,
    "always",
    "A text with `${variables}`: early hints are passed on only where it is neither empty nor `0`.",
    r#""${header.sec-fetch-mode}""#,
);

pub(super) const RESPONSE_BUFFER: Setting = Setting::with_default(
    "response_buffer",
    Kind::Size { min: 0, max: 16 << 20, unlimited: false },
    "0",
    "Bytes of a response that are read ahead of a client that is slow to take them, so that the \
     backend is free early. A worker reads at most 64 MiB ahead, all clients together.",
    r#""1MiB""#,
);

pub(super) const RATE: Setting = Setting::optional(
    "rate",
    Kind::Table(&RATES),
    "as fast as both sides can",
    "How fast a response is passed on at most.",
    r#"{ client = "500KiB", client_after = "10MiB" }"#,
);

const BYTES: Kind = Kind::SizeOrText { min: 1, max: 1 << 40 };

static RATES: Section = Section {
    title: "rate = { … }",
    doc: "How fast each response is passed on at most, in bytes a second. In its first second \
          twice as much may pass. A client with several requests at a time has as many rates. What comes \
          of a text with `${variables}` is a number, perhaps with `k`, `m` or `g` (of 1024) behind it; \
          anything else is no limit.",
    settings: &[
        Setting::optional(
            "client",
            BYTES,
            "no limit",
            "Bytes a second to the client, or a text with `${variables}`.",
            r#""500KiB""#,
        ),
        Setting::with_default(
            "client_after",
            Kind::Size { min: 0, max: 1 << 40, unlimited: false },
            "0",
            "Bytes that go to the client before `client` holds.",
            r#""10MiB""#,
        ),
        Setting::optional(
            "backend",
            BYTES,
            "no limit",
            "Bytes a second that are read from the backend, or a text with `${variables}`.",
            r#""1MiB""#,
        ),
    ],
};

pub(super) const X_ACCEL: Setting = Setting::with_default(
    "x_accel",
    Kind::List(&Kind::Word(&["buffering", "limit_rate"])),
    "[]",
    "What backends may command by fields, as in nginx: `response_buffer` on and off by \
     `X-Accel-Buffering`, `rate.client` by `X-Accel-Limit-Rate`.",
    r#"["buffering"]"#,
);

/// Settings of `[route.nginx]` about responses.
pub(super) const HIDDEN_HEADERS: Setting = Setting::with_default(
    "hidden_headers",
    Kind::Bool,
    "false",
    "Keep the backend's `Date`, `Server`, `X-Pad` and `X-Accel-…` from clients, as nginx does; a \
     `Date` of our own is sent.",
    "true",
);

pub(super) const FIRST_OF_REPEATED: Setting = Setting::with_default(
    "first_of_repeated",
    Kind::Bool,
    "false",
    "Of a field that has one value only (`Accept-Ranges`, `Content-Encoding`, `Content-Type`, `Date`, \
     `ETag`, `Expires`, `Last-Modified`, `Location`, `Refresh`, `Server`) and that the backend repeats, \
     pass on the first, as nginx does since 1.23.",
    "true",
);

pub(super) const CHUNKED: Setting = Setting::with_default(
    "chunked",
    Kind::Bool,
    "true",
    "Whether a body of unknown length goes to clients of HTTP/1.1 in chunks. Otherwise its end is that of \
     the connection, as for HTTP/1.0.",
    "false",
);

pub(super) const PASSED_HEADERS: Setting = Setting::with_default(
    "passed_headers",
    TEXTS,
    "[]",
    "Names of fields that `hidden_headers` lets pass, as nginx's `proxy_pass_header`.",
    r#"["Server"]"#,
);

pub(super) const ABSOLUTE_REDIRECT: Setting = Setting::with_default(
    "absolute_redirect",
    Kind::Bool,
    "false",
    "Put scheme, host and port before a `Location` that was rewritten and begins with `/`, as \
     nginx's `absolute_redirect`. Clients need none of it (RFC 9110, section 10.2.2).",
    "true",
);
