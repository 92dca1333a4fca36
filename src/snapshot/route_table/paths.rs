//! The path rules of one host.

use std::collections::BTreeMap;

use ahash::AHashMap;
use regex::bytes::Regex;

use super::conditions::Candidate;
use super::prefixes::{Bucket, Prefixes, Rules};
use super::{Facts, Request};
use crate::config::model::{PathMatch, Route};

/// The rules of one host, to search in.
#[derive(Debug, Default)]
pub(super) struct Paths {
    first: Box<[(PathMatch, Candidate)]>,
    exact: AHashMap<Box<[u8]>, Vec<Candidate>>,
    regexes: RegexRules,
    prefixes: Prefixes,
}

impl Paths {
    /// The most special route that fits; those that go before all others only from place `from` on.
    #[inline]
    pub(super) fn find<H: Facts>(&self, request: &Request<'_, H>, from: usize) -> Option<usize> {
        let path = request.path;
        let accepts = |candidate: &&Candidate| candidate.accepts(request);
        let first = self.first.iter().filter(|(_, candidate)| candidate.route >= from);
        let first = first.filter(|(rule, _)| fits(rule, path)).map(|(_, candidate)| candidate);
        // One kind of rule after the other, for most hosts have few of them.
        let mut found = { first }.find(accepts);
        if found.is_none() && !self.exact.is_empty() {
            found = self.exact.get(path).and_then(|exact| exact.iter().find(accepts));
        }
        let mut prefixes = self.prefixes.of(path);
        let longest = prefixes.next();
        if found.is_none()
            && let Some(longest) = longest
        {
            let own = longest.regexes.matching(path);
            found = own.chain(&longest.before_regex).find(accepts);
        }
        if found.is_none() {
            found = self.regexes.matching(path).find(accepts);
        }
        let by_prefix = || {
            let mut buckets = longest.into_iter().chain(prefixes);
            buckets.find_map(|bucket| bucket.candidates.iter().find(accepts))
        };
        found.or_else(by_prefix).map(|candidate| candidate.route)
    }
}

impl Paths {
    /// The route whose path is this very text.
    pub(super) fn find_exact<H: Facts>(&self, request: &Request<'_, H>) -> Option<usize> {
        let mut exact = self.exact.get(request.path)?.iter();
        exact.find(|candidate| candidate.accepts(request)).map(|candidate| candidate.route)
    }
}

/// Whether a path fits a rule by itself, with no other rule about.
pub(super) fn fits(rule: &PathMatch, path: &[u8]) -> bool {
    match rule {
        PathMatch::Exact(exact) => path == exact.as_bytes(),
        PathMatch::Prefix(prefix) => {
            let rest = path.strip_prefix(prefix.trim_end_matches('/').as_bytes());
            prefix == "/" || matches!(rest, Some([] | [b'/', ..]))
        }
        PathMatch::BytePrefix(prefix) => path.starts_with(prefix.as_bytes()),
        PathMatch::Regex(regex) => regex.is_match(path),
        PathMatch::RegexWithin(prefix, regex) => {
            path.starts_with(prefix.as_bytes()) && regex.is_match(path)
        }
    }
}

/// Regular expressions in their order, each with its routes.
#[derive(Debug, Default)]
pub(super) struct RegexRules(Vec<RegexRule>);

#[derive(Debug)]
struct RegexRule {
    regex: Regex,
    /// The first route that has it.
    first: usize,
    candidates: Vec<Candidate>,
}

impl RegexRules {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn matching(&self, path: &[u8]) -> impl Iterator<Item = &Candidate> {
        self.0.iter().filter(|rule| rule.regex.is_match(path)).flat_map(|rule| &rule.candidates)
    }

    fn add(&mut self, regex: &Regex, candidate: Candidate) {
        let known = self.0.iter().position(|rule| rule.regex.as_str() == regex.as_str());
        let place = known.unwrap_or_else(|| {
            let (regex, first) = (regex.clone(), candidate.route);
            self.0.push(RegexRule { regex, first, candidates: Vec::new() });
            self.0.len() - 1
        });
        let rule = &mut self.0[place];
        rule.first = rule.first.min(candidate.route);
        rule.candidates.push(candidate);
    }

    fn order(&mut self) {
        self.0.sort_by_key(|rule| rule.first);
    }
}

/// The rules of one host, being put together. Routes are added in the order in which those of one
/// rule are tried.
#[derive(Default)]
pub(super) struct PathsBuilder {
    first: Vec<(PathMatch, Candidate)>,
    exact: AHashMap<Box<[u8]>, Vec<Candidate>>,
    regexes: RegexRules,
    prefixes: BTreeMap<Box<[u8]>, Rules>,
    first_route: Option<usize>,
}

impl PathsBuilder {
    /// The first of the routes in the order of the file.
    pub(super) fn first_route(&self) -> Option<usize> {
        self.first_route
    }

    pub(super) fn add(&mut self, route: &Route, candidate: Candidate) {
        let place = candidate.route;
        self.first_route = Some(self.first_route.map_or(place, |first| first.min(place)));
        if route.first {
            self.first.push((route.path.clone(), candidate));
            return;
        }
        match &route.path {
            PathMatch::Exact(path) => {
                self.exact.entry(path.as_bytes().into()).or_default().push(candidate);
            }
            PathMatch::Regex(regex) => self.regexes.add(regex, candidate),
            PathMatch::RegexWithin(prefix, regex) => {
                self.bucket(prefix, false).regexes.add(regex, candidate);
            }
            PathMatch::Prefix(prefix) => {
                let bucket = self.bucket(prefix.trim_end_matches('/'), true);
                bucket.add(route.before_regex, candidate);
            }
            PathMatch::BytePrefix(prefix) => {
                self.bucket(prefix, false).add(route.before_regex, candidate);
            }
        }
    }

    fn bucket(&mut self, prefix: &str, by_segments: bool) -> &mut Bucket {
        let rules = self.prefixes.entry(prefix.as_bytes().into()).or_default();
        if by_segments { &mut rules.segments } else { &mut rules.bytes }
    }

    pub(super) fn finish(mut self) -> Paths {
        self.first.sort_by_key(|(_, candidate)| candidate.route);
        self.regexes.order();
        for rules in self.prefixes.values_mut() {
            rules.segments.regexes.order();
            rules.bytes.regexes.order();
        }
        Paths {
            first: self.first.into(),
            exact: self.exact,
            regexes: self.regexes,
            prefixes: Prefixes::new(self.prefixes),
        }
    }
}

impl Bucket {
    fn add(&mut self, before_regex: bool, candidate: Candidate) {
        if before_regex {
            self.before_regex.push(candidate.clone());
        }
        self.candidates.push(candidate);
    }
}
