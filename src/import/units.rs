//! nginx's times and sizes (`ngx_parse_time`, `ngx_parse_size`).

use std::time::Duration;

/// Units of time, the largest first, in milliseconds.
const TIME: [(&str, u64); 8] = [
    ("y", 31_536_000_000),
    ("M", 2_592_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A time: `60`, `1m30s`, `500ms`; a number without a unit is seconds and stands last.
pub(super) fn time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = TIME.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "" if after.is_empty() => 1_000,
            unit => units.find(|(name, _)| *name == unit)?.1,
        };
        total = total.checked_add(number.checked_mul(scale)?)?;
        rest = after.trim_start_matches(' ');
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// A size in bytes: `512`, `8k`, `10m`, `1g`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let plain = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_those_of_nginx() {
        let ms = |text| time(text).map(|time| time.as_millis());
        for (text, expected) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("1m 30", 90_000),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("1M", 2_592_000_000),
            ("0", 0),
        ] {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
        for bad in ["", "s", "1x", "30s1m", "-1", "1.5s", "99999999999999999999", "1s1s"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(size("8k"), Some(8192));
        assert_eq!(size("1M"), Some(1 << 20));
        assert_eq!(size("0"), Some(0));
        for bad in ["", "k", "+1", "1x", "-1", "18446744073709551615g"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
