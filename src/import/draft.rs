//! The imported file before it is written: what a person would put into it.

use std::time::Duration;

use super::limits::Zone;
use super::made::Made;
use super::process::Process;
use crate::config::Place;

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub process: Process,
    pub variables: Vec<Made>,
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
    pub upstreams: Vec<Upstream>,
    pub limits: Vec<Zone>,
}

/// `[[listener]]`
#[derive(Debug)]
pub(super) struct Listener {
    pub at: Place,
    pub address: String,
    /// Settings with their values as TOML, in order.
    pub settings: Vec<(&'static str, String)>,
}

/// `[[route]]`
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub at: Place,
    /// Without the host: what the name ends with.
    pub name: String,
    pub listeners: Vec<String>,
    pub hosts: Vec<String>,
    pub path: PathRule,
    /// Whether it goes before all others of its hosts.
    pub first: bool,
    pub before_regex: bool,
    /// What must hold besides.
    pub when: Vec<Check>,
    /// Who is let in and who is kept out; empty is everybody.
    pub access: Vec<(bool, String)>,
    /// Whom these let in, nobody is asked about; the others are.
    pub access_or_auth: bool,
    pub action: Action,
    /// `None`: not settled yet.
    pub onward: Option<Onward>,
    pub response: ResponseEdits,
    /// A request goes on whose client has closed its side.
    pub ignore_client_abort: bool,
    /// Limits, each as TOML.
    pub limits: Vec<String>,
    /// Whether nginx looks at limits before it does what the route says.
    pub is_limited: bool,
    /// Bytes of a request body at most; 0 is no limit.
    pub body_limit: u64,
    /// Its requests are not logged in the usual log.
    pub silent: bool,
    /// Other logs in which they are.
    pub logs: Vec<String>,
}

/// One of `when`: a text with variables, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Check {
    pub value: String,
    /// `is`, `not`, `regex` or `not_regex`.
    pub rule: &'static str,
    pub text: String,
}

/// A path rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PathRule {
    /// By bytes.
    Prefix(String),
    Exact(String),
    Regex(String),
    /// A regular expression where this prefix is the longest.
    Within(String, String),
    /// `@name`.
    Name(String),
}

/// Where requests of a route go on, before and after its action.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Default)]
pub(super) struct Onward {
    pub internal: bool,
    pub rewrites: Vec<Rewriting>,
    pub auth: Option<String>,
    pub mirrors: Vec<String>,
    pub no_mirror_body: bool,
    pub pages: Vec<Page>,
    pub intercept: bool,
    pub recursive: bool,
    pub accel: bool,
}

impl Onward {
    /// What of it holds where nginx answers before it asks who may pass.
    pub(super) fn of_answer(&self) -> Self {
        Self { auth: None, mirrors: Vec::new(), ..self.clone() }
    }
}

/// A `rewrite`.
#[derive(Debug, Clone)]
pub(super) struct Rewriting {
    /// What must hold besides.
    pub when: Vec<Check>,
    /// The same as for the one before it.
    pub same: bool,
    pub regex: String,
    pub to: String,
    pub then: &'static str,
}

/// An `error_page`.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub statuses: Vec<u16>,
    pub to: String,
    /// Of a page that is a file, its type; `to` is its path then.
    pub file: Option<String>,
    pub status: PageStatus,
}

/// With which status an error page is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum PageStatus {
    OfError,
    OfPage,
    Fixed(u16),
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Proxy(Box<Proxy>),
    Redirect {
        status: u16,
        to: String,
    },
    Respond {
        status: u16,
        body: String,
        content_type: Option<String>,
    },
    GoTo(String),
    /// Nobody comes in, as nobody knows whom nginx keeps out.
    Refuse,
    Close,
    /// The route is looked for behind this one.
    Pass,
}

/// Goes to upstreams.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// Upstreams by their place in the list of those in use, with weights.
    pub split: Vec<(usize, u32)>,
    /// The request says where it goes, in place of these.
    pub by_request: bool,
    pub rewrite: Rewrite,
    /// `None`: as the client sent it.
    pub host: Option<String>,
    pub headers: Vec<HeaderEdit>,
    /// The client's address is appended to X-Forwarded-For.
    pub appends: bool,
    /// X-Real-IP is the client's address.
    pub real_ip: bool,
    pub websocket: bool,
    pub keeps: bool,
    pub policy: Policy,
    /// What becomes of request and response bodies and heads.
    pub messages: Vec<Setting>,
}

/// A setting with its value as TOML.
pub(super) type Setting = (&'static str, String);

/// What is done with the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rewrite {
    Keep,
    /// What the client asked for, wherever the request has gone since.
    Asked,
    Strip,
    Replace(String),
    /// The whole target, a text with variables.
    Target(String),
}

/// A change of a request's field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderEdit {
    Set(String, String),
    Remove(String),
}

/// Changes of a response's fields.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseEdits {
    pub add: Vec<Added>,
    pub remove: Vec<String>,
}

/// A field that is added to responses.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub name: String,
    pub value: String,
    /// Whether it is added to errors too.
    pub always: bool,
    /// Whether it takes the place of what is there.
    pub replace: bool,
}

/// Time-outs and retries of one route, all of them.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
    /// 0: as many as there are backends.
    pub tries: u32,
    pub timeout: Option<Duration>,
    pub reset: bool,
    pub timed_out: bool,
    pub invalid: bool,
    pub statuses: Vec<u16>,
    pub non_idempotent: bool,
    /// Bodies are sent as they come, and once only.
    pub streams: bool,
}

/// `[upstream.NAME]`
#[derive(Debug)]
pub(super) struct Upstream {
    pub at: Place,
    pub name: String,
    /// Settings with their values as TOML, in order.
    pub settings: Vec<(&'static str, String)>,
    pub backends: Vec<Backend>,
    pub policy: Policy,
    /// How many attempts make sense; `None` where addresses come and go.
    pub most_tries: Option<u32>,
    /// Whether no other backend could take over.
    pub alone: bool,
    /// Whether a route leads to it.
    pub used: bool,
}

/// `[[upstream.NAME.backend]]`
#[derive(Debug, Clone)]
pub(super) struct Backend {
    pub at: Place,
    /// Where its address is another's too.
    pub name: Option<String>,
    pub address: String,
    pub weight: u64,
    pub backup: bool,
    /// `disabled` or `draining`.
    pub state: Option<&'static str>,
    pub max_connections: u64,
    /// Where they are others than the upstream's.
    pub max_fails: Option<u32>,
    pub fail_timeout: Option<Duration>,
    /// Its name in `sticky`.
    pub route: Option<String>,
    /// The service whose servers are asked for.
    pub service: Option<String>,
}
