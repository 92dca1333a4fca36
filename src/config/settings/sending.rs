//! `send` of a route: what backends get otherwise than the client asked for.

use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) const SEND: Setting = Setting::optional(
    "send",
    Kind::Table(&SECTION),
    "sent on as it came",
    "What is sent otherwise than the client asked for, and where to.",
    r#"{ method = "POST" }"#,
);

static SECTION: Section = Section {
    title: "send = { … }",
    doc: "What backends get otherwise than the client asked for. All of these are texts with \
          `${variables}`.",
    settings: &[
        Setting::optional(
            "to",
            Kind::Table(&TO),
            "a backend of the upstream",
            "Send the request where a text says. Pool, protocol, time-outs, retries and `dns` are those \
             of the route's `upstream`, which needs no backends then.",
            r#"{ address = "${header.x-tenant}.internal:8080", allow = ["*.internal"] }"#,
        ),
        Setting::optional(
            "method",
            Kind::Text,
            "the client's",
            "The method. Where what comes of it is no method, the client's is sent.",
            r#""GET""#,
        ),
        Setting::optional(
            "target",
            Kind::Text,
            "see `strip_prefix` and `replace_prefix`",
            "Path and query, as they are sent. What may not stand in a target is percent-encoded.",
            r#""/search?q=${arg.q}""#,
        ),
        Setting::optional(
            "body",
            Kind::Text,
            "the client's",
            "The body, which is sent with its length in place of the client's; `\"\"` sends none. \
             `${request_body}` is the client's, where `request_buffering` has all of it in memory.",
            r#""<request>${request_body}</request>""#,
        ),
        Setting::with_default(
            "headers",
            Kind::Bool,
            "true",
            "Whether the client's header fields are sent on. `Host` and what Plimsoll adds are sent \
             in any case.",
            "false",
        ),
    ],
};

static TO: Section = Section {
    title: "to = { … }",
    doc: "Where each request is sent for itself. Backends that are found so are not probed, and are not \
          parked when they fail; a name's addresses are asked of the upstream's `dns` and tried in turn.",
    settings: &[
        Setting::required(
            "address",
            Kind::Text,
            "The name of an upstream, whose backends are asked then; or an address or a host name, with \
             a port unless it is 80; or a Unix socket as `unix:/path`, with `:` before a target. \
             `http://` before it means nothing, and a path behind it is the whole target that is sent. A text that a client's values make can name any upstream of \
             the file, and whatever `allow` lets through.",
            r#""${header.x-tenant}.internal:8080""#,
        ),
        Setting::with_default(
            "allow",
            TEXTS,
            "[]",
            "What may be reached beside upstreams: addresses and networks (`10.0.0.0/8`), host names \
             (`api.internal`), all names below one (`*.internal`), every name (`*`), Unix sockets \
             (`unix:/run/app.sock`), all that are in a folder (`unix:/run/apps/`). A name may lead to any \
             address. What is not allowed is answered with 502.",
            r#"["*.internal", "10.0.0.0/8"]"#,
        ),
    ],
};
