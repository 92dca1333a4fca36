//! Finds the route of a request without looking at every route.
//!
//! The most specific rule wins, by this order:
//!
//! 1. **Host**: the very name, then `*.suffix` and `prefix.*` (the longest first), then regular
//!    expressions in the order of the file, then routes for any host. As nginx chooses a server.
//! 2. Within a host, what says `first`, in the order of the file.
//! 3. **Path**: the very path, then regular expressions in the order of the file (the same
//!    expression twice is one rule, at its first place), then prefixes, the longest first. A longest
//!    prefix may have expressions of its own, which are tried before the others, or go before
//!    those itself. That is nginx's search, its nested locations included.
//! 4. **Conditions** within a path rule: the route with more of them first (lists of methods and of
//!    conditions are one each, each header rule is one), then the order of the file.
//!
//! A route whose conditions do not hold is passed over: the search goes on with the next route of
//! the rule, the next less specific path rule and the next less specific host.
//!
//! Hosts and exact paths lie in hash maps that are asked once per label of the host, and never for
//! a text longer than the longest that is configured; prefixes lie in a sorted list that is halved:
//! neither the number of routes nor a long path makes a search long. Only regular expressions are
//! tried one after the other. Nothing is allocated.
//!
//! Built with the snapshot; asked by `proxy::service` for each request.

mod conditions;
mod paths;
mod prefixes;
mod why;

use ahash::AHashMap;
use memchr::{memchr, memchr_iter, memrchr_iter};
use regex::bytes::Regex;

use crate::config::model::{Condition, HostMatch, Route};
use conditions::{Candidate, count_conditions};
use paths::{Paths, PathsBuilder};
pub use why::{Mismatch, mismatch};

/// The longest name that DNS knows (RFC 1035 §2.3.4); longer ones match as any host only.
const MAX_HOST_BYTES: usize = 255;

/// The routes of a listener, indexed.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Whether any route names a host.
    asks_host: bool,
    names: AHashMap<Box<[u8]>, Paths>,
    /// `*.suffix`, with the length of the longest.
    suffixes: AHashMap<Box<[u8]>, Paths>,
    longest_suffix: usize,
    /// `prefix.*`, with the length of the longest.
    prefixes: AHashMap<Box<[u8]>, Paths>,
    longest_prefix: usize,
    regexes: Box<[(Regex, Paths)]>,
    any: Paths,
}

/// What a route is found by.
#[derive(Debug)]
pub struct Request<'a, H> {
    /// The host: any case, with or without a port and a final dot.
    pub host: &'a [u8],
    /// The path, decoded and normalised.
    pub path: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// All else that conditions ask for.
    pub facts: &'a H,
}

/// Gives what conditions ask for.
pub trait Facts {
    /// The values of all field lines of that name, which is in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]>;

    /// Whether the condition holds.
    fn holds(&self, condition: &Condition) -> bool;
}

impl RouteTable {
    /// A table over `routes`, whose order is the order of the file.
    pub fn build(routes: &[&Route]) -> Self {
        let mut by_conditions: Vec<usize> = (0..routes.len()).collect();
        // The sort is stable: equals stay in the order of the file, and every bucket is filled in
        // the order in which it is searched.
        by_conditions.sort_by_key(|index| std::cmp::Reverse(count_conditions(routes[*index])));

        let mut hosts: AHashMap<Option<&HostMatch>, PathsBuilder> = AHashMap::new();
        for index in by_conditions {
            let route = routes[index];
            let candidate = Candidate::of(index, route);
            if route.hosts.is_empty() {
                hosts.entry(None).or_default().add(route, candidate.clone());
            }
            for host in &route.hosts {
                hosts.entry(Some(host)).or_default().add(route, candidate.clone());
            }
        }
        let asks_host = hosts.keys().any(Option::is_some);
        let mut table = Self { asks_host, ..Self::default() };
        let mut regexes = Vec::new();
        for (host, paths) in hosts {
            let first = paths.first_route();
            let paths = paths.finish();
            match host {
                None => table.any = paths,
                Some(HostMatch::Exact(name)) => {
                    table.names.insert(name.as_bytes().into(), paths);
                }
                Some(HostMatch::Suffix(suffix)) => {
                    table.longest_suffix = table.longest_suffix.max(suffix.len());
                    table.suffixes.insert(suffix.as_bytes().into(), paths);
                }
                Some(HostMatch::Prefix(prefix)) => {
                    table.longest_prefix = table.longest_prefix.max(prefix.len());
                    table.prefixes.insert(prefix.as_bytes().into(), paths);
                }
                Some(HostMatch::Regex(pattern)) => regexes.push((first, pattern.0.clone(), paths)),
            }
        }
        regexes.sort_by_key(|(first, ..)| *first);
        table.regexes = regexes.into_iter().map(|(_, regex, paths)| (regex, paths)).collect();
        table
    }

    /// The place of the request's route in the slice that the table was built from.
    #[inline]
    pub fn find<H: Facts>(&self, request: &Request<'_, H>) -> Option<usize> {
        self.find_from(request, 0)
    }

    /// The same, where of the routes that go before all others only those at place `from` and behind
    /// it count.
    #[inline]
    pub fn find_from<H: Facts>(&self, request: &Request<'_, H>, from: usize) -> Option<usize> {
        self.search(request.host, |paths| paths.find(request, from))
    }

    /// The place of the route whose path is the very text that the request has as its path, which is
    /// the name of a place where requests go on.
    pub fn find_name<H: Facts>(&self, request: &Request<'_, H>) -> Option<usize> {
        self.search(request.host, |paths| paths.find_exact(request))
    }

    /// The first that `find` gives for the rules of a host, the most special host first.
    #[inline]
    fn search(&self, host: &[u8], mut find: impl FnMut(&Paths) -> Option<usize>) -> Option<usize> {
        if !self.asks_host {
            return find(&self.any);
        }
        let mut buffer = [0; MAX_HOST_BYTES];
        let Some(host) = plain_host(host, &mut buffer) else {
            return find(&self.any);
        };
        let named = self.names.get(host);
        let suffixed = self.suffixes_of(host).filter_map(|suffix| self.suffixes.get(suffix));
        let prefixed = self.prefixes_of(host).filter_map(|prefix| self.prefixes.get(prefix));
        let matching = self.regexes.iter().filter(|(regex, _)| regex.is_match(host));
        named
            .into_iter()
            .chain(suffixed)
            .chain(prefixed)
            .chain(matching.map(|(_, paths)| paths))
            .chain([&self.any])
            .find_map(find)
    }

    /// What follows each dot of `host`, the longest first, as far as it can be configured.
    fn suffixes_of<'h>(&self, host: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        let start = host.len().saturating_sub(self.longest_suffix + 1);
        memchr_iter(b'.', &host[start..]).map(move |dot| &host[start + dot + 1..])
    }

    /// What stands before each dot of `host`, the longest first, as far as it can be configured.
    fn prefixes_of<'h>(&self, host: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        let end = host.len().min(self.longest_prefix + 1);
        let end = if self.prefixes.is_empty() { 0 } else { end };
        memrchr_iter(b'.', &host[..end]).map(|dot| &host[..dot])
    }
}

/// The host in lower case, without port and final dot; an IPv6 address keeps its brackets. `None`
/// for a name that is too long to be one.
fn plain_host<'b>(host: &[u8], buffer: &'b mut [u8; MAX_HOST_BYTES]) -> Option<&'b [u8]> {
    let end = if host.first() == Some(&b'[') {
        memchr(b']', host).map_or(host.len(), |bracket| bracket + 1)
    } else {
        memchr(b':', host).unwrap_or(host.len())
    };
    let name = &host[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let plain = buffer.get_mut(..name.len())?;
    plain.copy_from_slice(name);
    plain.make_ascii_lowercase();
    Some(plain)
}

#[cfg(test)]
mod tests;
