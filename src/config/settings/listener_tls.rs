//! Settings of `[listener.tls]`.

use super::SECRET;
use crate::config::table::{Kind, Section, Setting, TEXTS, TIMEOUT};

pub(super) const TLS: Setting = Setting::optional(
    "tls",
    Kind::Table(&SECTION),
    "connections are plain",
    "TLS on this listener. What comes without it is answered with 400.",
    r#"{ certificate = [{ chain = "example.pem", key = "example.key" }] }"#,
);

/// Versions and cipher suites.
pub(super) const POLICY: Setting = Setting::with_default(
    "policy",
    Kind::Word(&["intermediate", "modern"]),
    r#""intermediate""#,
    "Versions and cipher suites, after Mozilla's recommendations: `intermediate` is TLS 1.2 \
             and 1.3 with forward secrecy and authenticated encryption only, `modern` TLS 1.3 alone.",
    r#""modern""#,
);

/// For a handshake.
pub(super) const HANDSHAKE_TIMEOUT: Setting = Setting::with_default(
    "handshake_timeout",
    TIMEOUT,
    r#""10s""#,
    "How long a handshake may take, from the connection on.",
    r#""5s""#,
);

/// Of an encrypted key.
pub(super) const PASSWORD: Setting = Setting::optional(
    "password",
    Kind::Or(&Kind::Text, &SECRET),
    "the key is not encrypted",
    "The password of an encrypted key (PKCS #8). Of several lines each is one, and the first that \
             decrypts it counts.",
    r#"{ file = "secrets/token" }"#,
);

static SECTION: Section = Section {
    title: "[listener.tls]",
    doc: "TLS 1.2 and 1.3 towards clients. The files are watched like the configuration itself: \
          renewed ones are taken up without touching a connection, and of a bad one the \
          configuration before stays in force.",
    settings: &[
        Setting::required(
            "certificate",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            "The certificates; at least one. A client gets the one for the name that it asks for \
             (SNI); several for one name may have keys of several kinds, of which it gets the \
             cheapest that it understands. The first one is for all others.",
            r#"[{ chain = "example.pem", key = "example.key" }]"#,
        ),
        Setting::with_default(
            "unknown_names",
            Kind::Word(&["first", "refuse"]),
            r#""first""#,
            "What clients get that ask for none of the names: the first certificate, or a refused \
             handshake.",
            r#""refuse""#,
        ),
        Setting::with_default(
            "misdirected",
            Kind::Word(&["refuse", "serve"]),
            r#""refuse""#,
            "What becomes of a request whose `Host` has a certificate here, and came on a connection on \
             which a name of another certificate was asked for: it gets 421, with which the client asks \
             again on a connection of its own; or it is served.",
            r#""serve""#,
        ),
        POLICY,
        Setting::with_default(
            "session_tickets",
            Kind::Bool,
            "true",
            "Whether clients get tickets with which their next handshake is a short one. The keys are \
             shared by all workers, renewed every six hours, and stay over reloads.",
            "false",
        ),
        HANDSHAKE_TIMEOUT,
        Setting::optional(
            "clients",
            Kind::Table(&CLIENTS),
            "clients are not asked for certificates",
            "Certificates of clients.",
            r#"{ ca = "clients-ca.pem" }"#,
        ),
    ],
};

static CERTIFICATE: Section = Section {
    title: "[[listener.tls.certificate]]",
    doc: "A certificate with its key, both in PEM; or one that an authority gives.",
    settings: &[
        Setting::optional(
            "chain",
            Kind::Text,
            "`acme` is set",
            "The file with the certificate and behind it the intermediate ones.",
            r#""example.pem""#,
        ),
        Setting::optional(
            "key",
            Kind::Text,
            "`acme` is set",
            "The file with its private key.",
            r#""example.key""#,
        ),
        PASSWORD,
        Setting::optional(
            "names",
            TEXTS,
            "the DNS names in the certificate",
            "The names for which it is shown; `*.example.com` is every name below.",
            r#"["example.com", "*.example.com"]"#,
        ),
        Setting::with_default(
            "acme",
            Kind::Bool,
            "false",
            "Whether it comes from the authority of `[acme]`, for the `names` that are written, in \
             place of `chain` and `key`.",
            "true",
        ),
        Setting::optional(
            "ocsp",
            Kind::Text,
            "nothing is stapled",
            "The file with an OCSP response in DER that is sent with the certificate.",
            r#""example.ocsp""#,
        ),
    ],
};

static CLIENTS: Section = Section {
    title: "[listener.tls.clients]",
    doc: "Certificates of clients. What they say is told by `${tls.client.subject}` and its like; a \
          client whose certificate is not good is turned away in the handshake.",
    settings: CLIENT_SETTINGS,
};

/// What is asked of clients.
pub(super) const CLIENT_SETTINGS: &[Setting] = &[
    Setting::required(
        "ca",
        Kind::Text,
        "The file with the certificates, in PEM, of the authorities that may vouch for clients. \
             Each of them is trusted by itself.",
        r#""clients-ca.pem""#,
    ),
    Setting::with_default(
        "verify",
        Kind::Word(&["required", "optional"]),
        r#""required""#,
        "Whether a client without a certificate is turned away.",
        r#""optional""#,
    ),
    Setting::with_default(
        "depth",
        Kind::Integer { min: 0, max: 6 },
        "6",
        "How many certificates there may be between a client's and an authority's.",
        "1",
    ),
    Setting::with_default(
        "crl",
        TEXTS,
        "[]",
        "Files with lists of revoked certificates, in PEM. If there is any, there has to be a \
             current one of each authority.",
        r#"["revoked.pem"]"#,
    ),
];
