//! What the regular expressions of a route's rules found in a request: `${1}`, `${capture.name}`.
//!
//! Only a route whose texts ask for it has them found, again, once it is chosen.

use std::ops::Range;

use regex::bytes::Regex;

use crate::config::model::{Capture, HostMatch, NUMBERED, PathMatch, Route, Template, Test};

/// The expressions of a route, one of whose texts asks for what they find.
#[derive(Debug, Default)]
pub struct RouteCaptures {
    names: Vec<String>,
    hosts: Box<[Regex]>,
    path: Option<Regex>,
    when: Box<[(Template, Regex)]>,
}

impl RouteCaptures {
    /// Those of a route; `None` if none of its texts asks for them.
    pub(in crate::snapshot) fn of(route: &Route) -> Option<Self> {
        let names = route.captures.as_ref()?.names.clone();
        let hosts = route.hosts.iter().filter_map(|host| match host {
            HostMatch::Regex(pattern) => Some(pattern.0.clone()),
            _ => None,
        });
        let path = match &route.path {
            PathMatch::Regex(regex) | PathMatch::RegexWithin(_, regex) => Some(regex.clone()),
            _ => None,
        };
        let when = route.when.iter().filter_map(|condition| match &condition.test {
            Test::Matches(pattern) => Some((condition.value.clone(), pattern.0.clone())),
            _ => None,
        });
        Some(Self { names, hosts: hosts.collect(), path, when: when.collect() })
    }

    /// Tries the expressions on the request that took the route; `render` makes a text of it.
    pub fn find(
        &self,
        host: &[u8],
        path: &[u8],
        render: impl Fn(&Template, &mut Vec<u8>),
    ) -> Captured {
        let groups = vec![None; NUMBERED + self.names.len()];
        let mut found = Captured { text: Vec::new(), groups };
        if let Some(regex) = self.hosts.iter().find(|regex| regex.is_match(host)) {
            found.note(regex, host, &self.names);
        }
        if let Some(regex) = &self.path {
            found.note(regex, path, &self.names);
        }
        for (value, regex) in &self.when {
            let mut text = Vec::new();
            render(value, &mut text);
            found.note(regex, &text, &self.names);
        }
        found
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Captured {
    text: Vec<u8>,
    /// By place; `None` of a group that took no part.
    groups: Vec<Option<Range<usize>>>,
}

impl Captured {
    /// What a group found.
    pub fn get(&self, capture: Capture) -> Option<&[u8]> {
        let range = self.groups.get(usize::from(capture.0))?.clone()?;
        self.text.get(range)
    }

    fn note(&mut self, regex: &Regex, text: &[u8], names: &[String]) {
        let Some(found) = regex.captures(text) else { return };
        let from = self.text.len();
        self.text.extend_from_slice(text);
        let range = |found: regex::bytes::Match<'_>| from + found.start()..from + found.end();
        for number in 1..=NUMBERED {
            self.groups[number - 1] = found.get(number).map(range);
        }
        for (place, name) in names.iter().enumerate() {
            if let Some(one) = found.name(name) {
                self.groups[NUMBERED + place] = Some(range(one));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_last_expression_and_names_those_of_all() {
        let regex = |text: &str| Regex::new(text).unwrap();
        let mut wanted = RouteCaptures {
            names: vec!["user".to_owned(), "page".to_owned(), "none".to_owned()],
            hosts: Box::new([regex("^nobody"), regex("^(?<user>.+)[.]example$")]),
            path: Some(regex("^/(?<page>[a-z]+)/(x)?(\\d+)")),
            when: Box::new([]),
        };
        let render = |_: &Template, out: &mut Vec<u8>| out.extend_from_slice(b"v7");
        let found = wanted.find(b"ann.example", b"/list/42", render);
        let by_place = |place: u8| found.get(Capture(place)).map(<[u8]>::to_vec);
        assert_eq!(by_place(0).unwrap(), b"list");
        assert_eq!(by_place(1), None);
        assert_eq!(by_place(2).unwrap(), b"42");
        assert_eq!(by_place(9).unwrap(), b"ann");
        assert_eq!(by_place(10).unwrap(), b"list");
        assert_eq!(by_place(11), None);

        wanted.when = Box::new([(Template::default(), regex("v(.)$"))]);
        let found = wanted.find(b"ann.example", b"/list/42", render);
        let by_place = |place: u8| found.get(Capture(place)).map(<[u8]>::to_vec);
        assert_eq!((by_place(0).unwrap(), by_place(2)), (b"7".to_vec(), None));
        assert_eq!(by_place(10).unwrap(), b"list");
    }
}
