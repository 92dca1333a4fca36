//! Any frames of a client of HTTP/2 become clean requests of HTTP/1 at the backend, each of which the
//! proxy knows of; the next client is served.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_fuzz::Proxy;

/// The preface, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let proxy = Proxy::running();
    proxy.send(&[PREFACE, bytes].concat());
    let next = proxy.ask(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(next.starts_with(b"HTTP/1.1 200 "), "{}", next.escape_ascii());
});
