//! `plimsoll run`: balance until a signal ends it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{BAD, FAILED, complain};
use crate::config::model::LogFormat;
use crate::config::{self, Loaded};
use crate::server::{Server, Signals, raise_descriptor_limit};
use crate::telemetry;

/// Where a configuration is looked for when none is named.
const USUAL: [&str; 2] = ["plimsoll.toml", "/etc/plimsoll/plimsoll.toml"];

/// The configuration that is named, else the usual one; complains if there is none.
pub(super) fn file(named: Option<PathBuf>) -> Option<PathBuf> {
    let file = named.or_else(|| USUAL.map(PathBuf::from).into_iter().find(|f| f.exists()));
    if file.is_none() {
        complain(&format_args!(
            "no configuration: neither {} nor {} is there; name one with --config, or try `plimsoll \
             demo`",
            USUAL[0], USUAL[1],
        ));
    }
    file
}

pub(super) fn run(config: Option<PathBuf>) -> ExitCode {
    let Some(file) = file(config) else {
        return ExitCode::from(BAD);
    };
    match config::load(&file, &config::process_environment) {
        Ok(loaded) => serve(loaded, Some(&file)),
        Err(report) => {
            let colored = io::stderr().is_terminal();
            let _ = writeln!(io::stderr(), "{}", report.render(colored));
            ExitCode::from(BAD)
        }
    }
}

/// Serves a checked configuration until a signal ends it.
pub(super) fn serve(loaded: Loaded, file: Option<&Path>) -> ExitCode {
    let served = block_on(async {
        let signals = Signals::listen()?;
        signals.serve(start(loaded, file)?).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// Starts the program log and the server, with as many descriptors as the system allows.
pub(super) fn start(loaded: Loaded, file: Option<&Path>) -> io::Result<Server> {
    let log = &loaded.config.process.log;
    let log =
        telemetry::init(&log.level, log.format == LogFormat::Json).map_err(io::Error::other)?;
    telemetry::log_panics();
    raise_descriptor_limit();
    Server::start_with_log(loaded, file.map(Path::to_owned), Some(log)).map_err(io::Error::other)
}

/// Runs `work` on this thread; the server's threads are its own.
pub(super) fn block_on<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
