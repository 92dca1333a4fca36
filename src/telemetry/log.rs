//! The program log: `tracing` to standard error, as text or JSON, with a level that a reload may
//! change. Called once by `server` at start; embedders may bring their own subscriber instead.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};

/// The program log could not be set up, or not be changed.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level's name is unknown.
    #[error("unknown log level `{0}`: use error, warn, info, debug or trace")]
    UnknownLevel(String),
    /// The process has a subscriber for `tracing` already.
    #[error("the program log is set up already")]
    AlreadySet,
    /// The subscriber is gone.
    #[error("the program log is closed")]
    Closed,
}

/// Changes the level of a running program log.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Sets the least level that is written: `error`, `warn`, `info`, `debug` or `trace`.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        self.0.reload(filter).map_err(|_| LogError::Closed)
    }
}

/// Sets up the program log of the process on standard error; `json` writes an object per line.
pub fn init(level: &str, json: bool) -> Result<LogHandle, LogError> {
    let colours = io::stderr().is_terminal();
    let (subscriber, handle) = subscriber(level, json, colours, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(handle)
}

/// Has panics told in the program log, in its form, instead of on standard error.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::error!(thread, "{panic}");
    }));
}

fn subscriber<W>(
    level: &str,
    json: bool,
    colours: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let format = fmt::layer().with_writer(writer);
    let format = if json {
        format.json().flatten_event(true).boxed()
    } else {
        format.with_ansi(colours).boxed()
    };
    // The filter stands below the format as a layer of its own, so it holds for both.
    Ok((Registry::default().with(filter).with(format), LogHandle(handle)))
}

/// The level is for what Plimsoll says; the crates it is built of speak from `warn` on.
fn filter(level: &str) -> Result<Targets, LogError> {
    let unknown = || LogError::UnknownLevel(level.to_owned());
    let level = ["error", "warn", "info", "debug", "trace"]
        .contains(&level)
        .then(|| LevelFilter::from_str(level).ok())
        .flatten()
        .ok_or_else(unknown)?;
    let others = level.min(LevelFilter::WARN);
    Ok(Targets::new().with_default(others).with_target(env!("CARGO_CRATE_NAME"), level))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(level: &str, json: bool, write: impl FnOnce(&LogHandle)) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let (subscriber, handle) = subscriber(level, json, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || write(&handle));
        memory.text()
    }

    #[test]
    fn the_level_holds_and_can_be_changed() {
        let text = log("info", false, |handle| {
            tracing::debug!("first");
            tracing::info!("second");
            handle.set_level("debug").unwrap();
            tracing::debug!("third");
            handle.set_level("error").unwrap();
            tracing::warn!("fourth");
        });
        let said = ["first", "second", "third", "fourth"].map(|word| text.contains(word));
        assert_eq!(said, [false, true, true, false], "{text}");
    }

    #[test]
    fn other_crates_speak_from_warn_on() {
        let text = log("debug", false, |_| {
            tracing::info!(target: "hyper::proto", "quiet");
            tracing::warn!(target: "hyper::proto", "loud");
        });
        assert!(!text.contains("quiet") && text.contains("loud"), "{text}");
    }

    #[test]
    fn json_is_an_object_per_line_with_the_fields_beside_the_message() {
        let text = log("info", true, |_| {
            tracing::info!(generation = 7, "published");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "published");
        assert_eq!(line["generation"], 7);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn an_unknown_level_is_refused_with_the_known_ones() {
        for bad in ["", "loud", "INFO", "off", "3"] {
            let error = init(bad, false).unwrap_err().to_string();
            assert!(error.contains("error, warn, info, debug or trace"), "{error}");
        }
    }
}
