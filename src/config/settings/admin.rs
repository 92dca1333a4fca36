//! The admin listener: where it is, and who may what there.

use std::time::Duration;

use super::listener_tls::{CLIENT_SETTINGS, HANDSHAKE_TIMEOUT, PASSWORD, POLICY};
use crate::config::table::{Kind, Section, Setting};

pub(super) const ADMIN: Setting = Setting::optional(
    "admin",
    Kind::Table(&SECTION),
    "no admin listener",
    "The admin listener.",
    r#"{ address = "127.0.0.1:9901" }"#,
);

static SECTION: Section = Section {
    title: "[admin]",
    doc: "Metrics, status and changes by hand over HTTP. Without this section there is no admin \
          listener. It is read at start only, but for `tls`.",
    settings: &[
        Setting::with_default(
            "address",
            Kind::Text,
            r#""127.0.0.1:9901""#,
            "IP address and port, or `unix:/path` for a Unix socket, to which its file's mode lets in. \
             An address that others can reach needs `tokens` or `certificates`, or `allow_public`.",
            r#""unix:/run/plimsoll/admin.sock""#,
        ),
        Setting::with_default(
            "socket_mode",
            Kind::Text,
            r#""0600""#,
            "Of a Unix socket: who may connect, as in `chmod`.",
            r#""0660""#,
        ),
        Setting::with_default(
            "allow_public",
            Kind::Bool,
            "false",
            "Lets anybody read at an address that others can reach. A firewall has to guard it then.",
            "true",
        ),
        Setting::optional(
            "anonymous",
            Kind::Word(&["nobody", "viewer", "operator", "admin"]),
            "`admin` on a Unix socket; `viewer` on a loopback address and with `allow_public`; else \
             `nobody`",
            "What somebody may who shows no token and no certificate: nothing but `/livez` and `/readyz`; read; change \
             what backends do; change the configuration too. Never more than read at an address that \
             others can reach.",
            r#""operator""#,
        ),
        Setting::with_default(
            "tokens",
            Kind::Map(&TOKEN),
            "{}",
            "Tokens and what their bearers may, by name.",
            r#"{ deploy = { sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", role = "operator" } }"#,
        ),
        Setting::optional(
            "tls",
            Kind::Table(&TLS),
            "connections are plain",
            "TLS on the admin listener.",
            r#"{ chain = "admin.pem", key = "admin.key" }"#,
        ),
        Setting::with_default(
            "certificates",
            Kind::Map(&CERTIFICATE),
            "{}",
            "Certificates of clients and what who shows them may, by name.",
            r#"{ deploy = { san = "deploy.example.com", role = "operator" } }"#,
        ),
        Setting::with_default(
            "max_rate",
            Kind::Integer { min: 0, max: 1_000_000 },
            "1000",
            "Requests a second of each token, of each certificate, of all others together, and with unknown \
             tokens; a second's worth may come at once. More get 429 with `Retry-After`. `/livez`, `/readyz` \
             and the dashboard's own files do not count. 0 is no limit.",
            "100",
        ),
        Setting::optional(
            "state",
            Kind::Text,
            "a restart forgets it",
            "A folder in which is kept what operators say of backends, and the revisions of the \
             configuration, so that it holds after a restart too. It is made if it is not there, for its \
             owner only; let one process have it.",
            r#""/var/lib/plimsoll/state""#,
        ),
        Setting::with_default(
            "revisions",
            Kind::Integer { min: 3, max: 10_000 },
            "50",
            "Revisions of the configuration that are kept, the one in force among them; fewer where their \
             texts are more than 16 MiB together. The two that will be gone back to first always are: the one \
             before the one in force, and the one before that, for the one in force may go back by itself.",
            "200",
        ),
        Setting::with_default(
            "guard",
            Kind::Table(&GUARD),
            "{}",
            "When a configuration that is watched after it came into force (`plimsoll apply --guard`) is \
             worse than the one before.",
            "{ failure_points = 1.0 }",
        ),
        Setting::optional(
            "audit_log",
            Kind::Text,
            "none",
            "A file to which a line of JSON is appended for each request that would change something: \
             who, what, and what came of it. It is opened anew for each line, so it can be moved away.",
            r#""/var/log/plimsoll/audit.log""#,
        ),
    ],
};

const NUMBER: Kind = Kind::Integer { min: 1, max: 1_000_000 };

static GUARD: Section = Section {
    title: "[admin.guard]",
    doc: "When a configuration goes back because it does harm: what happened since is compared with the up to \
          five minutes before. Looked at are the share of requests that are answered with 5xx (by a backend, \
          or as none may be picked), the share of requests that find no route, the share of those that are \
          answered with 4xx (by a backend, or by a route itself), the share of attempts at backends that \
          fail, and the time that 99 of 100 requests stay below.",
    settings: &[
        Setting::with_default(
            "min_requests",
            NUMBER,
            "20",
            "Requests, or attempts, since it came into force below which shares are not looked at. Of a time \
             before with fewer it is taken that none had failed.",
            "100",
        ),
        Setting::with_default(
            "min_failures",
            NUMBER,
            "5",
            "Failures since then below which shares are not looked at.",
            "20",
        ),
        Setting::with_default(
            "failure_points",
            Kind::Float { min: 0.0, max: 100.0 },
            "5.0",
            "By how many percentage points a share may rise.",
            "0.5",
        ),
        Setting::with_default(
            "client_error_points",
            Kind::Float { min: 0.0, max: 100.0 },
            "20.0",
            "By how many percentage points the share of 4xx may rise. It is looked at only where there were \
             `min_requests` before as well; at 100 it never is.",
            "100.0",
        ),
        Setting::with_default(
            "min_timed_requests",
            NUMBER,
            "100",
            "Requests, before as well as since, below which times are not looked at.",
            "1000",
        ),
        Setting::with_default(
            "latency_factor",
            Kind::Float { min: 1.0, max: 1000.0 },
            "2.0",
            "How many times as long requests may take.",
            "1.5",
        ),
        Setting::with_default(
            "latency_slack",
            Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(1), off: false },
            r#""100ms""#,
            "By how much longer they may take in any case.",
            r#""20ms""#,
        ),
    ],
};

static TOKEN: Kind = Kind::Table(&Section {
    title: "[admin.tokens.NAME]",
    doc: "A token, shown as `Authorization: Bearer TOKEN`. Its name stands in events and in the audit log.",
    settings: &[
        Setting::required(
            "sha256",
            Kind::Text,
            "The SHA-256 of the token in hexadecimal, as `printf %s \"$TOKEN\" | sha256sum` tells it. Make \
             tokens with `openssl rand -hex 32`, for a short one could be guessed.",
            r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#,
        ),
        Setting::with_default(
            "role",
            Kind::Word(&["viewer", "operator", "admin"]),
            r#""viewer""#,
            "What its bearer may: read; change what backends do as well; change the configuration as well.",
            r#""operator""#,
        ),
    ],
});

static TLS: Section = Section {
    title: "[admin.tls]",
    doc: "TLS on the admin listener. The files are watched: renewed ones are taken up without a restart.",
    settings: &[
        Setting::required(
            "chain",
            Kind::Text,
            "The file with the certificate and behind it the intermediate ones, in PEM.",
            r#""admin.pem""#,
        ),
        Setting::required("key", Kind::Text, "The file with its private key.", r#""admin.key""#),
        PASSWORD,
        POLICY,
        HANDSHAKE_TIMEOUT,
        Setting::optional(
            "clients",
            Kind::Table(&CLIENTS),
            "clients are not asked for certificates",
            "Certificates of clients. What they may is said in `certificates`.",
            r#"{ ca = "operators-ca.pem", verify = "optional" }"#,
        ),
    ],
};

static CLIENTS: Section = Section {
    title: "[admin.tls.clients]",
    doc: "Certificates of who asks. One that is not good is turned away in the handshake; one that is good \
          and is none of `certificates` may what `anonymous` says.",
    settings: CLIENT_SETTINGS,
};

static CERTIFICATE: Kind = Kind::Table(&Section {
    title: "[admin.certificates.NAME]",
    doc: "A certificate that `[admin.tls.clients]` finds good. Its name stands in events and in the audit log. \
          Exactly one of `san` and `subject` says whose it is. A token that is shown as well goes before it.",
    settings: &[
        Setting::optional(
            "san",
            Kind::Text,
            "`subject` is given",
            "One of its names (Subject Alternative Name): DNS, e-mail, URI or IP address, just as it stands \
             there.",
            r#""spiffe://example.com/deploy""#,
        ),
        Setting::optional(
            "subject",
            Kind::Text,
            "`san` is given",
            "Whom it is for, after RFC 4514, as `${tls.client.subject}` tells it.",
            r#""O=Example,CN=deploy""#,
        ),
        Setting::with_default(
            "role",
            Kind::Word(&["viewer", "operator", "admin"]),
            r#""viewer""#,
            "What who shows it may: read; change what backends do as well; change the configuration as well.",
            r#""operator""#,
        ),
    ],
});
