//! What begins a connection to a listener with `proxy_protocol`, and one that goes by names of TLS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::net::{ClientHello, ProxyHeader};

fuzz_target!(|bytes: &[u8]| {
    let whole = ProxyHeader::read(bytes);
    // Bytes that come in pieces get the verdict of the whole, and nobody waits for what does not come.
    for end in 0..bytes.len() {
        match ProxyHeader::read(&bytes[..end]) {
            ProxyHeader::Partial => {}
            early => assert_eq!(early, whole, "at {end}"),
        }
    }
    if let ProxyHeader::Complete { len, ends } = whole {
        assert!(len <= bytes.len());
        if let Some(ends) = ends {
            for write in [ProxyHeader::write_line, ProxyHeader::write_binary] {
                let mut written = Vec::new();
                write(Some(ends), &mut written);
                let ProxyHeader::Complete { len, ends: Some(read) } = ProxyHeader::read(&written)
                else {
                    panic!("what we write we read: {written:?}");
                };
                assert_eq!(len, written.len());
                let plain = |end: std::net::SocketAddr| (end.ip().to_canonical(), end.port());
                assert_eq!((plain(read.0), plain(read.1)), (plain(ends.0), plain(ends.1)));
            }
        }
    }
    assert!(bytes.len() < 4096 || whole != ProxyHeader::Partial, "it has an end");
    let named = ClientHello::read(bytes);
    for end in 0..bytes.len() {
        match ClientHello::read(&bytes[..end]) {
            ClientHello::Partial => {}
            early => assert_eq!(early, named, "at {end}"),
        }
    }
});
