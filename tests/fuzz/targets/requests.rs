//! Any bytes of a client of HTTP/1 become clean requests at the backend, each of which the proxy knows
//! of, and answers that a client can read; the next client is served.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_fuzz::{Proxy, answers};

/// Behind every input, so that most connections end by themselves.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n";

fuzz_target!(|bytes: &[u8]| {
    // That is the target `frames`.
    if bytes.starts_with(b"PRI ") {
        return;
    }
    let proxy = Proxy::running();
    let got = proxy.send(&[bytes, LAST].concat());
    // A switch of protocols ends what is known of the rest.
    if !bytes.windows(7).any(|seven| seven.eq_ignore_ascii_case(b"upgrade"))
        && !bytes.windows(4).any(|four| four == b"HEAD")
    {
        assert!(answers(&got, &[]).is_some(), "{}", got.escape_ascii());
    }
    let next = proxy.ask(LAST);
    assert!(next.starts_with(b"HTTP/1.1 200 "), "{}", next.escape_ascii());
});
