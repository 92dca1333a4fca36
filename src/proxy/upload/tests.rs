use std::future::poll_fn;

use tokio::net::UnixStream;

use super::read::CONTINUE;
use super::*;
use crate::proxy::wire::Wire;

/// An upload of three bytes that the client withholds; the ends of client and backend.
fn withheld() -> (Upload, Downstream, Stream, UnixStream, UnixStream) {
    let (client, client_end) = UnixStream::pair().unwrap();
    let (backend, backend_end) = UnixStream::pair().unwrap();
    let client = Wire::Socket(Stream::Unix(client));
    let down = Downstream::new(client, std::net::Ipv4Addr::LOCALHOST.into());
    let mut upload = Upload::default();
    upload.begin(Framing::Length(3), true, None);
    upload.restart(&mut b"head".to_vec(), Framing::Length(3), 0);
    (upload, down, Stream::Unix(backend), client_end, backend_end)
}

/// What has come to this end; waits until something has.
async fn taken(end: &UnixStream) -> Vec<u8> {
    end.readable().await.unwrap();
    let mut bytes = vec![0; 100];
    let n = end.try_read(&mut bytes).unwrap();
    bytes.truncate(n);
    bytes
}

async fn poll_once(upload: &mut Upload, down: &mut Downstream, backend: &mut Stream) -> bool {
    let buffers = Buffers::default();
    poll_fn(|cx| Poll::Ready(upload.poll(down, backend, &buffers, cx).is_ready())).await
}

#[tokio::test]
async fn leave_is_given_once_the_head_is_with_the_backend() {
    let (mut upload, mut down, mut backend, client_end, backend_end) = withheld();
    assert!(!poll_once(&mut upload, &mut down, &mut backend).await);
    assert_eq!(taken(&backend_end).await, b"head");
    assert_eq!(taken(&client_end).await, CONTINUE);
    assert!(!upload.is_withheld());
    assert_eq!(upload.waits(), Waits::ForClient);
}

#[tokio::test]
async fn no_leave_is_given_once_the_request_is_answered() {
    let (mut upload, mut down, mut backend, client_end, _backend_end) = withheld();
    upload.end_withheld();
    assert!(poll_once(&mut upload, &mut down, &mut backend).await);
    drop(down);
    assert_eq!(taken(&client_end).await, b"", "the end, and nothing before it");
    assert!(!upload.is_delivered(), "its backend is not used again");
    assert!(!upload.is_complete(), "nor is the client's connection");
}

#[tokio::test]
async fn what_is_sent_again_is_head_and_all_that_was_kept() {
    let (mut upload, mut down, mut backend, _client_end, backend_end) = withheld();
    upload.keep_up_to = 3;
    down.leftover = b"abcnext".to_vec();
    assert!(poll_once(&mut upload, &mut down, &mut backend).await);
    assert!(upload.is_delivered() && upload.is_replayable());
    assert_eq!(taken(&backend_end).await, b"headabc");
    assert_eq!(down.leftover, b"next");
    upload.restart(&mut b"again".to_vec(), Framing::Length(3), 3);
    assert!(poll_once(&mut upload, &mut down, &mut backend).await);
    assert_eq!(taken(&backend_end).await, b"againabc");
}
