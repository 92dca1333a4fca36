//! Connections of the admin listener, none of which can be held open at will.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::places::{Answer, Place, Places};
use super::{State, router};
use crate::net::{Acceptor, Stream};
use crate::tls::Server;

/// Open connections; more wait in the listener's queue. With the last one the one that idles for longest is
/// closed.
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
    let mut reader = state.reader.clone();
    let router = router(state);
    let (open, stop) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut places = Places::default();
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        if full {
            places.make_room();
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            () = places.one_idles(), if full => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, peer)) => {
                    let tls = reader.current().admin_tls.clone();
                    let (router, place) = (router.clone(), places.take());
                    let connection = connection((stream, peer), tls, router, place, stop.clone());
                    connections.spawn(connection);
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

/// Who is at the other end of a connection: from where, and by what the handshake has shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Their address; `None`: it is a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// Whether there was a handshake.
    pub(super) secured: bool,
    /// Whom the client's certificate is for, after RFC 4514; `None`: it has shown none.
    pub(super) subject: Option<String>,
    /// Its names.
    pub(super) names: Vec<String>,
}

impl Shown {
    fn of(stream: &Stream, peer: Option<IpAddr>) -> Self {
        let Some(secured) = stream.secured() else { return Self { peer, ..Self::default() } };
        let (subject, names) = match secured.client {
            Some(client) => (Some(client.subject.clone()), client.names()),
            None => (None, Vec::new()),
        };
        Self { peer, secured: true, subject, names }
    }
}

/// Shakes hands, where that is wanted.
async fn secure(stream: Stream, tls: Option<Arc<Server>>) -> io::Result<Stream> {
    match tls {
        Some(server) => {
            let patience = server.terms().handshake_timeout;
            timeout(patience, stream.accept(&server, &[])).await?
        }
        None => Ok(stream),
    }
}

/// One connection, until it ends by itself, its time is over, it is to make room, or `stop`'s sender is gone.
async fn connection(
    (stream, peer): (Stream, Option<IpAddr>),
    tls: Option<Arc<Server>>,
    router: Router,
    place: Arc<Place>,
    mut stop: watch::Receiver<()>,
) {
    let secured = tokio::select! {
        secured = secure(stream, tls) => secured,
        _ = place.asked_to_leave() => return,
    };
    let stream = match secured {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a handshake with the admin listener failed");
            return;
        }
    };
    let shown = Arc::new(Shown::of(&stream, peer));
    let held = Arc::clone(&place);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let busy = held.busy();
        request.extensions_mut().insert(Arc::clone(&shown));
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Answer { body, _busy: busy })) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return note(ended),
        served = place.asked_to_leave() => if !served {
            return;
        },
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
