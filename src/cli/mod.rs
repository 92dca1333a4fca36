//! What was typed → what it means.
//!
//! Exit codes: 0 good, 1 failed at run time (or, of `import-nginx`, nothing could be imported), 2 bad
//! configuration or usage.

mod admin;
mod apply;
mod backup;
pub mod check;
mod configure;
mod demo;
mod diagnose;
mod events;
mod explain;
mod import_nginx;
mod man;
mod operate;
mod output;
mod probe;
mod run;
pub mod schema;
mod simulate;
mod table;
mod top;
mod upgrade;
mod why;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::schema::Output;
use crate::config;

/// Something failed at run time.
const FAILED: u8 = 1;
/// The configuration or the command line is bad.
const BAD: u8 = 2;

/// A layer-7 load balancer: the nginx upstream tier, health-checked, measured and hot-reloaded.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Balance, in the foreground, until a signal ends it
    ///
    /// HUP reads the configuration again; a bad one changes nothing. USR1 opens the access log anew.
    /// USR2 has the program that lies at this one's path now take its place, as `plimsoll upgrade` does.
    /// TERM, INT and QUIT drain: requests under way finish, for at most `drain_timeout`; a second
    /// signal stops at once.
    Run {
        /// The configuration [default: plimsoll.toml, then /etc/plimsoll/plimsoll.toml]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check configurations, with all that they include, and tell all that is wrong with them
    Check {
        /// The configurations
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Tell it as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Balance over three origins inside this process, to try things out
    Demo(DemoArgs),
    /// Print the JSON schema of the configuration, for editors
    Schema {
        /// Print the reference of all settings as Markdown instead
        #[arg(long)]
        reference: bool,
    },
    /// Tell what would become of a request: its route, its backends, and what would follow a failure
    ///
    /// Nothing is sent. Everybody is taken to work but those who are named as down; names are not
    /// asked for.
    Explain(explain::ExplainArgs),
    /// Play load and faults through an upstream in virtual time, and tell what comes of it
    ///
    /// What picks, parks, ejects and retries is what runs in the process; clients, backends and the
    /// clock are made up, and the same seed gives the same figures.
    Simulate(simulate::SimulateArgs),
    /// Run the checks of a backend once, and show what was sent, what came, and the verdict
    ///
    /// Exits with 1 if a check finds the backend down.
    Probe(probe::ProbeArgs),
    /// Make a configuration of nginx's, and tell what could not be carried over
    ///
    /// The imported file is an ordinary one. What has no counterpart is left out with a warning.
    ImportNginx(ImportArgs),
    /// Tell why a backend of the running process serves or does not: its state, what happened to it,
    /// what comes next
    Why(why::WhyArgs),
    /// Tell how the running process is: its phase, configuration, listeners and upstreams
    Status(operate::StatusArgs),
    /// Show the running process live: upstreams, backends, rates, latencies; with keys to drain and weigh
    ///
    /// Where there is no terminal it is told once, with what came within one interval.
    Top(top::TopArgs),
    /// Weigh, drain, take out, force, check, add and remove backends of the running process
    #[command(subcommand)]
    Backend(operate::Backend),
    /// Let a backend of the running process run empty: as `backend drain`
    Drain(operate::DrainArgs),
    /// Tell what happened in the running process, and what happens
    Events(events::EventsArgs),
    /// Collect what somebody needs who shall help from afar, in one archive, with secrets masked
    ///
    /// It has the configuration and what is wrong with it, all that the running process tells of itself,
    /// and what the kernel knows of it. What cannot be had is named: the process need not answer.
    Diagnose(diagnose::DiagnoseArgs),
    /// Tell what a configuration would change in the running process, and what would come of it
    ///
    /// Backends and connections that stay, leave and join, the keys of hashes that move, what has to
    /// finish, what needs a restart. Nothing is changed. Exits with 2 if the configuration is bad.
    Plan(configure::PlanArgs),
    /// Put a configuration in force in the running process, and into its file
    ///
    /// The file is replaced as a whole, and only if the configuration is taken. Exits with 2 if the
    /// configuration is bad, with 1 if it is refused or went back.
    Apply(apply::ApplyArgs),
    /// Leave in force what `--confirm` put on probation
    Confirm(apply::ConfirmArgs),
    /// Tell which configurations were in force, and put one in force again
    #[command(subcommand)]
    Config(configure::Config),
    /// Have the running process read its configuration again, and tell what is wrong with it
    ///
    /// Exits with 2 if the configuration is bad.
    Reload(apply::ReloadArgs),
    /// Have the program that lies at a running process's path now take its place, without losing a
    /// connection
    ///
    /// The new process reads the configuration, takes over the listening sockets and says that it
    /// serves; only then the old one stops accepting and drains. If the new one fails, the old one
    /// goes on, the reason is told, and the exit code is 1.
    Upgrade {
        /// The process
        #[arg(value_name = "PID", required_unless_present = "pid_file")]
        pid: Option<u32>,
        /// The file that tells the process (`pid_file` of its configuration)
        #[arg(long, value_name = "FILE", conflicts_with = "pid")]
        pid_file: Option<PathBuf>,
        /// Tell it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the manual page of the program
    Man {
        /// Write it into this folder instead, with a page for each command
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Where the demo listens.
#[derive(Debug, Clone, Args)]
struct DemoArgs {
    /// Where clients connect
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where metrics and status are
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Where origins are taken down and up
    #[arg(long, default_value = "127.0.0.1:9902", value_name = "ADDRESS")]
    switch: SocketAddr,
}

/// What is imported, and where it goes.
#[derive(Debug, Clone, Args)]
struct ImportArgs {
    /// nginx's main file, or `-` for standard input; a fragment with servers or upstreams will do
    #[arg(value_name = "NGINX_CONF")]
    file: PathBuf,
    /// Where the configuration is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where a report of every directive is written: Markdown, or JSON if the name ends in `.json`
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Exit with 2 if anything is warned of
    #[arg(long)]
    strict: bool,
}

/// Runs the command line `arguments`, the first of which is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0; usage errors with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD));
        }
    };
    let mut out = io::stdout().lock();
    match cli.command {
        Command::Run { config } => run::run(config),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Check { files, json } => {
            let form = match (json, io::stdout().is_terminal()) {
                (true, _) => check::Form::Json,
                (false, true) => check::Form::Colored,
                (false, false) => check::Form::Plain,
            };
            // All is found out before any of it is written: the verdict stands though nobody reads on.
            let mut told = Vec::new();
            let good = check::check(&files, form, &config::process_environment, &mut told);
            match good.map(|good| (good, written(out.write_all(&told)))) {
                Ok((true, written)) => written,
                Ok((false, _)) => ExitCode::from(BAD),
                Err(error) => output_failed(&error),
            }
        }
        Command::Schema { reference } => {
            let output = if reference { Output::Reference } else { Output::JsonSchema };
            written(schema::schema(output, &mut out))
        }
        Command::Explain(arguments) => explain::command(&arguments, &mut out),
        Command::Simulate(arguments) => simulate::command(&arguments, &mut out),
        Command::Probe(arguments) => probe::command(&arguments, &mut out),
        Command::ImportNginx(arguments) => import_nginx::import_nginx(&arguments, &mut out),
        Command::Why(arguments) => outcome(why::why(&arguments, &mut out)),
        Command::Status(arguments) => outcome(operate::status(&arguments, &mut out)),
        Command::Top(arguments) => outcome(top::top(&arguments, &mut out)),
        Command::Backend(command) => outcome(operate::backend(&command, &mut out)),
        Command::Drain(arguments) => outcome(operate::drain(&arguments, &mut out)),
        Command::Events(arguments) => outcome(events::events(&arguments, &mut out)),
        Command::Diagnose(arguments) => diagnose::command(&arguments, &mut out),
        Command::Reload(arguments) => coded(apply::reload(&arguments, &mut out)),
        Command::Plan(arguments) => coded(configure::plan(&arguments, &mut out)),
        Command::Apply(arguments) => coded(apply::apply(&arguments, &mut out)),
        Command::Confirm(arguments) => coded(apply::confirm(&arguments, &mut out)),
        Command::Config(command) => coded(configure::config(&command, &mut out)),
        Command::Upgrade { pid, pid_file, json } => {
            outcome(upgrade::upgrade(pid, pid_file.as_deref(), json, &mut out))
        }
        Command::Man { to } => written(man::man(Cli::command(), to.as_deref(), &mut out)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "plimsoll", &mut script);
            written(out.write_all(&script))
        }
    }
}

/// What a running process was asked: `false` is an answer too, but not the one that was hoped for.
fn outcome(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => output_failed(&error),
    }
}

/// What ended with this exit code.
fn coded(result: io::Result<u8>) -> ExitCode {
    result.map_or_else(|error| output_failed(&error), ExitCode::from)
}

fn written(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output_failed(&error),
    }
}

/// A reader that went away, as `head` does, has what it wanted.
fn output_failed(error: &io::Error) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ExitCode::SUCCESS;
    }
    complain(error);
    ExitCode::from(FAILED)
}

/// Tells an error that ends the program.
fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "plimsoll: {error}");
}
