//! Which requests, and what becomes of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::{
    Access, AccessLog, After, Before, Captures, Condition, LimitUse, Pattern, Ratio,
    RequestBuffering, ResponseRules, Retry, Sending, Statuses, Template,
};
use crate::model::Weight;

/// Which requests, and what becomes of them.
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The name used in metrics and logs; made from the place in the file when not given.
    pub name: String,
    /// Listeners by name; empty is every listener.
    pub listeners: Vec<String>,
    /// Hosts; empty is every host.
    pub hosts: Vec<HostMatch>,
    /// The path rule.
    pub path: PathMatch,
    /// Methods, upper case; empty is every method.
    pub methods: Vec<String>,
    /// Header rules; all must hold.
    pub headers: Vec<HeaderMatch>,
    /// Conditions; all must hold.
    pub when: Vec<Condition>,
    /// Whether it goes before all routes of its hosts that do not say so.
    pub first: bool,
    /// Whether its prefix, when it is the longest, goes before regular expressions.
    pub before_regex: bool,
    /// Who may use it; `None` is everybody.
    pub access: Option<Access>,
    /// What of its expressions its texts ask for; `None`: nothing.
    pub captures: Option<Captures>,
    /// What happens to the request before; `None`: nothing.
    pub before: Option<Before>,
    /// What becomes of the request.
    pub action: Action,
    /// What may become of its answer; `None`: nothing special.
    pub after: Option<After>,
    /// What is sent otherwise than it came; `None`: nothing.
    pub sending: Option<Box<Sending>>,
    /// Changes to the request's header fields, in order.
    pub request_headers: Vec<HeaderEdit>,
    /// Changes to the response's header fields, in order.
    pub response_headers: Vec<HeaderEdit>,
    /// What else becomes of the response; `None`: it is passed on as usual.
    pub response: Option<Box<ResponseRules>>,
    /// The request's body is read whole before a backend is asked.
    pub request_buffering: Option<RequestBuffering>,
    /// Replaces the upstream's time-outs where set.
    pub timeouts: TimeoutOverrides,
    /// Replaces the upstream's retry policy where set.
    pub retry: Option<Retry>,
    /// Replaces the listener's limit for request bodies where set; `Some(None)` lifts it.
    pub max_body_bytes: Option<Option<u64>>,
    /// Limits of how often clients may ask, in their order.
    pub limits: Vec<LimitUse>,
    /// Which of its requests are traced that begin a trace; `None`: as everywhere.
    pub trace_sample: Option<Ratio>,
    /// Whether its requests are logged.
    pub logs: bool,
    /// Where they are logged besides.
    pub more_logs: Vec<Arc<AccessLog>>,
    /// Whether a request goes on whose client has closed its side.
    pub ignore_client_abort: bool,
    /// Protocols a client may switch to by `Upgrade`, lower case; `websocket` unless told otherwise.
    pub upgrades: Vec<String>,
}

impl Route {
    /// A route without a name that takes every request.
    pub fn new(action: Action) -> Self {
        Self {
            name: String::new(),
            listeners: Vec::new(),
            hosts: Vec::new(),
            path: PathMatch::Prefix("/".to_owned()),
            methods: Vec::new(),
            headers: Vec::new(),
            when: Vec::new(),
            first: false,
            before_regex: false,
            access: None,
            captures: None,
            before: None,
            action,
            after: None,
            sending: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response: None,
            request_buffering: None,
            timeouts: TimeoutOverrides::default(),
            retry: None,
            max_body_bytes: None,
            limits: Vec::new(),
            trace_sample: None,
            logs: true,
            more_logs: Vec::new(),
            ignore_client_abort: false,
            upgrades: vec!["websocket".to_owned()],
        }
    }
}

/// A host rule. Names are lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// The very name.
    Exact(String),
    /// Any name that ends in `.` and this suffix, at any depth (`*.example.com`).
    Suffix(String),
    /// Any name that begins with this and a `.`, at any depth (`www.example.*`).
    Prefix(String),
    /// A regular expression, found in the name (`~^www\d+\.`).
    Regex(Pattern),
}

/// A path rule, matched on the decoded, normalised path.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// The very path.
    Exact(String),
    /// The path or anything below it, by whole segments; `/` is everything. No slash at the end.
    Prefix(String),
    /// Whatever begins with these bytes.
    BytePrefix(String),
    /// A regular expression, unanchored unless it says so.
    Regex(Regex),
    /// A regular expression that is tried only where this is the longest prefix that fits.
    RegexWithin(String, Regex),
}

/// A header rule.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderMatch {
    /// The field's name, lower case.
    pub name: String,
    /// What its value must be.
    pub value: HeaderValueMatch,
}

/// What a header's value must be.
#[derive(Debug, Clone)]
pub enum HeaderValueMatch {
    /// The field is there.
    Present,
    /// The field is not there.
    Absent,
    /// A field line has the very value.
    Exact(String),
    /// A field line matches.
    Regex(Regex),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Goes to one of these upstreams, by share.
    Proxy(Proxy),
    /// Is answered with a redirect.
    Redirect(Redirect),
    /// Is answered as written.
    Respond(Respond),
    /// Goes on elsewhere.
    GoTo(Template),
    /// Is not answered: the connection is closed.
    Close,
    /// Goes on to the next route that fits.
    Pass,
}

/// Goes to an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// The upstreams with their shares; one entry for a plain route. Never empty.
    pub split: Vec<Share>,
    /// What is done with the path.
    pub rewrite: PathRewrite,
    /// The `Host` sent to the backend.
    pub host: HostPolicy,
}

/// One part of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The upstream's name; it exists.
    pub upstream: String,
    /// Its share.
    pub weight: Weight,
}

/// What is done with the path before it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// Sent byte for byte as it came.
    Keep,
    /// Sent as the client asked for it, wherever the request has gone since.
    Asked,
    /// The route's prefix is cut off (what is left begins with `/`).
    StripPrefix,
    /// The route's prefix is replaced by this one.
    ReplacePrefix(String),
    /// The route's prefix, or its very path, is replaced by these bytes; what follows stays.
    ReplaceBytes(String),
}

/// The `Host` sent to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// As the client sent it.
    Preserve,
    /// The backend's address as written in the file.
    Backend,
    /// This one; the backend's address where nothing comes of it.
    Set(Template),
}

/// A redirect.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub to: Template,
}

/// A fixed response. `Debug` shows the length of the body only: it may come from a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// `Content-Type` of the body.
    pub content_type: String,
    /// The body, if it is the same for every request.
    pub body: Vec<u8>,
    /// The body, if it has variables.
    pub template: Option<Template>,
}

/// One change to header fields. Names keep the case in which they were written. A value that turns
/// out empty is not sent. `Debug` shows no values: they may be secrets.
#[derive(Clone, PartialEq)]
pub enum HeaderEdit {
    /// Replaces all fields of that name with one.
    Set(String, Template),
    /// Adds a field beside those of that name.
    Add(String, Template),
    /// Removes all fields of that name.
    Remove(String),
    /// Holds for responses of these statuses only.
    When(Statuses, Box<HeaderEdit>),
}

impl fmt::Debug for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HeaderEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (change, name) = match self {
            Self::Set(name, _) => ("Set", name),
            Self::Add(name, _) => ("Add", name),
            Self::Remove(name) => ("Remove", name),
            Self::When(statuses, edit) => {
                return f.debug_tuple("When").field(statuses).field(edit).finish();
            }
        };
        f.debug_tuple(change).field(name).finish()
    }
}

/// A route's own time-outs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimeoutOverrides {
    /// Instead of the upstream's.
    pub connect: Option<Duration>,
    /// Instead of the upstream's.
    pub read: Option<Duration>,
    /// Instead of the upstream's.
    pub write: Option<Duration>,
    /// Instead of the upstream's.
    pub total: Option<Duration>,
    /// What tells how many milliseconds the client waits.
    pub client: Option<Template>,
}
