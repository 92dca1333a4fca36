//! A backend has switched protocols: the client is told, and bytes go both ways from then on.

use tokio::time::Instant;

use crate::http1::{Framing, ResponseHead};
use crate::model::Outcome;
use crate::proxy::answer::Said;
use crate::proxy::attempt::Progress;
use crate::proxy::done::{Done, End};
use crate::proxy::downstream::Downstream;
use crate::proxy::exchange::{Exchange, Received};
use crate::proxy::failure::Failure;
use crate::proxy::forward::Forward;
use crate::proxy::headers::Persistence;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::upgrade::{self, Flow};
use crate::proxy::wire::Carries;

impl Forward<'_> {
    /// Goes on in another protocol on a connection of HTTP/1.1, if that was asked for.
    pub(super) async fn upgrade(
        &self,
        (exchange, received): (Exchange<'_>, Received),
        asked: Option<&[u8]>,
        (said, response): (&Said<'_>, &ResponseHead),
        progress: &mut Progress,
        written: (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<Done, Failure> {
        if !asked.is_some_and(|asked| response.switches_to(asked)) {
            received.give_back(&self.passage.at.worker.buffers);
            return Err(Failure::Attempt(Outcome::InvalidResponse));
        }
        let (client, connection, to_client) = exchange.into_sides();
        let sides = (client, connection.stream, to_client);
        Ok(self.switch(sides, Some(received), (said, response), progress, written).await)
    }

    /// Goes on in the protocol that was asked for, until both sides have ended. `received` came behind
    /// the response's head.
    pub(super) async fn switch(
        &self,
        (client, backend, to_client): (&mut Downstream, impl Carries, &mut Outgoing),
        received: Option<Received>,
        (said, response): (&Said<'_>, &ResponseHead),
        progress: &mut Progress,
        (sent, out): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Done {
        self.passage.switched(self.choice, progress);
        let switched = (Framing::None, Persistence::Upgraded);
        let running = self.passage.running(self.choice, said.round, progress);
        let now = Instant::now();
        let vars = self.vars(said, response, &running, progress.uploaded, now);
        self.write_answer(&vars, response, 0, switched, now, out);
        self.keep_sent(sent, out);
        let mut down = Flow::default();
        down.outgoing = std::mem::take(to_client);
        down.outgoing.head.append(out);
        let before = down.outgoing.left() as u64;
        if let Some(received) = received {
            down.outgoing.head.extend_from_slice(received.bytes());
            received.give_back(&self.passage.at.worker.buffers);
        }
        self.tunnel((client, backend), down, before).await
    }

    /// Moves bytes both ways. `down` has so many for the client that are not the backend's.
    async fn tunnel(
        &self,
        (client, mut backend): (&mut Downstream, impl Carries),
        mut down: Flow,
        before: u64,
    ) -> Done {
        let _answering = self.answers();
        let mut up = Flow::default();
        up.outgoing.head.append(&mut client.leftover);
        let ended = upgrade::tunnel(
            &mut client.stream,
            &mut backend,
            (&mut up, &mut down),
            &self.passage.at.worker.buffers,
            &mut client.timer,
            self.passage.destination.timeouts.read,
        )
        .await;
        tracing::debug!(?ended, sent = up.moved, received = down.moved, "tunnel ended");
        Done {
            status: 101,
            body: down.moved.saturating_sub(before),
            length: down.moved,
            end: End::Close,
            ..Done::default()
        }
    }
}
