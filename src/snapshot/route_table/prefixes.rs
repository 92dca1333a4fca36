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
    /// The longest other key that `key` begins with.
    above: Option<usize>,
    rules: Rules,
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
        for (key, rules) in rules {
            // In this order, what a key begins with stands right before it or before such a one.
            while above.last().is_some_and(|last| !key.starts_with(&nodes[*last].key)) {
                above.pop();
            }
            let node = Node { key, above: above.last().copied(), rules };
            above.push(nodes.len());
            nodes.push(node);
        }
        Self(nodes.into())
    }

    /// What fits a path, the longest first; of equal ones, that by segments first.
    pub(super) fn of<'s>(&'s self, path: &'s [u8]) -> impl Iterator<Item = &'s Bucket> {
        let last = self.0.partition_point(|node| &*node.key <= path).checked_sub(1);
        let nodes = std::iter::successors(last, |place| self.0[*place].above);
        nodes.map(|place| &self.0[place]).filter(|node| path.starts_with(&node.key)).flat_map(
            |node| {
                let Rules { segments, bytes } = &node.rules;
                let whole = matches!(path.get(node.key.len()), None | Some(b'/'));
                // The root takes `*` too.
                let whole = whole || node.key.is_empty();
                let segments = (whole && !segments.is_empty()).then_some(segments);
                segments.into_iter().chain((!bytes.is_empty()).then_some(bytes))
            },
        )
    }
}
