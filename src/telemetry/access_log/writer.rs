//! The writer's thread, and the buffers that workers hand to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::combined::LocalClock;
use super::{Entry, Format, combined, json};
use crate::telemetry::Registry;

/// A worker hands its buffer over as soon as it holds this many bytes.
const BUFFER: usize = 16 * 1024;

/// Most bytes that wait for the writer; what comes beyond is dropped.
const QUEUE: usize = 16 * 1024 * 1024;

/// How long a stop waits for a disk that does not take the last lines.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The access log of the process. When dropped, it writes what was handed over before, waiting at
/// most 5 s for a disk that stands still; drop the workers' [`LocalLog`]s first.
#[derive(Debug)]
pub struct AccessLog {
    handle: AccessLogHandle,
    /// Never sent to; disconnected when the thread ends.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens the file (for appending; created if missing) or, for `None`, standard output, and
    /// starts the writer's thread. Dropped lines are counted in `registry`.
    pub fn start(path: Option<&Path>, registry: Arc<Registry>) -> io::Result<Self> {
        let (sender, inbox) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let queue = Queue { sender, waiting: Arc::default(), registry };
        let writer = Writer {
            inbox,
            queue: Arc::clone(&queue.waiting),
            registry: Arc::clone(&queue.registry),
            usual: Output { out: open(path)?, path: path.map(Path::to_owned), failing: false },
            others: Vec::new(),
            _alive: alive,
        };
        let thread =
            thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        let zone = TimeZone::system();
        Ok(Self { handle: AccessLogHandle { queue, zone }, ended, thread: Some(thread) })
    }

    /// The way to the log.
    pub fn handle(&self) -> &AccessLogHandle {
        &self.handle
    }
}

/// The way to the access log, for any thread. It does not keep the log alive.
#[derive(Debug, Clone)]
pub struct AccessLogHandle {
    queue: Queue,
    zone: TimeZone,
}

impl AccessLogHandle {
    /// Opens the file again, after somebody moved it away (USR1). If that fails, the old one stays
    /// in use and the program log says so.
    pub fn reopen(&self) {
        // A writer that is gone has no file to open again.
        let _ = self.queue.sender.send(Message::Reopen);
    }

    /// Writes to another file, or to standard output, from here on. If it cannot be opened, nothing
    /// changes.
    pub fn set_path(&self, path: Option<PathBuf>) -> io::Result<()> {
        let out = open(path.as_deref())?;
        let _ = self.queue.sender.send(Message::Open { out, path });
        Ok(())
    }

    /// Has no other files open than these, besides the usual one. Others are opened as lines for them
    /// come.
    pub fn keep(&self, paths: Vec<PathBuf>) {
        let _ = self.queue.sender.send(Message::Keep(paths));
    }

    /// A worker's own end of the log.
    pub fn local(&self) -> LocalLog {
        LocalLog::new(None, self.zone.clone(), self.queue.clone())
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let _ = self.handle.queue.sender.send(Message::Close);
        match self.ended.recv_timeout(CLOSE_WAIT) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("the access log could not be written to its end: gave up waiting");
            }
            // Nothing is ever sent: this is the thread's end.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
                    tracing::error!("the access log's thread has panicked");
                }
            }
        }
    }
}

/// A worker's end of the access log. What it still holds is handed over when it is dropped.
#[derive(Debug)]
pub struct LocalLog {
    /// The file; `None`: the usual one.
    path: Option<Arc<Path>>,
    buffer: Vec<u8>,
    lines: u64,
    clock: LocalClock,
    zone: TimeZone,
    queue: Queue,
    /// Those of other files.
    others: Vec<LocalLog>,
}

impl LocalLog {
    fn new(path: Option<Arc<Path>>, zone: TimeZone, queue: Queue) -> Self {
        let clock = LocalClock::new(zone.clone());
        Self { path, buffer: Vec::new(), lines: 0, clock, zone, queue, others: Vec::new() }
    }

    /// The log of this file; `None`: the usual one.
    pub fn of(&mut self, path: Option<&Path>) -> &mut Self {
        let Some(path) = path else { return self };
        let known = self.others.iter().position(|other| other.path.as_deref() == Some(path));
        let place = known.unwrap_or_else(|| {
            let (zone, queue) = (self.zone.clone(), self.queue.clone());
            self.others.push(Self::new(Some(path.into()), zone, queue));
            self.others.len() - 1
        });
        &mut self.others[place]
    }

    /// Formats one line. Never waits.
    pub fn record(&mut self, format: Format, entry: &Entry<'_>) {
        self.line(|buffer, clock| match format {
            Format::Combined => combined::write(entry, clock, buffer),
            Format::Json => json::write(entry, buffer),
        });
    }

    /// Takes a line that is written by the caller, with its end. Never waits.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.line(|buffer, _| write(buffer));
    }

    fn line(&mut self, write: impl FnOnce(&mut Vec<u8>, &mut LocalClock)) {
        if self.buffer.capacity() == 0 {
            // Room for the line that exceeds the limit.
            self.buffer.reserve(BUFFER + BUFFER / 4);
        }
        write(&mut self.buffer, &mut self.clock);
        self.lines += 1;
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    /// Hands what was recorded to the writer. To be called every second, so that a quiet worker's
    /// lines appear.
    pub fn flush(&mut self) {
        // A log that had nothing to say for a while is not kept.
        self.others.retain_mut(|other| {
            let has_lines = other.lines > 0;
            other.flush();
            has_lines
        });
        if self.lines > 0 {
            let (bytes, lines) =
                (std::mem::take(&mut self.buffer), std::mem::take(&mut self.lines));
            self.queue.push(self.path.clone(), bytes, lines);
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[derive(Debug)]
enum Message {
    Lines { path: Option<Arc<Path>>, bytes: Vec<u8>, lines: u64 },
    Keep(Vec<PathBuf>),
    Open { out: File, path: Option<PathBuf> },
    Reopen,
    Close,
}

/// The way to the writer: without a limit for commands, with one for lines.
#[derive(Debug, Clone)]
struct Queue {
    sender: Sender<Message>,
    /// Bytes of lines on their way. Relaxed: it guards no other memory, and a limit that is passed
    /// by a buffer per worker is good enough.
    waiting: Arc<AtomicUsize>,
    registry: Arc<Registry>,
}

impl Queue {
    fn push(&self, path: Option<Arc<Path>>, bytes: Vec<u8>, lines: u64) {
        let size = bytes.len();
        let fits = self.waiting.fetch_add(size, Relaxed).saturating_add(size) <= QUEUE;
        if !fits || self.sender.send(Message::Lines { path, bytes, lines }).is_err() {
            self.waiting.fetch_sub(size, Relaxed);
            self.registry.process().access_log_dropped(lines);
        }
    }
}

/// The thread's own things.
#[derive(Debug)]
struct Writer {
    inbox: Receiver<Message>,
    queue: Arc<AtomicUsize>,
    registry: Arc<Registry>,
    usual: Output,
    /// Files beside it, in the order in which lines for them came.
    others: Vec<Output>,
    /// Its end is what [`AccessLog`] waits for.
    _alive: Sender<()>,
}

/// A file that is written to.
#[derive(Debug)]
struct Output {
    out: File,
    path: Option<PathBuf>,
    /// The last write failed, and it was said.
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        while let Ok(message) = self.inbox.recv() {
            match message {
                Message::Lines { path, bytes, lines } => {
                    let written = match path {
                        None => self.usual.write(&bytes),
                        Some(path) => self.other(&path).is_some_and(|other| other.write(&bytes)),
                    };
                    // If only a part of it could be written, all its lines count as dropped.
                    if !written {
                        self.registry.process().access_log_dropped(lines);
                    }
                    self.queue.fetch_sub(bytes.len(), Relaxed);
                }
                Message::Keep(paths) => {
                    self.others.retain(|one| one.path.as_ref().is_some_and(|p| paths.contains(p)));
                }
                Message::Open { out, path } => (self.usual.out, self.usual.path) = (out, path),
                Message::Reopen => {
                    self.usual.reopen();
                    self.others.iter_mut().for_each(Output::reopen);
                }
                Message::Close => break,
            }
        }
    }

    /// The file of that path; `None`, and told, if it cannot be opened.
    fn other(&mut self, path: &Path) -> Option<&mut Output> {
        let known = self.others.iter().position(|other| other.path.as_deref() == Some(path));
        let place = match known {
            Some(place) => place,
            None => match open(Some(path)) {
                Ok(out) => {
                    self.others.push(Output { out, path: Some(path.into()), failing: false });
                    self.others.len() - 1
                }
                Err(error) => {
                    let path = path.display();
                    tracing::error!(%path, %error, "an access log cannot be opened, lines are lost");
                    return None;
                }
            },
        };
        self.others.get_mut(place)
    }
}

impl Output {
    /// Writes a buffer; whether that went well.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.out.write_all(bytes) {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the access log is written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !self.failing {
                    self.failing = true;
                    tracing::error!(%error, "the access log cannot be written, lines are lost");
                }
                return false;
            }
        }
        true
    }

    fn reopen(&mut self) {
        match open(self.path.as_deref()) {
            Ok(out) => self.out = out,
            Err(error) => {
                tracing::error!(path = ?self.path, %error, "the access log cannot be opened again");
            }
        }
    }
}

/// Whether a file can be appended to; it is made if it is not there.
///
/// # Errors
/// Why not.
pub fn can_append(path: &Path) -> io::Result<()> {
    open(Some(path)).map(drop)
}

fn open(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => OpenOptions::new().append(true).create(true).open(path),
        // A descriptor of our own: no lock and no second buffer on the way.
        None => io::stdout().as_fd().try_clone_to_owned().map(File::from),
    }
}
