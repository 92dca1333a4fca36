#![allow(
    clippy::doc_markdown,
    reason = "names of programs and of things in them, as people write them"
)]
#![doc = include_str!("coming_from_haproxy.md")]
