use std::future::poll_fn;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;

fn settings() -> Settings {
    Settings {
        max_idle: 3,
        max_idle_total: None,
        idle_timeout: Duration::from_mins(1),
        max_lifetime: Duration::from_hours(1),
        max_requests: 0,
    }
}

/// A connection, and the backend's end of it.
fn connection(now: Instant) -> (Box<Connection>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Box::new(Connection::new(Stream::Unix(ours), None, &settings(), now)), theirs)
}

/// Waits until the kernel's report of an end or of bytes is in.
async fn until_readable(connection: &Connection) {
    poll_fn(|cx| connection.stream.poll_read_ready(cx)).await.unwrap();
}

#[test]
fn what_each_request_needs_is_on_one_line() {
    assert_eq!((align_of::<Front>(), size_of::<Front>()), (64, 64));
}

#[tokio::test]
async fn the_newest_is_used_first_and_the_oldest_goes_when_there_are_too_many() {
    let (pool, settings, now) = (Pool::default(), settings(), Instant::now());
    let mut ends = Vec::new();
    let opened = [0, 1, 2, 3].map(|second| now + Duration::from_secs(second));
    for opened in opened {
        let (connection, end) = connection(opened);
        pool.put(connection, &settings, now);
        ends.push(end);
    }
    assert_eq!(pool.len(), 3);
    for expected in [3, 2, 1] {
        let connection = pool.take(&settings, now, None).unwrap();
        assert!(connection.reused);
        assert_eq!(connection.retires, opened[expected] + settings.max_lifetime);
    }
    assert!(pool.take(&settings, now, None).is_none());
}

#[tokio::test]
async fn what_is_old_or_has_served_enough_is_not_used_again() {
    let (pool, mut settings, now) = (Pool::default(), settings(), Instant::now());
    let (first, _end) = connection(now);
    pool.put(first, &settings, now);
    assert!(pool.take(&settings, now + settings.idle_timeout, None).is_none());
    assert_eq!(pool.len(), 0);
    let (second, _end) = connection(now);
    pool.put(second, &settings, now + settings.max_lifetime);
    assert_eq!(pool.len(), 0);
    settings.max_requests = 2;
    let (third, _end) = connection(now);
    pool.put(third, &settings, now);
    let third = pool.take(&settings, now, None).unwrap();
    pool.put(third, &settings, now);
    assert_eq!(pool.len(), 0);
}

#[tokio::test]
async fn the_dead_and_the_talkative_are_closed() {
    let (pool, settings, now) = (Pool::default(), settings(), Instant::now());
    let (good, _good_end) = connection(now);
    let (dead, dead_end) = connection(now);
    let (talkative, mut talkative_end) = connection(now);
    drop(dead_end);
    talkative_end.write_all(b"x").await.unwrap();
    until_readable(&dead).await;
    until_readable(&talkative).await;
    for connection in [good, dead, talkative] {
        pool.put(connection, &settings, now);
    }
    assert!(pool.take(&settings, now, None).is_some());
    assert_eq!(pool.len(), 0, "the bad ones were met first");
    let (dead, dead_end) = connection(now);
    drop(dead_end);
    until_readable(&dead).await;
    pool.put(dead, &settings, now);
    pool.prune(&settings, now);
    assert_eq!(pool.len(), 0);
}

#[tokio::test]
async fn connections_nearly_as_old_as_those_that_the_backend_closes_are_not_used() {
    let (pool, settings, now) = (Pool::default(), settings(), Instant::now());
    let at = |seconds| now + Duration::from_secs(seconds);
    for (kept, closed) in [(0, 5), (10, 15)] {
        let (connection, end) = connection(at(kept));
        drop(end);
        until_readable(&connection).await;
        pool.put(connection, &settings, at(kept));
        pool.prune(&settings, at(closed));
    }
    let (young, _end) = connection(at(20));
    pool.put(young, &settings, at(20));
    let young = pool.take(&settings, at(23), None).unwrap();
    pool.put(young, &settings, at(23));
    assert!(pool.take(&settings, at(27), None).is_none(), "it closes them after 5 s");
}
