//! What a request asks for, changed on its way: another target, another method, other fields.
//!
//! Called by `proxy` when a request goes on elsewhere than it came for. Nothing that was received is
//! lost: the new text stands behind it.

use crate::http1::target::{push_path, push_query};
use crate::http1::{Field, Framing, Known, RequestHead, Span};

/// What a request asks for, to be put back later.
#[derive(Debug, Clone)]
pub struct Aim {
    method: Span,
    about: Option<Span>,
    target: Span,
    path: Span,
    query: Option<Span>,
    framing: Framing,
    expect_continue: bool,
    upgrade: Option<Span>,
    fields: Vec<Field>,
    present: u64,
}

impl RequestHead {
    /// What the request asks for now.
    pub fn aim(&self) -> Aim {
        Aim {
            method: self.method,
            about: self.about,
            target: self.target,
            path: self.path,
            query: self.query,
            framing: self.framing,
            expect_continue: self.expect_continue,
            upgrade: self.upgrade,
            fields: self.section.fields.clone(),
            present: self.section.present,
        }
    }

    /// Lets it ask again for what it asked for when `aim` was taken.
    pub fn restore(&mut self, aim: Aim) {
        self.method = aim.method;
        self.about = aim.about;
        self.target = aim.target;
        self.path = aim.path;
        self.query = aim.query;
        self.framing = aim.framing;
        self.expect_continue = aim.expect_continue;
        self.upgrade = aim.upgrade;
        self.section.fields = aim.fields;
        self.section.present = aim.present;
    }

    /// Lets it ask for another target: a path, decoded and normalised, and a query (empty: none).
    /// What may not stand in a target is escaped.
    pub fn retarget(&mut self, path: &[u8], query: &[u8]) {
        let bytes = &mut self.section.bytes;
        let start = bytes.len();
        push_path(bytes, path);
        self.path = Span::new(start, bytes.len() - start);
        self.query = None;
        if !query.is_empty() {
            bytes.push(b'?');
            let begin = bytes.len();
            push_query(bytes, query);
            self.query = Some(Span::new(begin, bytes.len() - begin));
        }
        self.target = Span::new(start, bytes.len() - start);
    }

    /// Makes a GET without a body of it. HEAD stays HEAD.
    pub fn become_get(&mut self) {
        if self.method() != b"HEAD" {
            self.method = Span::new(self.section.bytes.len(), 3);
            self.section.bytes.extend_from_slice(b"GET");
        }
        self.without_body();
    }

    /// Makes a question about the request of it: a GET without a body, which knows the request's method.
    pub fn become_question(&mut self) {
        self.about = Some(self.about.unwrap_or(self.method));
        self.become_get();
    }

    /// The method of the request that this is, or that it is a question about.
    pub fn method_in_question(&self) -> &[u8] {
        self.about.unwrap_or(self.method).of(&self.section.bytes)
    }

    /// Takes the body away, with what is said of it.
    pub fn without_body(&mut self) {
        for known in [Known::ContentLength, Known::TransferEncoding, Known::Trailer, Known::Expect]
        {
            self.section.remove(known);
        }
        self.framing = Framing::None;
        self.expect_continue = false;
    }

    /// Gives it a host to route by, lower case, if it names none itself.
    pub fn name_host(&mut self, host: &str) {
        if self.host_name().is_empty() {
            self.host_name = Span::new(self.section.bytes.len(), host.len());
            self.section.bytes.extend_from_slice(host.as_bytes());
        }
    }

    /// Takes the wish for another protocol away.
    pub fn without_upgrade(&mut self) {
        self.upgrade = None;
    }

    /// The method as received.
    pub fn received_method(&self) -> &[u8] {
        let text = &self.section.bytes;
        let end = self.received_target.start().saturating_sub(1);
        text.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::Limits;
    use crate::http1::grammar::is_target;

    const POST: &str = "POST /a%20b?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
                        Expect: 100-continue\r\nX: y\r\n\r\n";

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        head
    }

    #[test]
    fn what_was_received_stays_known_and_can_be_put_back() {
        let mut head = head(POST);
        let aim = head.aim();
        head.retarget(b"/c d?e", b"f g");
        head.become_get();
        assert_eq!(head.method(), b"GET");
        assert_eq!(head.target(), b"/c%20d%3Fe?f%20g");
        assert_eq!((head.path(), head.query()), (&b"/c%20d%3Fe"[..], Some(&b"f%20g"[..])));
        assert_eq!(head.framing(), Framing::None);
        assert!(!head.expect_continue());
        assert_eq!(head.first(Known::ContentLength), None);
        assert_eq!(head.received_method(), b"POST");
        assert_eq!(head.received_target(), b"/a%20b?x=1");
        assert_eq!(head.asked_target(), b"/a%20b?x=1");
        assert_eq!(head.find("x"), Some(&b"y"[..]));
        head.restore(aim);
        assert_eq!((head.method(), head.target()), (&b"POST"[..], &b"/a%20b?x=1"[..]));
        assert_eq!((head.framing(), head.expect_continue()), (Framing::Length(3), true));
        assert_eq!(head.first(Known::ContentLength), Some(&b"3"[..]));
    }

    #[test]
    fn head_stays_head_and_an_empty_query_is_none() {
        let mut head = head("HEAD /?q HTTP/1.1\r\nHost: a\r\n\r\n");
        head.retarget(b"/b", b"");
        head.become_get();
        assert_eq!((head.method(), head.target(), head.query()), (&b"HEAD"[..], &b"/b"[..], None));
    }

    proptest! {
        #[test]
        fn any_path_and_query_make_a_target(path: Vec<u8>, query: Vec<u8>) {
            let mut head = head(POST);
            head.retarget(&[b"/", &path[..]].concat(), &query);
            prop_assert!(is_target(head.target()));
            prop_assert_eq!(head.query().is_some(), !query.is_empty());
        }
    }
}
