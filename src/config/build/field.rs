//! Names, methods and header fields (RFC 9110 §5).

use super::Build;
use crate::config::faults::Place;
use crate::config::tree::{Item, Key};

/// Header fields that frame a message or belong to one connection (RFC 9110 §7.6.1, RFC 9112).
const CONNECTION_FIELDS: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The longest name of a listener, route or upstream: it becomes a metric label.
const LONGEST_NAME: usize = 128;

/// Checks the name of a listener, route or upstream.
pub(super) fn name(b: &mut Build<'_>, at: Place, text: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(fits) {
        b.error(
            at,
            format!("`{text}` cannot be a name"),
            format!("use 1 to {LONGEST_NAME} letters, digits and signs, no spaces or quotes"),
        );
    }
    text.to_owned()
}

/// Whether a text is a token (RFC 9110 §5.6.2), as methods and field names are.
pub(crate) fn is_token(text: &str) -> bool {
    let special = |c| b"!#$%&'*+-.^_`|~".contains(&c);
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || special(c))
}

/// Whether bytes may stand in a field value (RFC 9110 §5.5).
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|c| *c == b'\t' || (*c >= b' ' && *c != 0x7f))
}

/// Checks a method.
pub(super) fn method(b: &mut Build<'_>, at: Place, text: &str) -> String {
    if !is_token(text) {
        b.error(at, format!("`{text}` is not a method"), "for example `GET`");
    } else if text.bytes().any(|c| c.is_ascii_lowercase()) {
        let help = format!("write `{}`", text.to_ascii_uppercase());
        b.error(at, format!("methods are upper case, found `{text}`"), help);
    }
    text.to_owned()
}

/// Checks a field name.
pub(super) fn field_name(b: &mut Build<'_>, at: Place, text: &str) -> bool {
    if is_token(text) {
        return true;
    }
    let message = format!("`{text}` cannot be the name of a header field");
    b.error(at, message, "a name has letters, digits and `-`, and no spaces or colon");
    false
}

/// Checks the name of a field that is to be changed in that head.
pub(super) fn changed_field(b: &mut Build<'_>, at: Place, text: &str, head: Head) -> bool {
    if !field_name(b, at, text) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let help = match (lower.as_str(), head) {
        ("host", Head::Request) => "use `host_header`",
        ("host", Head::Response) => "`Host` is a field of requests",
        (lower, _) if CONNECTION_FIELDS.contains(&lower) => {
            "it frames the message or belongs to one connection, and is made anew for each"
        }
        _ => return true,
    };
    b.error(at, format!("`{text}` cannot be changed here"), help);
    false
}

/// Which head of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// What goes to the backend.
    Request,
    /// What goes to the client.
    Response,
}

/// Checks a text that becomes a field value.
pub(super) fn field_value(b: &mut Build<'_>, at: Place, text: &str) -> String {
    if !is_value(text.as_bytes()) {
        let help = "leave out line breaks and other control characters";
        b.error(at, "this cannot be the value of a header field", help);
    }
    text.to_owned()
}

/// Checks names and values of fields; values may be references.
pub(super) fn fields(b: &mut Build<'_>, entries: &[(Key, Item)]) -> Vec<(String, String)> {
    let mut fields = Vec::with_capacity(entries.len());
    for (key, item) in entries {
        field_name(b, key.place, &key.name);
        let value = match item.table() {
            Some(table) => b.secret_value(table).unwrap_or_default(),
            None => field_value(b, item.place, item.text()),
        };
        fields.push((key.name.clone(), value));
    }
    fields
}
