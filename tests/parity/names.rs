//! A name server that knows every name: it is this machine.

use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::thread;

/// The address of the name server, which runs as long as the tests do.
pub(crate) fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut question) {
                if let Some(answer) = answer(&question[..len]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        address
    })
}

/// 127.0.0.1 to who asks for an IPv4 address, and nothing to all others (RFC 1035 §4.1).
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while *question.get(end)? != 0 {
        end += 1 + usize::from(question[end]);
    }
    let asked = question.get(12..end + 5)?;
    let wants_ipv4 = asked[asked.len() - 4..] == [0, 1, 0, 1];
    // Its number; an answer, as asked for, without fault; one question, and the answers.
    let mut answer =
        [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(wants_ipv4), 0, 0, 0, 0]].concat();
    answer.extend_from_slice(asked);
    if wants_ipv4 {
        // The name of the question, type A, class IN, 60 s, four bytes.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
