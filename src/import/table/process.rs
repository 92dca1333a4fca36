//! Directives of the process, and blocks that hold the others.

use super::{Contexts, Part, Row, Rule, missing, needless, row};
use crate::import::process;

const MAIN: Contexts = Contexts::MAIN;

pub(super) const PROCESS: Part = Part {
    title: "The process",
    rows: &[
        row(
            "http",
            MAIN,
            (0, 0),
            Rule::Shape,
            "What stands in it is carried directive by directive.",
        ),
        row("events", MAIN, (0, 0), Rule::Shape, "Nothing is needed in its place."),
        row(
            "include",
            Contexts::ANY,
            (1, 1),
            Rule::Shape,
            "What it brings in is imported in its place; paths are relative to the main file's folder, \
             patterns are those of the shell.",
        ),
        row(
            "worker_processes",
            MAIN,
            (1, 1),
            Rule::Process(process::worker_processes),
            "`workers`; `auto` is Plimsoll's own default, one per core. Without it nginx has one, and \
             so has the imported file.",
        ),
        row(
            "worker_shutdown_timeout",
            MAIN,
            (1, 1),
            Rule::Process(process::worker_shutdown_timeout),
            "`drain_timeout`. Without it nginx waits for ever; Plimsoll waits for 30 seconds.",
        ),
        PROCESS_LOG,
        needless(
            "user",
            MAIN,
            "Plimsoll runs as the user who starts it; see the systemd unit in `conf/`.",
        ),
        needless("pid", MAIN, "Plimsoll runs in the foreground; `pid_file` has it write one."),
        needless("daemon", MAIN, "Plimsoll runs in the foreground."),
        needless("master_process", MAIN, "Workers are threads of one process."),
        needless("load_module", MAIN, "There are no modules."),
        needless(
            "worker_connections",
            Contexts::EVENTS,
            "Connections are limited by the descriptors \
            that the system allows; `max_connections` of a listener limits them further.",
        ),
        needless(
            "worker_rlimit_nofile",
            MAIN,
            "The limit of descriptors is raised as far as the system \
            allows.",
        ),
        needless("worker_rlimit_core", MAIN, "It is for the service manager to say."),
        needless("worker_cpu_affinity", MAIN, "Threads are placed by the kernel."),
        needless("worker_priority", MAIN, "It is for the service manager to say."),
        needless("worker_aio_requests", Contexts::EVENTS, "No files are served."),
        needless("working_directory", MAIN, "It is for the service manager to say."),
        needless("env", MAIN, "The process keeps its environment."),
        needless("lock_file", MAIN, "Nothing is locked."),
        needless("debug_points", MAIN, "It is for debugging nginx."),
        needless("debug_connection", Contexts::EVENTS, "It is for debugging nginx."),
        needless("thread_pool", MAIN, "No files are served."),
        needless("timer_resolution", MAIN, "The clock is read when it is needed."),
        needless("pcre_jit", MAIN, "Regular expressions are compiled once, when the file is read."),
        needless("ssl_engine", MAIN, "It is for OpenSSL."),
        needless("use", Contexts::EVENTS, "It is epoll."),
        needless("multi_accept", Contexts::EVENTS, "Each worker accepts as many as wait."),
        needless("accept_mutex", Contexts::EVENTS, "Each worker has listening sockets of its own."),
        needless(
            "accept_mutex_delay",
            Contexts::EVENTS,
            "Each worker has listening sockets of its own.",
        ),
        row(
            "stream",
            MAIN,
            (0, 0),
            Rule::Shape,
            "Its servers become listeners with `mode = \"tcp\"`: `listen`, `proxy_pass` to an address, an \
             `upstream` or by a `map` of `$ssl_preread_server_name` or `$ssl_preread_alpn_protocols`, `ssl_preread`, `proxy_protocol`, \
             `proxy_bind`, `proxy_timeout`, `proxy_connect_timeout`, `proxy_next_upstream`. A server with UDP, with \
             TLS of its own, or with rules of who is let in is left out.",
        )
        .differs(),
        missing("mail", "Plimsoll balances HTTP only.", "keep nginx for mail"),
    ],
};

const PROCESS_LOG: Row = row(
    "error_log",
    Contexts::LEVELS.and(MAIN),
    (1, 2),
    Rule::Process(process::error_log),
    "`log.level`: `warn` for nginx's `error` and `warn`, `error` above, `info` for `notice`. The program \
     log goes to standard error, for the service manager to keep.",
)
.differs();
