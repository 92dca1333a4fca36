//! How often each may ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What each has left: a second's worth at most, which fills up evenly.
#[derive(Debug)]
pub(super) struct Rates {
    /// Requests a second; 0 is no limit.
    most: u32,
    left: Mutex<BTreeMap<String, Left>>,
}

#[derive(Debug)]
struct Left {
    requests: f64,
    at: Instant,
}

impl Rates {
    pub(super) fn new(most: u32) -> Self {
        Self { most, left: Mutex::default() }
    }

    /// Takes one request of who has this name: there are as many names as the configuration has, and two.
    ///
    /// # Errors
    /// There is none left; how long until there is.
    pub(super) fn take(&self, name: &str, now: Instant) -> Result<(), Duration> {
        if self.most == 0 {
            return Ok(());
        }
        let most = f64::from(self.most);
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.entry(name.to_owned()).or_insert(Left { requests: most, at: now });
        let since = now.saturating_duration_since(left.at).as_secs_f64();
        left.requests = (left.requests + since * most).min(most);
        left.at = now;
        if left.requests < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left.requests) / most));
        }
        left.requests -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_seconds_worth_of_its_own_that_fills_up() {
        let (rates, begun) = (Rates::new(4), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        for _ in 0..4 {
            assert_eq!(rates.take("ann", at(0)), Ok(()));
        }
        assert_eq!(rates.take("ann", at(0)), Err(Duration::from_millis(250)));
        assert_eq!(rates.take("bob", at(0)), Ok(()), "another one's are another's");
        assert_eq!(rates.take("ann", at(100)), Err(Duration::from_millis(150)));
        assert_eq!(rates.take("ann", at(250)), Ok(()));
        assert!(rates.take("ann", at(250)).is_err());
        // However long nobody asks, there is no more than a second's worth.
        for _ in 0..4 {
            assert_eq!(rates.take("ann", at(60_000)), Ok(()));
        }
        assert!(rates.take("ann", at(60_000)).is_err());
    }

    #[test]
    fn nothing_is_no_limit() {
        let (rates, now) = (Rates::new(0), Instant::now());
        assert!((0..10_000).all(|_| rates.take("ann", now).is_ok()));
    }
}
