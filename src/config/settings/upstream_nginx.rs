//! Settings of `[upstream.NAME.nginx]`.

use crate::config::table::{Kind, Section, Setting};

pub(super) static NGINX: Section = Section {
    title: "[upstream.NAME.nginx]",
    doc: "What is done as nginx does it, for upstreams that come from there. Each setting is an \
          accident or a choice of nginx's that Plimsoll would not make.",
    settings: &[
        Setting::with_default(
            "failures",
            Kind::Bool,
            "false",
            "Failures are counted as by nginx's `max_fails` and `fail_timeout`, instead of parking: \
             failures between successes add up; each takes weight ÷ `max_fails` off a backend's \
             turns, which come back one by one; when all backends are out, nobody is asked; the only \
             backend of an upstream is never out. A listed status counts when another backend is \
             asked because of it, but 403 and 404 do not; `passive.statuses` has no effect.",
            "true",
        ),
        Setting::with_default(
            "turns",
            Kind::Bool,
            "false",
            "Each worker begins its turns with the first backend of the file, where Plimsoll spreads \
             them; and of two draws of `random` that are equally loaded the second is taken.",
            "true",
        ),
        Setting::with_default(
            "none_eligible",
            Kind::Integer { min: 502, max: 503 },
            "503",
            "The status for a request for which there is no backend: nginx says 502.",
            "502",
        ),
        Setting::with_default(
            "empty_answer",
            Kind::Bool,
            "false",
            "An answer of a name server that a name does not exist, or has no addresses, leaves it \
             without backends; else its last addresses are kept.",
            "true",
        ),
        Setting::with_default(
            "bare_answers",
            Kind::Bool,
            "false",
            "An answer that does not begin like HTTP is taken for a body without a head (HTTP/0.9), with \
             status 200; else it is answered with 502.",
            "true",
        ),
        Setting::with_default(
            "chunked_http10",
            Kind::Bool,
            "false",
            "An answer of HTTP/1.0 may have `Transfer-Encoding: chunked`, which that version does not \
             know (RFC 9112, section 6.1): its chunks are read, and its connection is not used again; \
             else it is answered with 502.",
            "true",
        ),
        Setting::with_default(
            "connection_close",
            Kind::Bool,
            "false",
            "`Connection: close` is sent to backends, and no connection is kept, as nginx does \
             without `keepalive`.",
            "true",
        ),
    ],
};
