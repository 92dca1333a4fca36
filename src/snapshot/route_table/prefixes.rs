//! The path prefixes of a host, searched by halving.
//!
//! The keys are sorted, and each knows the longest other key that it begins with. Whatever key
//! begins a path stands at or before the last key that is not greater than the path, and that key
//! begins with it: so one search finds the last key, and the way up from it meets every prefix of
//! the path, the longest first.

use std::collections::BTreeMap;

use super::conditions::Candidate;
use super::paths::RegexRules;

/// The routes of one prefix.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Expressions that are tried only where this is the longest prefix.
    pub(super) regexes: RegexRules,
    /// Routes that then go before all other expressions.
    pub(super) before_regex: Vec<Candidate>,
    /// All routes.
    pub(super) candidates: Vec<Candidate>,
}

impl Bucket {
    fn is_empty(&self) -> bool {
        self.regexes.is_empty() && self.candidates.is_empty()
    }
}

#[derive(Debug)]
struct Node {
    key: Box<[u8]>,
    /// Only whole segments of a path are matched.
    by_segments: bool,
    /// The longest other key that `key` begins with; the same one by bytes, if it is there too.
    above: Option<usize>,
    routes: Bucket,
}

impl Node {
    #[inline]
    fn fits(&self, path: &[u8]) -> bool {
        let whole = || matches!(path.get(self.key.len()), None | Some(b'/'));
        // The root takes `*` too.
        path.starts_with(&self.key) && (!self.by_segments || self.key.is_empty() || whole())
    }
}

/// What there is for one text.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By whole segments.
    pub(super) segments: Bucket,
    /// By bytes.
    pub(super) bytes: Bucket,
}

/// All prefixes. The empty one is the root by segments.
#[derive(Debug, Default)]
pub(super) struct Prefixes(Box<[Node]>);

impl Prefixes {
    pub(super) fn new(rules: BTreeMap<Box<[u8]>, Rules>) -> Self {
        let mut nodes: Vec<Node> = Vec::with_capacity(rules.len());
        let mut above: Vec<usize> = Vec::new();
        let of_key = |(key, rules): (Box<[u8]>, Rules)| {
            [(key.clone(), false, rules.bytes), (key, true, rules.segments)]
        };
        for (key, by_segments, routes) in rules.into_iter().flat_map(of_key) {
            if routes.is_empty() {
                continue;
            }
            // In this order, what a key begins with stands right before it or before such a one.
            while above.last().is_some_and(|last| !key.starts_with(&nodes[*last].key)) {
                above.pop();
            }
            let node = Node { key, by_segments, above: above.last().copied(), routes };
            above.push(nodes.len());
            nodes.push(node);
        }
        Self(nodes.into())
    }

    /// What fits a path, the longest first; of equal ones, that by segments first.
    pub(super) fn of<'s>(&'s self, path: &'s [u8]) -> impl Iterator<Item = &'s Bucket> {
        let last = self.0.partition_point(|node| &*node.key <= path).checked_sub(1);
        let nodes = std::iter::successors(last, |place| self.0[*place].above);
        nodes.map(|place| &self.0[place]).filter(|node| node.fits(path)).map(|node| &node.routes)
    }
}
