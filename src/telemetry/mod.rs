//! What the process tells of itself: metrics, the access log, the program log.
//!
//! Rooms get handles from here and push plain values into them; this room knows none of them. The
//! handles of the data plane are per worker and cost a few stores; everything that is slow (summing,
//! encoding, writing files) happens at a scrape or on the log's own thread.

mod access_log;
mod backend;
mod cell;
mod check;
mod downstream;
mod exemplar;
mod history;
mod labels;
mod limit;
mod log;
pub mod names;
mod open_metrics;
mod process;
mod registry;
mod tail;
mod text;
mod tls;
mod upstream;
mod upstream_policy;
mod zone;

pub use access_log::{
    AccessLog, AccessLogHandle, Attempt, Client, Entry, Format, LocalLog, basic_user, can_append,
};
pub use backend::{Answering, BackendCell, BackendSeries, Status};
pub use cell::PerWorker;
pub use check::{CheckNow, CheckSeries, LastProbe};
pub use downstream::{ListenerCell, ListenerSeries, RouteCell, RouteSeries};
pub use exemplar::Exemplar;
pub use history::{Happened, History, at_utc, moment};
pub use labels::{Cause, Ejected, Hedged, QueueRejected, RetryDenied, Shed, SpansLost};
pub use limit::{LimitCell, LimitSeries, Limited};
pub use log::{LogError, LogHandle, init, log_panics};
pub use process::ProcessSeries;
pub use registry::Registry;
pub use tail::tail;
pub use text::Exposition;
pub use tls::{Handshake, TlsCell, TlsSeries};
pub use upstream::{UpstreamCell, UpstreamSeries};
pub use upstream_policy::PolicySeries;
pub use zone::Zone;
