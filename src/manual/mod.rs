//! The manual: chapters to read, no code.
//!
//! - [`operations`]: signals, reloads, logs, metrics, and what to look at at three in the morning
//! - [`config_reference`]: every setting with type, default and example
//! - [`algorithms`]: the ten strategies, and when to use which
//! - [`request_walk`]: the way of a request through the code, in eight stops
//! - [`coming_from_nginx`]: importing, and what becomes of each directive
//! - [`why_not`]: what was decided against, and why
//!
//! `tests/documents.rs` holds what it can of them: names of metrics, settings, commands and files.

pub mod algorithms;
pub mod coming_from_nginx;
pub mod config_reference;
pub mod operations;
pub mod request_walk;
pub mod why_not;
