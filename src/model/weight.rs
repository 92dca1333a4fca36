//! A backend's relative share.

use std::fmt;
use std::num::NonZeroU32;

/// A relative share of the traffic, from 1 to 65,535 (1 unless told otherwise).
///
/// Zero is refused: a backend that shall get nothing has the admin state `disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU32);

/// The number is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidWeight(pub i64);

impl fmt::Display for InvalidWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight must be from 1 to {}, found {}", Weight::MAX, self.0)
    }
}

impl std::error::Error for InvalidWeight {}

impl Weight {
    /// The largest weight.
    pub const MAX: u32 = 65_535;
    /// The weight of a backend that names none.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// The weight as a number.
    #[inline]
    pub fn value(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<i64> for Weight {
    type Error = InvalidWeight;

    fn try_from(n: i64) -> Result<Self, InvalidWeight> {
        u32::try_from(n)
            .ok()
            .filter(|n| *n <= Self::MAX)
            .and_then(NonZeroU32::new)
            .map(Self)
            .ok_or(InvalidWeight(n))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_to_65535_is_a_weight() {
        assert_eq!(Weight::try_from(1).unwrap().value(), 1);
        assert_eq!(Weight::try_from(65_535).unwrap().value(), 65_535);
        for bad in [0, -1, 65_536, i64::MAX, i64::MIN] {
            assert_eq!(Weight::try_from(bad), Err(InvalidWeight(bad)));
        }
    }
}
