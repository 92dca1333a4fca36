//! What conditions of routes ask of a request, before its route is known.

use std::cell::RefCell;

use crate::proxy::vars::{Vars, render};
use crate::snapshot::Facts;
use crate::snapshot::settings::Condition;

/// A request whose route is looked for.
pub(super) struct Asked<'a> {
    /// What there is of it.
    pub(super) vars: Vars<'a>,
    /// Room for texts; only a route with conditions uses it.
    pub(super) room: RefCell<&'a mut Vec<u8>>,
}

impl Facts for Asked<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let head = self.vars.head;
        let of_name = move |field: &&_| head.name(**field).eq_ignore_ascii_case(name.as_bytes());
        head.fields().iter().filter(of_name).map(move |field| head.value(*field))
    }

    fn holds(&self, condition: &Condition) -> bool {
        let mut room = self.room.borrow_mut();
        room.clear();
        render(&condition.value, &self.vars, &mut room);
        condition.test.passes(&room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, RequestHead};
    use crate::proxy::headers::ClientIdentity;
    use crate::snapshot::settings::{Piece, Template, Test, Variable};

    fn asked(fields: &str, look: impl FnOnce(&Asked<'_>)) {
        let mut head = RequestHead::default();
        let text = format!("GET /?v=2 HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        let address = [192, 0, 2, 1].into();
        let client =
            ClientIdentity { address, downstream: address, trusted: false, scheme: "http" };
        let vars = Vars::new(&head, &client);
        look(&Asked { vars, room: RefCell::new(&mut b"old".to_vec()) });
    }

    #[test]
    fn header_rules_see_every_line_of_a_name_in_any_case() {
        asked("X-A: one\r\nX-B: two\r\nx-a: three\r\n", |asked| {
            let values: Vec<&[u8]> = asked.values("x-a").collect();
            assert_eq!(values, [&b"one"[..], b"three"]);
            assert_eq!(asked.values("x-c").count(), 0);
        });
    }

    #[test]
    fn conditions_compare_the_text_of_this_request() {
        let value = Template(vec![
            Piece::Variable(Variable::Arg("v".to_owned())),
            Piece::Text("-".to_owned()),
            Piece::Variable(Variable::ClientIp),
        ]);
        asked("", |asked| {
            for (text, holds) in [("2-192.0.2.1", true), ("3-192.0.2.1", false)] {
                let test = Test::Is(text.to_owned());
                assert_eq!(asked.holds(&Condition { value: value.clone(), test }), holds);
                let test = Test::IsNot(text.to_owned());
                assert_eq!(asked.holds(&Condition { value: value.clone(), test }), !holds);
            }
        });
    }
}
