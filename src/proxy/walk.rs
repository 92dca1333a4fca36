//! A request that goes on elsewhere: from route to route, until one answers.
//!
//! Most requests take one route and never come here. `service` calls it for a route that has
//! something to do first (a rewrite, a question, a copy), and when an answer is not to be sent but to
//! be followed: an error that has a page, a route that says `go_to`, `X-Accel-Redirect`. After nginx's
//! internal redirects: at most ten steps, then 500.

use tokio::time::Instant;

use crate::http1::target::normalise;
use crate::proxy::ask;
use crate::proxy::done::{Done, Onward};
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::find::{self, Again};
use crate::proxy::headers::ClientIdentity;
use crate::proxy::limits::Holds;
use crate::proxy::local;
use crate::proxy::mirror;
use crate::proxy::request::State;
use crate::proxy::rewrite::{Rewritten, rewrite};
use crate::proxy::service;
use crate::proxy::vars;
use crate::proxy::view::Local;
use crate::snapshot::settings::{Before, ErrorPage, Page, PageStatus, Template};
use crate::snapshot::{Action, RouteEntry};

/// What is next.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// It comes to a route.
    Enter(&'a RouteEntry),
    /// The route of its path is looked for.
    Search,
    /// The route of that name is looked for.
    SearchName(Vec<u8>),
    /// The route has acted: the answer went out, or is to be followed.
    Acted(&'a RouteEntry, Done),
    /// It failed; nothing went out.
    Failed(Option<&'a RouteEntry>, Failure),
}

/// A request on its way.
pub(super) struct Walk<'a, 'r> {
    pub(super) at: &'a Entrance<'a>,
    pub(super) client: &'r ClientIdentity,
    pub(super) down: &'r mut Downstream,
    pub(super) state: &'r mut State,
    /// What it holds of the limits that it passed.
    pub(super) holds: Holds<'a>,
    /// This worker's side of the upstream that was asked last.
    pub(super) local: Option<&'a Local>,
}

impl<'a> Walk<'a, '_> {
    /// Goes on until there is an answer.
    pub(super) async fn run(&mut self, mut step: Step<'a>) -> Done {
        loop {
            step = match step {
                Step::Enter(entry) => self.enter(entry).await,
                Step::Search => self.search(None),
                Step::SearchName(name) => self.search(Some(&name)),
                Step::Failed(entry, failure) => match self.failed(entry, failure).await {
                    Ok(step) => step,
                    Err(done) => return self.end(done),
                },
                Step::Acted(entry, done) => match done.onward {
                    None => return self.end(done),
                    Some(onward) => match self.follow(entry, done, onward).await {
                        Ok(step) => step,
                        Err(done) => return self.end(done),
                    },
                },
            }
        }
    }

    /// What went wrong on the way stays known, whatever the answer is.
    fn end(&mut self, done: Done) -> Done {
        mirror::send_late(self);
        let failure = self.state.trail.as_ref().and_then(|trail| trail.failure);
        Done { failure: done.failure.or(failure), ..done }
    }

    fn search(&mut self, name: Option<&[u8]>) -> Step<'a> {
        let behind = self.state.trail.as_ref().map_or(0, |trail| trail.behind);
        let again = name.map_or(Again::Behind(behind), Again::Name);
        match find::find_again(self.at, self.client, self.state, again) {
            Some(entry) => Step::Enter(entry),
            // After nginx, a name that is not there is a fault of the configuration.
            None if name.is_some() => Step::Failed(None, Failure::NoEnd),
            None => Step::Failed(None, Failure::NoRoute),
        }
    }

    /// What the route does first, then its action.
    async fn enter(&mut self, entry: &'a RouteEntry) -> Step<'a> {
        if let Some(before) = &entry.route.before {
            match self.begin(entry, before).await {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(failure) => return Step::Failed(Some(entry), failure),
            }
        }
        self.state.forget_round();
        self.state.upload.limit_anew(service::body_limit(self.at.listener, Some(entry)));
        let destination = service::destination(self.at, entry);
        self.local = destination.map(|(_, local)| local);
        // What has gone by until here is not to be taken from these backends' time.
        let at = (self.at, Instant::now());
        let Self { client, down, state, holds, .. } = self;
        match service::act(at, entry, client, destination, down, (state, holds)).await {
            Ok(done) => Step::Acted(entry, done),
            Err(failure) => Step::Failed(Some(entry), failure),
        }
    }

    /// What comes before the route's action; a step if it does not come to that.
    async fn begin(
        &mut self,
        entry: &'a RouteEntry,
        before: &Before,
    ) -> Result<Option<Step<'a>>, Failure> {
        if before.internal && !self.state.trail.as_ref().is_some_and(|trail| trail.internal) {
            return Err(Failure::NoRoute);
        }
        let passes = matches!(entry.route.action, Action::Pass);
        // Behind a route that has its place, none of those that go before all others counts.
        let behind = entry.behind.unwrap_or(usize::MAX);
        match rewrite(&before.rewrites, (self.at, self.client), &entry.route.name, self.state) {
            Rewritten::Not if !passes => {}
            Rewritten::Here if !passes => {
                let trail = self.state.trail();
                (trail.internal, trail.whole_path) = (true, true);
            }
            Rewritten::Not => {
                self.state.trail().behind = behind;
                return Ok(Some(Step::Search));
            }
            Rewritten::Here => {
                let trail = self.state.trail();
                (trail.internal, trail.behind) = (true, usize::MAX);
                return Ok(Some(Step::Search));
            }
            found @ (Rewritten::Elsewhere | Rewritten::Further) => {
                let trail = self.state.trail();
                (trail.internal, trail.whole_path) = (true, false);
                trail.behind = if found == Rewritten::Further { behind } else { usize::MAX };
                trail.step()?;
                return Ok(Some(Step::Search));
            }
            Rewritten::Nowhere(failure) => return Err(failure),
            Rewritten::Redirect(status, to) => {
                let done = local::go_there(
                    self.at,
                    Some(entry),
                    self.client,
                    self.down,
                    self.state,
                    (status, &to),
                )
                .await;
                return Ok(Some(Step::Acted(entry, done)));
            }
        }
        let Self { at, client, down, state, holds, .. } = self;
        if state.upload.exceeds(state.head.framing()) {
            return Err(Failure::BodyTooLarge);
        }
        service::limit(at, entry, client, down, (state, holds)).await?;
        service::admit(entry, client)?;
        if let Some(auth) = before.asked_about(client.address) {
            let to = self.render(auth, &entry.route.name);
            ask::may_pass(self, &to).await?;
        }
        for to in &before.mirrors {
            let to = self.render(to, &entry.route.name);
            mirror::send(self, &to, before.mirror_body);
        }
        Ok(None)
    }

    fn render(&self, template: &Template, route: &str) -> Vec<u8> {
        self.render_of(template, route, 0)
    }

    /// The same where the answer has this status so far.
    fn render_of(&self, template: &Template, route: &str, status: u16) -> Vec<u8> {
        let mut text = Vec::new();
        let mut vars = self.state.vars(self.at, self.client, route);
        vars.answer.status = status;
        vars::render(template, &vars, &mut text);
        text
    }

    /// Goes on where the route says.
    async fn go_to(&mut self, entry: &'a RouteEntry, to: &Template) -> Step<'a> {
        let to = self.render(to, &entry.route.name);
        self.go(Some(entry), &to, Method::Same).await
    }

    /// Goes on at a path with its query, or at `@name`.
    async fn go(&mut self, entry: Option<&'a RouteEntry>, to: &[u8], method: Method) -> Step<'a> {
        let trail = self.state.trail();
        if let Err(failure) = trail.step() {
            return Step::Failed(entry, failure);
        }
        (trail.internal, trail.behind) = (true, 0);
        if to.starts_with(b"@") {
            // A body that went out and was not kept cannot go with it.
            return if self.state.upload.can_go_on() {
                Step::SearchName(to.to_vec())
            } else {
                Step::Failed(entry, Failure::NoEnd)
            };
        }
        trail.whole_path = false;
        if let Err(failure) = self.state.retarget(to) {
            return Step::Failed(entry, failure);
        }
        if method == Method::Get {
            self.become_get().await;
        }
        Step::Search
    }

    /// Makes a GET of the request, or leaves it HEAD. Its body is for nobody.
    async fn become_get(&mut self) {
        self.drop_body().await;
        self.state.head.become_get();
    }

    /// The body is for nobody.
    async fn drop_body(&mut self) {
        let state = &mut *self.state;
        if local::is_worth_discarding(state) {
            // Whether the connection can go on shows later.
            local::discard_what_came(self.at, self.down, state).await;
        }
        state.upload.withhold();
        state.head.without_body();
    }

    /// Follows what came in place of an answer. `Err` is the answer.
    async fn follow(
        &mut self,
        entry: &'a RouteEntry,
        done: Done,
        onward: Onward,
    ) -> Result<Step<'a>, Done> {
        match onward {
            Onward::There => match &entry.route.action {
                Action::GoTo(to) => Ok(self.go_to(entry, to).await),
                _ => Ok(Step::Failed(Some(entry), Failure::NoEnd)),
            },
            Onward::Error => {
                if done.status == 401 && matches!(entry.route.action, Action::Proxy { .. }) {
                    let response = std::mem::take(&mut self.state.response);
                    self.state.trail().keep_challenges(&response);
                    self.state.response = response;
                }
                self.error(Some(entry), done.status, None).await
            }
            Onward::Accel => {
                let response = std::mem::take(&mut self.state.response);
                let to = response.find("x-accel-redirect").unwrap_or_default();
                let to = accelerated(to);
                self.state.trail().keep_of_accel(&response);
                self.state.response = response;
                Ok(match to {
                    Some(to) => self.go(Some(entry), &to, Method::Get).await,
                    None => Step::Failed(Some(entry), Failure::NoRoute),
                })
            }
        }
    }

    /// A failure of ours. `Err` is the answer.
    async fn failed(
        &mut self,
        entry: Option<&'a RouteEntry>,
        failure: Failure,
    ) -> Result<Step<'a>, Done> {
        self.state.trail().failure.get_or_insert(failure);
        self.error(entry, failure.status(), Some(failure)).await
    }

    /// An error, for which there may be a page. `Err` is the answer.
    async fn error(
        &mut self,
        entry: Option<&'a RouteEntry>,
        status: u16,
        failure: Option<Failure>,
    ) -> Result<Step<'a>, Done> {
        let page =
            self.page(entry, status).map(|page| (page, failure.is_none_or(Failure::goes_on)));
        match page {
            Some((ErrorPage { page: Page::Elsewhere(to), status: of, .. }, true)) => {
                let route = entry.map_or("", |entry| &*entry.route.name);
                let to = self.render_of(to, route, status);
                let recursive = entry
                    .and_then(|entry| entry.route.after.as_ref())
                    .is_some_and(|after| after.recursive_error_pages);
                let trail = self.state.trail();
                trail.to_error_page |= !recursive;
                trail.status = match of {
                    PageStatus::OfError => Some(status),
                    PageStatus::OfPage => None,
                    PageStatus::Fixed(status) => Some(*status),
                };
                if failure == Some(Failure::BodyTooLarge) {
                    self.drop_body().await;
                }
                if to.starts_with(b"/") || (to.starts_with(b"@") && self.state.upload.can_go_on()) {
                    let method = if to[0] == b'/' { Method::Get } else { Method::Same };
                    return Ok(self.go(entry, &to, method).await);
                }
                if to.starts_with(b"@") {
                    // The body that goes with the request cannot be sent again.
                    return Err(self.plain(entry, status, failure).await);
                }
                let status = match of {
                    PageStatus::Fixed(status @ (301 | 302 | 303 | 307 | 308)) => *status,
                    _ => 302,
                };
                let (at, client) = (self.at, self.client);
                let there = (status, &to[..]);
                Err(local::go_there(at, entry, client, self.down, self.state, there).await)
            }
            _ => Err(self.plain(entry, status, failure).await),
        }
    }

    /// The answer to an error by ourselves: its fixed page, or a line.
    async fn plain(
        &mut self,
        entry: Option<&'a RouteEntry>,
        status: u16,
        failure: Option<Failure>,
    ) -> Done {
        let failure = failure.unwrap_or(Failure::Answered(status));
        local::fail(self.at, entry, self.client, self.down, self.state, failure).await
    }

    /// The page for an error, unless it came up on the way to a page, or after too many steps.
    fn page(&self, entry: Option<&'a RouteEntry>, status: u16) -> Option<&'a ErrorPage> {
        if self.state.trail.as_ref().is_some_and(|trail| trail.to_error_page || trail.is_spent()) {
            return None;
        }
        service::error_page(self.at, entry, status)
    }
}

/// With which method a request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Its own, with its body.
    Same,
    /// GET, without a body; HEAD stays HEAD.
    Get,
}

/// The target of an `X-Accel-Redirect`: decoded, and not above the root.
fn accelerated(to: &[u8]) -> Option<Vec<u8>> {
    if to.starts_with(b"@") {
        return Some(to.to_vec());
    }
    let (raw, query) = match to.iter().position(|byte| *byte == b'?') {
        Some(at) => (&to[..at], &to[at..]),
        None => (to, &b""[..]),
    };
    let mut scratch = Vec::new();
    let decoded = normalise(raw, &mut scratch).ok()?;
    let climbs = raw.split(|byte| *byte == b'/').any(|segment| segment == b"..");
    (!climbs && decoded.starts_with(b"/")).then(|| [decoded, query].concat())
}

#[cfg(test)]
mod tests {
    use super::accelerated;

    #[test]
    fn a_target_is_decoded_and_does_not_climb() {
        for (to, expected) in [
            ("/a%20b?c=%20", Some("/a b?c=%20")),
            ("@name", Some("@name")),
            ("/a/../b", None),
            ("/a/%2e%2e/b", Some("/b")),
            ("/..", None),
            ("/%00", None),
            ("a", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(accelerated(to.as_bytes()), expected, "{to}");
        }
    }
}
