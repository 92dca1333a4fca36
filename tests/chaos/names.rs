//! A name server that knows one address, for a second, and may fall silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::net::UdpSocket;

/// A name server.
pub(crate) struct Names {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
}

impl Names {
    /// Answers 127.0.0.1 to everybody who asks for an IPv4 address.
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let silent = Arc::new(AtomicBool::new(false));
        let falls = Arc::clone(&silent);
        tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                if !falls.load(SeqCst) {
                    socket.send_to(&answer(&question[..length]), from).await.unwrap();
                }
            }
        });
        Self { address, silent }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it answers nobody.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, SeqCst);
    }
}

/// The answer to a question (RFC 1035 §4).
fn answer(question: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let name = question[HEADER..].iter().position(|byte| *byte == 0).unwrap();
    let asked = &question[HEADER..HEADER + name + 5];
    let is_ipv4 = asked[name + 1..name + 3] == [0, 1];
    let mut out = question[..2].to_vec();
    // An answer, recursion was asked for and is available; one question, and one answer or none.
    out.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
    out.extend_from_slice(asked);
    if is_ipv4 {
        // The name of the question, type A, class IN, for one second, four bytes.
        out.extend_from_slice(&[0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    out
}
