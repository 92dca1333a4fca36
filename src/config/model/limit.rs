//! How often clients may ask.

use super::Template;

/// A named limit: what is shared by all routes that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The name.
    pub name: String,
    /// What is counted by.
    pub key: Template,
    /// Thousandths of a request per second; `None` is any number.
    pub rate: Option<u64>,
    /// What holds unless a route says otherwise.
    pub terms: LimitTerms,
    /// Keys that are remembered.
    pub max_keys: usize,
}

/// What may differ from route to route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitTerms {
    /// Requests that may be ahead of the rate.
    pub burst: u32,
    /// Requests of these that need not wait; `None` is all.
    pub undelayed: Option<u32>,
    /// Requests under way at once; `None` is any number.
    pub concurrency: Option<u32>,
    /// What a refused request is answered with.
    pub status: u16,
    /// Whether nothing is refused or delayed.
    pub dry_run: bool,
    /// At which level a refused request is told.
    pub log_level: LimitLog,
}

/// A level of the program log, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitLog {
    /// Nothing is told.
    Off,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

/// A limit as a route uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitUse {
    /// The limit's name.
    pub name: String,
    /// What is written of the terms, over those of the limit.
    pub own: OwnTerms,
}

/// What a route says in place of a limit's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnTerms {
    /// See [`LimitTerms`], as all of these.
    pub burst: Option<u32>,
    /// Requests that need not wait.
    pub undelayed: Option<u32>,
    /// Requests under way at once.
    pub concurrency: Option<u32>,
    /// What a refused request is answered with.
    pub status: Option<u16>,
    /// Whether nothing is refused or delayed.
    pub dry_run: Option<bool>,
    /// At which level a refused request is told.
    pub log_level: Option<LimitLog>,
}

impl OwnTerms {
    /// The terms that hold.
    pub fn over(&self, limit: &LimitTerms) -> LimitTerms {
        LimitTerms {
            burst: self.burst.unwrap_or(limit.burst),
            undelayed: self.undelayed.or(limit.undelayed),
            concurrency: self.concurrency.or(limit.concurrency),
            status: self.status.unwrap_or(limit.status),
            dry_run: self.dry_run.unwrap_or(limit.dry_run),
            log_level: self.log_level.unwrap_or(limit.log_level),
        }
    }
}
