//! The checked configuration: typed, defaulted, free of spans and of syntax.
//!
//! Every value here is valid on its own and together with the others: names resolve, weights are
//! positive, addresses parse. Later rooms index and match; they do not check again.

mod access;
mod acme;
mod captures;
mod check;
mod condition;
mod dns;
mod equal;
mod health;
mod limit;
mod listener;
mod listener_tcp;
mod made;
mod onward;
mod pattern;
mod request;
mod response;
mod route;
mod sending;
mod template;
mod traces;
mod upstream;
mod upstream_load;
mod upstream_nginx;
mod upstream_queue;
mod upstream_sticky;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Address;
pub use crate::policy::probation::Rules as Guard;
use crate::tls::ServerTerms;

pub use crate::policy::breaker::Rules as Breaker;
pub use crate::policy::ejection::Rules as Ejection;
pub use crate::policy::failover::{Failback, Rules as Failover, Strategy as FailoverStrategy};
pub use crate::policy::hung::Rules as Hung;
pub use access::{Access, AccessRule, Who, is_within};
pub use acme::{Acme, AcmeChallenge, ExternalAccount, Managed};
pub use captures::{Capture, Captures, NUMBERED};
pub use check::{
    Check, FlapDamping, HttpProbe, Login, NodePart, NodeProbe, Probe, RedisProbe, Role, SqlProbe,
    TcpProbe,
};
pub use condition::{Condition, Test};
pub use dns::{Dns, Families, Query, Resolver, Sentinels};
pub use health::{Panic, Passive, WhenNoneEligible};
pub use limit::{Limit, LimitLog, LimitTerms, LimitUse, OwnTerms};
pub use listener::{
    AddressSource, Client, ForwardPolicy, Forwarded, Http2, Listener, NginxHeads, OldBrowsers,
    ProxyProtocol, RequestIdField, XForwarded,
};
pub use listener_tcp::{AskedFor, ServerName, Tcp};
pub use made::{Cases, Made, MadeBy, common_bits};
pub use onward::{
    After, Before, ErrorPage, ErrorPages, Page, PageStatus, PathChange, PathPiece, Then,
};
pub use pattern::Pattern;
pub use request::RequestBuffering;
pub use response::{
    CookieFlags, CookieName, CookieRules, Fits, Flags, PacingRules, Rate, ResponseRules, Rewrite,
    SameSite, Statuses, ToPiece, Trailer,
};
pub use route::{
    Action, HeaderEdit, HeaderMatch, HeaderValueMatch, HostMatch, HostPolicy, PathMatch,
    PathRewrite, Proxy, Redirect, Respond, Route, Share, TimeoutOverrides,
};
pub use sending::{Reach, Sending, Towards};
pub use template::{
    Asked, AttemptFact, Group, LimitKind, Piece, ProxiedEnd, Stage, Template, TimeForm, TlsFact,
    Variable,
};
pub use traces::{Collector, Parent, Ratio, Tracing};
pub use upstream::{
    Backend, BackendAddress, OwnFiles, Passwords, Pool, Protocol, ProxyVersion, Retry, RetryOn,
    Source, Subset, Timeouts, Upstream,
};
pub use upstream_load::{Adaptive, Admission, Hedge};
pub use upstream_nginx::UpstreamNginx;
pub use upstream_queue::Queue;
pub use upstream_sticky::{CookieSecret, Sticky, StickyCookie, StickyLearn};

/// A whole configuration, of all included files.
#[derive(Debug, Clone)]
pub struct Config {
    /// Process-wide settings.
    pub process: Process,
    /// The admin listener; `None` when there is no `[admin]` section.
    pub admin: Option<Admin>,
    /// The authority that gives certificates, if one is asked.
    pub acme: Option<Acme>,
    /// What is traced of requests; `None`: nothing.
    pub tracing: Option<Arc<Tracing>>,
    /// Where clients connect, in the order of the files.
    pub listeners: Vec<Listener>,
    /// Which request goes where, in the order of the files.
    pub routes: Vec<Route>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// What texts with variables need to know.
    pub asked: Asked,
    /// How often clients may ask, in the order of the files.
    pub limits: Vec<Limit>,
    /// Every configuration file that was read, the main one first.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Settings that are read once, when the process starts, and that are others here than those that it
    /// was `started` with.
    pub fn needs_restart(
        &self,
        started: (&Process, Option<&Admin>),
    ) -> impl Iterator<Item = &'static str> {
        let ((old, admin), new) = (started, &self.process);
        [
            ("workers", old.workers != new.workers),
            ("log.format", old.log.format != new.log.format),
            ("pid_file", old.pid_file != new.pid_file),
            ("admin", but_for_tls(admin) != but_for_tls(self.admin.as_ref())),
        ]
        .into_iter()
        .filter_map(|(setting, differs)| differs.then_some(setting))
    }
}

/// What of it is read once: its certificates are those of the snapshot.
fn but_for_tls(admin: Option<&Admin>) -> Option<Admin> {
    admin.map(|admin| Admin { tls: None, ..admin.clone() })
}

/// Process-wide settings: the top level of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Number of worker threads; `None` is one per core.
    pub workers: Option<u16>,
    /// How long a graceful stop waits for requests under way.
    pub drain_timeout: Duration,
    /// How long a new program may take until it is ready to take this one's place.
    pub upgrade_timeout: Duration,
    /// Where the process's id is written.
    pub pid_file: Option<PathBuf>,
    /// How often the files are looked at for a change; `None`: reload by signal only.
    pub watch_interval: Option<Duration>,
    /// Open connections of clients over all listeners; 0 is no limit.
    pub max_connections: u64,
    /// This node's name; `None`: that of the machine.
    pub node: Option<String>,
    /// Bytes that the process may have in RAM; `None` is no limit.
    pub memory_limit: Option<u64>,
    /// The zone that this node is in.
    pub zone: Option<String>,
    /// The region that this node is in.
    pub region: Option<String>,
    /// The program log.
    pub log: Log,
    /// The access log.
    pub access_log: AccessLog,
    /// Those that routes may name.
    pub access_logs: Vec<Arc<AccessLog>>,
}

/// The program log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least level that is written: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// Form of the program log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Form, or off.
    pub format: AccessLogFormat,
    /// The file; `None` is standard output.
    pub path: Option<PathBuf>,
    /// Only requests are logged for which this is neither empty nor `0`.
    pub when: Option<Template>,
}

/// A line of one's own.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The line, without its end.
    pub template: Template,
    /// How values stand in it.
    pub escape: LogEscape,
}

/// How values stand in a line, after nginx's `log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEscape {
    /// `"`, `\` and what is not printable ASCII as `\xHH`; `-` for what has no value.
    Default,
    /// As within a text of JSON.
    Json,
    /// As they are.
    None,
}

/// Form of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Nothing is written.
    Off,
    /// nginx's `combined`, byte for byte.
    Combined,
    /// One JSON object per request, with every attempt.
    Json,
    /// A line of one's own.
    Template(Arc<LogLine>),
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Where it listens. Others can reach it only with tokens, or with `allow_public`.
    pub address: Address,
    /// Of a Unix socket: who may connect, as in `chmod`.
    pub socket_mode: u32,
    /// What somebody may who shows no token; `None`: nothing.
    pub anonymous: Option<AdminRole>,
    /// Who may what.
    pub tokens: Vec<AdminToken>,
    /// How connections are secured; `None`: they are plain.
    pub tls: Option<Arc<ServerTerms>>,
    /// Who may what by a client's certificate.
    pub certificates: Vec<AdminCertificate>,
    /// Requests a second of each of them; 0 is no limit.
    pub max_rate: u32,
    /// Where is written down what operators say; `None`: a restart forgets it.
    pub state: Option<PathBuf>,
    /// Revisions of the configuration that are kept.
    pub revisions: usize,
    /// When a configuration that is watched is worse than the one before.
    pub guard: Guard,
    /// Where each request is written down that would change something.
    pub audit_log: Option<PathBuf>,
}

/// What somebody may do by the admin listener. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminRole {
    /// Read.
    Viewer,
    /// Change what backends do.
    Operator,
    /// Change the configuration.
    Admin,
}

impl AdminRole {
    /// The word in TOML, logs and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A client's certificate that the admin listener knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminCertificate {
    /// Whose it is, in events and logs.
    pub name: String,
    /// What tells it from others.
    pub by: CertificateOf,
    /// What who shows it may.
    pub role: AdminRole,
}

/// What tells a certificate from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateOf {
    /// One of its Subject Alternative Names.
    Name(String),
    /// Its subject, after RFC 4514.
    Subject(String),
}

/// A token that the admin listener knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Whose it is, in events and logs.
    pub name: String,
    /// Its SHA-256. The token itself is not kept.
    pub sha256: [u8; 32],
    /// What its bearer may.
    pub role: AdminRole,
}
