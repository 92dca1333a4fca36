//! Settings of `[[route]]` and `[[listener]]` by which a request goes on elsewhere.

use crate::config::table::{Kind, Section, Setting, TEXTS};

/// Where a request may go on.
macro_rules! target {
    () => {
        "a path (`/login`), for which a route is looked for on the same listener with the same host, or \
         the name of a route's `path` (`@login`)"
    };
}

pub(super) const GO_TO: Setting = Setting::optional(
    "go_to",
    Kind::Text,
    "another action is given",
    concat!(
        "Action: go on elsewhere, without telling the client: ",
        target!(),
        ". A text with `${variables}`. A request goes on at most 10 times; then: 500."
    ),
    r#""@other""#,
);

pub(super) const INTERNAL: Setting = Setting::with_default(
    "internal",
    Kind::Bool,
    "false",
    "Whether only requests that go on from elsewhere get here. For clients: 404.",
    "true",
);

pub(super) const REWRITE: Setting = Setting::with_default(
    "rewrite",
    Kind::List(&REWRITE_KIND),
    "[]",
    "Changes of the path, in order. A `first` route with this may do without an action; then the \
     route is looked for behind it.",
    r#"[{ regex = "^/old/(.*)$", to = "/new/${1}" }]"#,
);

static REWRITE_KIND: Kind = Kind::Table(&REWRITE_RULE);

static REWRITE_RULE: Section = Section {
    title: "rewrite = [{ … }]",
    doc: "A change of the path. What is sent on after it is the path written out plainly: normalised, \
          and escaped only where that is needed.",
    settings: &[
        Setting::required(
            "regex",
            Kind::Text,
            "A regular expression; found in the normalised path, the rule holds.",
            r#""^/old/(.*)$""#,
        ),
        Setting::optional(
            "to",
            Kind::Text,
            "`then` is `stop`",
            "The whole new path: a text with `${variables}`, and with `${1}` or `${name}` for what a \
             group of `regex` found. A query behind `?` comes before the client's; a `?` at the very \
             end drops the client's. For a redirect also a URL.",
            r#""/new/${1}""#,
        ),
        Setting::with_default(
            "then",
            Kind::Word(&["break", "last", "next", "redirect", "permanent", "stop"]),
            r#""break""#,
            "`break`: stay on this route. `last`: look for the route of the new path. `next`: go on with \
             the next rule, and behind the last one look for the route of the new path. `redirect` and \
             `permanent`: tell the client, with 302 and 301. `stop`: the path stays, and none of the rules \
             behind is looked at.",
            r#""last""#,
        ),
        Setting::optional(
            "when",
            Kind::List(&super::condition::KIND),
            "the path decides alone",
            "What a request must be besides; all must hold.",
            r#"[{ value = "${cookie.beta}", not = "" }]"#,
        ),
        Setting::with_default(
            "same_when",
            Kind::Bool,
            "false",
            "Whether `when` of the rule before it decides here too, as it was then: that rule may have \
             changed the path that it asks for.",
            "true",
        ),
    ],
};

pub(super) const ERROR_PAGES: Setting = Setting::optional(
    "error_pages",
    Kind::List(&ERROR_PAGE_KIND),
    "the listener's; without any, a line of text",
    "What is answered in place of errors of our own, and of a `respond` without a body; with \
     `intercept_errors` of the backend's too. The first that has the status counts. A list of the \
     route stands in place of the listener's as a whole.",
    r#"[{ statuses = ["500-599"], file = "sorry.html" }]"#,
);

static ERROR_PAGE_KIND: Kind = Kind::Table(&ERROR_PAGE);

static ERROR_PAGE: Section = Section {
    title: "error_pages = [{ … }]",
    doc: "A page in place of errors; exactly one of `file` and `to`.",
    settings: &[
        Setting::required(
            "statuses",
            Kind::List(&Kind::Statuses),
            "Statuses from 300 on, or ranges of them.",
            r#"[404, "500-599"]"#,
        ),
        Setting::optional(
            "file",
            Kind::Text,
            "`to` is given",
            "A file of at most 1 MiB with the page. It is watched like the configuration itself.",
            r#""sorry.html""#,
        ),
        Setting::with_default(
            "content_type",
            Kind::Text,
            r#""text/html; charset=utf-8""#,
            "The file's `Content-Type`.",
            r#""application/json""#,
        ),
        Setting::optional(
            "to",
            Kind::Text,
            "`file` is given",
            concat!(
                "Where the page is: ",
                target!(),
                ", or a URL to which the client is redirected. A path is asked for by GET. A text with \
                 `${variables}`."
            ),
            r#""@other""#,
        ),
        Setting::optional(
            "status",
            Kind::Integer { min: 200, max: 599 },
            "that of the error; of a redirect 302",
            "The status in place of the error's.",
            "200",
        ),
        Setting::with_default(
            "page_status",
            Kind::Bool,
            "false",
            "Whether the status is the one that comes with the page.",
            "true",
        ),
    ],
};

pub(super) const INTERCEPT_ERRORS: Setting = Setting::with_default(
    "intercept_errors",
    Kind::Bool,
    "false",
    "Whether `error_pages` stand in place of the backend's answers too.",
    "true",
);

pub(super) const AUTH: Setting = Setting::optional(
    "auth",
    Kind::Text,
    "nobody is asked",
    concat!(
        "Who is asked first whether the request may pass: ",
        target!(),
        ". It gets the request's head as a GET without a body. 2xx lets it pass, and `${auth.NAME}` is \
         a header field of that answer; 401 and 403 are the client's answer; anything else: 500."
    ),
    r#""@other""#,
);

pub(super) const ACCESS_OR_AUTH: Setting = Setting::with_default(
    "access_or_auth",
    Kind::Bool,
    "false",
    "Whether one of `access` and `auth` is enough: nobody is asked about clients that a rule of `access` \
     lets in, and all others have to pass `auth`.",
    "true",
);

pub(super) const MIRROR: Setting = Setting::with_default(
    "mirror",
    TEXTS,
    "[]",
    concat!(
        "Who gets a copy of the request: ",
        target!(),
        ". What it answers is not looked at, and nobody waits for it. A copy is sent once, to one \
         backend."
    ),
    r#"["@other"]"#,
);

pub(super) const MIRROR_BODY: Setting = Setting::with_default(
    "mirror_body",
    Kind::Bool,
    "true",
    "Whether copies have the body too; then they are sent when it has come, and not at all when it is \
     longer than `replay_body`.",
    "false",
);

pub(super) const ACCEL_REDIRECT: Setting = Setting::with_default(
    "accel_redirect",
    Kind::Bool,
    "false",
    "Whether a field `X-Accel-Redirect` of the backend's answer is followed: the request goes on \
         there (a path, as GET, or `@name`, with its body, which must not be longer than `replay_body`), and of the answer only `Content-Type`, `Set-Cookie`, \
         `Content-Disposition`, `Cache-Control`, `Expires` and `Accept-Ranges` are kept.",
    "true",
);

pub(super) const RECURSIVE_ERROR_PAGES: Setting = Setting::with_default(
    "recursive_error_pages",
    Kind::Bool,
    "false",
    "Whether an error on the way to an error page has its page too.",
    "true",
);

pub(super) const REQUEST_URI: Setting = Setting::with_default(
    "request_uri",
    Kind::Bool,
    "false",
    "Whether backends get the target that the client asked for, wherever the request has gone since \
     (nginx: `$request_uri` behind `proxy_pass`).",
    "true",
);
