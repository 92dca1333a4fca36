//! Where a request has been: kept from its first step elsewhere on, so that the common request has
//! none.

use crate::http1::{Aim, Known, ResponseHead};
use crate::proxy::failure::Failure;
use crate::proxy::request::State;

/// How often a request may go on elsewhere, after nginx.
const MOST_STEPS: u8 = 10;

/// Fields that are kept of an answer with `X-Accel-Redirect`, after nginx.
const KEPT: [&[u8]; 6] = [
    b"Content-Type",
    b"Set-Cookie",
    b"Content-Disposition",
    b"Cache-Control",
    b"Expires",
    b"Accept-Ranges",
];

/// Where a request has been.
#[derive(Debug, Default)]
pub(super) struct Trail {
    steps: u8,
    /// Upstreams that were asked before.
    pub(super) rounds: u8,
    /// It may enter internal routes.
    pub(super) internal: bool,
    /// The path was rewritten on this very route, so that nothing is put in place of its prefix.
    pub(super) whole_path: bool,
    /// Of the routes that go before all others, those before this place have had their say.
    pub(super) behind: usize,
    /// It is on its way to an error page.
    pub(super) to_error_page: bool,
    /// The status that the client gets in place of the answer's.
    pub(super) status: Option<u16>,
    /// Fields that were kept of answers which were not sent.
    pub(super) kept: Vec<(Vec<u8>, Vec<u8>)>,
    /// What went wrong on the way.
    pub(super) failure: Option<Failure>,
    /// What was answered when it was asked whether the request may pass.
    pub(super) auth: Option<Box<ResponseHead>>,
    /// Where copies go when the body has come, and what they ask for.
    pub(super) mirrors: Vec<(Vec<u8>, Aim)>,
}

impl Trail {
    /// Counts a step.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn step(&mut self) -> Result<(), Failure> {
        if self.is_spent() {
            return Err(Failure::NoEnd);
        }
        self.steps += 1;
        if self.is_spent() { Err(Failure::NoEnd) } else { Ok(()) }
    }

    /// Whether it has taken one step too many: there is no further one.
    pub(super) fn is_spent(&self) -> bool {
        self.steps > MOST_STEPS
    }

    /// Keeps the fields of that name.
    pub(super) fn keep(&mut self, head: &ResponseHead, wanted: impl Fn(&[u8], Known) -> bool) {
        for field in head.fields() {
            let name = head.name(*field);
            if wanted(name, field.known) {
                if field.known == Known::ContentType {
                    self.kept.retain(|(name, _)| !name.eq_ignore_ascii_case(b"Content-Type"));
                }
                self.kept.push((name.to_vec(), head.value(*field).to_vec()));
            }
        }
    }

    /// Keeps what stays of an answer with `X-Accel-Redirect`.
    pub(super) fn keep_of_accel(&mut self, head: &ResponseHead) {
        self.keep(head, |name, _| KEPT.iter().any(|one| one.eq_ignore_ascii_case(name)));
    }

    /// Keeps how the client is to show who it is.
    pub(super) fn keep_challenges(&mut self, head: &ResponseHead) {
        self.keep(head, |name, _| name.eq_ignore_ascii_case(b"WWW-Authenticate"));
    }

    /// Puts what was kept, and the status, into an answer that is sent.
    pub(super) fn put_into(&self, head: &mut ResponseHead) {
        if let Some(status) = self.status {
            head.set_status(status);
        }
        for (name, value) in &self.kept {
            let is_type = name.eq_ignore_ascii_case(b"Content-Type");
            if !(is_type && head.first(Known::ContentType).is_some()) {
                head.add(name, value);
            }
        }
    }
}

impl State {
    /// The trail, begun if there is none.
    pub(super) fn trail(&mut self) -> &mut Trail {
        self.trail.get_or_insert_default()
    }

    /// What was sent otherwise than it came holds for one route only.
    pub(super) fn as_it_came(&mut self) {
        self.otherwise = None;
        self.upload.send_own();
    }

    /// Forgets whom was asked, so that another upstream can be.
    pub(super) fn forget_round(&mut self) {
        self.tried.clear();
        self.key.clear();
        self.as_it_came();
        if !self.attempts.is_empty() {
            self.trail().rounds = self.attempts.last().map_or(0, |last| last.round) + 1;
        }
    }
}
