//! Plimsoll is a load balancer for HTTP: it accepts requests, picks a backend for each, and sees to it
//! that one broken backend is nobody's problem.
//!
//! This page is the map of the house. For running it, read [`manual`]; for embedding it, start at
//! [`config::parse`] and [`server::Server`].
//!
//! # Three ideas
//!
//! 1. **Decide rarely, read often.** What can be worked out when the configuration or a backend's
//!    health changes is worked out then, into an immutable [`snapshot::Snapshot`]. A request only looks
//!    things up in it. A plan holds nobody who may not be picked, so no request asks about health.
//! 2. **One writer.** Only [`control`] builds and publishes snapshots. Everyone else sends it a command
//!    or an event. Probes, traffic, name servers and reloads cannot overwrite each other, and each
//!    change has an order, a cause and a [`model::Generation`].
//! 3. **Each worker owns its world.** A worker is one thread with one single-threaded runtime, its own
//!    listening sockets, connection pools, cursors, random numbers and counters. Workers share the
//!    snapshot and one set of atomics per backend ([`balance::Live`]), and no lock: but for the line of
//!    those who wait where all backends are full ([`limit::Line`]), which has one.
//!
//! # Rooms
//!
//! | room | what it is for |
//! |---|---|
//! | [`model`] | the nouns: ids, weights, states, outcomes, events |
//! | [`telemetry`] | metrics, access log, program log |
//! | [`tls`] | certificates, keys and terms of TLS: from files' bytes to what sessions are made of |
//! | [`net`] | listening sockets, one stream type over TCP and Unix sockets, plain or with TLS |
//! | [`http1`] | our HTTP/1 codec: heads, framing, bodies |
//! | [`policy`] | who is taken out, where traffic goes instead, when it comes back |
//! | [`balance`] | who may be picked, and the ten ways to pick |
//! | [`limit`] | how often a key may ask, how often at once, and who waits for a backend |
//! | [`config`] | text to a checked configuration, or to everything that is wrong with it |
//! | [`acme`] | certificates of an authority: asked for, kept on disk, renewed in time |
//! | [`health`] | verdicts from probes and from traffic; the prober |
//! | [`snapshot`] | configuration and states to the world that workers read |
//! | [`dns`] | names to addresses: how name servers are asked |
//! | [`effect`] | what another configuration would change, and what would come of it |
//! | [`control`] | the one writer: reloads, health, names, publishing |
//! | [`trace`] | which trace a request belongs to; spans, and their way to a collector |
//! | [`proxy`] | the data plane: from a client's connection to a backend's and back |
//! | [`diagnose`] | one archive with all that somebody needs who shall help from afar |
//! | [`admin`] | metrics, status and changes by hand over HTTP |
//! | [`server`] | puts the rooms together: threads, signals, drain, upgrade |
//! | [`import`] | nginx's configuration to ours, and what became of each directive |
//! | [`simulate`] | load and faults in virtual time, through the code that runs |
//! | [`cli`] | what was typed to what it means |
//! | [`manual`] | chapters to read |
//!
//! # Walls
//!
//! A room imports downhill: only from rows above its own, and only what its row lists. The last column
//! marks code that is handed time, chance and environment instead of reaching for them. News travels
//! uphill as values through a channel ([`model::Event`]), never as a call.
//!
//! `tests/architecture.rs` reads this table and the sources and compares them, both ways: what is
//! imported is listed, what is listed is imported.
//!
//! | room | imports | crates | |
//! |---|---|---|---|
//! | [`model`] | – | – | |
//! | [`telemetry`] | `model` | `jiff` `prometheus` `rustix` `serde` `serde_json` `thiserror` `tracing` `tracing_subscriber` | |
//! | [`tls`] | – | `ahash` `arc_swap` `aws_lc_rs` `pkcs8` `rustls` `rustls_native_certs` `thiserror` `x509_cert` | |
//! | [`net`] | `tls` | `rustix` `rustls` `socket2` `thiserror` `tokio` | |
//! | [`http1`] | – | `memchr` `thiserror` `wide` | `pure` |
//! | [`policy`] | `model` | – | `pure` |
//! | [`balance`] | `model` `policy::spill` | – | `pure` |
//! | [`config`] | `model` `tls` `policy` `balance::Need` `balance::Strategy` `http1::is_trailer` | `ahash` `base64ct` `ipnet` `memchr` `regex` `rustix` `serde_json` `toml` | |
//! | [`limit`] | – | – | `pure` |
//! | [`acme`] | `model` `tls` `config::model` `telemetry` | `instant_acme` `rcgen` `serde_json` `thiserror` `tokio` `tracing` | |
//! | `acme::due` | `tls` | – | `pure` |
//! | [`health`] | `model` `tls` `net` `config::model` | `aws_lc_rs` `bytes` `fallible_iterator` `http` `http_body_util` `hyper` `hyper_util` `memchr` `postgres_protocol` `rustix` `serde_json` `tokio` | |
//! | `health::agent` | `model` | – | `pure` |
//! | `health::rise` | `model` | – | `pure` |
//! | `health::combine` | `model` | – | `pure` |
//! | `health::flap` | `model` | – | `pure` |
//! | `health::warm` | `model` | – | `pure` |
//! | [`snapshot`] | `model` `tls` `policy::spill` `balance` `limit` `config::model` `telemetry` | `ahash` `arc_swap` `md5` `memchr` `regex` `tokio` | |
//! | [`dns`] | `config::model` `snapshot::build` | `hickory_resolver` `tokio` | |
//! | [`effect`] | `model` `balance` `config::model` `snapshot` | `serde` | `pure` |
//! | [`control`] | `model` `tls` `policy` `acme` `config` `health` `snapshot` `telemetry` `dns` | `ahash` `fastrand` `rustix` `serde` `serde_json` `thiserror` `tokio` `tracing` | |
//! | [`trace`] | `net::Stream` `config::model` `snapshot::Reader` `telemetry` | `bytes` `fastrand` `http` `http_body_util` `hyper` `hyper_util` `prost` `tokio` `tracing` | |
//! | `trace::context` | – | – | `pure` |
//! | [`proxy`] | `model` `tls` `policy::admission` `policy::usual` `balance` `limit` `http1` `net` `snapshot` `telemetry` `dns` `trace` | `ahash` `bytes` `httpdate` `memchr` `slab` `tempfile` `tokio` `tracing` | |
//! | `proxy::budget` | – | – | `pure` |
//! | `proxy::retry` | `model` `snapshot::settings` `telemetry::RetryDenied` | – | `pure` |
//! | `proxy::rpc` | `http1` `proxy::failure` | – | `pure` |
//! | `proxy::failure` | `model` `http1::HeadError` | – | `pure` |
//! | `proxy::explain` | `model` `balance` `http1` `snapshot` `telemetry::RetryDenied` `proxy::facts` `proxy::headers` `proxy::read_head` `proxy::retry` `proxy::service` `proxy::vars` | `serde_json` | `pure` |
//! | `proxy::headers` | `model` `http1` `snapshot` `proxy::vars` | `memchr` | `pure` |
//! | `proxy::vars` | `model` `http1` `snapshot` `telemetry::Zone` `telemetry::basic_user` `tls::Secured` `proxy::headers` | `memchr` `regex` | `pure` |
//! | `proxy::client_h2` | `http1` `net` `snapshot` `proxy::downstream` `proxy::entrance` `proxy::failure` `proxy::lines` `proxy::port` `proxy::read_head` `proxy::request` `proxy::rpc` `proxy::service` `proxy::timer` `proxy::view` `proxy::wire` `tls::Secured` | `bytes` `h2` `http` `memchr` `tokio` `tracing` | |
//! | `proxy::backend_h2` | `model` `http1` `net` `proxy::downstream` `proxy::exchange` `proxy::failure` `proxy::headers` `proxy::outgoing` `proxy::pace` `proxy::still` `proxy::trailers` `proxy::upload` `proxy::wire` `telemetry::Answering` | `aws_lc_rs` `base64ct` `bytes` `h2` `http` `tokio` `tracing` | |
//! | [`diagnose`] | `config` `telemetry::tail` | `flate2` `jiff` `serde_json` `tar` | |
//! | [`admin`] | `model` `tls::Server` `config` `net::Acceptor` `net::Stream` `snapshot` `telemetry` `control` `effect` `proxy::explain` `diagnose` | `aws_lc_rs` `axum` `bytes` `flate2` `http_body_util` `hyper` `hyper_util` `prometheus` `serde` `serde_json` `similar` `tar` `tokio` `tower` `tracing` | |
//! | [`server`] | `model` `config` `snapshot::Reader` `control` `proxy` `net` `telemetry` `trace` `admin` | `fastrand` `listenfd` `rustix` `serde` `serde_json` `thiserror` `tokio` `tracing` | |
//! | [`import`] | `config` | `ipnet` `memchr` `regex` `serde_json` | `pure` |
//! | [`simulate`] | `model` `balance` `config::model` `snapshot` `health::flap` `health::rise` `health::warm` `policy` `proxy::budget` `proxy::retry` | `jiff` `plotters` `serde_json` `thiserror` | `pure` |
//! | [`cli`] | `model` `tls` `balance::Strategy` `config` `health::probe` `snapshot` `proxy::explain` `diagnose` `simulate` `import` `server` `telemetry` | `axum` `clap` `clap_complete` `clap_mangen` `hyper` `hyper_util` `jiff` `ratatui` `rustls` `serde` `serde_json` `tokio` `tracing` | |
//! | `main` | `cli` | `mimalloc` | |
//! | [`manual`] | – | – | |
//!
//! # Why HTTP/1 is our own
//!
//! The first plan had hyper's server towards clients and an own codec towards backends. Now [`http1`]
//! serves both sides, `h2` has HTTP/2 of either, and hyper what is left: the admin listener and the probes.
//! Frames and header compression of HTTP/2 clients are the `h2` crate's; what they say goes through
//! [`http1`] like everything else. The reasons:
//!
//! - **What has to be refused.** Of a request with both `Transfer-Encoding` and `Content-Length`, with
//!   two `Host` fields, or with a bare LF in its head, hyper's server hides that it was so, or passes it
//!   on. Two programs that read one request in two ways are how requests are smuggled.
//! - **What has to be said.** hyper's server cannot answer 408 to a head that does not end and cannot
//!   pass on 103. It writes header names in its own case.
//! - **What it costs.** Prototypes on one core, CPU per request against nginx 1.22 in the same run:
//!   with 128-byte responses 0.88 × with hyper towards clients, 0.75 × with the codec on both sides;
//!   with 10 KB responses 0.80 × and 0.61 × (64 connections, 2-core virtual machine, all on loopback).
//!   An idle connection held 22 KB with hyper, 1.6 KB with the codec.
//! - **One place.** One HTTP/1 engine instead of two keeps every rule of framing where it can be found.
//!
//! # Words
//!
//! Code, configuration, metrics, logs and documents use these words and no others for the same thing.
//!
//! | word | meaning |
//! |---|---|
//! | downstream | the client's side |
//! | listener | an address that we accept on |
//! | route | a rule on host, path, method and fields, and what becomes of a request that fits it |
//! | upstream | a named group of backends with its strategy and health policy (`HAProxy`: backend; Envoy: cluster) |
//! | backend | one address within an upstream (nginx, `HAProxy`: server; Envoy: endpoint) |
//! | weight | a backend's share, relative to the others |
//! | tier | backends that serve before or after others: 0 are the primaries, 1 the backups, and so on |
//! | admin state | what the operator wants of a backend: enabled, draining, disabled |
//! | probed state | what probes say: unprobed, checking, up, degraded, standby, draining, down |
//! | check | a named way to probe the backends of an upstream |
//! | share | the part of a backend's weight that is in effect |
//! | passive state | what traffic says: ok, parked, trial |
//! | eligible | may be picked, by the one rule in [`balance::eligible()`] |
//! | strategy | a way to pick |
//! | plan | a strategy's immutable tables, in the snapshot |
//! | cursor | a strategy's place, per worker |
//! | key | what of a request is hashed for affinity |
//! | pick | choosing one backend for one attempt |
//! | attempt | one try at one backend; a request has one or more |
//! | outcome | how an attempt ended |
//! | probe | a health request of our own |
//! | snapshot | the immutable world that workers read |
//! | generation | the number of a published snapshot |
//! | revision | a configuration that came into force, by its number |
//! | probation | the time in which a revision has to prove itself, or it goes back |
//! | worker | a thread that owns a share of the connections |
//! | trace | what became of one request in all programs that it went through (W3C Trace Context) |
//! | span | a part of a trace that took its time: of ours, a request or an attempt |
//! | collector | who takes spans (OpenTelemetry) |
//!
//! # House rules
//!
//! 1. A request decides nothing that could have been decided when the snapshot was built.
//! 2. Only `control` publishes.
//! 3. A room imports downhill.
//! 4. Pure code takes time, chance and environment as arguments.
//! 5. One rule, one place: who is eligible, what is retried, which failure is which status, what a thing
//!    is called.
//! 6. What is taken is held by a guard, and every way to end is tested.
//! 7. A bad configuration changes nothing and says what is wrong with it.
//! 8. Words come from the list above. Numbers come with the run that gave them.
//! 9. A rule may be broken under a comment that says why.

pub mod acme;
pub mod admin;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod diagnose;
pub mod dns;
pub mod effect;
pub mod health;
pub mod http1;
pub mod import;
pub mod limit;
pub mod manual;
pub mod model;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod simulate;
pub mod snapshot;
pub mod telemetry;
pub mod tls;
pub mod trace;
