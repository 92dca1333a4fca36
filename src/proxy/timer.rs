//! One timer per connection, re-armed lazily.
//!
//! A wait asks "not later than `deadline`". Deadlines move on with every request, but the timer
//! behind them is left where it is as long as it is early enough: when it fires too early it is set
//! to the deadline that holds by then. A busy connection so touches the timer wheel about once per
//! time-out period instead of several times per request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expired;

/// A connection's timer. Costs nothing until first waited on.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready once `deadline` has passed; else the task is woken then at the latest.
    pub(super) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Runs `work`, but not beyond `deadline`.
    pub(super) async fn within<F: Future>(
        &mut self,
        deadline: Instant,
        work: F,
    ) -> Result<F::Output, Expired> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(deadline, cx).map(|()| Err(Expired)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expires_at_the_deadline_that_holds_now_not_at_an_earlier_one() {
        let mut timer = Timer::default();
        let start = Instant::now();
        for after in [5, 60, 61, 10] {
            let deadline = Instant::now() + Duration::from_secs(after);
            assert_eq!(timer.within(deadline, pending::<()>()).await, Err(Expired));
            assert!(Instant::now() >= deadline);
        }
        assert!(start.elapsed() < Duration::from_secs(137), "no wait was longer than asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_time_gives_its_value() {
        let mut timer = Timer::default();
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(timer.within(deadline, async { 7 }).await, Ok(7));
    }
}
