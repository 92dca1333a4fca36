//! Where the connections of a listener go that passes them through.

use std::time::Duration;

use ahash::AHashMap;

use crate::snapshot::settings::ServerName;
use crate::snapshot::{Destination, RouteEntry};

/// Where connections go, by the name that their clients ask for.
#[derive(Debug)]
pub struct ListenerTcp {
    /// What stands for a route in metrics and logs; its name is `_tcp`.
    pub entry: RouteEntry,
    /// Of connections that fit no name.
    otherwise: Option<Destination>,
    names: AHashMap<ServerName, Destination>,
    /// How long a connection stays on which nothing moves.
    pub idle_timeout: Duration,
}

impl ListenerTcp {
    /// From the settings, with destinations for upstreams.
    pub fn new(
        entry: RouteEntry,
        otherwise: Option<Destination>,
        names: AHashMap<ServerName, Destination>,
        idle_timeout: Duration,
    ) -> Self {
        Self { entry, otherwise, names, idle_timeout }
    }

    /// Whether the name that a client asks for matters.
    pub fn asks_for_name(&self) -> bool {
        !self.names.is_empty()
    }

    /// Where a connection goes whose client asks for this name, in lower case: the name itself goes
    /// before the longest that it ends with.
    pub fn find(&self, name: Option<&str>) -> Option<&Destination> {
        name.and_then(|name| self.find_name(name)).or(self.otherwise.as_ref())
    }

    fn find_name(&self, name: &str) -> Option<&Destination> {
        // Made once a connection, and only where names are asked for.
        if let Some(found) = self.names.get(&ServerName::Exact(name.to_owned())) {
            return Some(found);
        }
        let dots = name.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        let mut suffixes = dots.map(|at| ServerName::Suffix(name[at..].to_owned()));
        suffixes.find_map(|suffix| self.names.get(&suffix))
    }
}
