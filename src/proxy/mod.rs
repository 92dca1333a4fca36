//! The data plane: from a client's connection to a backend's and back.
//!
//! The way of a request through these files: `worker` accepts; `downstream` serves a connection and
//! `read_head` reads heads (`secured` shakes hands where TLS is spoken); `service` acts on the route
//! that `find` finds; `attempt` makes attempts and repeats where `retry` allows it: each has its
//! backend by `choice`, its connection by `carrier` (`pool`, `connect`), is made by `forward`, and is
//! judged by `judge`; `upload` and `exchange` move the bytes both ways, and `answer` says what the
//! client gets. `entrance`, `passage` and `done` are what is known of a request when it comes, on its
//! way, and at its end.
//! `budget` and `backoff` keep repeated requests from becoming a load of their own; `idle` learns how long
//! connections live; `queue` has a request wait where all backends are full; `memory` keeps work out that there is no room for;
//! `sending` finds what is sent otherwise than it came, and the `places` that requests name;
//! `walk` takes a request that goes on elsewhere from route to route (`trail` is where it has been);
//! `traced` has requests belong to traces;
//! `failure` turns what went wrong into a status; `record` writes the line. `headers` and `vars`
//! are pure. `lines` has the processor fetch what a request needs next. `tcp` passes whole connections through instead, with `dial` in place of `attempt`.

mod admission;
mod answer;
mod ask;
mod attempt;
mod backend_h2;
mod backoff;
mod books;
mod browsers;
pub(crate) mod budget;
mod buffers;
mod carrier;
mod choice;
mod client_h2;
mod complaints;
mod connect;
mod date;
mod deadline;
mod dial;
mod done;
mod downstream;
mod enrolled;
mod entrance;
mod exchange;
pub mod explain;
mod facts;
mod failure;
mod find;
mod forward;
pub mod headers;
mod hedge;
mod idle;
mod judge;
mod limits;
mod lines;
mod local;
mod log_line;
mod memory;
mod mirror;
mod outgoing;
mod own;
mod pace;
mod passage;
mod piped;
mod places;
mod pool;
mod port;
mod proxied;
mod queue;
mod read_head;
mod record;
mod request;
pub(crate) mod retry;
mod retry_after;
mod rewrite;
mod rpc;
mod secured;
mod sending;
mod service;
mod sockets;
mod spool;
mod sticky;
mod still;
mod switch;
mod tcp;
mod timer;
mod traced;
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
pub use memory::Memory;
pub use sockets::{LentSockets, Sockets};
pub use worker::{Order, Parts, run};
