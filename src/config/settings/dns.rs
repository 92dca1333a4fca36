//! Settings of `[dns]` and `[upstream.NAME.dns]`.

use super::SECRET;
use super::upstream::LIFETIME;
use crate::config::table::{Kind, Section, Setting, TEXTS, TIMEOUT};

/// Which of a name's addresses are used.
const FAMILIES: Kind = Kind::Word(&["ipv4_first", "all", "ipv4", "ipv6"]);

pub(super) const OF_PROCESS: Setting = Setting::with_default(
    "dns",
    Kind::Table(&Section {
        title: "[dns]",
        doc: "Who is asked for the names of backends. Upstreams may say otherwise.",
        settings: &[
            Setting::with_default(
                "servers",
                TEXTS,
                "[]",
                "Name servers, `10.0.0.2` or `10.0.0.2:5353`. The next one is asked when one fails; an \
                 answer that is cut short is asked for again over TCP. None: those of the system, and \
                 its `hosts`.",
                r#"["10.0.0.2"]"#,
            ),
            Setting::with_default(
                "timeout",
                TIMEOUT,
                r#""10s""#,
                "How long a question may take in all, with all servers.",
                r#""5s""#,
            ),
            Setting::with_default(
                "addresses",
                FAMILIES,
                r#""ipv4_first""#,
                "Which addresses of a name are backends. `ipv4_first`: IPv4, or IPv6 of a name that has \
                 no IPv4; so a machine with both counts once.",
                r#""all""#,
            ),
        ],
    }),
    "{}",
    "Who is asked for names.",
    r#"{ servers = ["10.0.0.2"] }"#,
);

pub(super) static OF_UPSTREAM: Section = Section {
    title: "[upstream.NAME.dns]",
    doc: "How long the answers for backend names are used, and who gives them. When a name cannot be \
          resolved again, the last good answer is kept.",
    settings: &[
        Setting::with_default(
            "min_ttl",
            LIFETIME,
            r#""1s""#,
            "The shortest time, whatever the answer's TTL.",
            r#""5s""#,
        ),
        Setting::with_default(
            "max_ttl",
            LIFETIME,
            r#""60s""#,
            "The longest time, whatever the answer's TTL.",
            r#""30s""#,
        ),
        Setting::optional(
            "servers",
            TEXTS,
            "those of `[dns]`",
            "Name servers for this upstream.",
            r#"["10.0.0.2:5353"]"#,
        ),
        Setting::optional(
            "sentinels",
            TEXTS,
            "name servers are asked",
            "Redis Sentinels, `10.0.0.5`, `10.0.0.5:26379` or `sentinel-1.internal`. The names of this upstream \
             are then those that Sentinels know a primary by (`address = \"mymaster\"`), and stand for the \
             primary's address and port. More than half of them have to agree, and they are asked again after \
             `min_ttl`. Names of Sentinels, and of a primary that they name by its host \
             (`announce-hostnames`), are looked up as the system does it. For the data itself see \
             `mode = \"tcp\"` of a listener.",
            r#"["10.0.0.5", "10.0.0.6", "10.0.0.7"]"#,
        ),
        Setting::optional(
            "sentinel_user",
            Kind::Text,
            "the default user",
            "Who asks the Sentinels, with `sentinel_password`.",
            r#""plimsoll""#,
        ),
        Setting::optional(
            "sentinel_password",
            Kind::Or(&Kind::Text, &SECRET),
            "none",
            "The password that the Sentinels want (`requirepass` or an ACL of theirs); a text, \
             `{ file = … }` or `{ env = … }`.",
            r#"{ file = "secrets/token" }"#,
        ),
        Setting::with_default(
            "max_removal",
            Kind::Integer { min: 1, max: 100 },
            "50",
            "The part of a name's addresses, in percent, that an answer may take away at once; 100: all. An \
             answer that takes away more is held until answers have said so for `confirm`. How many \
             addresses counts, not which. Not where `nginx.empty_answer` holds.",
            "30",
        ),
        Setting::with_default(
            "confirm",
            TIMEOUT,
            r#""30s""#,
            "For how long answers have to take away so many that they are believed. Meanwhile the name is \
             asked for again after each `min_ttl`.",
            r#""2m""#,
        ),
        Setting::optional(
            "timeout",
            TIMEOUT,
            "that of `[dns]`",
            "How long a question may take in all.",
            r#""5s""#,
        ),
        Setting::optional(
            "addresses",
            FAMILIES,
            "that of `[dns]`",
            "Which addresses of a name are backends.",
            r#""ipv4""#,
        ),
    ],
};
