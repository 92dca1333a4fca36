//! The hash of affinity: CRC-32 as nginx uses it (IEEE 802.3, reflected), so that keys stay where an
//! nginx before us had put them, on every platform and in every version of ours.
//!
//! Eight bytes at a time ("slicing-by-8", Kounavis and Berry 2005): a URL is hashed at each pick, and
//! byte by byte the table look-ups would wait for one another.

/// A CRC-32 under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc32(u32);

impl Crc32 {
    /// Of nothing yet.
    pub(super) const fn new() -> Self {
        Self(!0)
    }

    /// Takes in further bytes.
    #[inline]
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for eight in eights {
            let mixed = (u64::from_le_bytes(*eight) ^ u64::from(crc)).to_le_bytes();
            crc = (0..8).fold(0, |crc, i| crc ^ T[7 - i][usize::from(mixed[i])]);
        }
        for byte in rest {
            crc = T[0][((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8);
        }
        Self(crc)
    }

    /// The checksum of all bytes taken in.
    #[inline]
    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

/// The CRC-32 of `bytes`.
#[inline]
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    Crc32::new().update(bytes).finish()
}

/// `T[k][b]` is what the byte `b` contributes when `k` further bytes follow it.
static T: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        t[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = t[k - 1][byte];
            t[k][byte] = (before >> 8) ^ t[0][(before & 0xFF) as usize];
            byte += 1;
        }
        k += 1;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_vectors() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"a"), 0xE8B7_BE43);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414F_A339);
        assert_eq!(crc32(&[0; 32]), 0x190A_55AD);
        assert_eq!(crc32(&[0xFF; 32]), 0xFF6C_AB0B);
    }

    proptest! {
        #[test]
        fn the_parts_of_a_text_give_the_hash_of_the_whole(
            text in prop::collection::vec(any::<u8>(), 0..100),
            cut in any::<prop::sample::Index>(),
        ) {
            let (head, tail) = text.split_at(cut.index(text.len() + 1));
            prop_assert_eq!(Crc32::new().update(head).update(tail).finish(), crc32(&text));
            // Bit by bit, from the definition.
            let by_bits = text.iter().fold(!0_u32, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                    if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
                })
            });
            prop_assert_eq!(crc32(&text), !by_bits);
        }
    }
}
