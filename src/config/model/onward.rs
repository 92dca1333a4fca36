//! What makes a request go on elsewhere: rewrites, error pages, questions and copies on the way.

use std::net::IpAddr;

use regex::bytes::Regex;

use super::{Access, Condition, Template, Variable};

/// What happens to a request before its route's action.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Before {
    /// Clients do not get here; requests that go on do.
    pub internal: bool,
    /// Changes of the path, in order.
    pub rewrites: Vec<PathChange>,
    /// Who is asked whether the request may pass: a path or `@name`.
    pub auth: Option<Template>,
    /// Whom that is not asked about; the others that `access` speaks of are.
    pub spared: Option<Access>,
    /// Who gets a copy: paths or `@name`s.
    pub mirrors: Vec<Template>,
    /// Whether copies have the body too.
    pub mirror_body: bool,
}

impl Before {
    /// Who is asked about a client of this address.
    pub fn asked_about(&self, client: IpAddr) -> Option<&Template> {
        let is_spared = self.spared.as_ref().is_some_and(|access| access.names(client));
        self.auth.as_ref().filter(|_| !is_spared)
    }
}

/// What becomes of an answer that is not as hoped for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct After {
    /// Pages in place of errors; `None`: the listener's.
    pub error_pages: Option<ErrorPages>,
    /// Whether they stand in place of the backend's answers too.
    pub intercept_errors: bool,
    /// Whether an error on the way to an error page has its page too.
    pub recursive_error_pages: bool,
    /// Whether `X-Accel-Redirect` of the backend's answer is followed.
    pub accel_redirect: bool,
}

/// A change of the path.
#[derive(Debug, Clone)]
pub struct PathChange {
    /// What must hold besides.
    pub when: Vec<Condition>,
    /// What must hold is what had to for the rule before it, and is not looked at again.
    pub same_when: bool,
    /// Found in the normalised path.
    pub regex: Regex,
    /// What the path becomes, up to the first `?` of the text.
    pub path: Vec<PathPiece>,
    /// What the query becomes; `None`: it stays.
    pub query: Option<Vec<PathPiece>>,
    /// Whether the client's query is put behind it.
    pub keeps_query: bool,
    /// What follows.
    pub then: Then,
}

/// A part of what a path becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPiece {
    /// As written.
    Text(String),
    /// What a group of the regular expression found.
    Capture(usize),
    /// `${name}`.
    Variable(Variable),
}

/// What follows a rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next rewrite; after the last one the route is looked for anew.
    Next,
    /// The route is looked for anew.
    Last,
    /// It stays on this route.
    Break,
    /// The client is redirected, with this status.
    Redirect(u16),
    /// No rule behind it is looked at; the path stays.
    Stop,
}

/// Pages in place of errors, in order; the first that has the status counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorPages(pub Vec<ErrorPage>);

/// A page in place of an error.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// First and last of each range of statuses.
    pub statuses: Vec<(u16, u16)>,
    /// What is answered.
    pub page: Page,
    /// With which status.
    pub status: PageStatus,
}

/// What is answered in place of an error.
#[derive(Clone, PartialEq, Eq)]
pub enum Page {
    /// This body.
    Fixed {
        /// `Content-Type`.
        content_type: String,
        /// The body.
        body: Vec<u8>,
    },
    /// What is found there: a path (asked for by GET), `@name`, or a URL to which the client is
    /// redirected.
    Elsewhere(Template),
}

/// The status of an error page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStatus {
    /// That of the error.
    OfError,
    /// That of the page.
    OfPage,
    /// This one.
    Fixed(u16),
}

impl ErrorPages {
    /// The page for this status.
    pub fn find(&self, status: u16) -> Option<&ErrorPage> {
        let has = |page: &&ErrorPage| {
            page.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
        };
        self.0.iter().find(has)
    }
}

impl std::fmt::Debug for ErrorPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ErrorPage")
            .field("statuses", &self.statuses)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
