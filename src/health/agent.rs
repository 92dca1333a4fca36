//! The words of `HAProxy`'s agents (its manual, `agent-check`): one line such as `up 75%`, `drain`,
//! `down # disk full`.
//!
//! Otherwise than with `HAProxy` each line says everything: a word that is not in it is not in force any
//! more, so that what an agent once said cannot outlive it by accident.

use crate::model::{Finding, Found};

/// Reads an agent's line. What it does not know it passes over, as `maxconn:30`.
///
/// # Errors
/// A line without a single word that is known, told in words for the log.
pub(super) fn read(line: &str) -> Result<Finding, String> {
    let (words, note) = match line.split_once('#') {
        Some((words, note)) => (words, Some(note.trim())),
        None => (line, None),
    };
    let mut found = None;
    let mut share = None;
    let separators = [' ', '\t', ',', '\r', '\n'];
    for word in words.split(separators).filter(|word| !word.is_empty()) {
        let word = word.to_ascii_lowercase();
        let says = match word.as_str() {
            "up" | "ready" => Found::Up,
            "drain" => Found::Draining,
            "maint" => Found::Standby,
            "down" | "fail" | "failed" | "stopped" => Found::Down,
            word => {
                let Some(percent) = word.strip_suffix('%').and_then(|n| n.parse::<u32>().ok())
                else {
                    continue;
                };
                if percent == 0 {
                    Found::Draining
                } else {
                    share = Some(percent.min(100) as u8);
                    Found::Up
                }
            }
        };
        found = Some(found.map_or(says, |before| worse(before, says)));
    }
    let Some(found) = found else {
        return Err(format!("the agent says nothing known: {:?}", shown(line)));
    };
    let why = match note {
        Some(note) if !note.is_empty() => {
            format!("the agent says {:?}: {}", shown(words), shown(note))
        }
        _ => format!("the agent says {:?}", shown(words)),
    };
    Ok(Finding { found, why, share })
}

/// Of two words in one line the one that takes more away holds.
fn worse(one: Found, other: Found) -> Found {
    let gravity = |found| match found {
        Found::Down => 3,
        Found::Standby => 2,
        Found::Draining => 1,
        Found::Up | Found::Degraded | Found::Nothing => 0,
    };
    if gravity(other) > gravity(one) { other } else { one }
}

fn shown(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_the_manual() {
        let of = |line| read(line).map(|finding| (finding.found, finding.share));
        assert_eq!(of("up\n"), Ok((Found::Up, None)));
        assert_eq!(of("75%\n"), Ok((Found::Up, Some(75))));
        assert_eq!(of("up 30% maxconn:10\r\n"), Ok((Found::Up, Some(30))));
        assert_eq!(of("ready, 250%"), Ok((Found::Up, Some(100))));
        assert_eq!(of("drain"), Ok((Found::Draining, None)));
        assert_eq!(of("0%"), Ok((Found::Draining, None)));
        assert_eq!(of("MAINT up"), Ok((Found::Standby, None)));
        assert_eq!(of("ready down 50%"), Ok((Found::Down, Some(50))));
        assert_eq!(of("stopped"), Ok((Found::Down, None)));
        let why = read("down # disk\tfull\n").map(|finding| finding.why);
        assert_eq!(why.as_deref(), Ok("the agent says \"down\": diskfull"));
        assert!(of("hello\n").is_err() && of("").is_err() && of("# up").is_err());
    }

    proptest! {
        #[test]
        fn nothing_upsets_it(line in any::<String>()) {
            if let Ok(finding) = read(&line) {
                prop_assert!(finding.share.is_none_or(|share| (1..=100).contains(&share)));
                prop_assert!(finding.why.len() < 1_000);
            }
        }
    }
}
