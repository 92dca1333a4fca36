//! When a certificate is to be ordered. Pure.

use std::time::Duration;

use crate::tls::Identity;

/// After a first failure. Five orders fail within the first hour at most, as many as Let's Encrypt
/// bears of one name.
const FIRST_PAUSE: Duration = Duration::from_mins(2);

/// After many.
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// A certificate that has just been had is not ordered again before this, however short its life.
const SOONEST: Duration = Duration::from_secs(5);

/// When a certificate is renewed, since 1970: a third of its life is left.
pub(super) fn renewal(identity: &Identity) -> Duration {
    at(identity.not_before(), identity.not_after())
}

fn at(from: Duration, until: Duration) -> Duration {
    let life = until.saturating_sub(from);
    from + (life / 3 * 2).max(SOONEST)
}

/// The pause after so many failures, one after the other: twice as long each time.
pub(super) fn pause(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_life_is_left() {
        let day = Duration::from_hours(24);
        assert_eq!(at(100 * day, 190 * day), 160 * day);
        assert_eq!(at(100 * day, 100 * day), 100 * day + SOONEST);
    }

    #[test]
    fn pauses_double_up_to_six_hours() {
        let minutes: Vec<u64> = (1..=10).map(|n| pause(n).as_secs() / 60).collect();
        assert_eq!(minutes, [2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
        let in_an_hour = (0..).scan(Duration::ZERO, |at, n| {
            *at += if n == 0 { Duration::ZERO } else { pause(n) };
            Some(*at)
        });
        assert_eq!(in_an_hour.take_while(|at| *at < Duration::from_hours(1)).count(), 5);
    }
}
