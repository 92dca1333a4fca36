//! Durations and sizes as text: `"1m30s"`, `"64KiB"`.

use std::time::Duration;

/// Units of time, the largest first, in milliseconds.
const TIME: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, the largest first of each family, in bytes.
const SIZE: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a duration: whole numbers with the units `d`, `h`, `m`, `s`, `ms`, the largest first.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = TIME.iter();
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        // Searching on from the last unit keeps the order and refuses a unit said twice.
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*scale)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// Reads a size: one whole number with a unit (`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`), or none
/// for bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
    let (_, scale) = SIZE.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*scale)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// A duration as it is written in a file.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut left = duration.as_millis() as u64;
    if left == 0 {
        return "0s".to_owned();
    }
    TIME.iter()
        .filter_map(|(name, scale)| {
            let count = left / scale;
            left %= scale;
            (count > 0).then(|| format!("{count}{name}"))
        })
        .collect()
}

/// A size as it is written in a file, in the largest binary unit that needs no fraction.
pub(crate) fn show_size(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes >= *scale && bytes.is_multiple_of(*scale);
    match SIZE[..3].iter().find(fits) {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("30s"), Some(30_000));
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(ms("1m30s"), Some(90_000));
        assert_eq!(ms("1d"), Some(86_400_000));
        assert_eq!(ms("0s"), Some(0));
        for bad in ["", "30", "s", "30s1m", "1s1s", "1.5s", "-1s", " 1s", "1 s", "1sec", "1S"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(ms("99999999999999999999s"), None);
        assert_eq!(ms("18446744073709551615d"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("1MiB"), Some(1_048_576));
        assert_eq!(parse_size("10MB"), Some(10_000_000));
        assert_eq!(parse_size("10 mb"), Some(10_000_000));
        assert_eq!(parse_size("512"), Some(512));
        for bad in ["", "KiB", "1K", "-1B", "1.5MiB", "18446744073709551615GiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..=u64::from(u32::MAX), bytes in any::<u64>()) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
