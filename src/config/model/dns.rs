//! Names of backends, and who is asked for them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, BackendAddress, Login, Upstream};
use crate::policy::removal::Guard;

/// How backend names are resolved again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The shortest time an answer is used, whatever its TTL.
    pub min_ttl: Duration,
    /// The longest time an answer is used, whatever its TTL.
    pub max_ttl: Duration,
    /// Who is asked.
    pub resolver: Arc<Resolver>,
    /// An answer without addresses leaves nobody; else the addresses before are kept.
    pub empties: bool,
    /// When an answer that takes many away is held; `None`: never.
    pub guard: Option<Guard>,
}

/// Who is asked for names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolver {
    /// Name servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// Redis Sentinels, who are asked in their place for the primary of that name.
    pub sentinels: Option<Sentinels>,
    /// How long a question may take in all.
    pub timeout: Duration,
    /// Which addresses of a name are used.
    pub families: Families,
}

/// Redis Sentinels, and how they are asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sentinels {
    /// Addresses or names, with ports.
    pub servers: Vec<(String, u16)>,
    /// Who asks, where they want to know; the default user has no name.
    pub login: Option<Login>,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Families {
    /// IPv4, or IPv6 of a name that has no IPv4.
    Ipv4First,
    /// Both.
    All,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// A name to be resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    /// The name.
    pub name: String,
    /// The service whose servers (SRV) are asked for, in place of addresses.
    pub service: Option<String>,
    /// Who is asked.
    pub resolver: Arc<Resolver>,
}

impl fmt::Display for Query {
    /// The name that is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.service {
            None => f.write_str(name),
            Some(service) if service.contains('.') => write!(f, "{service}.{name}"),
            Some(service) => write!(f, "_{service}._tcp.{name}"),
        }
    }
}

impl Upstream {
    /// What has to be asked for a backend; `None` if it has an address.
    pub fn query(&self, backend: &Backend) -> Option<Query> {
        let BackendAddress::Name(name, _) = &backend.address else {
            return None;
        };
        let resolver = Arc::clone(&self.dns.resolver);
        Some(Query { name: name.clone(), service: backend.service.clone(), resolver })
    }
}
