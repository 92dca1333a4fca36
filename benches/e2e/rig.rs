//! One thread, one loop: origins and load around the proxy under test.
//!
//! Both sit on the same core so that the proxy has its own; the loop is what bounds a run in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::epoll::Event;

use crate::Result;
use crate::cases::Case;
use crate::load::{Load, Pace};
use crate::origin::Origins;
use crate::poll::{self, Poll, Token};
use crate::proc::Usage;

/// The longest time that the last responses may take.
const DRAIN: Duration = Duration::from_secs(10);
/// How long idle connections are left alone before memory is read: longer than proxies wait
/// before they give back what an idle connection held.
const SETTLE: Duration = Duration::from_secs(4);
/// Connections that are opened at a time when many idle ones are wanted.
const BATCH: usize = 50;

/// Origins, and the means to put load on a proxy before them.
pub(crate) struct Rig {
    poll: Poll,
    origins: Origins,
    ready: Vec<Event>,
    scratch: Vec<u8>,
}

/// What one run gave.
pub(crate) struct Window {
    /// Responses that became complete in the window.
    pub(crate) requests: u64,
    /// Its length in seconds.
    pub(crate) seconds: f64,
    /// Latencies in microseconds: median, 99 %, 99.9 %, the longest.
    pub(crate) latency: [u64; 4],
    /// The longest one of a typical quarter of a second.
    pub(crate) typical_worst: u64,
    /// What the proxy used within it.
    pub(crate) proxy: Usage,
    /// What this process used within it: at 1 core the load is the limit, not the proxy.
    pub(crate) load: Usage,
}

impl Rig {
    /// Binds origins for so many backends.
    pub(crate) fn new(backends: usize) -> Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            origins: Origins::bind(backends, &poll)?,
            poll,
            ready: Vec::with_capacity(256),
            scratch: vec![0; 256 * 1024],
        })
    }

    /// Where the origins listen.
    pub(crate) fn origins(&self) -> Result<Vec<SocketAddr>> {
        self.origins.addresses()
    }

    /// Puts a case's load on `addresses`; `usage` reads what the proxy has used so far. In the window,
    /// `meanwhile` is called all the time with what has passed of it.
    pub(crate) fn measure(
        &mut self,
        case: &Case,
        pace: Pace,
        addresses: &[SocketAddr],
        usage: impl Fn() -> Result<Usage>,
        meanwhile: impl FnMut(Duration) -> Result<()>,
    ) -> Result<Window> {
        let mut load = Load::new(case.exchange(), pace, addresses.to_vec())?;
        load.connect(case.connections, &self.poll)?;
        self.run(&mut load, case.warm_up, |_| Ok(()))?;
        let (start, before, own, done) = (Instant::now(), usage()?, Usage::own()?, load.completed);
        let surprising = load.surprising;
        load.open_window(case.window);
        self.run(&mut load, case.window, meanwhile)?;
        let (seconds, proxy) = (start.elapsed().as_secs_f64(), usage()?.since(before));
        let own = Usage::own()?.since(own);
        let requests = load.completed - done;
        if (load.surprising - surprising) * 100 > requests {
            return Err("sessions are not resumed as the case wants it".into());
        }
        load.stop();
        self.drain(&mut load)?;
        if requests == 0 || load.latencies.is_empty() {
            return Err("no response within the window".into());
        }
        let latency = [0.5, 0.99, 0.999, 1.0].map(|part| load.latencies.value_at_quantile(part));
        let typical_worst = load.typical_worst();
        Ok(Window { requests, seconds, latency, typical_worst, proxy, load: own })
    }

    /// Bytes of memory per idle keep-alive connection, each of which has made one request.
    /// Growth is counted from the first batch on, so that what a first request costs is left out.
    pub(crate) fn idle(
        &mut self,
        case: &Case,
        addresses: &[SocketAddr],
        memory: impl Fn() -> Result<u64>,
    ) -> Result<f64> {
        let mut load = Load::new(case.exchange(), Pace::Once, addresses.to_vec())?;
        load.connect(BATCH, &self.poll)?;
        self.drain(&mut load)?;
        let before = memory()?;
        for _ in 1..case.connections / BATCH {
            load.connect(BATCH, &self.poll)?;
            self.drain(&mut load)?;
        }
        self.run(&mut load, SETTLE, |_| Ok(()))?;
        Ok((memory()? as f64 - before as f64) / (case.connections - BATCH) as f64)
    }

    /// Forgets the connections of a proxy that has ended.
    pub(crate) fn clear(&mut self) {
        self.origins.clear();
    }

    /// Turns the loop for a time.
    fn run(
        &mut self,
        load: &mut Load,
        length: Duration,
        mut meanwhile: impl FnMut(Duration) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        let end = start + length;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            meanwhile(now - start)?;
            load.send_due(now, &self.poll)?;
            // Sleeping would send late what falls due in between.
            let timeout = if load.is_open() { Duration::ZERO } else { end - now };
            self.turn(load, timeout)?;
        }
    }

    /// Turns the loop until all responses have come.
    fn drain(&mut self, load: &mut Load) -> Result<()> {
        let end = Instant::now() + DRAIN;
        while load.under_way() > 0 {
            if Instant::now() >= end {
                return Err(format!("{} responses never came", load.under_way()).into());
            }
            self.turn(load, Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn turn(&mut self, load: &mut Load, timeout: Duration) -> Result<()> {
        self.poll.wait(timeout, &mut self.ready)?;
        for event in &self.ready {
            match poll::whom(event) {
                Token::Listener(place) => self.origins.accept(place, &self.poll)?,
                Token::Origin(place) => {
                    self.origins.serve(place, &self.poll, &mut self.scratch)?;
                }
                Token::Load(place) => load.serve(place, &self.poll, &mut self.scratch)?,
            }
        }
        Ok(())
    }
}
