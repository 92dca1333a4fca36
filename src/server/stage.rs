//! What a configuration needs outside of the snapshot: sockets, log files, and the few settings
//! that the process itself reads.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::config::Config;
use crate::config::model::{Admin, Process};
use crate::control;
use crate::telemetry::{self, AccessLogHandle, LogHandle};

use super::ports::Ports;

/// The stage on which a configuration is put.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) ports: Ports,
    pub(super) access_log: AccessLogHandle,
    pub(super) access_log_path: Option<PathBuf>,
    /// `None`: the program log is somebody else's.
    pub(super) log: Option<LogHandle>,
    pub(super) process: watch::Sender<Process>,
}

impl control::Stage for Stage {
    fn prepare(&mut self, config: &Config) -> Result<(), String> {
        let change = self
            .ports
            .bind(&config.listeners)
            .map_err(|(listener, error)| format!("listener \"{listener}\": {error}"))?;
        can_be_written(config)?;
        let path = &config.process.access_log.path;
        if *path != self.access_log_path {
            self.access_log.set_path(path.clone()).map_err(|error| {
                let path = path.as_deref().unwrap_or("standard output".as_ref());
                format!("access log {}: {error}", path.display())
            })?;
            self.access_log_path.clone_from(path);
        }
        let paths = config.process.access_logs.iter().filter_map(|log| log.path.clone());
        self.access_log.keep(paths.collect());
        self.ports.apply(change);
        Ok(())
    }

    fn applied(&mut self, config: &Config) {
        self.process.send_replace(config.process.clone());
        if let Some(log) = &self.log
            && let Err(error) = log.set_level(&config.process.log.level)
        {
            tracing::error!(%error, "the level of the program log stays as it was");
        }
    }
}

/// Whether what the admin listener writes down can be: the folder is made, the log opened.
pub(super) fn can_be_kept(admin: &Admin) -> Result<(), String> {
    if let Some(folder) = &admin.state {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let told = |error| format!("admin.state {}: {error}", folder.display());
        made.and_then(|()| can_make_files_in(folder)).map_err(told)?;
    }
    if let Some(path) = &admin.audit_log {
        let told = |error| format!("admin.audit_log {}: {error}", path.display());
        telemetry::can_append(path).map_err(told)?;
    }
    Ok(())
}

/// Whether files can be made in a folder.
fn can_make_files_in(folder: &Path) -> io::Result<()> {
    let probe = folder.join(".probe");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

/// Whether all files of logs that routes name can be written.
pub(super) fn can_be_written(config: &Config) -> Result<(), String> {
    for path in config.process.access_logs.iter().filter_map(|log| log.path.as_deref()) {
        let told = |error| format!("access log {}: {error}", path.display());
        telemetry::can_append(path).map_err(told)?;
    }
    Ok(())
}
