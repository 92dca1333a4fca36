//! What becomes of a response on its way to the client, beyond plain changes of its header fields.

use regex::bytes::Regex;

use super::Template;

/// Statuses, as pairs of first and last; none stands for every status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(pub Vec<(u16, u16)>);

impl Statuses {
    /// Whether a status is among them.
    pub fn has(&self, status: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// What a route wants of its responses. Most routes want nothing of it, and hold none of this.
#[expect(clippy::struct_excessive_bools, reason = "independent wishes, each asked for by name")]
#[derive(Debug, Clone)]
pub struct ResponseRules {
    /// Changes of `Location` and `Refresh`; the first that fits is made.
    pub redirects: Vec<Rewrite>,
    /// A `Location` that was changed and begins with `/` gets scheme, host and port.
    pub absolute_redirects: bool,
    /// Changes of `Set-Cookie`.
    pub cookies: CookieRules,
    /// The trailer fields of the backend are passed on.
    pub pass_trailers: bool,
    /// Trailer fields that are added.
    pub trailers: Vec<Trailer>,
    /// A body of unknown length goes to HTTP/1.1 in chunks; else until the connection ends.
    pub chunked: bool,
    /// Early hints (103) are passed on.
    pub early_hints: bool,
    /// The backend's `Date`, `Server`, `X-Pad` and `X-Accel-…` are not passed on, but for those in
    /// `passed`.
    pub hides: bool,
    /// Of fields that have one value only, the first is passed on.
    pub first_of_repeated: bool,
    /// Exceptions from `hides`.
    pub passed: Vec<String>,
    /// How fast it is passed on.
    pub pacing: PacingRules,
}

/// How responses are passed on, if not as they come. Rates are bytes a second; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacingRules {
    /// Bytes that are read ahead of a slow client.
    pub ahead: usize,
    /// To clients.
    pub client_rate: u64,
    /// Bytes that go to a client before its rate holds.
    pub client_after: u64,
    /// From backends.
    pub backend_rate: u64,
    /// Backends turn reading ahead on and off by `X-Accel-Buffering`.
    pub heeds_buffering: bool,
    /// Backends set the rate by `X-Accel-Limit-Rate`.
    pub heeds_rate: bool,
}

impl Default for ResponseRules {
    /// What holds for a route that says nothing.
    fn default() -> Self {
        Self {
            redirects: Vec::new(),
            absolute_redirects: false,
            cookies: CookieRules::default(),
            pass_trailers: true,
            trailers: Vec::new(),
            chunked: true,
            early_hints: true,
            hides: false,
            first_of_repeated: false,
            passed: Vec::new(),
            pacing: PacingRules::default(),
        }
    }
}

/// A change of a value, if it fits.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// What the value must be.
    pub from: Fits,
    /// What is put in its place.
    pub to: Vec<ToPiece>,
}

/// What a value that is changed must be.
#[derive(Debug, Clone)]
pub enum Fits {
    /// This text: the begin of a URL or a path, the whole of a domain.
    Text(Template),
    /// Something in it matches; all of the value is replaced.
    Regex(Regex),
}

/// A part of what is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToPiece {
    /// A text with variables.
    Text(Template),
    /// What this group of the regular expression matched.
    Group(usize),
}

/// Changes of cookies that backends set.
#[derive(Debug, Clone, Default)]
pub struct CookieRules {
    /// Of `Domain`.
    pub domain: Vec<Rewrite>,
    /// Of `Path`.
    pub path: Vec<Rewrite>,
    /// Of the flags; the first whose cookie it is counts.
    pub flags: Vec<CookieFlags>,
}

impl CookieRules {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.domain.is_empty() && self.path.is_empty() && self.flags.is_empty()
    }
}

/// Flags of some cookies.
#[derive(Debug, Clone)]
pub struct CookieFlags {
    /// Which cookies.
    pub cookie: CookieName,
    /// `Secure` is there, or is not.
    pub secure: Option<bool>,
    /// `HttpOnly` is there, or is not.
    pub http_only: Option<bool>,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
}

/// Which cookies.
#[derive(Debug, Clone)]
pub enum CookieName {
    /// The one of this name, in any case.
    Exact(String),
    /// Those whose name matches.
    Regex(Regex),
}

/// What becomes of `SameSite`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `SameSite=Strict`.
    Strict,
    /// `SameSite=Lax`.
    Lax,
    /// `SameSite=None`.
    None,
    /// It is taken away.
    Removed,
}

/// A trailer field that is added.
#[derive(Debug, Clone)]
pub struct Trailer {
    /// Its name.
    pub name: String,
    /// Its value; an empty one is not sent.
    pub value: Template,
    /// On which statuses.
    pub statuses: Statuses,
}
