//! What becomes of a request once its route is found.

use std::sync::Arc;

use crate::balance::Rng;
use crate::model::UpstreamIx;
use crate::snapshot::settings::{
    Access, AccessLog, After, Before, HeaderEdit, HostPolicy, PathRewrite, Ratio, Redirect,
    RequestBuffering, Respond, ResponseRules, Retry, Sending, Template, Timeouts,
};
use crate::snapshot::{LimitUse, RouteCaptures};

/// A route, ready to be followed.
#[derive(Debug)]
pub struct Route {
    /// The name in metrics and logs.
    pub name: String,
    /// What happens to a request before; `None`: nothing.
    pub before: Option<Box<Before>>,
    /// What is done.
    pub action: Action,
    /// What may become of its answer; `None`: nothing special.
    pub after: Option<Box<After>>,
    /// The path prefix that `PathRewrite` cuts off; empty unless the route has one.
    pub prefix: String,
    /// What its texts ask for of what its expressions find; `None`: nothing.
    pub captures: Option<Box<RouteCaptures>>,
    /// Who may use it; `None` is everybody.
    pub access: Option<Access>,
    /// What is sent otherwise than it came; `None`: nothing.
    pub sending: Option<Box<Sending>>,
    /// Changes to the request's fields.
    pub request_headers: Box<[HeaderEdit]>,
    /// Changes to the response's fields.
    pub response_headers: Box<[HeaderEdit]>,
    /// What else becomes of a backend's response; `None`: it is passed on as usual.
    pub response: Option<Box<ResponseRules>>,
    /// The request's body is read whole before a backend is asked.
    pub request_buffering: Option<RequestBuffering>,
    /// Instead of the listener's limit where set.
    pub max_body_bytes: Option<Option<u64>>,
    /// Limits that requests have to be within.
    pub limits: Option<Box<[LimitUse]>>,
    /// Which of its requests are traced that begin a trace; `None`: as everywhere.
    pub trace_sample: Option<Ratio>,
    /// Whether its requests are logged.
    pub logs: bool,
    /// Where they are logged besides.
    pub more_logs: Option<Box<[Arc<AccessLog>]>>,
    /// Whether a request goes on whose client has closed its side.
    pub ignore_client_abort: bool,
    /// Protocols a client may switch to, lower case.
    pub upgrades: Box<[String]>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to an upstream.
    Proxy {
        /// Which.
        split: Split,
        /// What is done with the path.
        rewrite: PathRewrite,
        /// The `Host` that is sent.
        host: HostPolicy,
    },
    /// It is redirected.
    Redirect(Redirect),
    /// It is answered.
    Respond(Respond),
    /// It goes on elsewhere.
    GoTo(Template),
    /// Its connection is closed.
    Close,
    /// Goes on to the next route that fits.
    Pass,
}

/// One upstream of a route, with the settings that hold for this pair.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The upstream's place in [`Snapshot::upstreams`](crate::snapshot::Snapshot::upstreams). Not
    /// the upstream itself: a health event replaces one upstream and leaves every route as it is.
    pub upstream: UpstreamIx,
    /// Time-outs: the upstream's, overridden by the route's.
    pub timeouts: Timeouts,
    /// Retry policy: the route's, else the upstream's.
    pub retry: Arc<Retry>,
}

/// Destinations with their shares.
#[derive(Debug)]
pub struct Split {
    destinations: Box<[Destination]>,
    /// Running sums of the weights, one per destination.
    sums: Box<[u32]>,
}

impl Split {
    /// A split over `parts`, which must not be empty (the configuration is checked for it).
    pub fn new(parts: Vec<(Destination, u32)>) -> Self {
        let mut sum = 0;
        let sums = parts
            .iter()
            .map(|(_, weight)| {
                sum += weight;
                sum
            })
            .collect();
        Self { destinations: parts.into_iter().map(|(d, _)| d).collect(), sums }
    }

    /// One destination by share; no draw is made when there is only one.
    #[inline]
    pub fn choose(&self, rng: &mut Rng) -> &Destination {
        match (&*self.destinations, self.sums.last()) {
            ([one], _) | ([one, ..], None) => one,
            (many, Some(total)) => {
                let draw = rng.below(*total);
                &many[self.sums.partition_point(|sum| *sum <= draw)]
            }
            ([], None) => {
                unreachable!("a split is never empty: the configuration is checked for it")
            }
        }
    }

    /// Each destination's share, 0 to 1.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        let total = f64::from(self.sums.last().copied().unwrap_or(1));
        let before = std::iter::once(0).chain(self.sums.iter().copied());
        before.zip(&self.sums).map(move |(from, to)| f64::from(to - from) / total)
    }

    /// Every destination.
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }
}
