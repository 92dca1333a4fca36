//! `plimsoll run`: balance until a signal ends it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{BAD, FAILED, complain};
use crate::config::model::LogFormat;
use crate::config::{self, Loaded};
use crate::server::{
    Inherited, Predecessor, Program, Server, Signals, Supervisor, raise_descriptor_limit,
};
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
    let (before, inherited) = match before() {
        Ok(before) => before,
        Err(error) => {
            complain(&error);
            return ExitCode::from(FAILED);
        }
    };
    let failed = |why: &str| {
        if let Some(before) = &before {
            before.failed(why);
        }
    };
    let Some(file) = file(config) else {
        failed("no configuration is named, and the usual ones are not there");
        return ExitCode::from(BAD);
    };
    match config::load(&file, &config::process_environment) {
        Ok(loaded) => serve(loaded, &file, (before, inherited)),
        Err(report) => {
            let colored = io::stderr().is_terminal();
            let _ = writeln!(io::stderr(), "{}", report.render(colored));
            failed(&report.render(false));
            ExitCode::from(BAD)
        }
    }
}

/// Who was there before this process, and what it has from there.
type Before = (Option<Predecessor>, Inherited);

/// Finds the process that this one takes the place of, else what systemd has bound.
fn before() -> io::Result<Before> {
    match Predecessor::find()? {
        Some((before, inherited)) => Ok((Some(before), inherited)),
        None => Ok((None, Inherited::from_systemd()?)),
    }
}

/// Serves a checked configuration until a signal ends it, or another process takes its place.
fn serve(loaded: Loaded, file: &Path, (mut before, inherited): Before) -> ExitCode {
    let served = block_on(async {
        let signals = Signals::listen()?.upgraded_to(Program::of_this_process()?);
        let server = start(loaded, Some(file), inherited)?;
        let took_over = before.is_some();
        if let Some(Err(error)) = before.take().map(Predecessor::ready) {
            tracing::warn!(%error, "the process before this one is gone");
        }
        signals.supervised_by(Supervisor::find(took_over)).serve(server).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            // Afterwards: it tells the same in the log that both write to.
            if let Some(before) = before {
                before.failed(&error.to_string());
            }
            ExitCode::from(FAILED)
        }
    }
}

/// Starts the program log and the server, with as many descriptors as the system allows.
pub(super) fn start(
    loaded: Loaded,
    file: Option<&Path>,
    inherited: Inherited,
) -> io::Result<Server> {
    let log = &loaded.config.process.log;
    let log =
        telemetry::init(&log.level, log.format == LogFormat::Json).map_err(io::Error::other)?;
    telemetry::log_panics();
    raise_descriptor_limit();
    let file = file.map(Path::to_owned);
    Server::start_with(loaded, file, Some(log), inherited).map_err(io::Error::other)
}

/// Runs `work` on this thread; the server's threads are its own.
pub(super) fn block_on<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
