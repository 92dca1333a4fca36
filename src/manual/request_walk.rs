//! The way of a request: eight stops, downhill.
//!
//! All of it happens on one thread, the worker that accepted the connection, in one task per
//! connection. The files are those of [`proxy`](crate::proxy) unless said otherwise.
//!
//! ```text
//!  client ─▶ 1 accept ─▶ 2 head ─▶ 3 route ─▶ 4 pick ─▶ 5 connection ─▶ 6 exchange ─▶ backend
//!                                               ▲                          │
//!                                               └──────── 7 retry? ◀───────┘ failed
//!  client ◀──────────────────── 8 response, books closed ◀─────────────────┘ answered
//! ```
//!
//! # 1. Accept (`worker.rs`, `port.rs`)
//!
//! Every worker has its own socket for each listener (`SO_REUSEPORT`, see [`net::bind`](crate::net::bind)), and
//! the kernel spreads connections over them. A connection above the listener's `max_connections` is closed at
//! once, as is one above those of the file or of its client (`admission.rs`), and any while the process has
//! all the memory of its `memory_limit` (`memory.rs`). An admitted one becomes a task of its worker and stays
//! there for its life. epoll is told of a connection only when it has to be waited for: whoever has sent a request
//! by then and takes the answer costs no such call (`net/fresh.rs`), and its leaving is noticed from 50 to 100 ms
//! on (`enrolled.rs`). Where the listener has TLS, the handshake comes first (`secured.rs`), and the protocol that
//! was agreed on there is the one that is spoken.
//!
//! Where the listener passes connections through (`mode = "tcp"`), its way is a short one: `tcp.rs` reads the
//! name that a client of TLS asks for, if anybody wants to know, `dial.rs` picks and connects by the rules of
//! stops 4, 5 and 7, and `upgrade.rs` moves the bytes.
//!
//! # 2. The head (`downstream.rs`, `read_head.rs`)
//!
//! A connection that waits holds a socket, a timer and this task, and no buffer. When bytes have come, the
//! worker lends a buffer and the room for a request, both used before and used again.
//! [`RequestHead::parse`](crate::http1::RequestHead::parse) reads the head or refuses it; what is refused
//! gets its status and the connection ends, for where the next request begins is no longer known. Then
//! the worker takes its view of the current snapshot: one relaxed load when nothing is new
//! ([`Reader::current`](crate::snapshot::Reader::current)). The request keeps this view to its end.
//!
//! # 3. The route (`find.rs`, `service.rs`)
//!
//! The path is normalised ([`normalise`](crate::http1::target::normalise)) so that no spelling gets around a
//! route; near `memory_limit` the answer is 503 before anything is looked up.
//! [`RouteTable::find`](crate::snapshot::RouteTable::find) gives the route with everything that belongs to
//! it: upstream, time-outs, retry policy, header changes, counters. A redirect or a fixed
//! response is written here (`local.rs`) and goes on to stop 8. A split draws its upstream by weight. Within TLS,
//! a request for a name of another certificate than the client was shown comes to none: that is 421. Where
//! requests are traced, this is also where the request gets its trace, the caller's or one of its own (`traced`).
//!
//! What a route asks for besides is settled here too, and costs nothing where none asks: whom it lets in, its
//! limits (`limits.rs`), whether the body is read whole first (`upload/read.rs`). A rewrite, a question or a copy
//! before the action, an error that has a page, `go_to` and `X-Accel-Redirect` take the request on to another
//! route, at most ten times (`walk.rs`, `rewrite.rs`, `ask.rs`, `mirror.rs`): it comes back to this stop. The
//! attempts of all its rounds stand in one access line.
//!
//! # 4. The pick (`choice.rs`, `queue.rs`)
//!
//! A parked backend that is owed its trial request goes first; a trial whose client did not wait for its answer
//! is offered again after a pause. Otherwise the strategy picks
//! ([`Upstream::pick`](crate::snapshot::Upstream::pick), [`Plan::pick`](crate::balance::Plan::pick)) with
//! this worker's [`Cursor`](crate::balance::Cursor), the backends' [`Live`](crate::balance::Live) counters and
//! the set of those already [`Tried`](crate::balance::Tried). Nobody in the plan is ineligible: that was
//! settled when the snapshot was built. Those of which probes have said nothing yet are behind all others, for
//! requests that failed there. Where tiers share the requests, the lot falls on one first
//! ([`Tiers`](crate::balance::Tiers)). While a circuit breaker is not closed the plans are empty, and only its
//! trials find somebody. Where an upstream is crowded
//! ([`is_crowded`](crate::snapshot::Upstream::is_crowded)), the request comes to `queue.rs` first: a part is
//! refused by lot (`admission`), or as many are under way as it bears (`adaptive`), and whoever passes looks for
//! a backend there. Nobody at all is 503, or a turn in the upstream's [`Line`](crate::limit::Line) where
//! requests wait, until a circuit breaker opens: then that is 503 for them too. Where a route names the place itself (`send.to`), `sending.rs` finds an upstream or an
//! address first (`places.rs`), and the same rules go on from there.
//!
//! # 5. The connection (`carrier.rs`, `pool/mod.rs`, `connect.rs`)
//!
//! Where a limit holds for the upstream as a whole, the request has taken one of its places before it was given a
//! backend (`choose_at_once`, [`Line::enter`](crate::limit::Line::enter)), and keeps it from one attempt to the
//! next. Each attempt counts itself in at its backend (`take_place`, [`Live::enter`](crate::balance::Live::enter)).
//! Guards count both out however it ends, the backend's place first and then the upstream's, with which whoever
//! waits is called. The pool gives the idle connection that
//! was used last, after a look whether it is still quiet and not nearly as old as those that this backend has
//! closed (`idle.rs`); else a fresh one is made within the
//! connect time-out. The pool does not know the strategy, nor the strategy the pool.
//! As soon as a backend is picked, what the request needs of it is asked for (`picked` of `view.rs`): its pool's line, its
//! counters and its newest connection. Of hundreds of backends none is still in the processor's caches.
//! An HTTP/2 connection is shared instead: it is given to the next request too, within the same limits of age,
//! requests and idle time, as long as the backend allows one more at once on it; who comes while one is being
//! opened waits for it.
//!
//! # 6. The exchange (`upload/mod.rs`, `exchange/mod.rs`)
//!
//! [`write_request_head`](crate::proxy::headers::write_request_head) writes the head for the backend in one
//! pass over the fields that came; those that pass unchanged, one behind the other, are one copy. Request and
//! response then move on their own, at the pace of the slower side, and are not collected unless the route asks
//! for it: `request_buffering` for the request, and `response_buffer` and `rate` for the response (`pace.rs`).
//! Each time that the task is woken, the memory in which the request waited is fetched while the first bytes are
//! read (`lines.rs`), and with it the backend's counters: with hundreds of requests under way, or hundreds of backends,
//! it has left the processor's caches by then.
//! The beginning of the request's body is kept, up to `replay_body`, for another attempt. Of a large response
//! with a length, what is left behind its first bytes goes through a pipe of the kernel and is not looked at
//! (`piped.rs`), unless TLS or HTTP/2 is on either side. To a backend of `protocol = "h2c"` or `"h2"` the same
//! head and body go as a stream of an HTTP/2 connection that this worker's requests share (`backend_h2`). A client over
//! HTTP/2 is for all of this what one over HTTP/1.1 would be: each of its streams has a task, a head in
//! HTTP/1.1's words and a wire that takes and gives HTTP/1.1's bytes (`client_h2`). A response to `Upgrade`
//! turns the two connections into a tunnel (`switch.rs`, `upgrade.rs`). Early hints (103) go to the client at once,
//! where the route lets them pass; once it has any, no other attempt follows. Of a backend that speaks HTTP/2 a tunnel is
//! the one stream of a connection of its own, asked for by extended CONNECT (`backend_h2/tunnel.rs`); one that does
//! not say that it leads tunnels is asked for none, and the client is told 501. So is who asks over HTTP/2 for a
//! tunnel that no route lists. Where an
//! upstream declares `hedge`, a request that is
//! not answered within what is usual, and whose client is not bound to a backend, goes to a second one too, and
//! the first byte (over HTTP/2 the head) decides whose exchange this is (`hedge.rs`).
//!
//! # 7. Failed? (`retry.rs`, `failure.rs`)
//!
//! The only loop. `retry.rs` decides from facts alone: how it failed, whether bytes were sent, whether the
//! connection had been used before, whether the method is idempotent, whether the body can be sent again,
//! how many tries and how much time are left, how many of the last requests were retries (`budget.rs`). Yes,
//! after a pause (`backoff.rs`), leads back to stop 4 with this backend among the tried.
//! Where it is said who stands in which zone, the next backend is one of the same zone while there is one, and
//! another zone is gone to once, within the budget (`choose_after` of `choice.rs`).
//! Where the time is over that the client itself gave (`deadline.rs`), nobody is asked any more, and no backend
//! is judged by it.
//! No leads to `failure.rs`: one failure, one status, one word in log and metrics.
//! What breaks off behind its head is cut; only an answer of gRPC without a length ends with the status of the
//! failure (`rpc.rs`), in trailers behind what has gone out.
//!
//! # 8. The books (`judge.rs`, `books.rs`, `record.rs`)
//!
//! When an attempt ends, its [`Outcome`](crate::model::Outcome) and times go to the backend's counters, a
//! failure that crosses the limit becomes an [`Event`](crate::model::Event) for the control loop, and a
//! connection on which both messages ended where they should goes back to the pool. When the request ends,
//! its route is charged and the access line is handed to the log's own thread. The spans of a request that is
//! traced, its own and one for each attempt, go to the [`trace`](crate::trace) room's outbox, and nobody waits for
//! them to be delivered. The client's connection then
//! waits for the next request (stop 2), is closed, or is reset if what the client got is not the whole. Before it is
//! closed, the kernel is asked whether more has come, for then the close would be a reset; where the client has said
//! itself that nothing follows, a short answer leaves in one segment with the end (`outgoing.rs`).
//!
//! # The other walks
//!
//! - **A configuration:** signal, file watch or embedder → [`control::Handle`](crate::control::Handle) →
//!   [`config::load`](crate::config::load) → sockets for new listeners → snapshot → published. Unchanged
//!   upstreams are shared with the snapshot before, so their pools, counters and cursors live on.
//! - **A backend's health:** a probe's result or a crossed limit → event → control loop →
//!   [`health::rise`](crate::health::rise) or [`policy::parking`](crate::policy::parking) → on a change of
//!   verdict [`eligible`](crate::balance::eligible()) is asked anew and that one upstream is rebuilt.
//! - **A number:** a worker's own cell → summed at the scrape
//!   ([`Registry::encode`](crate::telemetry::Registry::encode)).
//! - **The end:** signal → listeners let nobody new in, take in who waits or is on the way, and close → requests
//!   finish or time out → logs are written out.
