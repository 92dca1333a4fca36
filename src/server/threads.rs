//! The threads of the balancer: one per worker, and one for all that is not a request.

use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc as blocking};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::admin::{self, Phase};
use crate::config::Loaded;
use crate::control::{self, Handle, Learned};
use crate::net;
use crate::proxy::{self, Order, Sockets};
use crate::telemetry::Registry;
use crate::trace::{Inbox, export};

use super::memory;
use super::stage::Stage;

/// Before a worker that panicked starts anew: one that panics again and again must not eat a core.
const PAUSE: Duration = Duration::from_millis(100);

/// For the spans of the last requests, at the end of the process.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Starts a worker's thread. When the worker panics outside of a request, it is made anew from
/// `parts` and goes on with the sockets of before.
pub(super) fn start_worker(
    number: usize,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    parts: impl Fn() -> proxy::Parts + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (started, up) = blocking::channel();
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let mut started = Some(started);
        let mut sockets = Sockets::default();
        loop {
            let life = || {
                let runtime = local_runtime()?;
                if let Some(started) = started.take() {
                    let _ = started.send(Ok(()));
                }
                runtime.block_on(proxy::run(parts(), &mut inbox, &mut sockets));
                Ok(())
            };
            match catch_unwind(AssertUnwindSafe(life)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Err(error));
                        return;
                    }
                    tracing::error!(worker = number, %error, "cannot start anew, trying again");
                }
                Err(_) => tracing::error!(
                    worker = number,
                    "the worker panicked: its connections are lost, it starts anew"
                ),
            }
            thread::sleep(PAUSE);
        }
    })?;
    up.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at once")))?;
    Ok(thread)
}

/// What the control thread is made of.
pub(super) struct ControlParts {
    pub(super) loaded: Loaded,
    pub(super) file: Option<std::path::PathBuf>,
    pub(super) stage: Stage,
    pub(super) admin: Option<net::Listener>,
    pub(super) learned: Vec<Learned>,
    pub(super) registry: Arc<Registry>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) memory: Arc<proxy::Memory>,
    pub(super) spans: Inbox,
}

/// The thread of everything that is not a request; it ends when the sender is dropped.
pub(super) type ControlThread = (oneshot::Sender<()>, JoinHandle<()>);

/// Starts that thread.
pub(super) fn start_control(parts: ControlParts) -> io::Result<(ControlThread, Handle)> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, up) = blocking::channel();
    let thread =
        thread::Builder::new().name("control".to_owned()).spawn(move || match local_runtime() {
            Ok(runtime) => runtime.block_on(control(parts, started, stopped)),
            Err(error) => {
                let _ = started.send(Err(error));
            }
        })?;
    let handle =
        up.recv().unwrap_or_else(|_| Err(io::Error::other("the control thread ended at once")))?;
    Ok(((stop, thread), handle))
}

async fn control(
    parts: ControlParts,
    started: blocking::Sender<io::Result<Handle>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let ControlParts { loaded, file, stage, admin, learned, registry, phase, memory, spans } =
        parts;
    let access = loaded.config.admin.as_ref().map(admin::Access::of).unwrap_or_default();
    let (series, stage) = (Arc::clone(&registry), Box::new(stage));
    let handle = control::start_knowing(loaded, file, series, stage, learned).await;
    let watched = memory::watch(handle.reader(), memory, Arc::clone(&registry));
    let (end, ending) = watch::channel(false);
    let exporting = export(spans, handle.reader(), Arc::clone(&registry), ending);
    let exporting = tokio::task::spawn_local(exporting);
    let mut replaced = phase.clone();
    let state = admin::State {
        reader: handle.reader(),
        control: handle.clone(),
        access: Arc::new(access),
        registry,
        phase,
        started: Instant::now(),
    };
    let admin = match admin.map(net::Listener::register).transpose() {
        Ok(admin) => admin,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(handle)).is_err() {
        return;
    }
    // Who asks shall be answered by the process that serves, which listens here too by then. An error
    // means that the sender was dropped: the end.
    let replaced = async move {
        if replaced.wait_for(|phase| *phase == Phase::Replaced).await.is_err() {
            pending::<()>().await;
        }
    };
    let served = async {
        if let Some(listener) = admin {
            let end = async {
                tokio::select! {
                    _ = &mut stopped => true,
                    () = replaced => false,
                }
            };
            admin::serve(listener, state, end).await;
        }
        if !stopped.is_terminated() {
            let _ = stopped.await;
        }
    };
    tokio::select! {
        () = served => {}
        never = watched => match never {},
    }
    // No worker is there any more: what waits is all there is.
    end.send_replace(true);
    if tokio::time::timeout(LAST_SPANS, exporting).await.is_err() {
        tracing::warn!("spans are lost at the end: the collector takes too long");
    }
}

fn local_runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For request bodies that go to files; a disk takes no more at once anyhow.
        .max_blocking_threads(8)
        .build_local(tokio::runtime::LocalOptions::default())
}
