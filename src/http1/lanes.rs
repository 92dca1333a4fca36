//! Questions to sixteen bytes at once. A head is some hundred bytes, and each of them is looked at:
//! this is where a parser spends its time.
//!
//! An answer has one bit per byte, the lowest for the first.

use wide::u8x16;

/// Which bytes are controls other than HTAB.
#[inline]
pub(super) fn controls(block: [u8; 16]) -> u32 {
    let bytes = u8x16::new(block);
    let low = bytes.simd_le(u8x16::splat(0x1f)) & !is(bytes, b'\t');
    (low | is(bytes, 0x7f)).to_bitmask()
}

/// Which bytes are letters, digits or `-`.
#[inline]
pub(super) fn plain(block: [u8; 16]) -> u32 {
    let bytes = u8x16::new(block);
    // Bit 5 tells the cases of a letter apart.
    let letter = (bytes | u8x16::splat(0x20)) - u8x16::splat(b'a');
    let digit = bytes - u8x16::splat(b'0');
    let alphanumeric = letter.simd_le(u8x16::splat(25)) | digit.simd_le(u8x16::splat(9));
    (alphanumeric | is(bytes, b'-')).to_bitmask()
}

fn is(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_bytes(block: [u8; 16], is: impl Fn(u8) -> bool) -> u32 {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(is(*byte)))
    }

    #[test]
    fn each_byte_at_each_place_is_answered_as_alone() {
        let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        for at in 0..16 {
            for byte in 0..=u8::MAX {
                for fill in [b'a', b'\t', 0, b':', 0x7f, 0x80, 0xff] {
                    let mut block = [fill; 16];
                    block[at] = byte;
                    assert_eq!(controls(block), by_bytes(block, is_control), "{block:?}");
                    assert_eq!(plain(block), by_bytes(block, is_plain), "{block:?}");
                }
            }
        }
    }
}
