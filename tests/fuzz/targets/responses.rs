//! Any bytes of a backend become one answer that is right, or one of ours, or are cut where it shows;
//! nothing of them comes to the next client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_fuzz::{Proxy, answers};

fuzz_target!(|bytes: &[u8]| {
    let proxy = Proxy::running();
    let (method, bytes) = match bytes.split_first() {
        Some((byte, rest)) if byte % 4 == 1 => ("HEAD", rest),
        Some((_, rest)) => ("GET", rest),
        None => return,
    };
    proxy.answer_with(Some(bytes));
    let request = format!("{method} /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let got = proxy.ask(request.as_bytes());
    let told = || format!("{} as {}", bytes.escape_ascii(), got.escape_ascii());
    let found = answers(&got, &[method]).unwrap_or_else(|| panic!("{}", told()));
    assert!(found.len() <= 1, "{}", told());
    assert!(found.iter().all(|(status, ..)| *status != 101), "nobody asked for it: {}", told());
    proxy.answer_with(None);
    let next = proxy.ask(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(next.starts_with(b"HTTP/1.1 200 ") && next.ends_with(b"ok"), "{}", next.escape_ascii());
});
