//! Connections of the admin listener, none of which can be held open at will.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::{State, router};
use crate::net::Acceptor;

/// Open connections; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 64;
/// For a whole request head, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time a connection is closed as soon as no request is under way on it.
const LIFETIME: Duration = Duration::from_mins(5);
/// For the request under way when a connection shall close.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the endpoints on `listener` until `shutdown`, and then at most 10 s longer for requests
/// under way. To say `draining` for as long as the drain lasts, let `shutdown` come after it.
pub async fn serve(listener: Acceptor, state: State, shutdown: impl Future<Output = ()>) {
    let router = router(state);
    let (open, stop) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    drop(open);
    while connections.join_next().await.is_some() {}
}

/// A connection, of whichever kind.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

async fn accept(listener: &Acceptor) -> io::Result<Box<dyn Connection>> {
    Ok(match listener {
        Acceptor::Tcp(socket) => Box::new(socket.accept().await?.0),
        Acceptor::Unix(socket) => Box::new(socket.accept().await?.0),
    })
}

/// One connection, until it ends by itself, its time is over, or `stop`'s sender is gone.
async fn connection(stream: Box<dyn Connection>, router: Router, mut stop: watch::Receiver<()>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return note(ended),
        _ = stop.changed() => {}
        () = sleep(LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(FINISH_TIMEOUT, connection).await {
        note(ended);
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin listener broke");
    }
}
