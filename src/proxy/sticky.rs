//! Clients that are bound to a backend: finding it, the cookie that tells them, and the sessions that
//! are learnt.

use std::io::Write;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::http1::ResponseHead;
use crate::http1::encode::{CRLF, push_decimal, push_end};
use crate::model::{BackendId, BackendIx, Clock};
use crate::proxy::answer::Said;
use crate::proxy::attempt::Progress;
use crate::proxy::choice::Choice;
use crate::proxy::forward::Forward;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::vars::{self, Vars};
use crate::snapshot::Sticky;
use crate::snapshot::settings::{StickyBy, StickyCookie, StickyLearn, Template};

/// So long is for ever.
const FOR_EVER: Duration = Duration::from_hours(3650 * 24);

impl Passage<'_> {
    /// The backend that the client is bound to, if it can serve.
    #[cold]
    pub(super) fn choose_bound(&self, sticky: &Sticky, state: &mut State) -> Option<Choice> {
        let mut key = std::mem::take(&mut state.bound);
        key.clear();
        match &sticky.by {
            StickyBy::Cookie(cookie) => {
                key.extend_from_slice(vars::cookie(&state.head, &cookie.name).unwrap_or_default());
            }
            StickyBy::Route(texts) => render_first(texts, &self.vars(state, ""), &mut key),
            StickyBy::Learn(learn) => {
                render_first(&learn.lookup, &self.vars(state, ""), &mut key);
                let known = find(sticky, learn, &key);
                key.clear();
                if let Some(backend) = known {
                    push_decimal(&mut key, backend.0);
                }
            }
        }
        let found = self.pick_bound(&key, state);
        state.bound = key;
        found
    }

    fn pick_bound(&self, value: &[u8], state: &mut State) -> Option<Choice> {
        let upstream = &self.local.upstream;
        let mut rng = self.at.worker.rng.borrow_mut();
        let mut pick = self.pick(&state.tried, &[], &mut rng);
        let ix = upstream.pick_bound(value, &mut self.local.cursors.borrow_mut(), &mut pick)?;
        state.tried.insert(ix);
        self.local.picked(ix, self.at.worker.ix);
        Some(Choice { bound: true, ..Choice::of(ix) })
    }
}

/// Adds a complete line to a response head that is complete.
#[cold]
pub(super) fn push_line(head: &mut Vec<u8>, line: &[u8]) {
    // In place of the empty line.
    head.truncate(head.len() - CRLF.len());
    head.extend_from_slice(line);
    push_end(head);
}

/// Appends the first text that is not empty.
fn render_first(texts: &[Template], vars: &Vars<'_>, out: &mut Vec<u8>) {
    for text in texts {
        vars::render(text, vars, out);
        if !out.is_empty() {
            return;
        }
    }
}

/// The backend of a session, if it is known.
fn find(sticky: &Sticky, learn: &StickyLearn, session: &[u8]) -> Option<BackendId> {
    let learnt = sticky.learnt().filter(|_| !session.is_empty())?;
    learnt.find(session, Clock::now(), learn)
}

/// Takes note of the session that a response opens; one that the request belongs to, and that another
/// backend had, moves here.
fn learn(sticky: &Sticky, terms: &StickyLearn, backend: BackendId, vars: &Vars<'_>) {
    let Some(learnt) = sticky.learnt() else { return };
    let mut session = Vec::new();
    render_first(&terms.create, vars, &mut session);
    if session.is_empty() {
        render_first(&terms.lookup, vars, &mut session);
        if find(sticky, terms, &session).is_none_or(|known| known == backend) {
            return;
        }
    }
    learnt.bind(&session, backend, Clock::now());
}

impl Forward<'_> {
    /// Learns the session that a response has opened which is passed on by now, if that is when it counts.
    #[cold]
    pub(super) fn learn_late(
        &self,
        sticky: &Sticky,
        said: &Said<'_>,
        response: &ResponseHead,
        progress: &Progress,
    ) {
        if let StickyBy::Learn(terms) = &sticky.by
            && terms.at_end
        {
            let running = self.passage.running(self.choice, said.round, progress);
            let vars = self.vars(said, response, &running, progress.uploaded, Instant::now());
            learn(sticky, terms, self.backend.id, &vars);
        }
    }
}

/// Adds the cookie that binds the client to `backend`, if that is how clients are bound, to a
/// response head that is complete; or learns the session that it opens.
#[cold]
pub(super) fn bind(
    head: &mut Vec<u8>,
    sticky: &Sticky,
    (backend, id): (BackendIx, BackendId),
    vars: &Vars<'_>,
) {
    if let StickyBy::Learn(terms) = &sticky.by
        && !terms.at_end
    {
        learn(sticky, terms, id, vars);
    }
    if let StickyBy::Cookie(cookie) = &sticky.by {
        // In place of the empty line.
        head.truncate(head.len() - CRLF.len());
        head.extend_from_slice(b"Set-Cookie: ");
        let mut same_site = Vec::new();
        if let Some(text) = &cookie.same_site {
            vars::render(text, vars, &mut same_site);
        }
        push_cookie(head, cookie, sticky.value(backend), &same_site, SystemTime::now());
        head.extend_from_slice(CRLF);
        push_end(head);
    }
}

/// Appends the value of `Set-Cookie` that binds a client to the backend of that value.
///
/// Dates are as nginx writes them (`Thu, 31-Dec-37 23:55:55 GMT`).
fn push_cookie(
    out: &mut Vec<u8>,
    cookie: &StickyCookie,
    value: &str,
    same_site: &[u8],
    now: SystemTime,
) {
    for part in [cookie.name.as_str(), "=", value] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(expires) = cookie.expires {
        out.extend_from_slice(b"; expires=");
        push_date(out, expires, now);
        // Writing to a vector does not fail.
        let _ = write!(out, "; max-age={}", expires.as_secs());
    }
    out.extend_from_slice(cookie.attributes.as_bytes());
    if !same_site.is_empty() {
        let mut words = ["lax", "none"].into_iter();
        let word = words.find(|word| same_site.eq_ignore_ascii_case(word.as_bytes()));
        out.extend_from_slice(b"; samesite=");
        out.extend_from_slice(word.unwrap_or("strict").as_bytes());
    }
}

fn push_date(out: &mut Vec<u8>, expires: Duration, now: SystemTime) {
    if expires >= FOR_EVER {
        return out.extend_from_slice(b"Thu, 31-Dec-37 23:55:55 GMT");
    }
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let date = httpdate::fmt_http_date(now + expires);
    // Two digits as long as 32 bits of seconds do.
    let year = if &date[12..16] <= "2037" { &date[14..16] } else { &date[12..16] };
    for part in [&date[..7], "-", &date[8..11], "-", year, &date[16..]] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(expires: Option<u64>, same_site: &str) -> String {
        let cookie = StickyCookie {
            name: "srv".to_owned(),
            expires: expires.map(Duration::from_secs),
            attributes: "; path=/; httponly".to_owned(),
            same_site: None,
            secret: None,
        };
        let mut out = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        push_cookie(&mut out, &cookie, "a", same_site.as_bytes(), now);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_cookie_is_that_of_nginx() {
        assert_eq!(cookie(None, ""), "srv=a; path=/; httponly");
        assert_eq!(
            cookie(Some(60), ""),
            "srv=a; expires=Sun, 06-Nov-94 08:50:37 GMT; max-age=60; path=/; httponly"
        );
        assert_eq!(
            cookie(Some(315_360_000), ""),
            "srv=a; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000; path=/; httponly"
        );
    }

    #[test]
    fn same_site_is_one_of_three() {
        assert!(cookie(None, "Lax").ends_with("; samesite=lax"));
        assert!(cookie(None, "none").ends_with("; samesite=none"));
        assert!(cookie(None, "whatever").ends_with("; samesite=strict"));
    }
}
