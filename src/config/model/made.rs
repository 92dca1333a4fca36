//! Variables that the file makes: `[variable.NAME]`.

use std::collections::BTreeMap;

use super::{Pattern, Stage, Template};

/// A variable that the file makes. It is worked out whenever it is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// The text that decides.
    pub from: Template,
    /// What comes of it.
    pub rule: MadeBy,
    /// From when on it is known.
    pub stage: Stage,
}

impl Made {
    /// The texts that it may give.
    pub fn gives(&self) -> impl Iterator<Item = &Template> {
        let (cases, shares) = match &self.rule {
            MadeBy::Cases(cases) => (Some(cases), &[][..]),
            MadeBy::Shares(shares) => (None, &**shares),
        };
        let of_cases = cases.into_iter().flat_map(|cases| {
            let lists = [&cases.suffixes, &cases.prefixes].into_iter().flatten();
            let patterns = cases.patterns.iter().map(|(_, give)| give);
            let lists = lists.map(|(_, give)| give).chain(patterns);
            cases.exact.values().chain(lists).chain([&cases.otherwise])
        });
        of_cases.chain(shares.iter().map(|(_, give)| give))
    }
}

/// How a variable is made.
#[derive(Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// By cases.
    Cases(Box<Cases>),
    /// By share: hashes below the number, in order; `u32::MAX` is all that are left.
    Shares(Vec<(u32, Template)>),
}

/// The cases of a variable, in the order in which they are tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cases {
    /// Whole texts, lower case.
    pub exact: BTreeMap<Vec<u8>, Template>,
    /// What names end with, `.` first, lower case; the longest first.
    pub suffixes: Vec<(Vec<u8>, Template)>,
    /// What names begin with, `.` last, lower case; the longest first.
    pub prefixes: Vec<(Vec<u8>, Template)>,
    /// Whether there are rules for names of hosts, so that a dot at the end does not count.
    pub hosts: bool,
    /// Expressions, in the order of the file.
    pub patterns: Vec<(Pattern, Template)>,
    /// When none of them fits.
    pub otherwise: Template,
}
