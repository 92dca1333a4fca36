//! Copies of requests, after nginx's `mirror`: each is sent to one backend, and what that answers is
//! not looked at.
//!
//! A copy without a body leaves before the request itself does. One with a body leaves when the
//! request is answered, if all of the body has come and was kept, so that nobody waits for it. A copy
//! goes the way of every proxied request, with a client that says nothing.

use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::http1::Framing;
use crate::net::Stream;
use crate::proxy::ask::settle;
use crate::proxy::attempt;
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::passage::Passage;
use crate::proxy::port::Port;
use crate::proxy::request::State;
use crate::proxy::service;
use crate::proxy::walk::Walk;
use crate::proxy::wire::Wire;
use crate::proxy::worker::Worker;
use crate::snapshot::Action;

/// Copies that a worker may have under way. A place that answers slowly shall not take the
/// descriptors of all others; copies beyond it are not sent.
const MOST_UNDER_WAY: u32 = 256;

/// Sends a copy there: now, or when the body has come.
pub(super) fn send(walk: &mut Walk<'_, '_>, to: &[u8], with_body: bool) {
    if with_body && walk.state.head.framing() != Framing::None {
        let aim = walk.state.head.aim();
        walk.state.trail().mirrors.push((to.to_vec(), aim));
    } else {
        spawn(walk, to, None);
    }
}

/// Sends the copies that waited for the body.
pub(super) fn send_late(walk: &mut Walk<'_, '_>) {
    let Some(trail) = walk.state.trail.as_mut().filter(|trail| !trail.mirrors.is_empty()) else {
        return;
    };
    let mirrors = std::mem::take(&mut trail.mirrors);
    let Some(body) = walk.state.upload.whole().map(<[u8]>::to_vec) else {
        return;
    };
    for (to, aim) in mirrors {
        let now = walk.state.head.aim();
        walk.state.head.restore(aim);
        spawn(walk, &to, Some(&body));
        walk.state.head.restore(now);
    }
}

fn spawn(walk: &Walk<'_, '_>, to: &[u8], body: Option<&[u8]>) {
    let Some(open) = walk.at.open else { return };
    let worker = Rc::clone(&open.worker);
    let Some(under_way) = UnderWay::begin(&worker) else {
        tracing::debug!("too many copies under way: one is not sent");
        return;
    };
    let mut state = worker.states.take();
    state.head.clone_from(&walk.state.head);
    state.path.clone_from(&walk.state.path);
    state.id.clone_from(&walk.state.id);
    state.head.without_upgrade();
    if let Some(body) = body {
        state.upload.begin_with(body);
    } else {
        state.head.without_body();
        state.upload.begin(Framing::None, false, None);
    }
    let (port, client, to) = (Rc::clone(&open.port), *walk.client, to.to_vec());
    tokio::task::spawn_local(async move {
        copy(&worker, &port, &client, &to, &mut state).await;
        worker.states.give(state);
        drop(under_way);
    });
}

async fn copy(
    worker: &Rc<Worker>,
    port: &Rc<Port>,
    client: &ClientIdentity,
    to: &[u8],
    state: &mut State,
) {
    let Some((view, place)) = worker.view_of(port) else { return };
    // Nobody is at the other end, and it stays open.
    let Ok((nobody, _silent)) = UnixStream::pair() else { return };
    let mut down = Downstream::new(Wire::Socket(Stream::Unix(nobody)), client.downstream);
    let now = Instant::now();
    let listener = &*view.snapshot.listeners[place];
    let at = &Entrance {
        worker,
        open: None,
        view: &view,
        listener,
        served: 1,
        accepted: now,
        proxied: None,
        secured: None,
        started: now,
        whole: now,
    };
    let Some(entry) = settle(at, client, state, to) else { return };
    let Action::Proxy { rewrite, host, .. } = &entry.route.action else { return };
    let Some((destination, local)) = service::destination(at, entry) else { return };
    let passage = Passage::new((at, entry), (destination, local), (rewrite, host), client, true);
    if let Err(failure) = attempt::run(&passage, &mut down, state).await {
        tracing::debug!(route = entry.route.name, why = failure.label(), "a copy was not taken");
    }
}

/// A copy under way, counted until this is dropped.
struct UnderWay(Rc<Worker>);

impl UnderWay {
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let count = worker.copies.get();
        (count < MOST_UNDER_WAY).then(|| {
            worker.copies.set(count + 1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get() - 1);
    }
}
