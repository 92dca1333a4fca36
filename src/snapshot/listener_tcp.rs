//! Where the connections of a listener go that passes them through.

use std::time::Duration;

use ahash::AHashMap;

use crate::snapshot::settings::{AskedFor, ServerName};
use crate::snapshot::{Destination, RouteEntry};

/// Where connections go, by what their clients ask for.
#[derive(Debug)]
pub struct ListenerTcp {
    /// What stands for a route in metrics and logs; its name is `_tcp`.
    pub entry: RouteEntry,
    /// Of connections that fit nothing else.
    otherwise: Option<Destination>,
    names: AHashMap<ServerName, Vec<Offered>>,
    /// Whatever name is asked for.
    any_name: Vec<Offered>,
    /// How long a connection stays on which nothing moves.
    pub idle_timeout: Duration,
}

/// Where connections go whose clients offer one of these protocols; none: whatever they offer.
#[derive(Debug)]
struct Offered {
    protocols: Box<[String]>,
    destination: Destination,
}

/// The first that fits what a client offers.
fn fitting<'a>(list: &'a [Offered], offered: &[Box<[u8]>]) -> Option<&'a Destination> {
    let fits = |protocol: &String| offered.iter().any(|one| **one == *protocol.as_bytes());
    let mut fitting =
        list.iter().filter(|one| one.protocols.is_empty() || one.protocols.iter().any(fits));
    fitting.next().map(|one| &one.destination)
}

impl ListenerTcp {
    /// From the settings, with destinations for upstreams.
    pub fn new(
        entry: RouteEntry,
        otherwise: Option<Destination>,
        asked: impl Iterator<Item = (AskedFor, Destination)>,
        idle_timeout: Duration,
    ) -> Self {
        let (mut names, mut any_name) = (AHashMap::<_, Vec<Offered>>::new(), Vec::new());
        for (AskedFor { name, protocols, .. }, destination) in asked {
            let list = match name {
                Some(name) => names.entry(name).or_default(),
                None => &mut any_name,
            };
            list.push(Offered { protocols: protocols.into(), destination });
        }
        for list in names.values_mut().chain([&mut any_name]) {
            list.sort_by_key(|one| one.protocols.is_empty());
        }
        Self { entry, otherwise, names, any_name, idle_timeout }
    }

    /// Whether it matters what a client asks for.
    pub fn listens(&self) -> bool {
        !self.names.is_empty() || !self.any_name.is_empty()
    }

    /// Where a connection goes whose client asks for this name, in lower case, and offers these
    /// protocols: the name itself goes before the longest that it ends with.
    pub fn find(&self, name: Option<&str>, offered: &[Box<[u8]>]) -> Option<&Destination> {
        let named = name.and_then(|name| self.find_name(name, offered));
        named.or_else(|| fitting(&self.any_name, offered)).or(self.otherwise.as_ref())
    }

    fn find_name(&self, name: &str, offered: &[Box<[u8]>]) -> Option<&Destination> {
        // Made once a connection, and only where it matters what is asked for.
        let of = |name| self.names.get(&name).and_then(|list| fitting(list, offered));
        let dots = name.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        let mut suffixes = dots.map(|at| ServerName::Suffix(name[at..].to_owned()));
        of(ServerName::Exact(name.to_owned())).or_else(|| suffixes.find_map(of))
    }
}
