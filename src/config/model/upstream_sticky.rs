//! What binds clients to backends.

use std::fmt;
use std::time::Duration;

use super::Template;

/// `[upstream.NAME.sticky]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// A cookie that is set on every response.
    Cookie(StickyCookie),
    /// The first of these that is not empty names the backend.
    Route(Vec<Template>),
    /// Sessions that backends open are learnt.
    Learn(StickyLearn),
}

/// How sessions are learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyLearn {
    /// The first of these that is not empty names the session that a response opens.
    pub create: Vec<Template>,
    /// The first of these that is not empty names the session that a request belongs to.
    pub lookup: Vec<Template>,
    /// How long a session is known that is not used.
    pub timeout: Duration,
    /// Sessions are known when their response has ended, not with its head.
    pub at_end: bool,
    /// How many are known at most.
    pub max_sessions: usize,
}

/// The cookie that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// How long it is kept; `None`: until the browser's session ends.
    pub expires: Option<Duration>,
    /// What follows these two, as it stands in the field: `; domain=…; path=…; secure; httponly`.
    pub attributes: String,
    /// `SameSite`.
    pub same_site: Option<Template>,
    /// What it is signed with; `None`: it is not.
    pub secret: Option<CookieSecret>,
}

/// What cookies are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecret(pub Vec<u8>);

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(…)")
    }
}
