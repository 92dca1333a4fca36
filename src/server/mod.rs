//! The composition root: builds the rooms, starts the threads, drains and stops them.
//!
//! One thread per worker, and one for everything that is not a request: the control loop, probes,
//! name resolution, the file watch and the admin listener. That thread is never in a request's way,
//! and no flood of requests keeps it from answering.

mod limits;
mod memory;
mod ports;
mod signals;
mod stage;
mod threads;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::admin::Phase;
use crate::config::model::Admin;
use crate::config::{Config, Loaded};
use crate::control::{Handle, Origin, ReloadError};
use crate::model::{Address, Generation, WorkerIx};
use crate::net::{self, BindError, SocketFile};
use crate::proxy::{self, Clients, Descriptors, Memory, Order};
use crate::telemetry::{AccessLog, LogHandle, Registry};

use ports::Ports;
use stage::Stage;
use threads::{ControlParts, ControlThread, start_control, start_worker};

pub use limits::raise_descriptor_limit;
pub use signals::Signals;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound by every worker.
    #[error("listener \"{listener}\": {source}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// The reason.
        source: BindError,
    },
    /// The admin listener could not be bound.
    #[error("admin: {0}")]
    Admin(BindError),
    /// The access log could not be opened.
    #[error("access log {path}: {source}")]
    AccessLog {
        /// Where it should be.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A file or folder that is named cannot be written to.
    #[error("{0}")]
    Log(String),
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running balancer. Dropping it stops it at once; [`Server::drain`] stops it gracefully.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    addresses: BTreeMap<String, SocketAddr>,
    admin: Option<SocketAddr>,
    /// The admin listener's file, removed in the end.
    _admin_file: Option<SocketFile>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
    workers: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    /// Closed last, when nobody writes to it any more.
    access_log: Option<AccessLog>,
    drain_timeout: watch::Receiver<Duration>,
    control: Option<ControlThread>,
    /// The clients' connections of all workers.
    clients: Arc<Clients>,
    descriptors: Descriptors,
    memory: Arc<Memory>,
}

impl Server {
    /// Starts a balancer from a checked configuration. `file` is what a reload reads again, and is
    /// watched for changes; without it only [`Handle::apply`] changes the configuration.
    ///
    /// When this returns, every worker is accepting on every listener.
    pub fn start(loaded: Loaded, file: Option<PathBuf>) -> Result<Self, StartError> {
        Self::start_with_log(loaded, file, None)
    }

    /// As [`Server::start`]; a reload that changes the level of the program log changes that of
    /// `log`.
    pub fn start_with_log(
        loaded: Loaded,
        file: Option<PathBuf>,
        log: Option<LogHandle>,
    ) -> Result<Self, StartError> {
        let config = &loaded.config;
        let count = workers(config);
        let registry = Registry::new(count);
        stage::can_be_written(config).map_err(StartError::Log)?;
        let access_log = open_access_log(config, &registry)?;
        let (orders, inboxes): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let mut ports = Ports::new(orders.clone());
        let bound = ports
            .bind(&config.listeners)
            .map_err(|(listener, source)| StartError::Listen { listener, source })?;
        let (admin, admin_file) = match &config.admin {
            Some(admin) => {
                stage::can_be_kept(admin).map_err(StartError::Log)?;
                let (listener, file) = bind_admin(admin)?;
                (Some(listener), file)
            }
            None => (None, None),
        };
        let admin_at = config.admin.as_ref().map(|admin| admin.address.clone());
        ports.apply(bound);
        let addresses = ports.addresses();
        let admin_address = admin.as_ref().and_then(net::Listener::local_addr);
        let (timeout, drain_timeout) = watch::channel(config.process.drain_timeout);
        let (phase, now) = watch::channel(Phase::Starting);
        let stage = Stage {
            ports,
            access_log: access_log.handle().clone(),
            access_log_path: config.process.access_log.path.clone(),
            log,
            drain_timeout: timeout,
        };
        let memory = Arc::<Memory>::default();
        let (control, handle) = start_control(ControlParts {
            loaded,
            file,
            stage,
            admin,
            registry: Arc::clone(&registry),
            phase: now,
            memory: Arc::clone(&memory),
        })
        .map_err(StartError::Thread)?;
        let mut server = Self {
            handle,
            addresses,
            admin: admin_address,
            _admin_file: admin_file,
            orders,
            workers: Vec::with_capacity(count),
            phase,
            access_log: Some(access_log),
            drain_timeout,
            control: Some(control),
            clients: Arc::default(),
            descriptors: limits::descriptors(),
            memory,
        };
        for (number, inbox) in inboxes.into_iter().enumerate() {
            server.start_worker(number, inbox, &registry)?;
        }
        let bound = server.admin.map(Address::Ip).or(admin_at);
        if let Some(address) = bound {
            tracing::info!(%address, "admin listening");
        }
        server.phase.send_replace(Phase::Ready);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(server)
    }

    fn start_worker(
        &mut self,
        number: usize,
        inbox: mpsc::UnboundedReceiver<Order>,
        registry: &Arc<Registry>,
    ) -> Result<(), StartError> {
        let Some(log) = self.access_log.as_ref().map(|log| log.handle().clone()) else {
            return Ok(());
        };
        let (reader, events) = (self.handle.reader(), self.handle.events());
        let registry = Arc::clone(registry);
        let (clients, descriptors) = (Arc::clone(&self.clients), self.descriptors);
        let memory = Arc::clone(&self.memory);
        let parts = move || proxy::Parts {
            ix: WorkerIx(number as u16),
            reader: reader.clone(),
            log: log.local(),
            events: events.clone(),
            registry: Arc::clone(&registry),
            clients: Arc::clone(&clients),
            descriptors,
            memory: Arc::clone(&memory),
            seed: fastrand::u64(..),
        };
        let thread = start_worker(number, inbox, parts).map_err(StartError::Thread)?;
        self.workers.push(thread);
        Ok(())
    }

    /// Where each listener accepts, with the ports that the kernel chose for port 0, at start.
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// Where the admin listener accepts; `None` on a Unix socket too.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The way to the control loop.
    pub fn control(&self) -> &Handle {
        &self.handle
    }

    /// Reads the configuration again. A bad one changes nothing.
    pub async fn reload(&self) -> Result<Generation, ReloadError> {
        self.handle.reload(Origin::Signal).await
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_logs(&self) {
        if let Some(log) = &self.access_log {
            log.handle().reopen();
        }
    }

    /// Stops gracefully: `/readyz` fails, listeners close, idle connections may begin one last request
    /// within a second, and requests under way have until the drain time-out. [`Server::wait`] waits for the end of it.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
        let timeout = *self.drain_timeout.borrow();
        let until = Instant::now() + timeout;
        tracing::info!(?timeout, "draining");
        order(&self.orders, || Order::Drain { until });
    }

    /// What stops the server at once, to be kept beside [`Server::wait`].
    pub fn stopper(&self) -> impl FnOnce() + Send + 'static {
        let orders = self.orders.clone();
        move || order(&orders, || Order::Stop)
    }

    /// Waits until every worker has ended, then stops the rest and writes the logs out.
    pub fn wait(mut self) {
        self.join();
        tracing::info!("stopped");
    }

    fn join(&mut self) {
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        if let Some((stop, thread)) = self.control.take() {
            drop(stop);
            let _ = thread.join();
        }
        drop(self.access_log.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        order(&self.orders, || Order::Stop);
        self.join();
    }
}

fn order(workers: &[mpsc::UnboundedSender<Order>], order: impl Fn() -> Order) {
    for worker in workers {
        // A worker that has ended needs no order.
        let _ = worker.send(order());
    }
}

/// Number of workers: as configured, else one per core that this process may use.
fn workers(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    config.process.workers.map_or_else(cores, usize::from)
}

fn open_access_log(config: &Config, registry: &Arc<Registry>) -> Result<AccessLog, StartError> {
    let path = config.process.access_log.path.as_deref();
    AccessLog::start(path, Arc::clone(registry)).map_err(|source| {
        let path = path.unwrap_or("standard output".as_ref());
        let path = path.display().to_string();
        StartError::AccessLog { path, source }
    })
}

fn bind_admin(admin: &Admin) -> Result<(net::Listener, Option<SocketFile>), StartError> {
    let bound = match &admin.address {
        Address::Ip(address) => {
            net::bind_one(*address).map(|socket| (net::Listener::Tcp(socket), None))
        }
        Address::Unix(path) => net::bind_unix(path, admin.socket_mode, 1)
            .map(|(mut sockets, file)| (sockets.swap_remove(0), Some(file))),
    };
    bound.map_err(StartError::Admin)
}

#[cfg(test)]
mod tests;
