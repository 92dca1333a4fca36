//! Directives of TLS towards clients.

use super::{Contexts, MANY, Part, Row, Rule, missing, needless, row};

const HTTP_SERVER: Contexts = Contexts::HTTP.and(Contexts::SERVER);

/// Read with the listeners.
const fn shape(name: &'static str, doc: &'static str) -> Row {
    row(name, HTTP_SERVER, (1, MANY), Rule::Shape, doc)
}

pub(super) const TLS: Part = Part {
    title: "TLS",
    rows: &[
        shape("ssl", "TLS on every `listen` of the server."),
        shape(
            "ssl_certificate",
            "`tls.certificate` of the listener, for the server's names. Relative paths are relative to the \
             imported file; of names that are patterns clients get the default server's.",
        ),
        shape("ssl_certificate_key", "The same."),
        shape(
            "ssl_password_file",
            "`password` of the certificate; a key that is encrypted in the form before PKCS #8 has to be \
             written anew.",
        ),
        needless("ssl_certificate_cache", Contexts::ANY, "Files are read when they change."),
        shape(
            "ssl_protocols",
            "`tls.policy` by the default server: `modern` with TLS 1.3 alone. Older ones than 1.2 are not \
             spoken.",
        ),
        row(
            "ssl_ciphers",
            HTTP_SERVER,
            (1, 1),
            Rule::Needless,
            "The suites are those of `tls.policy`: all have forward secrecy and authenticated encryption.",
        )
        .differs(),
        needless(
            "ssl_prefer_server_ciphers",
            Contexts::ANY,
            "All suites of `tls.policy` are good: the client chooses.",
        ),
        needless("ssl_dhparam", Contexts::ANY, "There are no suites with DHE."),
        row(
            "ssl_ecdh_curve",
            HTTP_SERVER,
            (1, 1),
            Rule::Needless,
            "Offered are X25519MLKEM768, X25519, P-256 and P-384.",
        )
        .differs(),
        needless("ssl_session_cache", Contexts::ANY, "Sessions go on by tickets, on every worker."),
        needless("ssl_session_timeout", Contexts::ANY, "Tickets hold for up to twelve hours."),
        shape("ssl_session_tickets", "`tls.session_tickets` by the default server."),
        missing(
            "ssl_session_ticket_key",
            "Keys of tickets are made and renewed without a file.",
            "clients that change machines shake hands in full",
        ),
        needless("ssl_buffer_size", Contexts::ANY, "Records are as large as what is sent at once."),
        shape("ssl_reject_handshake", "`tls.unknown_names = \"refuse\"`, at the default server only."),
        missing("ssl_stapling", "OCSP responses are not fetched.", "fetch them into a file, which may be stapled"),
        shape("ssl_stapling_file", "`ocsp` of the certificate."),
        shape(
            "ssl_verify_client",
            "`tls.clients` of the listener, if all its servers ask for the same; otherwise, and with \
             `optional_no_ca`, the listener is left out. A client whose certificate is not good is \
             turned away in the handshake, where nginx answers with 400.",
        ),
        shape("ssl_client_certificate", "`tls.clients.ca`. Each of these authorities is trusted by itself."),
        shape("ssl_trusted_certificate", "Only `ssl_client_certificate` vouches for clients."),
        shape("ssl_crl", "`tls.clients.crl`; there has to be a current list of each authority."),
        shape("ssl_verify_depth", "`tls.clients.depth`; 1 if not written."),
        missing("ssl_*", "There is no counterpart.", ""),
    ],
};
