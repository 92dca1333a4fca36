//! One stream, from its head to its end.

use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::Instant;

use crate::http1::{HeadError, Parse};
use crate::proxy::client_h2::Shared;
use crate::proxy::client_h2::channel::{Asked, Channel, Form};
use crate::proxy::client_h2::request::{self, Told};
use crate::proxy::client_h2::seats::Seat;
use crate::proxy::downstream::{Downstream, until_cut};
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::lines::Lines;
use crate::proxy::read_head::{limits, refused};
use crate::proxy::request::State;
use crate::proxy::service;
use crate::proxy::timer::Timer;
use crate::proxy::view::View;
use crate::proxy::wire::Wire;
use crate::snapshot::settings::Client;

/// Timers kept for the next streams.
const TIMERS: usize = 16;

/// A stream whose head has come.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) under_way: UnderWay,
    /// Requests on its connection, this one included.
    pub(super) served: u64,
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// Serves one stream after the other.
pub(super) async fn serve(seat: Rc<Seat>, first: Box<Job>) {
    let mut job = first;
    loop {
        let shared = Rc::clone(&job.under_way.0);
        stream(*job).await;
        if !shared.open.worker.seats.give(&seat) {
            return;
        }
        // What waits shall not keep a connection's memory.
        drop(shared);
        job = seat.next().await;
    }
}

/// Serves one request.
async fn stream(job: Job) {
    let Job { under_way, served, request, mut respond } = job;
    let shared = &*under_way.0;
    let worker = &*shared.open.worker;
    let Some((view, place)) = worker.view_of(&shared.open.port) else {
        return respond.send_reset(Reason::REFUSED_STREAM);
    };
    let mut state = worker.states.take();
    let (parts, body) = request.into_parts();
    let client = &view.snapshot.listeners[place].client;
    let read = read(&parts, body.is_end_stream(), client, &mut state);
    let told = read.unwrap_or(Told { asked: Asked::Other, form: Form::Plain, length: None });
    let channel = Box::new(Channel::new(body, told, respond, shared.ends));
    let mut down = Downstream::new(Wire::Http2(channel), shared.peer);
    down.timer = shared.timer();
    let at = &shared.entrance(&view, place, served);
    match read {
        Ok(_) => {
            drop(parts);
            let handled = {
                let kept = Lines::of(&*state);
                let handling = pin!(service::handle(at, &mut down, &mut state));
                until_cut(worker, handling, Some(kept)).await
            };
            if handled.is_none() {
                service::note_cut(at, &down, &mut state);
            }
        }
        Err(error) => {
            down.leftover = request::first_line(&parts);
            drop(parts);
            let failure: Failure = refused(error, client);
            service::refuse(at, &mut down, &mut state, failure).await;
        }
    }
    worker.states.give(state);
    shared.give_timer(down.timer);
    if let Wire::Http2(channel) = down.stream
        && channel.finish()
    {
        shared.note_reset();
    }
}

/// Has the request's head parsed into `state`.
fn read(
    parts: &http::request::Parts,
    empty: bool,
    client: &Client,
    state: &mut State,
) -> Result<Told, HeadError> {
    state.head.reset();
    if parts.headers.len() > client.max_headers {
        return Err(HeadError::TooManyFields);
    }
    let State { head, out, .. } = state;
    out.clear();
    let told = request::write(out, parts, empty)?;
    // What was added is no fault of the client's: two fields, and a line with the host's name.
    let mut limits = limits(client);
    limits.max_head_bytes += 128;
    limits.max_fields += 4;
    match head.parse(out, &limits)? {
        Parse::Complete { .. } => {}
        Parse::Partial => return Err(HeadError::BadRequestLine),
    }
    head.came_over_http2();
    Ok(told)
}

/// A request under way, counted until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Rc<Shared>);

impl UnderWay {
    pub(super) fn enter(shared: &Rc<Shared>) -> Self {
        shared.active.set(shared.active.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let active = self.0.active.get() - 1;
        self.0.active.set(active);
        if active == 0 {
            self.0.idle_since.set(Instant::now());
            self.0.wake();
        }
    }
}

impl Shared {
    fn timer(&self) -> Timer {
        self.timers.borrow_mut().pop().unwrap_or_default()
    }

    fn give_timer(&self, timer: Timer) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() < TIMERS {
            timers.push(timer);
        }
    }

    /// Where and when a request came in.
    fn entrance<'a>(&'a self, view: &'a View, place: usize, served: u64) -> Entrance<'a> {
        let now = Instant::now();
        Entrance {
            worker: &self.open.worker,
            open: Some(&self.open),
            view,
            listener: &view.snapshot.listeners[place],
            served,
            accepted: self.accepted,
            proxied: self.proxied.as_deref(),
            secured: self.secured.as_deref(),
            started: now,
            whole: now,
        }
    }
}
