//! The pause before a request is sent again.
//!
//! Full jitter: a pause drawn between nothing and a limit that doubles with each try, up to ten times
//! the first (after Brooker, "Exponential backoff and jitter"). Those whose requests failed together so
//! do not come back together. A request that nobody has seen goes elsewhere at once.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;

/// The longest limit, in multiples of the first.
const MOST: u32 = 10;

impl Passage<'_> {
    /// Waits before the next attempt after so many tries, as long as the client is there; not beyond
    /// the time for all attempts.
    #[cold]
    pub(super) async fn back_off(
        &self,
        base: Duration,
        tries: u32,
        down: &mut Downstream,
    ) -> Result<(), Failure> {
        let micros = u32::try_from(limit(base, tries).as_micros()).unwrap_or(u32::MAX);
        let pause = self.at.worker.rng.borrow_mut().below(micros.saturating_add(1));
        let due = Instant::now() + Duration::from_micros(pause.into());
        let due = self.total().map_or(due, |total| total.min(due));
        poll_fn(|cx| {
            down.poll_gone(&self.at.worker.buffers, cx)?;
            ready!(down.timer.poll(due, cx));
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// The longest pause after so many tries.
fn limit(base: Duration, tries: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(MOST);
    base * doubled.min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_ten_times_the_first() {
        let base = Duration::from_millis(25);
        let limits: Vec<_> = [1, 2, 3, 4, 5, 40].map(|n| limit(base, n).as_millis()).into();
        assert_eq!(limits, [25, 50, 100, 200, 250, 250]);
    }
}
