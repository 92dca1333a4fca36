//! Settings of `[upstream.NAME.tls]`.

use super::SECRET;
use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) static TLS: Section = Section {
    title: "[upstream.NAME.tls]",
    doc: "TLS 1.2 and 1.3 to the backends, for requests and for HTTP probes. Every backend has to prove \
          that it is whom its address names; one that cannot counts as one that cannot be connected \
          to. The handshake is part of `timeouts.connect`. The files are watched like the \
          configuration itself.",
    settings: &[
        Setting::optional(
            "server_name",
            Kind::Text,
            "the host in each backend's address",
            "The name that is asked for (SNI), and that has to stand in the backend's certificate. An \
             address is not asked for, but has to stand there too. Or a text with `${variables}`: then \
             connections are for one request each, and probes go by the default. With `protocol = \"h2\"` \
             there are none.",
            r#""api.internal""#,
        ),
        Setting::with_default(
            "sni",
            Kind::Bool,
            "true",
            "Whether the name is told in the handshake.",
            "false",
        ),
        Setting::optional(
            "ca",
            Kind::Text,
            "those that the system trusts",
            "The file with the certificates, in PEM, of the authorities that may vouch for backends.",
            r#""internal-ca.pem""#,
        ),
        Setting::with_default(
            "crl",
            TEXTS,
            "[]",
            "Files with lists of revoked certificates, in PEM. If there is any, there has to be a \
             current one of each authority.",
            r#"["revoked.pem"]"#,
        ),
        Setting::with_default(
            "depth",
            Kind::Integer { min: 0, max: 6 },
            "6",
            "How many certificates there may be between a backend's and an authority's.",
            "1",
        ),
        Setting::with_default(
            "insecure",
            Kind::Bool,
            "false",
            "Whether any certificate is good: whoever stands between can then read and change \
             everything.",
            "true",
        ),
        Setting::optional(
            "certificate",
            Kind::Text,
            "none is shown",
            "The file with a certificate of our own, in PEM, and behind it the intermediate ones, for \
             backends that ask for one. Or a text with `${variables}`, here or in `key`: the files are \
             then read for each fresh connection, none is shown where the text is empty, and a connection that is \
             kept serves requests with the same files only; where they cannot be read, or their path has \
             `..` in it, the answer is 502. Probes then show none, and with `protocol = \"h2\"` there are \
             no variables.",
            r#""plimsoll.pem""#,
        ),
        Setting::optional(
            "key",
            Kind::Text,
            "there is no `certificate`",
            "The file with its private key.",
            r#""plimsoll.key""#,
        ),
        Setting::optional(
            "password",
            Kind::Or(&Kind::Text, &SECRET),
            "the key is not encrypted",
            "The password of an encrypted key (PKCS #8). Of several lines each is one, and the first that \
             decrypts it counts.",
            r#"{ file = "secrets/token" }"#,
        ),
    ],
};
