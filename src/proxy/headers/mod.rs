//! Header work: what of a head is passed on, and what is written in its place.
//!
//! A head is written in one pass over the fields of the one that came: lines that belong to the
//! connection (RFC 9110 §7.6.1), frame the message (RFC 9112 §6) or tell of the client are left out
//! and made anew, all others are copied in order and in their own case. A route's edits then work on
//! the text that was written; a route without any pays nothing for them. Nothing is allocated beyond
//! the output, and nothing is hashed.
//!
//! - [`write_request_head`] for the backend, [`push_target`] for the rewritten target alone;
//! - [`write_response_head`] and [`write_informational`] for the client;
//! - [`ClientIdentity`] and [`request_id`], decided once per request.
//!
//! Pure; called by `proxy::service` and `proxy::attempt`.

mod identity;
mod request;
mod response;
mod rewrite;
#[cfg(test)]
mod tests;

pub use identity::{ClientIdentity, client_address, is_trusted, request_id};
pub use request::{RequestContext, TraceFields, push_target, write_request_head};
pub use response::{
    Persistence, ResponseContext, trailer_lines, write_informational, write_response_head,
};
pub use rewrite::Rules;

use crate::http1::{Known, encode::CRLF};
use crate::proxy::vars::{Vars, render};
use crate::snapshot::settings::{HeaderEdit, Template};

/// Whether a field belongs to one connection or frames the message, and so is never copied.
fn is_per_connection(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ContentLength
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Applies `edits` one after the other to the field lines in `out[start..]` of a head with this
/// status; a request has none, 0.
fn apply_edits(
    out: &mut Vec<u8>,
    start: usize,
    edits: &[HeaderEdit],
    status: u16,
    vars: &Vars<'_>,
) {
    for edit in edits {
        match edit {
            HeaderEdit::When(statuses, _) if !statuses.has(status) => {}
            HeaderEdit::When(_, edit) => apply(out, start, edit, vars),
            edit => apply(out, start, edit, vars),
        }
    }
}

fn apply(out: &mut Vec<u8>, start: usize, edit: &HeaderEdit, vars: &Vars<'_>) {
    match edit {
        HeaderEdit::Set(name, value) => {
            remove_field(out, start, name);
            push_rendered(out, name, value, vars);
        }
        HeaderEdit::Add(name, value) => push_rendered(out, name, value, vars),
        HeaderEdit::Remove(name) => remove_field(out, start, name),
        // One condition at most stands before a change.
        HeaderEdit::When(_, edit) => apply(out, start, edit, vars),
    }
}

/// Appends a field line; none when its value turns out empty.
fn push_rendered(out: &mut Vec<u8>, name: &str, value: &Template, vars: &Vars<'_>) {
    let begin = out.len();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let value_begin = out.len();
    render(value, vars, out);
    if out.len() == value_begin {
        out.truncate(begin);
    } else {
        out.extend_from_slice(CRLF);
    }
}

/// Removes the lines of that name from `out[start..]`, which holds whole field lines.
fn remove_field(out: &mut Vec<u8>, start: usize, name: &str) {
    let mut kept = start;
    let mut at = start;
    while let Some(line_feed) = memchr::memchr(b'\n', &out[at..]) {
        let end = at + line_feed + 1;
        if !is_line_of(&out[at..end], name) {
            out.copy_within(at..end, kept);
            kept += end - at;
        }
        at = end;
    }
    out.truncate(kept);
}

fn is_line_of(line: &[u8], name: &str) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}
