//! Asks another route whether a request may pass, after nginx's `auth_request`.
//!
//! The question has the request's head, as a GET without a body, and goes the way of every proxied
//! request; of the answer only the head counts.

use tokio::time::Instant;

use crate::proxy::attempt;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::find::{self, Again};
use crate::proxy::headers::ClientIdentity;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::rewrite::{Rewritten, rewrite};
use crate::proxy::service;
use crate::proxy::walk::Walk;
use crate::snapshot::{Action, RouteEntry};

/// Most rewrites on the way of a question.
const MOST_STEPS: u8 = 10;

/// Asks there.
///
/// # Errors
/// The request may not pass, or it is not known.
pub(super) async fn may_pass(walk: &mut Walk<'_, '_>, to: &[u8]) -> Result<(), Failure> {
    let state = &mut *walk.state;
    let (aim, path, attempts) = (state.head.aim(), state.path.clone(), state.attempts.len());
    let (trail, captured) = (state.trail.take(), state.captured.take());
    state.head.become_question();
    state.head.without_upgrade();
    let held = state.upload.hold();
    let answered = match settle(walk.at, walk.client, walk.state, to) {
        Some(entry) => ask(walk, entry).await,
        None => Err(Failure::AuthFailed),
    };
    let state = &mut *walk.state;
    state.head.restore(aim);
    state.path = path;
    (state.trail, state.captured) = (trail, captured);
    state.upload.release(held);
    state.as_it_came();
    state.attempts.truncate(attempts);
    state.tried.clear();
    state.key.clear();
    match answered {
        Ok(200..=299) => {
            let answer = std::mem::take(&mut state.response);
            state.trail().auth = Some(Box::new(answer));
            Ok(())
        }
        Ok(status @ (401 | 403)) => {
            let answer = std::mem::take(&mut state.response);
            if status == 401 {
                state.trail().keep_challenges(&answer);
            }
            Err(Failure::AuthRefused(status))
        }
        Err(Failure::ClientGone) => Err(Failure::ClientGone),
        Ok(_) | Err(_) => Err(Failure::AuthFailed),
    }
}

/// The route of a question or a copy, after its rewrites.
pub(super) fn settle<'a>(
    at: &'a Entrance<'a>,
    client: &ClientIdentity,
    state: &mut State,
    to: &[u8],
) -> Option<&'a RouteEntry> {
    let mut again = Again::Name(to);
    if !to.starts_with(b"@") {
        state.retarget(to).ok()?;
        again = Again::Behind(0);
    }
    let mut entry = find::find_again(at, client, state, again)?;
    for _ in 0..MOST_STEPS {
        let rules = entry.route.before.as_ref().map_or(&[][..], |before| &before.rewrites);
        let passes = matches!(entry.route.action, Action::Pass);
        let behind = entry.behind.unwrap_or(usize::MAX);
        let from = match rewrite(rules, (at, client), &entry.route.name, state) {
            Rewritten::Not if !passes => return Some(entry),
            Rewritten::Here if !passes => {
                state.trail().whole_path = true;
                return Some(entry);
            }
            Rewritten::Here | Rewritten::Elsewhere => usize::MAX,
            Rewritten::Not | Rewritten::Further => behind,
            Rewritten::Redirect(..) | Rewritten::Nowhere(_) => return None,
        };
        entry = find::find_again(at, client, state, Again::Behind(from))?;
    }
    None
}

/// The status that the route answers with.
async fn ask(walk: &mut Walk<'_, '_>, entry: &RouteEntry) -> Result<u16, Failure> {
    walk.state.response = crate::http1::ResponseHead::default();
    match &entry.route.action {
        Action::Proxy { rewrite, host, .. } => {
            let at = walk.at;
            let (destination, local) =
                service::destination(at, entry).ok_or(Failure::NoneEligible)?;
            let client = walk.client;
            let passage =
                Passage::new((at, entry), (destination, local), (rewrite, host), client, true);
            let passage = Passage { since: Instant::now(), ..passage };
            walk.state.tried.clear();
            walk.state.key.clear();
            Ok(attempt::run(&passage, walk.down, walk.state).await?.status)
        }
        Action::Respond(respond) => Ok(respond.status),
        Action::Redirect(redirect) => Ok(redirect.status),
        Action::GoTo(_) | Action::Close | Action::Pass => Err(Failure::AuthFailed),
    }
}
