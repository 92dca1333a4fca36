//! Weights laid end to end on a line: the way from a number to the backend whose stretch it falls in.
//! nginx walks such a line backend by backend; running sums answer the same in O(log n).

/// Running sums of weights.
#[derive(Debug)]
pub(super) struct Shares {
    ends: Box<[u64]>,
}

impl Shares {
    /// Lays out the weights in their order.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let mut end = 0;
        let ends = weights
            .map(|weight| {
                end += u64::from(weight);
                end
            })
            .collect();
        Self { ends }
    }

    /// The length of the line: the sum of all weights.
    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whose stretch `point` (below the total) falls in.
    #[inline]
    pub(super) fn at(&self, point: u64) -> usize {
        self.ends.partition_point(|end| *end <= point)
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
}
