//! Finds the route of a request without looking at every route.
//!
//! The most specific rule wins, by this order:
//!
//! 1. **Host**: the very name, then `*.suffix` (the longest first), then routes for any host.
//! 2. **Path** within a host: the very path, then regular expressions in the order of the file (the
//!    same expression twice is one rule, at its first place), then prefixes, the longest first.
//! 3. **Conditions** within a path rule: the route with more of them first (a list of methods is
//!    one, each header rule is one), then the order of the file.
//!
//! A route whose conditions do not hold is passed over: the search goes on with the next route of
//! the rule, the next less specific path rule and the next less specific host.
//!
//! Hosts, exact paths and prefixes lie in hash maps that are asked once per label of the host and
//! once per segment of the path, and never for a text longer than the longest that is configured:
//! neither the number of routes nor a long path makes a search long. Only the regular expressions
//! of a host are tried one after the other. Nothing is allocated.
//!
//! Built with the snapshot; asked by `proxy::service` for each request.

use std::sync::Arc;

use ahash::AHashMap;
use memchr::{memchr, memchr_iter, memrchr};
use regex::bytes::Regex;

use crate::config::model::{HeaderMatch, HeaderValueMatch, HostMatch, PathMatch, Route};

/// The longest name that DNS knows (RFC 1035 §2.3.4); longer ones match as any host only.
const MAX_HOST_BYTES: usize = 255;

/// The routes of a listener, indexed.
#[derive(Debug, Default)]
pub struct RouteTable {
    names: AHashMap<Box<[u8]>, Paths>,
    suffixes: AHashMap<Box<[u8]>, Paths>,
    longest_suffix: usize,
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
    /// The header fields.
    pub headers: &'a H,
}

/// Gives the header fields of a request to header rules.
pub trait Headers {
    /// The values of all field lines of that name, which is in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]>;
}

impl RouteTable {
    /// A table over `routes`, whose order is the order of the file.
    pub fn build(routes: &[&Route]) -> Self {
        let mut by_conditions: Vec<usize> = (0..routes.len()).collect();
        // The sort is stable: equals stay in the order of the file, and every bucket is filled in
        // the order in which it is searched.
        by_conditions.sort_by_key(|index| std::cmp::Reverse(count_conditions(routes[*index])));

        let mut table = Self::default();
        for index in by_conditions {
            let route = routes[index];
            let candidate = Candidate { route: index, conditions: Conditions::of(route) };
            if route.hosts.is_empty() {
                table.any.add(&route.path, candidate.clone());
            }
            for host in &route.hosts {
                let paths = match host {
                    HostMatch::Exact(name) => table.names.entry(name.as_bytes().into()),
                    HostMatch::Suffix(suffix) => {
                        table.longest_suffix = table.longest_suffix.max(suffix.len());
                        table.suffixes.entry(suffix.as_bytes().into())
                    }
                };
                paths.or_default().add(&route.path, candidate.clone());
            }
        }
        table.names.values_mut().chain(table.suffixes.values_mut()).for_each(Paths::order_regexes);
        table.any.order_regexes();
        table
    }

    /// The place of the request's route in the slice that the table was built from.
    #[inline]
    pub fn find<H: Headers>(&self, request: &Request<'_, H>) -> Option<usize> {
        let mut buffer = [0; MAX_HOST_BYTES];
        let host = plain_host(request.host, &mut buffer);
        let named = self.names.get(host);
        let suffixed = self.suffixes_of(host).filter_map(|suffix| self.suffixes.get(suffix));
        named.into_iter().chain(suffixed).chain([&self.any]).find_map(|paths| paths.find(request))
    }

    /// What follows each dot of `host`, the longest first, as far as it can be configured.
    fn suffixes_of<'h>(&self, host: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        let start = host.len().saturating_sub(self.longest_suffix + 1);
        memchr_iter(b'.', &host[start..]).map(move |dot| &host[start + dot + 1..])
    }
}

/// The rules of one host.
#[derive(Debug, Default)]
struct Paths {
    exact: AHashMap<Box<[u8]>, Vec<Candidate>>,
    regexes: Vec<RegexRule>,
    /// Without the final `/`, so that `/` is the empty prefix.
    prefixes: AHashMap<Box<[u8]>, Vec<Candidate>>,
    longest_prefix: usize,
}

#[derive(Debug)]
struct RegexRule {
    regex: Regex,
    /// The first route that has it.
    first: usize,
    candidates: Vec<Candidate>,
}

impl Paths {
    fn add(&mut self, path: &PathMatch, candidate: Candidate) {
        let bucket = match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/').as_bytes();
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefixes.entry(prefix.into()).or_default()
            }
            PathMatch::Regex(regex) => self.regex_bucket(regex, candidate.route),
        };
        bucket.push(candidate);
    }

    fn regex_bucket(&mut self, regex: &Regex, route: usize) -> &mut Vec<Candidate> {
        let known = self.regexes.iter().position(|rule| rule.regex.as_str() == regex.as_str());
        let place = known.unwrap_or_else(|| {
            let rule = RegexRule { regex: regex.clone(), first: route, candidates: Vec::new() };
            self.regexes.push(rule);
            self.regexes.len() - 1
        });
        let rule = &mut self.regexes[place];
        rule.first = rule.first.min(route);
        &mut rule.candidates
    }

    fn order_regexes(&mut self) {
        self.regexes.sort_by_key(|rule| rule.first);
    }

    fn find<H: Headers>(&self, request: &Request<'_, H>) -> Option<usize> {
        let path = request.path;
        let exact = self.exact.get(path).into_iter();
        let regexes = self.regexes.iter().filter(|rule| rule.regex.is_match(path));
        let prefixes = self.prefixes_of(path).filter_map(|prefix| self.prefixes.get(prefix));
        exact
            .chain(regexes.map(|rule| &rule.candidates))
            .chain(prefixes)
            .flatten()
            .find(|candidate| candidate.accepts(request))
            .map(|candidate| candidate.route)
    }

    /// `path` and what is above it, the longest first, as far as it can be configured.
    fn prefixes_of<'p>(&self, path: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
        // One byte more than the longest prefix shows whether a segment ends there.
        let first = match path.get(..=self.longest_prefix) {
            Some(head) => parent(head),
            None => Some(path),
        };
        std::iter::successors(first, |path| parent(path))
    }
}

/// The path without its last segment; of `/` and of a path without one it is empty.
fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() { None } else { Some(&path[..memrchr(b'/', path).unwrap_or(0)]) }
}

/// A route under a path rule.
#[derive(Debug, Clone)]
struct Candidate {
    route: usize,
    /// `None` for most routes, which are found without another look into memory.
    conditions: Option<Arc<Conditions>>,
}

impl Candidate {
    #[inline]
    fn accepts<H: Headers>(&self, request: &Request<'_, H>) -> bool {
        self.conditions.as_ref().is_none_or(|conditions| conditions.hold(request))
    }
}

/// What a request must have beside host and path.
#[derive(Debug)]
struct Conditions {
    methods: Vec<String>,
    headers: Vec<HeaderMatch>,
}

fn count_conditions(route: &Route) -> usize {
    usize::from(!route.methods.is_empty()) + route.headers.len()
}

impl Conditions {
    fn of(route: &Route) -> Option<Arc<Self>> {
        let conditions = || Self { methods: route.methods.clone(), headers: route.headers.clone() };
        (count_conditions(route) > 0).then(|| Arc::new(conditions()))
    }

    fn hold<H: Headers>(&self, request: &Request<'_, H>) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|m| m.as_bytes() == request.method))
            && self.headers.iter().all(|rule| header_holds(rule, request.headers))
    }
}

fn header_holds<H: Headers>(rule: &HeaderMatch, headers: &H) -> bool {
    let mut values = headers.values(&rule.name);
    match &rule.value {
        HeaderValueMatch::Present => values.next().is_some(),
        HeaderValueMatch::Absent => values.next().is_none(),
        HeaderValueMatch::Exact(wanted) => values.any(|value| value == wanted.as_bytes()),
        HeaderValueMatch::Regex(regex) => values.any(|value| regex.is_match(value)),
    }
}

/// The host in lower case, without port and final dot; an IPv6 address keeps its brackets. Empty
/// for a name that is too long to be one.
fn plain_host<'b>(host: &[u8], buffer: &'b mut [u8; MAX_HOST_BYTES]) -> &'b [u8] {
    let end = if host.first() == Some(&b'[') {
        memchr(b']', host).map_or(host.len(), |bracket| bracket + 1)
    } else {
        memchr(b':', host).unwrap_or(host.len())
    };
    let name = &host[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let Some(plain) = buffer.get_mut(..name.len()) else {
        return &[];
    };
    plain.copy_from_slice(name);
    plain.make_ascii_lowercase();
    plain
}

#[cfg(test)]
mod tests;
