//! What conditions of routes ask of a request, before its route is known.

use std::cell::RefCell;

use crate::http1::RequestHead;
use crate::proxy::vars::{Vars, render};
use crate::snapshot::Facts;
use crate::snapshot::settings::Condition;

/// A request whose route is looked for.
pub(super) struct Asked<'a, V> {
    /// Its head.
    pub(super) head: &'a RequestHead,
    /// Puts together what texts may speak of; only a route with conditions asks for it.
    pub(super) vars: V,
    /// Room for texts; only a route with conditions uses it.
    pub(super) room: RefCell<&'a mut Vec<u8>>,
}

impl<'v, V: Fn() -> Vars<'v>> Facts for Asked<'_, V> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let head = self.head;
        let of_name = move |field: &&_| head.name(**field).eq_ignore_ascii_case(name.as_bytes());
        head.fields().iter().filter(of_name).map(move |field| head.value(*field))
    }

    fn holds(&self, condition: &Condition) -> bool {
        let mut room = self.room.borrow_mut();
        room.clear();
        render(&condition.value, &(self.vars)(), &mut room);
        condition.test.passes(&room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Limits;
    use crate::proxy::headers::ClientIdentity;
    use crate::snapshot::settings::{Piece, Template, Test, Variable};

    macro_rules! asked {
        ($fields:expr, $asked:ident => $look:expr) => {
            let mut head = RequestHead::default();
            let text = format!("GET /?v=2 HTTP/1.1\r\nHost: h\r\n{}\r\n", $fields);
            head.parse(text.as_bytes(), &Limits::default()).unwrap();
            let address = [192, 0, 2, 1].into();
            let client =
                ClientIdentity { address, downstream: address, trusted: false, scheme: "http" };
            let vars = || Vars::new(&head, &client);
            let mut room = b"old".to_vec();
            let $asked = Asked { head: &head, vars, room: RefCell::new(&mut room) };
            $look
        };
    }

    #[test]
    fn header_rules_see_every_line_of_a_name_in_any_case() {
        asked!("X-A: one\r\nX-B: two\r\nx-a: three\r\n", asked => {
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
        asked!("", asked => {
            for (text, holds) in [("2-192.0.2.1", true), ("3-192.0.2.1", false)] {
                let test = Test::Is(text.to_owned());
                assert_eq!(asked.holds(&Condition { value: value.clone(), test }), holds);
                let test = Test::IsNot(text.to_owned());
                assert_eq!(asked.holds(&Condition { value: value.clone(), test }), !holds);
            }
        });
    }
}
