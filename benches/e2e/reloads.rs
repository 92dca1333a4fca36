//! Reloads under load: each changes one backend among many.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::Result;
use crate::proxies::{Proxy, Setup};

/// Between two reloads, and before the first one.
const INTERVAL: Duration = Duration::from_millis(500);

/// Reloads that are to come, prepared so that the load is not held up by writing files.
pub(crate) struct Reloads<'a> {
    proxy: &'a Proxy,
    /// Whole configurations, the last one first.
    prepared: Vec<PathBuf>,
    count: usize,
    next: Duration,
}

impl<'a> Reloads<'a> {
    /// As many reloads as fit into `window`. In each, the last of `origins` has moved to another
    /// address of the same port.
    pub(crate) fn prepare(
        proxy: &'a Proxy,
        setup: &Setup<'_>,
        origins: &[SocketAddr],
        window: Duration,
    ) -> Result<Self> {
        let count = (window.as_millis() / INTERVAL.as_millis()) as usize - 1;
        let mut origins = origins.to_vec();
        let mut prepared = Vec::with_capacity(count);
        for number in 0..count {
            if let Some(last) = origins.last_mut() {
                last.set_ip([127, 2, 0, number as u8 + 1].into());
            }
            let path = proxy.file(&format!("reload-{number}"));
            fs::write(&path, proxy.plimsoll_config(&origins, setup))?;
            prepared.push(path);
        }
        prepared.reverse();
        Ok(Self { proxy, prepared, count, next: INTERVAL })
    }

    /// Makes the reload that has fallen due, if one has; `elapsed` counts from the window's start.
    pub(crate) fn turn(&mut self, elapsed: Duration) -> Result<()> {
        if elapsed >= self.next
            && let Some(path) = self.prepared.pop()
        {
            self.next += INTERVAL;
            fs::rename(path, self.proxy.file("proxy.conf"))?;
            self.proxy.signal(Signal::HUP);
        }
        Ok(())
    }

    /// Whether the proxy has told of each of them, and of its start.
    pub(crate) fn check(&self) -> Result<()> {
        let log = fs::read_to_string(self.proxy.file("stderr"))?;
        match log.matches("configuration applied").count() {
            applied if applied == self.count + 1 => Ok(()),
            applied => {
                Err(format!("{applied} configurations applied, not {}", self.count + 1).into())
            }
        }
    }
}
