//! What is asked of backends, and how often.

use std::fmt;
use std::time::Duration;

use super::ProxyVersion;

/// A check on each backend of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name within the upstream.
    pub name: String,
    /// What a probe's connection begins with.
    pub send_proxy: Option<ProxyVersion>,
    /// What is asked.
    pub probe: Probe,
    /// Between two probes of a backend.
    pub interval: Duration,
    /// Between two probes while results speak against the verdict, or while there is none.
    pub fast_interval: Duration,
    /// Between two probes of a backend that is down.
    pub down_interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long a good answer may take before the backend counts as degraded.
    pub max_latency: Option<Duration>,
    /// Good results in a row that bring a backend up.
    pub rise: u32,
    /// Bad results in a row that take a backend down.
    pub fall: u32,
    /// Part of the interval by which each pause is varied, 0.0 to 1.0.
    pub jitter: f64,
    /// How long bad results of a new backend do not count.
    pub start_period: Duration,
    /// A port other than the backend's.
    pub port: Option<u16>,
    /// The places of the checks, all before its own, without which this one is degraded.
    pub depends_on: Vec<usize>,
    /// It speaks for itself, and not through another check.
    pub counts: bool,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// A connection, and perhaps an exchange of bytes.
    Tcp(TcpProbe),
    /// An HTTP/1.1 request.
    Http(HttpProbe),
    /// A call of gRPC's health service, for this service.
    Grpc(String),
    /// `PostgreSQL`'s start-up, and its role.
    Postgres(SqlProbe),
    /// The handshake of `MySQL` or `MariaDB`, and its role.
    Mysql(SqlProbe),
    /// Redis: `PING`, and its role.
    Redis(RedisProbe),
    /// The words of an agent, which is sent this first.
    Agent(String),
    /// A program.
    Exec(Vec<String>),
    /// This machine.
    Node(NodeProbe),
    /// Other checks, by their places, all before its own, and how many of them must be well.
    Composite(Vec<usize>, usize),
}

impl Probe {
    /// The word in `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Grpc(_) => "grpc",
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Redis(_) => "redis",
            Self::Agent(_) => "agent",
            Self::Exec(_) => "exec",
            Self::Node(NodeProbe { what: NodePart::Load, .. }) => "system",
            Self::Node(NodeProbe { what: NodePart::Memory, .. }) => "memory",
            Self::Node(NodeProbe { what: NodePart::Disk(_), .. }) => "disk",
            Self::Composite(..) => "composite",
        }
    }
}

/// A probe by bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpProbe {
    /// What is sent.
    pub send: String,
    /// What the first 4 KiB of the answer must contain; empty: nothing is waited for.
    pub receive: String,
}

/// An HTTP probe. `Debug` shows no values of header fields: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// Path and query.
    pub path: String,
    /// The method.
    pub method: String,
    /// The `Host`; `None` is the backend's address.
    pub host: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Good statuses, as inclusive ranges.
    pub expect: Vec<(u16, u16)>,
    /// Text that the first 64 KiB of the body must contain.
    pub body: Option<String>,
}

impl fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpProbe")
            .field("path", &self.path)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("headers", &headers)
            .field("expect", &self.expect)
            .field("body", &self.body)
            .finish()
    }
}

/// Who somebody says that it is. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; empty if there is none.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A probe of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProbe {
    /// Who logs in; `None`: nobody, a server that asks who we are is well.
    pub login: Option<Login>,
    /// The database; the user's own if empty.
    pub database: String,
    /// The role that is wanted.
    pub role: Option<Role>,
    /// How far a standby may lag behind.
    pub max_lag: Option<Duration>,
}

/// A probe of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisProbe {
    /// Who logs in; an empty user is the default one.
    pub login: Option<Login>,
    /// The role that is wanted.
    pub role: Option<Role>,
}

/// A database's place among its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows one that does.
    Standby,
}

impl Role {
    /// The word in TOML and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }
}

/// A probe of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeProbe {
    /// What is measured.
    pub what: NodePart,
    /// The part in use above which backends are degraded.
    pub warn: f64,
    /// The part in use above which they are down.
    pub limit: f64,
}

/// What of a machine is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePart {
    /// The load of the last minute, per core.
    Load,
    /// Memory that is not available.
    Memory,
    /// The file system with this path.
    Disk(String),
}

/// Keeping down who goes down again and again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlapDamping {
    /// The time in which a penalty halves; each fall adds 1000.
    pub half_life: Duration,
    /// A penalty above this holds the backend.
    pub suppress: f64,
    /// A penalty below this lets it go.
    pub reuse: f64,
    /// The longest time that it is held.
    pub max: Duration,
}
