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
use crate::proxy::retry;

impl Passage<'_> {
    /// Waits before the next attempt after so many tries, as long as the client is there.
    ///
    /// # Errors
    /// The client left, or the time for all attempts is used up: nobody is asked any more.
    #[cold]
    pub(super) async fn back_off(
        &self,
        base: Duration,
        tries: u32,
        down: &mut Downstream,
    ) -> Result<(), Failure> {
        let micros =
            u32::try_from(retry::longest_pause(base, tries).as_micros()).unwrap_or(u32::MAX);
        let pause = self.at.worker.rng.borrow_mut().below(micros.saturating_add(1));
        let due = Instant::now() + Duration::from_micros(pause.into());
        let total = self.total().filter(|total| *total <= due);
        poll_fn(|cx| {
            down.poll_gone(&self.at.worker.buffers, cx)?;
            ready!(down.timer.poll(total.unwrap_or(due), cx));
            Poll::Ready(if total.is_some() { Err(self.out_of_time()) } else { Ok(()) })
        })
        .await
    }
}
