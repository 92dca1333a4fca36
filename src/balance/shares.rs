//! Weights laid end to end on a line: the way from a number to the backend whose stretch it falls in.
//! nginx walks such a line backend by backend. Here a guide leads to the few stretches that a number may
//! fall in, and a search among those ends it: O(1) however many there are, unless very small weights
//! crowd beside very large ones, and O(log n) then. After "An efficient method for generating discrete
//! random variables with general distributions" (Chen and Asau 1974).

/// Running sums of weights.
#[derive(Debug)]
pub(super) struct Shares {
    ends: Box<[u64]>,
    /// By the upper bits of a point, whose stretch the first point with these bits falls in; at the end
    /// the last stretch.
    guide: Box<[u32]>,
    /// What a point is shifted by for the guide.
    shift: u32,
}

impl Shares {
    /// Lays out the weights in their order.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let mut end = 0;
        let ends: Box<[u64]> = weights
            .map(|weight| {
                end += u64::from(weight);
                end
            })
            .collect();
        // One to two stretches to each entry of the guide, in the mean.
        let shift = (end / (ends.len() as u64).max(1)).max(1).ilog2();
        let mut owner = 0;
        let mut guide: Vec<u32> = (0..end.div_ceil(1 << shift))
            .map(|upper| {
                while ends[owner] <= upper << shift {
                    owner += 1;
                }
                owner as u32
            })
            .collect();
        guide.push((ends.len() as u32).saturating_sub(1));
        Self { ends, guide: guide.into(), shift }
    }

    /// The length of the line: the sum of all weights.
    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whose stretch `point` (below the total) falls in.
    #[inline]
    pub(super) fn at(&self, point: u64) -> usize {
        let upper = (point >> self.shift) as usize;
        let (first, last) = (self.guide[upper] as usize, self.guide[upper + 1] as usize);
        first + self.ends[first..last].partition_point(|end| *end <= point)
    }

    /// Where the stretch of number `i` begins.
    #[inline]
    pub(super) fn start(&self, i: usize) -> u64 {
        if i == 0 { 0 } else { self.ends[i - 1] }
    }

    /// How long the stretch of number `i` is.
    #[inline]
    pub(super) fn length(&self, i: usize) -> u64 {
        self.ends[i] - self.start(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_point_belongs_to_the_weight_that_covers_it() {
        let shares = Shares::new([3, 1, 2].into_iter());
        assert_eq!(shares.total(), 6);
        let owners: Vec<usize> = (0..6).map(|point| shares.at(point)).collect();
        assert_eq!(owners, [0, 0, 0, 1, 2, 2]);
        assert_eq!([shares.start(0), shares.start(1), shares.start(2)], [0, 3, 4]);
        assert_eq!([shares.length(0), shares.length(1), shares.length(2)], [3, 1, 2]);
        assert_eq!(Shares::new(std::iter::empty()).total(), 0);
    }

    proptest! {
        #[test]
        fn the_guide_leads_to_whom_a_walk_finds(
            weights in prop::collection::vec(prop_oneof![1_u32..4, 1_u32..=65_535], 1..80),
            points in prop::collection::vec(any::<u64>(), 50),
        ) {
            let shares = Shares::new(weights.iter().copied());
            let ends = (0..weights.len()).map(|i| shares.start(i));
            let points = points.into_iter().map(|point| point % shares.total());
            for point in ends.chain(points).chain([shares.total() - 1]) {
                let mut left = point;
                let walked = weights.iter().position(|weight| {
                    let found = left < u64::from(*weight);
                    left = left.wrapping_sub(u64::from(*weight));
                    found
                });
                prop_assert_eq!(Some(shares.at(point)), walked);
            }
        }
    }
}
