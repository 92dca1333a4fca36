//! What groups of expressions found on the way to a place: by number those of the last one, by name
//! those of all.

use super::variables::Scope;
use super::write::quote;
use crate::config::{Place, Stage};

impl Scope {
    /// Takes in the groups of an expression that was found in a text.
    pub(super) fn found(&mut self, text: &str, regex: &str) {
        self.last = Some((text.to_owned(), regex.to_owned()));
        let Ok(regex) = regex::bytes::Regex::new(regex) else { return };
        self.numbers = regex.captures_len() - 1;
        self.groups.extend(regex.capture_names().flatten().map(str::to_owned));
    }

    /// Lets the name of a group stand for a variable that finds it in the same text.
    pub(super) fn name_group(
        &mut self,
        name: &str,
        (at, id): (Place, usize),
        lines: Vec<(String, String)>,
    ) {
        let key = self.made.add((name, id), at, lines, Stage::Request);
        self.stand_for(name, &key);
    }

    /// A template where numbers are those of another expression's groups: what the last one found by
    /// number has a variable in it, called after `name`. `None` if there is no such.
    pub(super) fn without_numbers(
        &self,
        template: String,
        name: &str,
        (at, id): (Place, usize),
    ) -> Option<String> {
        let mut text = template;
        for number in 1..=9 {
            let group = format!("${{{number}}}");
            if !text.contains(&group) {
                continue;
            }
            let (from, regex) = self.last.as_ref().filter(|_| !text.contains("$${"))?;
            let give = quote(&format!("${{capture.{number}}}"));
            let case = format!("[{{ regex = {}, give = {give} }}]", quote(regex));
            let lines = vec![("from".to_owned(), quote(from)), ("cases".to_owned(), case)];
            let base = format!("{name}_{number}");
            let key = self.made.add((&base, id), at, lines, Stage::Request);
            text = text.replace(&group, &format!("${{{}}}", self.made.find(&key)?.name));
        }
        Some(text)
    }

    /// Plimsoll's name of a group.
    pub(super) fn group(&self, name: &str) -> Option<String> {
        let numbered = name.parse().is_ok_and(|number| (1..=self.numbers.min(9)).contains(&number));
        let named = self.groups.contains(name).then(|| format!("capture.{name}"));
        if numbered { Some(name.to_owned()) } else { named }
    }

    /// Whether an expression that was found on the way here has this group.
    pub(super) fn has_group(&self, name: &str) -> bool {
        self.group(name).is_some()
    }
}
