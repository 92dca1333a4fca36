//! A body that is read whole before it is sent.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::proxy::buffers::Buffers;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::spool::Spool;
use crate::proxy::still::{Moved, Still};
use crate::proxy::upload::{Upload, Waits};
use crate::snapshot::settings::{Client, RequestBuffering};

impl Upload {
    /// Reads the whole body before a backend is asked. A client that is too slow is not waited
    /// for.
    ///
    /// # Errors
    /// The client's, or [`Failure::Storage`].
    pub(in crate::proxy) async fn store(
        &mut self,
        settings: &RequestBuffering,
        down: &mut Downstream,
        buffers: &Buffers,
        client: &Client,
    ) -> Result<(), Failure> {
        let mut spool = Box::new(Spool::new(settings));
        // A place that was asked before has got a part of it. What fails here leaves no whole.
        self.outgrown = true;
        spool.push(&std::mem::take(&mut self.kept));
        let (mut still, begun) = (Still::default(), Instant::now());
        loop {
            poll_fn(|cx| {
                while !self.complete && !spool.is_due() {
                    let Poll::Ready(piece) = self.poll_read(down, buffers, cx) else {
                        let moved = Moved { sent: self.received, taken: 0, backend: 0 };
                        let since = still.since(Some(Waits::ForClient), moved, (client, begun));
                        let deadline = since + still.to_send(client);
                        return down.timer.poll(deadline, cx).map(|()| Err(Failure::BodyTimeout));
                    };
                    let (buffer, data) = piece?;
                    spool.push(&buffer[data]);
                    buffers.give(buffer);
                }
                Poll::Ready(Ok(()))
            })
            .await?;
            spool.write().await.map_err(|error| {
                tracing::error!(%error, "a request's body cannot be kept");
                Failure::Storage
            })?;
            if self.complete {
                break;
            }
        }
        self.spool = Some(spool);
        self.outgrown = false;
        Ok(())
    }

    /// Puts the next piece of a stored body on its way; `false`: there is none.
    pub(super) fn poll_load(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failure>> {
        let stays = self.stays();
        let spool = self.spool.as_mut().filter(|spool| !stays && !spool.is_read());
        let Some(spool) = spool else { return Poll::Ready(Ok(false)) };
        let mut buffer = buffers.take();
        match spool.poll_read(&mut buffer, cx) {
            Poll::Ready(Ok(n)) => {
                self.outgoing.set_body(buffer, 0..n, buffers);
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) => {
                buffers.give(buffer);
                tracing::error!(%error, "a request's body cannot be read again");
                Poll::Ready(Err(Failure::Storage))
            }
            Poll::Pending => {
                buffers.give(buffer);
                Poll::Pending
            }
        }
    }

    /// Whether a stored body has gone out, or there is none.
    pub(super) fn is_unloaded(&self) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.is_read())
    }
}
