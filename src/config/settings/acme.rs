//! Settings of `[acme]`.

use super::SECRET;
use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) const ACME: Setting = Setting::optional(
    "acme",
    Kind::Table(&SECTION),
    "certificates come from files",
    "The authority that gives certificates to those with `acme = true`.",
    r#"{ state = "/var/lib/plimsoll/acme", accept_terms = true }"#,
);

static EXTERNAL_ACCOUNT: Section = Section {
    title: "[acme.external_account]",
    doc: "The account at the authority's own site that its ACME account is bound to (RFC 8555 §7.3.4), for \
          authorities that ask for it. It is needed when the account is made, and not looked at afterwards.",
    settings: &[
        Setting::required(
            "id",
            Kind::Text,
            "The key's identifier, as the authority gives it.",
            r#""kid-1""#,
        ),
        Setting::required(
            "key",
            Kind::Or(&Kind::Text, &SECRET),
            "The key itself (of HMAC), as the authority gives it: in base64url.",
            r#"{ file = "secrets/eab" }"#,
        ),
    ],
};

static SECTION: Section = Section {
    title: "[acme]",
    doc: "An authority that gives certificates (ACME, RFC 8555), such as Let's Encrypt. It is asked at \
          start for those that are missing, and again when a third of a certificate's life is left; \
          what it gives is taken up without touching a connection. After a failure, which log and \
          metrics tell, it is asked again after 2 minutes, then twice as long each time up to 6 hours. \
          Until a certificate is there, who asks for one of its names is turned away in the handshake.",
    settings: &[
        Setting::required(
            "state",
            Kind::Text,
            "The folder in which the account's key, certificates and their keys are kept. It is made \
             if it is not there, so that only Plimsoll's user may read it. Keep it over restarts: \
             authorities limit how often they give a certificate.",
            r#""/var/lib/plimsoll/acme""#,
        ),
        Setting::with_default(
            "accept_terms",
            Kind::Bool,
            "false",
            "Whether you agree to the authority's terms of service. Without that there is no account.",
            "true",
        ),
        Setting::with_default(
            "directory",
            Kind::Text,
            r#""https://acme-v02.api.letsencrypt.org/directory""#,
            "The URL of the authority's directory. For a first try take one that gives certificates \
             nobody trusts, like `https://acme-staging-v02.api.letsencrypt.org/directory`.",
            r#""https://acme-staging-v02.api.letsencrypt.org/directory""#,
        ),
        Setting::with_default(
            "contact",
            TEXTS,
            "[]",
            "Mail addresses that the authority may write to.",
            r#"["ops@example.com"]"#,
        ),
        Setting::optional(
            "external_account",
            Kind::Table(&EXTERNAL_ACCOUNT),
            "the authority asks for none",
            "The account at the authority's own site.",
            r#"{ id = "kid-1", key = { file = "secrets/eab" } }"#,
        ),
        Setting::with_default(
            "challenge",
            Kind::Word(&["http-01", "tls-alpn-01"]),
            r#""http-01""#,
            "How the authority finds out that a name is yours. `http-01`: by a request to port 80, \
             which every plain listener answers before its routes; `tls-alpn-01`: by a handshake on \
             port 443, which the listener with the certificate answers.",
            r#""tls-alpn-01""#,
        ),
        Setting::optional(
            "ca",
            Kind::Text,
            "those that the system trusts",
            "The file with the certificate, in PEM, that vouches for the authority's own server.",
            r#""internal-ca.pem""#,
        ),
    ],
};
