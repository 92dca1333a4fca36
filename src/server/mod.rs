//! The composition root: builds the rooms, starts the threads, drains and stops them.
//!
//! One thread per worker, and one for everything that is not a request: the control loop, probes,
//! name resolution, the file watch and the admin listener. That thread is never in a request's way,
//! and no flood of requests keeps it from answering.
//!
//! | file | what |
//! |---|---|
//! | `ports`, `inherited` | which listeners are bound, and which were before this process was there |
//! | `stage`, `limits` | what a configuration needs of the system |
//! | `threads` | the threads, and what becomes of one that panics |
//! | `signals`, `desk`, `supervisor` | what the process is told and asked, and what it tells systemd |
//! | `upgrade`, `predecessor` | one process takes the place of another, seen from both sides |

mod desk;
mod inherited;
mod limits;
mod memory;
mod pid_file;
mod ports;
mod predecessor;
mod signals;
mod stage;
mod supervisor;
mod threads;
mod upgrade;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::admin::Phase;
use crate::config::model::{Admin, Process};
use crate::config::{Config, Loaded};
use crate::control::{Handle, Held, Origin, ReloadError};
use crate::model::{Address, Generation, WorkerIx};
use crate::net::{self, BindError, SocketFile};
use crate::proxy::{self, Clients, Descriptors, Memory, Order};
use crate::telemetry::{AccessLog, LogHandle, Registry};
use crate::trace::Outbox;

use inherited::Left;
use pid_file::PidFile;
use ports::{Ports, Table};
use stage::Stage;
use threads::{ControlParts, ControlThread, start_control, start_worker};
use upgrade::{AdminSocket, Estate};

pub use desk::ask_for_upgrade;
pub use inherited::Inherited;
pub use limits::raise_descriptor_limit;
pub use predecessor::Predecessor;
pub use signals::Signals;
pub use supervisor::Supervisor;
pub use upgrade::{Program, Successor};

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
    /// The file for the process's id could not be written.
    #[error("pid_file {path}: {source}")]
    PidFile {
        /// Where it should be.
        path: String,
        /// The reason.
        source: io::Error,
    },
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
    /// The admin listener once more, for a process that takes this one's place.
    admin_socket: Option<AdminSocket>,
    /// Its file, removed in the end.
    admin_file: Option<SocketFile>,
    /// What is bound.
    bound: watch::Receiver<Table>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
    workers: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    /// Closed last, when nobody writes to it any more.
    access_log: Option<AccessLog>,
    /// The settings of the process that are in force.
    process: watch::Receiver<Process>,
    pid_file: Option<PidFile>,
    /// Once another process has this one's place: nothing is reloaded any more.
    held: Option<Held>,
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
        Self::start_with(loaded, file, None, Inherited::default())
    }

    /// As [`Server::start`], with what was there before this process. A reload that changes the level of
    /// the program log changes that of `log`.
    pub fn start_with(
        loaded: Loaded,
        file: Option<PathBuf>,
        log: Option<LogHandle>,
        mut inherited: Inherited,
    ) -> Result<Self, StartError> {
        let config = &loaded.config;
        let count = workers(config);
        let registry = Registry::new(count);
        stage::can_be_written(config).map_err(StartError::Log)?;
        let access_log = open_access_log(config, &registry)?;
        let (orders, inboxes): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let admin_left = config.admin.as_ref().and_then(|of| inherited.take_admin(&of.address));
        let mut ports = Ports::new(orders.clone(), inherited.listeners);
        let change = ports
            .bind(&config.listeners)
            .map_err(|(listener, source)| StartError::Listen { listener, source })?;
        ports.apply(change);
        let (addresses, bound) = (ports.addresses(), ports.bound());
        let admin = config.admin.as_ref().map(|admin| bind_admin(admin, admin_left)).transpose()?;
        let (admin, admin_socket, admin_file) = admin.unwrap_or_default();
        let admin_at = config.admin.as_ref().map(|admin| admin.address.clone());
        let admin_address = admin.as_ref().and_then(net::Listener::local_addr);
        let (settings, process) = watch::channel(config.process.clone());
        let (phase, now) = watch::channel(Phase::Starting);
        let stage = Stage {
            ports,
            access_log: access_log.handle().clone(),
            access_log_path: config.process.access_log.path.clone(),
            log,
            process: settings,
        };
        let (memory, (outbox, spans)) = (Arc::<Memory>::default(), Outbox::new());
        let (control, handle) = start_control(ControlParts {
            loaded,
            file,
            stage,
            admin,
            learned: inherited.learned,
            registry: Arc::clone(&registry),
            phase: now,
            memory: Arc::clone(&memory),
            spans,
        })
        .map_err(StartError::Thread)?;
        let mut server = Self {
            handle,
            addresses,
            admin: admin_address,
            admin_socket,
            admin_file,
            bound,
            orders,
            workers: Vec::with_capacity(count),
            phase,
            access_log: Some(access_log),
            process,
            pid_file: None,
            held: None,
            control: Some(control),
            clients: Arc::default(),
            descriptors: limits::descriptors(),
            memory,
        };
        for (number, inbox) in inboxes.into_iter().enumerate() {
            server.start_worker(number, inbox, (&registry, outbox.clone()))?;
        }
        if let Some(address) = server.admin.map(Address::Ip).or(admin_at) {
            tracing::info!(%address, "admin listening");
        }
        let pid_path = server.process.borrow().pid_file.clone();
        server.pid_file = pid_path.map(|path| write_pid(&path)).transpose()?;
        server.phase.send_replace(Phase::Ready);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(server)
    }

    fn start_worker(
        &mut self,
        number: usize,
        inbox: mpsc::UnboundedReceiver<Order>,
        (registry, spans): (&Arc<Registry>, Outbox),
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
            spans: spans.clone(),
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
        let handed_over = !self.phase.send_if_modified(|phase| {
            // Of a process that was replaced it stays known that it was.
            let serves = *phase != Phase::Replaced;
            if serves {
                *phase = Phase::Draining;
            }
            serves
        });
        let timeout = self.process.borrow().drain_timeout;
        let until = Instant::now() + timeout;
        tracing::info!(?timeout, "draining");
        order(&self.orders, || Order::Drain { until, handed_over });
    }

    /// Starts `program` and hands the listening sockets over to it. What it gives is the new process, once
    /// that serves; this one is to be told then that it is [`Server::replaced`].
    ///
    /// # Errors
    /// Why it does not serve. Nothing has changed then.
    pub fn upgrade(
        &self,
        program: Program,
    ) -> impl Future<Output = Result<Successor, String>> + Send + 'static {
        let patience = self.process.borrow().upgrade_timeout;
        let admin = self.admin_socket.as_ref().map(AdminSocket::try_clone).transpose();
        let (handle, orders) = (self.handle.clone(), self.orders.clone());
        let bound = self.bound.clone();
        async move {
            let admin = admin.map_err(|error| error.to_string())?;
            upgrade::replace(program, Estate { handle, orders, bound, admin }, patience).await
        }
    }

    /// Leaves everything that is listened on to the process that has taken this one's place. What is left
    /// to do is to [`Server::drain`].
    pub fn replaced(&mut self, successor: Successor) {
        for (file, _) in self.bound.borrow().values().filter_map(|bound| bound.file.as_ref()) {
            file.give_away();
        }
        if let Some(file) = &self.admin_file {
            file.give_away();
        }
        self.held = Some(successor.held);
        self.admin_socket = None;
        self.phase.send_replace(Phase::Replaced);
    }

    /// Whether every worker answers: to be asked now and then by who restarts processes that hang.
    pub fn alive(&self) -> impl Future<Output = bool> + Send + 'static {
        let orders = self.orders.clone();
        async move { upgrade::borrow(&orders).await.is_ok() }
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
        // Nobody accepts on it for much longer: who comes is refused then, and not left waiting.
        self.admin_socket = None;
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

/// What is had of the admin listener: for the thread that serves it, for the next process, and its file.
type AdminBound = (Option<net::Listener>, Option<AdminSocket>, Option<SocketFile>);

/// Binds the admin listener, or takes up what was bound before this process was there.
fn bind_admin(admin: &Admin, left: Option<Left>) -> Result<AdminBound, StartError> {
    stage::can_be_kept(admin).map_err(StartError::Log)?;
    let fault = |error| StartError::Admin(BindError::new(&admin.address, 1, 1, error));
    let (socket, file) = match (left, &admin.address) {
        (Some(left), address) => left.into_one(address).map_err(fault)?,
        (None, Address::Ip(address)) => {
            let socket = net::bind_one(*address).map_err(StartError::Admin)?;
            (net::Listener::Tcp(socket), None)
        }
        (None, Address::Unix(path)) => {
            let bound = net::bind_unix(path, admin.socket_mode, 1).map_err(StartError::Admin)?;
            let (mut sockets, file) = bound;
            (sockets.swap_remove(0), Some(file))
        }
    };
    let again = socket.try_clone().map_err(StartError::Thread)?;
    let (configured, owns_file) = (admin.address.clone(), file.is_some());
    let again = AdminSocket { configured, owns_file, socket: again };
    Ok((Some(socket), Some(again), file))
}

fn write_pid(path: &Path) -> Result<PidFile, StartError> {
    PidFile::write(path)
        .map_err(|source| StartError::PidFile { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests;
