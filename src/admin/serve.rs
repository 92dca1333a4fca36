//! Connections of the admin listener, none of which can be held open at will.

use std::io;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::guard::plain;
use super::places::{Answer, Place, Places};
use super::problem::Problem;
use super::{State, router};
use crate::net::{Acceptor, Stream};
use crate::tls::Server;

/// Open connections. For one more the one that idles for longest is closed, or else the one that is busy for
/// longest; the others wait in the listener's queue.
const MAX_CONNECTIONS: usize = 64;
/// Between two looks who could make room.
const LOOK: Duration = Duration::from_millis(100);
/// For a whole request head, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time a connection is closed as soon as no request is under way on it.
const LIFETIME: Duration = Duration::from_mins(5);
/// For the request under way then: as long as any is waited for, which is an hour for a drain.
const LONGEST: Duration = Duration::from_mins(65);
/// For the request under way when the process ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// For the first request of a connection that was accepted just before the process ends.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// For the last answer to get out where others want the place.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the endpoints on `listener` until `shutdown`, and then at most 12 s longer for requests
/// under way and what was just accepted. To say `draining` for as long as the drain lasts, let `shutdown` come after it.
/// It gives whether nobody accepts on the listener any more then, so that who waits in its queue is to be
/// answered here.
pub async fn serve(listener: Acceptor, state: State, shutdown: impl Future<Output = bool>) {
    let mut reader = state.reader.clone();
    let router = router(state);
    let (open, stop) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut places = Places::default();
    let mut next = None;
    let is_last = loop {
        if connections.len() < MAX_CONNECTIONS {
            if let Some(accepted) = next.take() {
                let tls = reader.current().admin_tls.clone();
                let (router, place) = (router.clone(), places.take());
                connections.spawn(connection(accepted, tls, router, place, stop.clone()));
            }
        } else if next.is_some() {
            places.make_room();
        }
        tokio::select! {
            is_last = &mut shutdown => break is_last,
            Some(_) = connections.join_next() => {}
            () = sleep(LOOK), if next.is_some() => {}
            accepted = listener.accept(), if next.is_none() => match accepted {
                Ok(accepted) => next = Some(accepted),
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let queue = listener.into_listener().into_iter();
    let waiting = queue.flat_map(|socket| iter::from_fn(move || socket.accept_at_once().ok()));
    let most = if is_last { MAX_CONNECTIONS } else { 0 };
    for accepted in next.into_iter().chain(waiting.take(most)) {
        let tls = reader.current().admin_tls.clone();
        connections.spawn(connection(accepted, tls, router.clone(), places.take(), stop.clone()));
    }
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
        () = ending(stop.clone()) => return,
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
        // Who asked may go away, and may have gone already: what was asked for is done all the same.
        let answer = tokio::spawn(router.clone().oneshot(request.map(Body::new)));
        async move {
            let answer = answer.await.unwrap_or_else(|error| Ok(broke_off(&error)));
            answer.map(|answer| answer.map(|body| Answer { body, _busy: busy }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let (mut patience, mut closes) = (LIFETIME, false);
    loop {
        tokio::select! {
            ended = &mut connection => return note(ended),
            served = place.asked_to_leave() => {
                if !served {
                    return;
                }
                patience = ROOM_TIMEOUT;
            }
            _ = stop.changed(), if patience > FINISH_TIMEOUT => {
                if !closes && !place.has_served() {
                    patience = FIRST_REQUEST_TIMEOUT;
                    continue;
                }
                patience = FINISH_TIMEOUT;
            }
            () = sleep(patience) => {
                if closes {
                    return;
                }
                patience = LONGEST;
            }
        }
        closes = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// Ends when a connection on which nothing was asked for yet has to.
async fn ending(mut stop: watch::Receiver<()>) {
    // Only an error ever comes of it: that the sender is gone.
    let _ = stop.changed().await;
    sleep(FIRST_REQUEST_TIMEOUT).await;
}

fn broke_off(error: &JoinError) -> Response {
    let told = format!("it broke off, and may be done or not: {error}");
    plain(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broke_off", told).into_response())
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin listener broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn request_that_comes_as_the_process_ends_is_answered() {
        let router = Router::new().route("/", get(async || "done"));
        let (mut client, accepted) = pair().await;
        let (open, stop) = watch::channel(());
        drop(open);
        let place = Places::default().take();
        tokio::spawn(connection((Stream::Tcp(accepted), None), None, router, place, stop));
        tokio::task::yield_now().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    }

    #[tokio::test]
    async fn what_was_asked_for_by_who_has_left_already_is_done() {
        let (done, mut seen) = tokio::sync::mpsc::channel(1);
        let router = Router::new()
            .route("/", post(async move |body: String| done.send(body).await.unwrap()));
        let (mut client, accepted) = pair().await;
        client
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nme")
            .await
            .unwrap();
        drop(client);
        // Both have come before they are looked at.
        while !accepted.ready(Interest::READABLE).await.unwrap().is_read_closed() {
            tokio::task::yield_now().await;
        }
        let (_open, stop) = watch::channel(());
        let place = Places::default().take();
        connection((Stream::Tcp(accepted), None), None, router, place, stop).await;
        assert_eq!(seen.recv().await.as_deref(), Some("me"));
    }

    #[tokio::test]
    async fn what_broke_off_is_told() {
        let router = Router::new().route("/", get(async || -> &str { panic!("a fault of ours") }));
        let (mut client, accepted) = pair().await;
        let (_open, stop) = watch::channel(());
        let place = Places::default().take();
        tokio::spawn(connection((Stream::Tcp(accepted), None), None, router, place, stop));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("broke_off"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_connections_live_is_answered_and_the_connection_closed() {
        let hour = async || {
            sleep(Duration::from_hours(1)).await;
            "done"
        };
        let router = Router::new().route("/", get(hour));
        let (mut client, accepted) = pair().await;
        let (_open, stop) = watch::channel(());
        let place = Places::default().take();
        tokio::spawn(connection((Stream::Tcp(accepted), None), None, router, place, stop));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    }
}
