//! What a listener does with the requests that come in on it.

use std::sync::Arc;

use crate::model::Address;
use crate::snapshot::settings::{Client, ErrorPages, Forwarded};
use crate::snapshot::{ListenerTcp, Route, RouteTable};
use crate::telemetry::{ListenerSeries, RouteSeries, TlsSeries};
use crate::tls::{Challenges, Server};

/// A listener's settings, routes and series.
#[derive(Debug)]
pub struct Listener {
    /// The name.
    pub name: String,
    /// Where it listens, as written (a port 0 stays 0 here).
    pub address: Address,
    /// How connections are secured; `None`: they are plain.
    pub tls: Option<Arc<ListenerTls>>,
    /// Where connections go that are passed through; `None`: requests are read.
    pub tcp: Option<Box<ListenerTcp>>,
    /// Answers for an authority of certificates that asks over HTTP, if it may ask here.
    pub challenges: Option<Arc<Challenges>>,
    /// Limits and time-outs towards clients.
    pub client: Client,
    /// Forwarding headers.
    pub forwarded: Forwarded,
    /// Pages in place of errors where the route has none.
    pub error_pages: Option<ErrorPages>,
    /// Finds a place in `routes`.
    pub table: RouteTable,
    /// The routes that apply here.
    pub routes: Box<[RouteEntry]>,
    /// Connection counters.
    pub series: Arc<ListenerSeries>,
    /// Counters of requests that no route took, and of requests that were refused before routing.
    pub unrouted: Arc<RouteSeries>,
}

/// TLS on a listener.
#[derive(Debug)]
pub struct ListenerTls {
    /// What sessions are made of.
    pub server: Arc<Server>,
    /// Counters.
    pub series: Arc<TlsSeries>,
}

/// A route as seen by one listener.
#[derive(Debug, Clone)]
pub struct RouteEntry {
    /// The route, shared by its listeners.
    pub route: Arc<Route>,
    /// Of a route that goes before all others: the place behind it.
    pub behind: Option<usize>,
    /// Its counters on this listener.
    pub series: Arc<RouteSeries>,
}
