//! The contenders: their configurations, how they are started, watched and stopped.
//!
//! Each is set up as its own experts would: one worker, keep-alive on both sides without a limit
//! of requests, round robin over the origins, `X-Forwarded-For` and `-Proto` added, nothing else.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;
use crate::cases::Spoken;
use crate::link::NAME;
use crate::proc::{self, Usage};
use crate::wire;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Contender {
    /// Debian's nginx.
    Nginx,
    /// nginx with a body buffer that holds a whole upload (uploads only).
    #[value(skip)]
    NginxBigBody,
    /// Debian's `HAProxy`.
    Haproxy,
    /// Ours.
    Plimsoll,
    /// Ours with the first four backends of many only: what the others cost.
    #[value(skip)]
    PlimsollFour,
    /// Another build of ours.
    #[value(skip)]
    Other,
    /// No proxy at all: what the load tool itself can do.
    Direct,
}

impl Contender {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxBigBody => "nginx-256k",
            Self::Haproxy => "haproxy",
            Self::Plimsoll => "plimsoll",
            Self::PlimsollFour => "plimsoll-4",
            Self::Other => "other",
            Self::Direct => "direct",
        }
    }
}

/// What a contender is started with.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The path of our own program.
    pub(crate) plimsoll: &'a str,
    /// The path of another build of it, if there is one to compare with.
    pub(crate) other: &'a str,
    /// Our own strategy.
    pub(crate) strategy: &'a str,
    /// Our own workers.
    pub(crate) workers: u16,
    /// Whether each request is logged, as JSON, to a file.
    pub(crate) log: bool,
    /// What is spoken on both sides.
    pub(crate) spoken: Spoken,
    /// The proxies' certificate.
    pub(crate) identity: &'a Identity,
    /// The cores that the proxy runs on, as `taskset` takes them.
    pub(crate) cores: &'a str,
}

/// A certificate of P-256 and its key, in PEM.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    pub(crate) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned(), format!("*.{NAME}")])?;
        Ok(Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    /// Writes it to files of a directory: the certificate, the key, and both in one.
    fn write(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("tls.pem"), &self.certificate)?;
        fs::write(directory.join("tls.key"), &self.key)?;
        Ok(fs::write(directory.join("both.pem"), [&*self.certificate, &*self.key].concat())?)
    }
}

/// nginx's module for what is not HTTP (Debian: libnginx-mod-stream).
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Whether a contender can take part where this is spoken.
pub(crate) fn can(contender: Contender, spoken: Spoken) -> bool {
    match contender {
        // It speaks HTTP/2 to gRPC's servers only.
        Contender::Nginx | Contender::NginxBigBody => {
            !spoken.http2_to_origins && (!spoken.tcp || Path::new(STREAM_MODULE).exists())
        }
        Contender::Direct => spoken.tls.is_none() && !spoken.http2,
        _ => true,
    }
}

/// A proxy that runs; it is stopped when this is dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Of our own: where metrics are.
    admin: SocketAddr,
    child: Child,
    family: Vec<u32>,
    /// Its configuration and logs, removed with it.
    directory: TempDir,
}

impl Proxy {
    /// Starts a contender before `origins` and waits until it accepts.
    pub(crate) fn start(
        contender: Contender,
        setup: &Setup<'_>,
        origins: &[SocketAddr],
    ) -> Result<Self> {
        let directory = TempDir::with_prefix("plimsoll-e2e-")?;
        let (address, admin) = free_addresses()?;
        let file = directory.path().join("proxy.conf");
        setup.identity.write(directory.path())?;
        let (config, mut arguments) = match contender {
            Contender::Nginx if setup.spoken.tcp => {
                (nginx_stream(address, origins, directory.path()), vec!["nginx", "-c"])
            }
            Contender::Nginx => {
                (nginx(address, origins, directory.path(), setup, ""), vec!["nginx", "-c"])
            }
            Contender::NginxBigBody => {
                let extra = "client_body_buffer_size 256k;";
                (nginx(address, origins, directory.path(), setup, extra), vec!["nginx", "-c"])
            }
            Contender::Haproxy => {
                let config = haproxy(address, origins, directory.path(), setup);
                (config, vec!["haproxy", "-db", "-f"])
            }
            Contender::Plimsoll | Contender::PlimsollFour | Contender::Other => {
                let other = contender == Contender::Other;
                let program = if other { setup.other } else { setup.plimsoll };
                let config = plimsoll([address, admin], origins, directory.path(), setup);
                (config, vec![program, "run", "--config"])
            }
            Contender::Direct => return Err("no proxy to start".into()),
        };
        fs::write(&file, config)?;
        arguments.splice(0..0, ["-c", setup.cores]);
        let child = program("taskset")
            .args(&arguments)
            .arg(&file)
            // HAProxy's access log; the others write their own file.
            .stdout(File::create(directory.path().join("stdout"))?)
            .stderr(File::create(directory.path().join("stderr"))?)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|fault| format!("taskset: {fault}"))?;
        let mut proxy = Self { address, admin, child, family: Vec::new(), directory };
        proxy.await_ready(contender)?;
        Ok(proxy)
    }

    fn await_ready(&mut self, contender: Contender) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > end {
                let said = fs::read_to_string(self.directory.path().join("stderr"))?;
                return Err(format!("{} did not start: {said}", contender.name()).into());
            }
            sleep(Duration::from_millis(5));
        }
        // The kernel accepts as soon as nginx listens, which is before its worker is there.
        let least = match contender {
            Contender::Nginx | Contender::NginxBigBody => 2,
            _ => 1,
        };
        while self.family.len() < least && Instant::now() < end {
            self.family = proc::family(self.child.id())?;
        }
        Ok(())
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A configuration of ours before other origins.
    pub(crate) fn plimsoll_config(&self, origins: &[SocketAddr], setup: &Setup<'_>) -> String {
        plimsoll([self.address, self.admin], origins, self.directory.path(), setup)
    }

    /// Signals it.
    pub(crate) fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    /// Processor time so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(&self.family)
    }

    /// Lines of the access log so far; what is still buffered is not among them.
    pub(crate) fn logged(&self) -> Result<usize> {
        let own = fs::read(self.directory.path().join("access.log"));
        let log = own.or_else(|_| fs::read(self.directory.path().join("stdout")))?;
        if log.first() != Some(&b'{') {
            return Err(format!("not JSON: {}", wire::shown(&log)).into());
        }
        Ok(memchr::memchr_iter(b'\n', &log).count())
    }

    /// Resident bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        proc::memory(&self.family)
    }
}

impl Drop for Proxy {
    /// Stops it at once: TERM is nginx's fast shutdown, which ends its worker too, and a second
    /// TERM cuts short the draining of others. What does not end is killed.
    fn drop(&mut self) {
        for _ in 0..100 {
            self.signal(Signal::TERM);
            sleep(Duration::from_millis(20));
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
        }
        for pid in self.family.iter().chain([&self.child.id()]) {
            signal(*pid, Signal::KILL);
        }
        // Nothing is left to be done about a failure here.
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Two ports that were free a moment ago.
fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Both are held until both are known: they might be the same otherwise.
    let (one, other) = (any()?, any()?);
    Ok((one.local_addr()?, other.local_addr()?))
}

/// A program on the path; Debian keeps servers where only root's path looks.
fn program(name: &str) -> Command {
    let mut program = Command::new(name);
    program.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin");
    program
}

/// What the program says of its version.
pub(crate) fn version(contender: Contender, setup: &Setup<'_>) -> String {
    let (name, flag) = match contender {
        Contender::Nginx | Contender::NginxBigBody => ("nginx", "-v"),
        Contender::Haproxy => ("haproxy", "-v"),
        Contender::Plimsoll | Contender::PlimsollFour => (setup.plimsoll, "--version"),
        Contender::Other => (setup.other, "--version"),
        Contender::Direct => return "no proxy".to_owned(),
    };
    program(name).arg(flag).output().map_or_else(
        |fault| format!("{name}: {fault}"),
        |output| {
            let said = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").to_owned()
        },
    )
}

/// One line per origin, made of its number and address.
fn each(origins: &[SocketAddr], line: impl Fn(usize, SocketAddr) -> String) -> String {
    origins.iter().enumerate().fold(String::new(), |mut text, (number, origin)| {
        let _ = writeln!(text, "{}", line(number, *origin));
        text
    })
}

fn nginx(
    listen: SocketAddr,
    origins: &[SocketAddr],
    directory: &Path,
    setup: &Setup<'_>,
    extra: &str,
) -> String {
    let dir = directory.display();
    let servers = each(origins, |_, origin| format!("server {origin};"));
    let access_log = if setup.log {
        // Buffered: an unbuffered log would be a straw man, ours does not write per request either.
        format!(
            r#"log_format json escape=json '{{"time":"$time_iso8601","client":"$remote_addr",'
                '"method":"$request_method","uri":"$request_uri","protocol":"$server_protocol",'
                '"status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
                '"backend":"$upstream_addr","backend_seconds":"$upstream_response_time",'
                '"host":"$host","referer":"$http_referer","agent":"$http_user_agent",'
                '"request_id":"$request_id"}}';
            access_log {dir}/access.log json buffer=64k flush=1s;"#
        )
    } else {
        "access_log off;".to_owned()
    };
    let tls = if setup.spoken.tls.is_some() { " ssl" } else { "" };
    let http2 = if setup.spoken.http2 { " http2" } else { "" };
    let certificate = match setup.spoken.tls {
        None => String::new(),
        Some(_) => format!(
            "ssl_certificate {dir}/tls.pem; ssl_certificate_key {dir}/tls.key;
             ssl_protocols TLSv1.3; ssl_session_cache shared:sessions:10m;"
        ),
    };
    let connection = if setup.spoken.messages {
        r#"proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";"#
    } else {
        r#"proxy_set_header Connection "";"#
    };
    format!(
        "daemon off; worker_processes 1; worker_rlimit_nofile 20000;
        user root; # without effect unless started by root: the run's directory is root's then
        pid {dir}/pid; error_log stderr warn;
        events {{ worker_connections 16384; }}
        http {{
            {access_log}
            client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
            fastcgi_temp_path {dir}/fastcgi; scgi_temp_path {dir}/scgi; uwsgi_temp_path {dir}/uwsgi;
            keepalive_timeout 75s; keepalive_requests 1000000000; client_max_body_size 0;
            proxy_max_temp_file_size 0; # a response must not go through a file
            {extra}
            upstream origins {{
                {servers}
                keepalive 1024; keepalive_requests 1000000000;
            }}
            server {{
                listen {listen} backlog=4096{tls}{http2};
                {certificate}
                location / {{
                    proxy_pass http://origins;
                    proxy_http_version 1.1;
                    {connection}
                    proxy_set_header Host $host;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header X-Forwarded-Proto $scheme;
                }}
            }}
        }}
        "
    )
}

/// Nothing of HTTP.
fn nginx_stream(listen: SocketAddr, origins: &[SocketAddr], directory: &Path) -> String {
    let servers = each(origins, |_, origin| format!("server {origin};"));
    format!(
        "load_module {STREAM_MODULE};
        daemon off; worker_processes 1; worker_rlimit_nofile 20000;
        user root; pid {}/pid; error_log stderr warn;
        events {{ worker_connections 16384; }}
        stream {{
            upstream origins {{ {servers} }}
            server {{ listen {listen} backlog=4096; proxy_pass origins; }}
        }}
        ",
        directory.display()
    )
}

fn haproxy(
    listen: SocketAddr,
    origins: &[SocketAddr],
    directory: &Path,
    setup: &Setup<'_>,
) -> String {
    let spoken = setup.spoken;
    let protocol = if spoken.http2_to_origins { " proto h2" } else { "" };
    let servers = each(origins, |number, origin| {
        format!("    server o{number} {origin} check inter 10s{protocol}")
    });
    let bind = match (spoken.tls, spoken.http2) {
        (None, false) => String::new(),
        (None, true) => " proto h2".to_owned(),
        (Some(_), http2) => {
            let offered = if http2 { "h2,http/1.1" } else { "http/1.1" };
            let both = directory.join("both.pem");
            format!(" ssl crt {} alpn {offered} ssl-min-ver TLSv1.3", both.display())
        }
    };
    let mode = if spoken.tcp { "tcp" } else { "http" };
    let http = if spoken.tcp {
        ""
    } else {
        "    http-reuse always
    option forwardfor
"
    };
    let forwarded = if spoken.tcp {
        ""
    } else {
        "    http-request set-header X-Forwarded-Proto http
"
    };
    let log = if setup.log {
        concat!(
            "    log stdout format raw local0\n",
            r#"    log-format '{"time":"%trl","client":"%ci","method":"%HM","uri":%{+Q}HU,"#,
            r#""protocol":"%HV","status":%ST,"bytes":%B,"millis":%Ta,"backend":"%si:%sp","#,
            r#""backend_millis":%Tr,"agent":"%[capture.req.hdr(0),json(utf8s)]"}'"#,
            "\n    http-request capture req.hdr(User-Agent) len 256",
        )
    } else {
        "    no log"
    };
    format!(
        "global
    nbthread 1
    maxconn 9000
defaults
    mode {mode}
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout tunnel 75s
{http}frontend main
    bind {listen} backlog 4096{bind}
{log}
{forwarded}    default_backend origins
backend origins
    balance roundrobin
{servers}"
    )
}

fn plimsoll(
    [listen, admin]: [SocketAddr; 2],
    origins: &[SocketAddr],
    directory: &Path,
    setup: &Setup<'_>,
) -> String {
    let backends =
        each(origins, |_, origin| format!("[[upstream.origins.backend]]\naddress = \"{origin}\""));
    let log = if setup.log {
        format!("format = \"json\"\npath = \"{}/access.log\"", directory.display())
    } else {
        "format = \"off\"".to_owned()
    };
    let spoken = setup.spoken;
    let dir = directory.display();
    let listener = match (spoken.tls, spoken.tcp) {
        (Some(_), _) => format!(
            "http2 = {}
[[listener.tls.certificate]]
chain = \"{dir}/tls.pem\"
key = \"{dir}/tls.key\"",
            spoken.http2
        ),
        (None, true) => "mode = \"tcp\"\nupstream = \"origins\"".to_owned(),
        (None, false) => format!("http2 = {}", spoken.http2),
    };
    let route = if spoken.tcp { "" } else { "[[route]]\nupstream = \"origins\"" };
    // As `keepalive_requests` of nginx: no connection is closed while it is measured.
    let for_ever = if spoken.tcp { "" } else { "max_requests = 0\n" };
    let protocol = if spoken.http2_to_origins { "h2c" } else { "http1" };
    format!(
        "workers = {}

[access_log]
{log}

[admin]
address = \"{admin}\"

[[listener]]
name = \"main\"
address = \"{listen}\"
{for_ever}{listener}

{route}

[upstream.origins]
protocol = \"{protocol}\"
strategy = \"{}\"

[upstream.origins.health]
type = \"tcp\"

[upstream.origins.pool]
max_idle = 1024
max_requests = 0

{backends}",
        setup.workers, setup.strategy
    )
}
