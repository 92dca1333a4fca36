//! "Did you mean": the known word nearest to one that is not known.

/// Words longer than this are not compared; nobody means to type them.
const LONGEST: usize = 64;

/// The candidate that begins with `word`, or else the one with the fewest slips from it, if it is
/// near enough to be meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > LONGEST {
        return None;
    }
    let most = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(&word, &candidate.chars().collect::<Vec<_>>()), candidate))
        .filter(|(slips, _)| *slips <= most)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// "did you mean …" when something is near, otherwise all that is known.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if let Some(candidate) = nearest(word, candidates.clone()) {
        return format!("did you mean `{candidate}`?");
    }
    let mut known: Vec<_> = candidates.into_iter().take(33).collect();
    if known.is_empty() {
        return "none is defined".to_owned();
    }
    let more = if known.len() > 32 { ", …" } else { "" };
    known.truncate(32);
    format!("known here: {}{more}", known.join(", "))
}

/// Slips, or none for a word that was cut short, such as `least_conn`.
fn distance(word: &[char], candidate: &[char]) -> usize {
    if word.len() >= 3 && candidate.starts_with(word) { 0 } else { slips(word, candidate) }
}

/// Slips between two words: a letter more, less or other, or two neighbours swapped (the
/// "optimal string alignment" distance).
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        let count = |a: &str, b: &str| {
            slips(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(count("weight", "weight"), 0);
        assert_eq!(count("wieght", "weight"), 1, "two letters swapped are one slip");
        assert_eq!(count("wight", "weight"), 1);
        assert_eq!(count("weights", "weight"), 1);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
    }

    #[test]
    fn only_what_is_near_is_proposed() {
        let known = ["listener", "route", "upstream"];
        assert_eq!(nearest("lisener", known), Some("listener"));
        assert_eq!(nearest("Route", known), Some("route"));
        assert_eq!(nearest("list", known), Some("listener"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
