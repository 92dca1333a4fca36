//! The immutable world that the data plane reads.
//!
//! `control` builds a [`Snapshot`] whenever the configuration or a backend's state changes and
//! publishes it through the [`Cell`]; workers index into it and decide nothing that could have been
//! decided here. Parts that did not change are shared with the snapshot before (`Arc`).

pub mod build;
mod captures;
mod cell;
mod course;
mod found;
mod limit;
mod listener;
mod listener_tcp;
mod places;
mod room;
mod route;
mod route_table;
mod sticky;
mod upstream;

pub use crate::balance::Cursors;
pub use crate::balance::Limits;
pub use crate::model::Address;
pub use captures::{Captured, RouteCaptures};
pub use cell::{Cell, Reader};
pub use course::{Barrier, Course};
pub use limit::{Limit, LimitUse};
pub use listener::{Listener, ListenerTls, RouteEntry};
pub use listener_tcp::ListenerTcp;
pub use route::{Action, Destination, Route, Split};
pub use route_table::{Facts, Mismatch, Request, RouteTable, mismatch};
pub use sticky::Sticky;
pub use upstream::{Backend, Hindrance, Upstream};

/// Plain values of the checked configuration that snapshots carry as they are.
pub mod settings {
    pub use crate::config::model::{
        Access, AccessLog, AccessLogFormat, AddressSource, After, Asked, AskedFor, AttemptFact,
        Before, Cases, Client, Condition, CookieFlags, CookieName, CookieRules, CookieSecret,
        ErrorPage, ErrorPages, Fits, Flags, ForwardPolicy, Forwarded, Group, HeaderEdit, Hedge,
        HostPolicy, LimitKind, LimitLog, LogEscape, LogLine, Made, MadeBy, OldBrowsers, OwnFiles,
        Page, PageStatus, Parent, Passive, Passwords, PathChange, PathMatch, PathPiece,
        PathRewrite, Pattern, Piece, Pool, Protocol, ProxiedEnd, ProxyProtocol, ProxyVersion,
        Query, Queue, Rate, Ratio, Redirect, RequestBuffering, RequestIdField, Respond,
        ResponseRules, Retry, RetryOn, Rewrite, SameSite, Sending, ServerName, Source, Stage,
        Statuses, Template, Test, Then, TimeForm, Timeouts, TlsFact, ToPiece, Towards, Tracing,
        Trailer, Variable, WhenNoneEligible, XForwarded, is_within,
    };
    pub use crate::config::model::{
        Route as RouteRule, Sticky as StickyBy, StickyCookie, StickyLearn, UpstreamNginx,
    };
}

use std::sync::Arc;

use crate::model::{Generation, UpstreamIx};
use crate::tls::Server;

/// One published state of the world.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number.
    pub generation: Generation,
    /// Hash of the configuration files it was built from.
    pub config_hash: u64,
    /// What each listener does, in the order of the configuration.
    pub listeners: Box<[Arc<Listener>]>,
    /// The routes as they were written, in the order of the configuration: for those who ask why.
    pub rules: Arc<[settings::RouteRule]>,
    /// The upstreams, sorted by name.
    pub upstreams: Box<[Arc<Upstream>]>,
    /// Open connections of clients over all listeners; 0 is no limit.
    pub max_connections: u64,
    /// Bytes that the process may have in RAM; `None` is no limit.
    pub memory_limit: Option<u64>,
    /// The limits that routes use.
    pub limits: Box<[Arc<Limit>]>,
    /// What is traced of requests; `None`: nothing.
    pub tracing: Option<Arc<settings::Tracing>>,
    /// Form of the access log.
    pub access_log: settings::AccessLogFormat,
    /// Only requests are logged for which this is neither empty nor `0`.
    pub log_when: Option<Arc<settings::Template>>,
    /// What texts with variables need to know.
    pub asked: settings::Asked,
    /// How connections to the admin listener are secured; `None`: they are plain.
    pub admin_tls: Option<Arc<Server>>,
}

impl Snapshot {
    /// The world before there is a configuration: generation 0, nobody listens.
    pub fn empty() -> Self {
        Self {
            generation: Generation::default(),
            config_hash: 0,
            listeners: Box::default(),
            rules: Arc::default(),
            upstreams: Box::default(),
            max_connections: 0,
            memory_limit: None,
            limits: Box::default(),
            tracing: None,
            access_log: settings::AccessLogFormat::Off,
            log_when: None,
            asked: settings::Asked::default(),
            admin_tls: None,
        }
    }

    /// The upstream of that name.
    pub fn upstream_by_name(&self, name: &str) -> Option<&Arc<Upstream>> {
        let by_name = |upstream: &Arc<Upstream>| upstream.name.as_str().cmp(name);
        self.upstreams.binary_search_by(by_name).ok().map(|place| &self.upstreams[place])
    }

    /// The upstream of a [`Destination`].
    #[inline]
    pub fn upstream(&self, ix: UpstreamIx) -> &Arc<Upstream> {
        &self.upstreams[ix.index()]
    }
}
