//! Subsets: of many backends each node uses a few, so that a fleet of nodes does not hold connections to
//! all of them. Which, a hash of the node's name and the backend's text decides: the `size` backends with
//! the highest hashes ("rendezvous hashing", Thaler and Ravishankar 1996; as a subset: gRPC's proposal A68,
//! *random subsetting*).
//!
//! The subset is taken of those that are eligible: whoever drops out is replaced by the next in the order
//! of the hashes, and nothing else moves. Nodes need not know of each other, and a node that joins or leaves
//! changes nobody's subset. The price, against the rounds of Google's *Site Reliability Engineering*
//! (chapter 20) which number the nodes: how many nodes use a backend is spread as if by chance. With N
//! nodes, subsets of s and n backends the mean is N·s/n, and the standard deviation nearly its root.

use super::hash::crc32;
use super::rng::mix;

/// Whose backends are narrowed down, and to how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset<'a> {
    /// The node's name, its own in the fleet.
    pub node: &'a str,
    /// Most eligible backends per group.
    pub size: usize,
}

impl Subset<'_> {
    /// Leaves of the eligible backends of each group, as a tier is one, those that this node uses.
    /// `backends` has the group and the text of each, in the order of `eligible`.
    pub fn narrow<'b, G: Ord>(
        &self,
        eligible: &mut [bool],
        backends: impl Iterator<Item = (G, &'b str)>,
    ) {
        let node = u64::from(crc32(self.node.as_bytes())) << 32;
        // Highest hash first within a group; of twins the first in the file.
        let mut order: Vec<_> = backends
            .enumerate()
            .filter(|(place, _)| eligible.get(*place) == Some(&true))
            .map(|(place, (group, text))| {
                (group, !mix(mix(node | u64::from(crc32(text.as_bytes())))), place)
            })
            .collect();
        order.sort_unstable();
        for group in order.chunk_by(|one, other| one.0 == other.0) {
            for (_, _, place) in group.iter().skip(self.size) {
                eligible[*place] = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(n: usize) -> String {
        format!("10.0.{}.{}:80", n / 250, n % 250)
    }

    /// The places that a node uses of so many backends of one tier, those in `down` left out.
    fn used(node: &str, size: usize, backends: usize, down: &[usize]) -> Vec<usize> {
        let labels: Vec<String> = (0..backends).map(label).collect();
        let mut eligible: Vec<bool> = (0..backends).map(|n| !down.contains(&n)).collect();
        let subset = Subset { node, size };
        subset.narrow(&mut eligible, labels.iter().map(|label| (0, label.as_str())));
        (0..backends).filter(|place| eligible[*place]).collect()
    }

    #[test]
    fn whoever_drops_out_is_replaced_and_nobody_else_moves() {
        for node in ["a", "b", "node-17"] {
            let before = used(node, 20, 200, &[]);
            assert_eq!(before.len(), 20);
            let lost = before[7];
            let after = used(node, 20, 200, &[lost]);
            let stayed = after.iter().filter(|place| before.contains(place)).count();
            assert_eq!((after.len(), stayed), (20, 19));
            assert_eq!(used(node, 20, 200, &[]), before);
            // Of somebody whom it does not use it takes no notice.
            let other = (0..200).find(|place| !before.contains(place)).unwrap();
            assert_eq!(used(node, 20, 200, &[other]), before);
        }
    }

    #[test]
    fn over_many_nodes_each_backend_is_used_about_as_often() {
        let mut users = [0_u32; 100];
        for node in 0..500 {
            for place in used(&format!("lb-{node}"), 20, 100, &[]) {
                users[place] += 1;
            }
        }
        // The mean is 100 and the deviation 9: five of it.
        assert!(users.iter().all(|n| n.abs_diff(100) < 45), "{users:?}");
    }

    #[test]
    fn tiers_are_narrowed_by_themselves() {
        let labels: Vec<String> = (0..8).map(label).collect();
        let mut eligible = [true; 8];
        let tiers = (0..8).map(|n| u8::from(n >= 5)).zip(labels.iter().map(String::as_str));
        Subset { node: "a", size: 2 }.narrow(&mut eligible, tiers);
        let used = |range: std::ops::Range<usize>| eligible[range].iter().filter(|e| **e).count();
        assert_eq!((used(0..5), used(5..8)), (2, 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn as_many_as_there_are_up_to_the_size(
            node in "[a-z]{1,8}",
            size in 1_usize..40,
            up in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let down: Vec<usize> = (0..up.len()).filter(|place| !up[*place]).collect();
            let used = used(&node, size, up.len(), &down);
            prop_assert!(used.iter().all(|place| up[*place]));
            prop_assert_eq!(used.len(), size.min(up.len() - down.len()));
        }
    }
}
