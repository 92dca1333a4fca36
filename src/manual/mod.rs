//! The manual: chapters to read, no code.
//!
//! - [`tutorial`]: ten minutes from nothing to a service that fails over
//! - how to: [`configuring`] safely, [`tls`] towards clients, a [`canary`], [`draining`] for a deploy,
//!   [`upgrading`] without losing a connection, [`tuning`], [`tracing`], running it in [`kubernetes`]
//! - [`operations`]: commands, signals, reloads, logs, metrics, statuses, and what to look at at three in the
//!   morning
//! - [`admin_api`]: the admin listener: who may ask, what it tells, changes by hand, revisions
//! - [`config_reference`]: every setting with type, default and example
//! - [`algorithms`]: the ten strategies, and when to use which
//! - [`request_walk`]: the way of a request through the code, in eight stops
//! - [`coming_from_nginx`]: importing, and what becomes of each directive
//! - [`coming_from_haproxy`]: what is called how, and an example
//! - [`standing_firm`]: what is tried against a proxy, what becomes of it, and the test that shows it
//! - [`why_not`]: what was decided against, and why
//!
//! `tests/documents.rs` holds what it can of them: names of metrics, settings, commands and files.
//! What the tutorial and the how-to chapters say is done by `tests/manual`, word by word.

pub mod admin_api;
pub mod algorithms;
pub mod canary;
pub mod coming_from_haproxy;
pub mod coming_from_nginx;
pub mod config_reference;
pub mod configuring;
pub mod draining;
pub mod kubernetes;
pub mod operations;
pub mod request_walk;
pub mod standing_firm;
pub mod tls;
pub mod tracing;
pub mod tuning;
pub mod tutorial;
pub mod upgrading;
pub mod why_not;
