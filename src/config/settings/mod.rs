//! Every setting of Plimsoll, once: key, kind, default, meaning, example.
//!
//! To add a setting, add a row here and read it in `build`; the schema, the reference manual and
//! "did you mean" follow by themselves. Tests hold that every default and every example is valid.

mod access;
mod acme;
mod admin;
mod check;
mod condition;
mod dns;
mod limit;
mod listener;
mod listener_nginx;
mod listener_tcp;
mod listener_tls;
mod onward;
mod process;
mod request;
mod response;
mod route;
mod route_nginx;
mod sending;
mod traces;
mod upstream;
mod upstream_backend;
mod upstream_balance;
mod upstream_connections;
mod upstream_ejection;
mod upstream_load;
mod upstream_nginx;
mod upstream_passive;
mod upstream_policy;
mod upstream_queue;
mod upstream_retry;
mod upstream_sticky;
mod upstream_tls;
mod variable;

use super::table::{Kind, Section, Setting};

pub(super) use upstream_backend::BACKENDS_FILE;

/// The top level of a file.
pub(super) static ROOT: Section = Section {
    title: "the top level",
    doc: "Settings of the process, which stand in the main file only, and the sections. Every file \
          is TOML 1.0; paths are relative to the file in which they are written, except for logs, \
          which are relative to the working directory.",
    settings: &[
        process::WORKERS,
        process::DRAIN_TIMEOUT,
        process::UPGRADE_TIMEOUT,
        process::PID_FILE,
        process::WATCH_INTERVAL,
        process::MAX_CONNECTIONS,
        process::NODE,
        process::MEMORY_LIMIT,
        process::ZONE,
        process::REGION,
        process::INCLUDE,
        process::LOG,
        process::ACCESS_LOG,
        process::ACCESS_LOGS,
        admin::ADMIN,
        acme::ACME,
        traces::TRACING,
        dns::OF_PROCESS,
        listener::LISTENER,
        route::ROUTE,
        upstream::UPSTREAM,
        limit::LIMIT,
        variable::VARIABLE,
    ],
};

/// The keys of [`ROOT`] that an included file may hold too.
pub(super) const INCLUDABLE: [&str; 5] = ["listener", "route", "upstream", "limit", "variable"];

/// In place of a text that shall not stand in the configuration.
pub(super) static SECRET: Section = Section {
    title: "{ file = … } or { env = … }",
    doc: "In place of a text that shall not stand in the configuration itself, such as a password. \
          Exactly one of the two. What is read is taken as it is, without `${variables}`.",
    settings: &[
        Setting::optional(
            "file",
            Kind::Text,
            "`env` is given",
            "A regular file of at most 1 MiB that holds the text. A line break at its end does not \
             count (except in `respond.body`). It is watched like the configuration itself.",
            r#""secrets/token""#,
        ),
        Setting::optional(
            "env",
            Kind::Text,
            "`file` is given",
            "An environment variable that holds the text. Read at start and on every reload; a \
             running process's environment does not change.",
            r#""PROBE_TOKEN""#,
        ),
    ],
};

/// A text, or where to find it.
static SECRET_TEXT: Kind = Kind::Or(&Kind::Text, &SECRET);
