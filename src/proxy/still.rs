//! Since when nothing has moved, and whether a client moves fast enough.
//!
//! A client that is waited for has two bounds: it has to move something within a time, and so many
//! bytes within a longer one; else one that sends a byte a minute would stay for ever. Only the time
//! counts in which it is waited for, so that no client pays for a slow backend.

use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::upload::Waits;
use crate::snapshot::settings::Client;

/// How long a client has been waited for since it last moved enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slow {
    waited: Duration,
    /// What it had moved by then.
    mark: u64,
}

impl Slow {
    /// It was waited for, and has moved so many bytes by now.
    fn moved(&mut self, client: &Client, waited: Duration, bytes: u64) {
        if bytes.saturating_sub(self.mark) >= client.min_bytes {
            *self = Self { waited: Duration::ZERO, mark: bytes };
        } else {
            self.waited += waited;
        }
    }

    /// How much longer it is waited for, if it moves nothing within `idle`.
    fn left(&self, client: &Client, idle: Duration) -> Duration {
        if client.min_bytes == 0 {
            return idle;
        }
        idle.min(client.min_rate_over.saturating_sub(self.waited))
    }
}

/// Since when nothing has moved, and how much had by then.
#[derive(Debug, Default)]
pub(super) struct Still {
    since: Option<Instant>,
    moved: u64,
    /// Who is waited for; `None`: the client, who has to take bytes.
    waits: Option<Waits>,
    sends: Slow,
    takes: Slow,
}

/// Bytes that have moved so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    /// From the client.
    pub(super) sent: u64,
    /// To the client.
    pub(super) taken: u64,
    /// From and to the backend.
    pub(super) backend: u64,
}

impl Still {
    /// Since when nothing has moved. The clock is read only when something has since the last look;
    /// the first wait counts from `begun`.
    pub(super) fn since(
        &mut self,
        waits: Option<Waits>,
        moved: Moved,
        (client, begun): (&Client, Instant),
    ) -> Instant {
        let all = moved.sent + moved.taken + moved.backend;
        let since = match self.since {
            Some(since) if self.moved == all => since,
            None => begun,
            Some(before) => {
                let now = Instant::now();
                let waited = now.saturating_duration_since(before);
                match self.waits {
                    None => self.takes.moved(client, waited, moved.taken),
                    Some(Waits::ForClient) => self.sends.moved(client, waited, moved.sent),
                    Some(_) => {}
                }
                now
            }
        };
        *self = Self { since: Some(since), moved: all, waits, ..*self };
        since
    }

    /// How long a client is waited for that has to take bytes.
    pub(super) fn to_take(&self, client: &Client) -> Duration {
        self.takes.left(client, client.write_timeout)
    }

    /// How long a client is waited for that has to send bytes.
    pub(super) fn to_send(&self, client: &Client) -> Duration {
        self.sends.left(client, client.body_timeout)
    }

    /// The client waits for its turn, by our will.
    pub(super) fn hold(&mut self) {
        self.waits = Some(Waits::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn client(settings: &str) -> Client {
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{settings}\n[[route]]\nrespond = {{}}\n"
        );
        let loaded = config::parse("test.toml", &toml, &|_| None).unwrap();
        loaded.config.listeners[0].client.clone()
    }

    /// How long a client that sends so many bytes every second is waited for, up to a minute.
    async fn waited(client: &Client, bytes: u64, waits: Waits) -> u64 {
        let (mut still, begun) = (Still::default(), Instant::now());
        for second in 0..60 {
            let moved = Moved { sent: bytes * second, taken: 0, backend: second };
            let since = still.since(Some(waits), moved, (client, begun));
            if since + still.to_send(client) <= Instant::now() {
                return second;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        60
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_too_slow_is_given_up() {
        let limits = client("min_rate = \"100B\"\nmin_rate_over = \"10s\"");
        for (bytes, until) in [(1, 10), (50, 10), (99, 10), (101, 60), (100_000, 60)] {
            assert_eq!(waited(&limits, bytes, Waits::ForClient).await, until, "{bytes}");
        }
        let none = client("min_rate = 0\nmin_rate_over = \"10s\"");
        assert_eq!(waited(&none, 1, Waits::ForClient).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_does_not_pay_for_a_slow_backend() {
        let limits = client("min_rate = \"100B\"\nmin_rate_over = \"10s\"");
        assert_eq!(waited(&limits, 1, Waits::ForBackend).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_fast_at_first_may_not_be_slow_for_ever() {
        let limits = client("min_rate = \"100B\"\nmin_rate_over = \"10s\"");
        let (mut still, begun) = (Still::default(), Instant::now());
        let mut second = 0;
        loop {
            let moved = Moved { sent: 0, taken: 10_000_000 + second, backend: 0 };
            let since = still.since(None, moved, (&limits, begun));
            if since + still.to_take(&limits) <= Instant::now() {
                break;
            }
            assert!(second < 60);
            second += 1;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((10..13).contains(&second), "{second}");
    }
}
