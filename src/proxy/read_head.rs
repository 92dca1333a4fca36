//! The head of a client's request, as it comes.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::http1::target::{normalise, normalise_unmerged};
use crate::http1::{Framing, HeadError, Limits, Names, Parse, RequestHead};
use crate::proxy::buffers::{Buffers, Lent};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::wire::Carries;
use crate::proxy::worker::Worker;
use crate::snapshot::settings::Client;

/// Bytes of a head that are read at once.
pub(super) const HEAD_READ: usize = 16 * 1024;

/// What came of waiting for a request.
pub(super) enum Next {
    /// A head is there.
    Request(Came),
    /// Nothing has come yet after all.
    Nothing,
    /// The connection ended between two requests.
    Closed,
    /// What came is not a request, or not in time.
    Bad(Instant, Failure),
}

/// When a request head came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    /// Its first bytes were there.
    pub(super) started: Instant,
    /// It was whole.
    pub(super) whole: Instant,
}

/// What a head may be.
pub(super) fn limits(client: &Client) -> Limits {
    let nginx = &client.nginx;
    Limits {
        max_head_bytes: client.max_head_bytes,
        max_fields: client.max_headers,
        max_target_bytes: client.max_target_bytes,
        max_field_bytes: nginx.max_field_bytes.unwrap_or(usize::MAX),
        names: if nginx.ignore_invalid_headers {
            Names::Plain { underscores: nginx.underscores_in_headers }
        } else {
            Names::Tokens
        },
        unique: nginx.refuse_repeated_fields,
        chunked_http10: false,
    }
}

/// What a head that was refused is called.
pub(super) fn refused(error: HeadError, client: &Client) -> Failure {
    match error {
        HeadError::TooLarge | HeadError::TooManyFields if client.nginx.oversized_is_400 => {
            Failure::OversizedHead
        }
        error => Failure::BadRequest(error),
    }
}

/// The path by which the request's route is found.
///
/// # Errors
/// It cannot be understood.
pub(super) fn normal_path<'p>(
    client: &Client,
    head: &'p RequestHead,
    scratch: &'p mut Vec<u8>,
) -> Result<&'p [u8], HeadError> {
    if client.nginx.keeps_slashes {
        normalise_unmerged(head.path(), scratch)
    } else {
        normalise(head.path(), scratch)
    }
}

impl Downstream {
    /// Reads until a request head is whole.
    pub(super) async fn next_head(
        &mut self,
        worker: &Worker,
        client: &Client,
        head: &mut RequestHead,
    ) -> Next {
        let started = Instant::now();
        let limits = limits(client);
        let refused = |error| refused(error, client);
        head.reset();
        if !self.leftover.is_empty() {
            match head.parse(&self.leftover, &limits) {
                Ok(Parse::Complete { len }) => {
                    self.leftover.drain(..len);
                    let whole = started;
                    return Next::Request(Came { started, whole });
                }
                Ok(Parse::Partial) => {}
                Err(error) => return Next::Bad(started, refused(error)),
            }
        }
        let deadline = started + client.header_timeout;
        let mut waited = false;
        poll_fn(|cx| match self.poll_head(worker, &limits, head, cx) {
            Poll::Ready(Ok(true)) => {
                // The client's slowness is not to be taken from the backends' time.
                let whole = if waited { Instant::now() } else { started };
                Poll::Ready(Next::Request(Came { started, whole }))
            }
            Poll::Ready(Ok(false)) => Poll::Ready(Next::Closed),
            Poll::Ready(Err(error)) => Poll::Ready(Next::Bad(started, refused(error))),
            // A socket may be called readable and not be: a fresh one always is.
            Poll::Pending if self.leftover.is_empty() => Poll::Ready(Next::Nothing),
            Poll::Pending => {
                waited = true;
                ready!(self.timer.poll(deadline, cx));
                // The empty line that some clients send behind a body is no request, and no answer
                // is due.
                let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                Poll::Ready(if self.leftover.iter().all(is_line_end) {
                    Next::Closed
                } else {
                    Next::Bad(started, Failure::HeaderTimeout)
                })
            }
        })
        .await
    }

    /// `false`: the connection ended, between two requests or in the middle of a head.
    fn poll_head(
        &mut self,
        worker: &Worker,
        limits: &Limits,
        head: &mut RequestHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, HeadError>> {
        loop {
            if ready!(self.stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(Ok(false));
            }
            let mut buffer = worker.buffers.take();
            let n = match self.stream.poll_read(cx, &mut buffer[..HEAD_READ]) {
                Poll::Ready(Ok(n)) if n > 0 => n,
                none => {
                    worker.buffers.give(buffer);
                    let _ = ready!(none);
                    return Poll::Ready(Ok(false));
                }
            };
            match self.parse((buffer, 0..n), limits, head, &worker.buffers) {
                Ok(Parse::Complete { .. }) => return Poll::Ready(Ok(true)),
                Ok(Parse::Partial) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Parses what was read before and these bytes. What is not of the head stays in `first_piece`
    /// or `leftover`.
    fn parse(
        &mut self,
        (buffer, read): Lent,
        limits: &Limits,
        head: &mut RequestHead,
        buffers: &Buffers,
    ) -> Result<Parse, HeadError> {
        let bytes = &buffer[read.clone()];
        let parsed = if self.leftover.is_empty() {
            // The common case: a whole head in one read is parsed where it lies.
            let parsed = head.parse(bytes, limits);
            match parsed {
                Ok(Parse::Complete { len }) if len < bytes.len() => {
                    if head.framing() != Framing::None {
                        self.first_piece = Some((buffer, read.start + len..read.end));
                        return parsed;
                    }
                    self.leftover.extend_from_slice(&bytes[len..]);
                }
                Ok(Parse::Complete { .. }) => {}
                Ok(Parse::Partial) | Err(_) => self.leftover.extend_from_slice(bytes),
            }
            parsed
        } else {
            self.leftover.extend_from_slice(bytes);
            let parsed = head.parse(&self.leftover, limits);
            if let Ok(Parse::Complete { len }) = parsed {
                self.leftover.drain(..len);
            }
            parsed
        };
        buffers.give(buffer);
        parsed
    }
}
