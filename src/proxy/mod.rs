//! The data plane: from a client's connection to a backend's and back.
//!
//! The way of a request through these files: `worker` accepts; `downstream` reads heads;
//! (`secured` shakes hands where TLS is spoken); `service` finds the route and acts; `attempt` picks a backend, gets a connection (`pool`,
//! `connect`) and repeats where `retry` allows it; `upload` and `exchange` move the bytes both ways;
//! `sending` finds what is sent otherwise than it came, and the `places` that requests name;
//! `walk` takes a request that goes on elsewhere from route to route (`trail` is where it has been);
//! `failure` turns what went wrong into a status; `record` writes the line. `headers` and `vars`
//! are pure. `tcp` passes whole connections through instead, with `dial` in place of `attempt`.

mod admission;
mod ask;
mod attempt;
mod backend_h2;
mod buffers;
mod client_h2;
mod connect;
mod dial;
mod downstream;
mod exchange;
mod facts;
mod failure;
mod forward;
pub mod headers;
mod limits;
mod local;
mod log_line;
mod mirror;
mod outgoing;
mod pace;
mod piped;
mod places;
mod pool;
mod port;
mod proxied;
mod record;
mod request;
mod retry;
mod rewrite;
mod rpc;
mod secured;
mod sending;
mod service;
mod spool;
mod sticky;
mod still;
mod tcp;
mod timer;
mod trail;
mod trailers;
mod turn;
mod upgrade;
mod upload;
pub mod vars;
mod view;
mod walk;
mod wire;
mod worker;

pub use admission::{Clients, Descriptors};
pub use worker::{Order, Parts, Sockets, run};
