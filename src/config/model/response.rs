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
#[derive(Debug, Clone, PartialEq)]
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
    /// Only where this text is neither empty nor `0`.
    pub early_hints_when: Option<Template>,
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

/// Bytes a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rate {
    /// So many; 0 is no limit.
    Fixed(u64),
    /// What comes of the text: a number, perhaps with `k`, `m` or `g` behind it. Anything else is no limit.
    Of(Template),
}

impl Default for Rate {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

/// How responses are passed on, if not as they come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacingRules {
    /// Bytes that are read ahead of a slow client.
    pub ahead: usize,
    /// To clients.
    pub client_rate: Rate,
    /// Bytes that go to a client before its rate holds.
    pub client_after: u64,
    /// From backends.
    pub backend_rate: Rate,
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
            early_hints_when: None,
            hides: false,
            first_of_repeated: false,
            passed: Vec::new(),
            pacing: PacingRules::default(),
        }
    }
}

/// A change of a value, if it fits.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
pub struct CookieFlags {
    /// Which cookies.
    pub cookie: CookieName,
    /// Flags that are known when the file is read.
    pub flags: Flags,
    /// Texts of which each gives one more.
    pub words: Vec<Template>,
}

/// What becomes of a cookie's flags; `None`: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `Secure` is there, or is not.
    pub secure: Option<bool>,
    /// `HttpOnly` is there, or is not.
    pub http_only: Option<bool>,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
}

impl Flags {
    /// Takes in a flag by nginx's word for it; of two that exclude each other the first holds. Any other
    /// word is none.
    pub fn take_in(&mut self, word: &[u8]) {
        let word = word.to_ascii_lowercase();
        let (secure, http_only, same_site) = match &*word {
            b"secure" => (Some(true), None, None),
            b"nosecure" => (Some(false), None, None),
            b"httponly" => (None, Some(true), None),
            b"nohttponly" => (None, Some(false), None),
            b"samesite=strict" => (None, None, Some(SameSite::Strict)),
            b"samesite=lax" => (None, None, Some(SameSite::Lax)),
            b"samesite=none" => (None, None, Some(SameSite::None)),
            b"nosamesite" => (None, None, Some(SameSite::Removed)),
            _ => (None, None, None),
        };
        self.secure = self.secure.or(secure);
        self.http_only = self.http_only.or(http_only);
        self.same_site = self.same_site.or(same_site);
    }
}

/// Which cookies.
#[derive(Debug, Clone)]
pub enum CookieName {
    /// The one of this name, in any case.
    Exact(Template),
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
#[derive(Debug, Clone, PartialEq)]
pub struct Trailer {
    /// Its name.
    pub name: String,
    /// Its value; an empty one is not sent.
    pub value: Template,
    /// On which statuses.
    pub statuses: Statuses,
}
