//! The random numbers of picks: small, fast and seedable, one generator per worker.
//!
//! Picks need spread, not secrecy, so this is Steele, Lea and Flood's `SplitMix64` ("Fast Splittable
//! Pseudorandom Number Generators", 2014). The worker owns it and lends it to each pick, so a test
//! can replay any sequence from its seed.

/// A generator of pseudo-random numbers. Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// 2^64 divided by the golden ratio: its multiples, modulo 2^64, spread evenly.
pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rng {
    /// A generator whose sequence `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number from 0 to `n` − 1, each equally likely; 0 when `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        self.below_u64(u64::from(n)) as u32
    }

    /// As [`Rng::below`], for sums of weights.
    #[inline]
    pub(super) fn below_u64(&mut self, n: u64) -> u64 {
        fraction(self.next_u64(), n)
    }
}

/// Stirs all bits of `z` into each other; 0 stays 0.
#[inline]
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `part` ÷ 2^64 of `whole`: less than `whole`, or 0. A multiplication in place of a division, with a
/// bias below `whole` ÷ 2^64.
#[inline]
pub(super) fn fraction(part: u64, whole: u64) -> u64 {
    ((u128::from(part) * u128::from(whole)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        // The first outputs of the reference implementation for the seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(rng.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn below_reaches_every_number_and_none_beyond() {
        let mut rng = Rng::new(1);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
