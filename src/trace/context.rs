//! The field `traceparent`: which trace a request belongs to, and whose span is its parent (W3C Trace
//! Context, Level 1, with the one flag that Level 2 adds).

/// A version that nobody may write.
const FORBIDDEN: u128 = 0xff;

/// Bytes of the field in version 00, the only one there is.
pub const LENGTH: usize = 55;

/// The trace is recorded by who sends this.
const SAMPLED: u8 = 0b01;
/// The trace's id is random (Level 2).
const RANDOM: u8 = 0b10;

/// A span's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace's id; never 0.
    pub trace: u128,
    /// The span's id; never 0.
    pub span: u64,
    flags: u8,
}

impl Context {
    /// A span of a trace. An id of 0, which is none, becomes 1.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Self {
        Self { trace: trace.max(1), span: span.max(1), flags: if sampled { SAMPLED } else { 0 } }
    }

    /// Reads the value of `traceparent`. What is not exactly as it has to be is none: it begins no
    /// trace and goes on with none (§3.2.2). Of versions to come the part is read that ours has.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (ours, rest) = value.split_at_checked(LENGTH)?;
        let fits = [2, 35, 52].iter().all(|dash| ours[*dash] == b'-');
        let version = number(&ours[..2]).filter(|version| *version != FORBIDDEN)?;
        let ends = if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
        let trace = number(&ours[3..35])?;
        let span = number(&ours[36..52])? as u64;
        let flags = number(&ours[53..])? as u8 & (SAMPLED | RANDOM);
        (fits && ends && trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// Whether it is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace, recorded by us or not.
    #[must_use]
    pub fn sampled(self, sampled: bool) -> Self {
        let flags = self.flags & !SAMPLED;
        Self { flags: if sampled { flags | SAMPLED } else { flags }, ..self }
    }

    /// Another span of the same trace. An id of 0, which is none, becomes 1.
    #[must_use]
    pub fn with_span(self, span: u64) -> Self {
        Self { span: span.max(1), ..self }
    }

    /// The flags, as spans have them.
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// The value of `traceparent`.
    pub fn write(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&self.trace_id());
        text[36..52].copy_from_slice(&self.span_id());
        push_digits(self.flags.into(), &mut text[53..]);
        text
    }

    /// The trace's id in hexadecimal.
    pub fn trace_id(self) -> [u8; 32] {
        let mut digits = [0; 32];
        push_digits(self.trace, &mut digits);
        digits
    }

    /// The span's id in hexadecimal.
    pub fn span_id(self) -> [u8; 16] {
        let mut digits = [0; 16];
        push_digits(self.span.into(), &mut digits);
        digits
    }
}

/// Digits in lower case, as the specification wants them.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

fn push_digits(mut number: u128, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let context = Context::read(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span, 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.write(), EXAMPLE.as_bytes());
        assert_eq!(context.sampled(false).write()[53..], *b"00");
        assert_eq!(context.with_span(0xa).span_id(), *b"000000000000000a");
    }

    /// Cases of the specification's own test suite (`w3c/trace-context`, test/test.py).
    #[test]
    fn what_is_not_exactly_so_is_none() {
        let all = [
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473.-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.1", false),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false),
            (".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("", false),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
        ];
        for (value, is_one) in all {
            assert_eq!(Context::read(value.as_bytes()).is_some(), is_one, "{value:?}");
        }
    }

    #[test]
    fn flags_that_nobody_knows_are_not_passed_on() {
        let context = Context::read(EXAMPLE.replace("-01", "-ff").as_bytes()).unwrap();
        assert_eq!(context.write()[53..], *b"03");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in any::<u128>(), span in any::<u64>(), sampled in any::<bool>()) {
            let context = Context::new(trace, span, sampled);
            prop_assert_eq!(Context::read(&context.write()), Some(context));
        }

        /// Whatever comes, nothing but what is well formed is believed, and that comes out as it came.
        #[test]
        fn what_is_read_was_well_formed(value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[0-9a-f]{2}-[0-9a-fA-F]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?".prop_map(String::into_bytes),
            "0[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]".prop_map(String::into_bytes),
        ]) {
            let Some(context) = Context::read(&value) else { return Ok(()) };
            prop_assert!(context.trace != 0 && context.span != 0);
            prop_assert_eq!(&context.write()[3..53], &value[3..53]);
            prop_assert!(value[..2] != *b"ff");
            prop_assert!(value[..2] != *b"00" || value.len() == LENGTH);
        }
    }
}
