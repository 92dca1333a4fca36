//! A body that is read whole before it is sent.

use std::future::poll_fn;
use std::task::Poll;

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
        let mut kept = Some(std::mem::take(&mut self.kept));
        let (mut still, begun) = (Still::default(), Instant::now());
        poll_fn(|cx| {
            if let Some(kept) = kept.take() {
                keep(&mut spool, &kept)?;
            }
            while !self.complete {
                let Poll::Ready(piece) = self.poll_read(down, buffers, cx) else {
                    let moved = Moved { sent: self.received, taken: 0, backend: 0 };
                    let since = still.since(Some(Waits::ForClient), moved, (client, begun));
                    let deadline = since + still.to_send(client);
                    return down.timer.poll(deadline, cx).map(|()| Err(Failure::BodyTimeout));
                };
                let (buffer, data) = piece?;
                let stored = keep(&mut spool, &buffer[data]);
                buffers.give(buffer);
                stored?;
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.spool = Some(spool);
        self.outgrown = false;
        Ok(())
    }

    /// Puts the next piece of a stored body on its way; `false`: there is none.
    pub(super) fn load(&mut self, buffers: &Buffers) -> Result<bool, Failure> {
        let stays = self.stays();
        let spool = self.spool.as_mut().filter(|spool| !stays && !spool.is_read());
        let Some(spool) = spool else { return Ok(false) };
        let mut buffer = buffers.take();
        match spool.read(&mut buffer) {
            Ok(n) => {
                self.outgoing.set_body(buffer, 0..n, buffers);
                Ok(true)
            }
            Err(error) => {
                buffers.give(buffer);
                tracing::error!(%error, "a request's body cannot be read again");
                Err(Failure::Storage)
            }
        }
    }

    /// Whether a stored body has gone out, or there is none.
    pub(super) fn is_unloaded(&self) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.is_read())
    }
}

/// Keeps the next bytes of a body.
fn keep(spool: &mut Spool, bytes: &[u8]) -> Result<(), Failure> {
    spool.push(bytes).map_err(|error| {
        tracing::error!(%error, "a request's body cannot be kept");
        Failure::Storage
    })
}
