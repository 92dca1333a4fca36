//! Every directive of nginx that the importer knows, once: where it may stand, how many arguments it
//! takes, what carries it over, and in words what becomes of it.
//!
//! The translation, the report and the manual's chapter are made from these rows. When Plimsoll
//! learns something, give its row a [`Rule`] that carries it, in place of `missing`.

mod client;
mod other;
mod process;
mod proxy;
mod routing;
mod secured;
mod upstream;

use super::findings::{Findings, Verdict};
use super::process::Process;
use super::settings::Settings;
use super::tree::Directive;
use super::upstream::Group;

/// Where a directive may stand: a set of contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contexts(u16);

impl Contexts {
    pub(super) const MAIN: Self = Self(1);
    pub(super) const EVENTS: Self = Self(2);
    pub(super) const HTTP: Self = Self(4);
    pub(super) const SERVER: Self = Self(8);
    pub(super) const LOCATION: Self = Self(16);
    pub(super) const UPSTREAM: Self = Self(32);
    /// `if` in a server.
    pub(super) const SERVER_IF: Self = Self(64);
    /// `if` in a location.
    pub(super) const LOCATION_IF: Self = Self(128);
    pub(super) const LIMIT_EXCEPT: Self = Self(256);
    /// http, server and location, as most settings.
    pub(super) const LEVELS: Self = Self(4 + 8 + 16);
    /// The same and `if` in a location.
    pub(super) const LEVELS_AND_IF: Self = Self(4 + 8 + 16 + 128);
    /// Anywhere: for directives whose place does not matter to us.
    pub(super) const ANY: Self = Self(511);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    /// The context in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MAIN => "the top level",
            Self::EVENTS => "events",
            Self::HTTP => "http",
            Self::SERVER => "server",
            Self::LOCATION => "location",
            Self::UPSTREAM => "upstream",
            Self::LIMIT_EXCEPT => "limit_except",
            _ => "if",
        }
    }
}

/// What carries a setting of a level over.
pub(super) type Setter = for<'t> fn(&mut Settings<'t>, &'t Directive, &mut Findings<'_>);

/// How a directive is dealt with.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// It gives the file its shape, and is read where blocks are walked.
    Shape,
    /// Plimsoll needs nothing in its place.
    Needless,
    /// A setting of the process.
    Process(fn(&mut Process, &Directive, &mut Findings<'_>)),
    /// A setting of http, server or location that holds for each route.
    Route(Setter),
    /// A setting that Plimsoll has for a listener as a whole.
    Listener(Setter),
    /// A setting of an upstream.
    Upstream(fn(&mut Group, &Directive, &mut Findings<'_>)),
    /// There is no counterpart; requests are served without it.
    Missing,
    /// There is no counterpart, and to serve without it would let in whom nginx keeps out: the
    /// route refuses.
    Guard,
    /// nginx makes the answer itself, in a way that Plimsoll does not: the route says so.
    Content,
}

/// One row of the table.
pub(super) struct Row {
    /// The directive, or with `*` at the end a family of them.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Contexts,
    /// Fewest and most arguments.
    pub args: (usize, usize),
    /// Directives of one group hide those of outer levels together.
    pub group: &'static str,
    /// Whether inner levels take it over from outer ones.
    pub inherited: bool,
    /// What is done.
    pub rule: Rule,
    /// What becomes of it at best.
    pub verdict: Verdict,
    /// What becomes of it; if nothing does, why not.
    pub doc: &'static str,
    /// What to do in its place.
    pub instead: &'static str,
}

/// Any number of arguments.
pub(super) const MANY: usize = usize::MAX;

const fn row(
    name: &'static str,
    contexts: Contexts,
    args: (usize, usize),
    rule: Rule,
    doc: &'static str,
) -> Row {
    let verdict = Verdict::Carried;
    Row { name, contexts, args, group: name, inherited: true, rule, verdict, doc, instead: "" }
}

const fn needless(name: &'static str, contexts: Contexts, doc: &'static str) -> Row {
    row(name, contexts, (0, MANY), Rule::Needless, doc)
}

const fn missing(name: &'static str, doc: &'static str, instead: &'static str) -> Row {
    let mut row = row(name, Contexts::ANY, (0, MANY), Rule::Missing, doc);
    row.verdict = Verdict::NotCarried;
    row.instead = instead;
    row
}

const fn guard(name: &'static str, doc: &'static str, instead: &'static str) -> Row {
    let mut row = missing(name, doc, instead);
    row.rule = Rule::Guard;
    row
}

const fn content(name: &'static str, doc: &'static str, instead: &'static str) -> Row {
    let mut row = missing(name, doc, instead);
    row.rule = Rule::Content;
    row
}

impl Row {
    /// The same, carried with a difference always, which the words tell.
    const fn differs(mut self) -> Self {
        self.verdict = Verdict::Difference;
        self
    }

    /// The same, read where it stands and not carried.
    const fn not_carried(mut self) -> Self {
        self.verdict = Verdict::NotCarried;
        self
    }

    /// The same, which holds for its own level only.
    const fn own(mut self) -> Self {
        self.inherited = false;
        self
    }

    /// The same in a group.
    const fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }
}

/// A part of the table, as the manual shows it.
pub(super) struct Part {
    /// The heading.
    pub title: &'static str,
    /// The rows.
    pub rows: &'static [Row],
}

/// The table.
pub(super) static PARTS: [Part; 9] = [
    process::PROCESS,
    routing::ROUTING,
    client::CLIENT,
    secured::TLS,
    proxy::PROXY,
    proxy::HEADERS,
    upstream::UPSTREAM,
    client::LOGS,
    other::OTHER,
];

/// The row of a directive: its own, or that of its family.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    let rows = || PARTS.iter().flat_map(|part| part.rows);
    rows().find(|row| row.name == name).or_else(|| {
        rows()
            .filter(|row| row.name.strip_suffix('*').is_some_and(|family| name.starts_with(family)))
            .max_by_key(|row| row.name.len())
    })
}

/// A parameter of `listen` or of `server` in an upstream.
pub(super) struct Parameter {
    /// As it is written.
    pub name: &'static str,
    /// What becomes of it at best.
    pub verdict: Verdict,
    /// What becomes of it; if nothing does, why not.
    pub doc: &'static str,
    /// What to do in its place.
    pub instead: &'static str,
}

pub(super) use client::LISTEN;
pub(super) use upstream::SERVER;

/// The row of a parameter, which is known by its name or by what stands before `=`.
pub(super) fn parameter<'p>(of: &'p [Parameter], text: &str) -> Option<&'p Parameter> {
    of.iter().find(|one| match one.name.strip_suffix('=') {
        Some(name) => text.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')),
        None => one.name == text,
    })
}
