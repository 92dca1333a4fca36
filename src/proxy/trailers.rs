//! What a client gets behind a body in chunks.

use crate::http1::encode;

/// The trailer fields of one response.
#[derive(Debug)]
pub(super) struct Trailers {
    /// The backend's are passed on.
    pub(super) pass: bool,
    /// Whole lines of the route's.
    pub(super) added: Vec<u8>,
}

impl Trailers {
    /// Appends the end of a chunked body. `theirs` are the lines of the backend's trailer fields.
    pub(super) fn push_last_chunk(&self, out: &mut Vec<u8>, theirs: &[u8]) {
        let theirs = if self.pass { theirs } else { &[] };
        if self.added.is_empty() {
            encode::push_last_chunk(out, theirs);
        } else {
            encode::push_last_chunk(out, &[theirs, &self.added].concat());
        }
    }
}
