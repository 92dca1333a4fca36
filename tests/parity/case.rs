//! The form of a case.
//!
//! ```text
//! === name in words
//! origins: a b
//! a: status 503
//! --- conf
//! upstream app { server ${a}; server ${b}; }
//! server { listen ${listen}; location / { proxy_pass http://app; } }
//! --- request twice x2
//! GET / HTTP/1.1
//! Host: example.com
//! ```
//!
//! `reaches: N` says that each request comes to so many origins, in no order, at any time: those of
//! copies, for which no client waits.
//!
//! `counts: connections` says that the connections which come to the origins are compared.
//!
//! `lines: N` says that the access log, `${log}` in `conf`, gets so many lines; they are compared.
//! A case with `field: NAME` in place of `conf` takes a whole configuration of `tests/import/field`
//! instead, with what its `replace: THIS => THAT` lines say put in place of addresses that are not on
//! this machine; `${free}` is a free port, another one each time, `${beside}` one that is the same throughout, `${dns}` a name server that says 127.0.0.1 of every name.
//!
//! `speaks: tls h2 certificate` says what is spoken with the balancer: TLS, HTTP/2, and whether the
//! client shows a certificate; `${tls}` is a folder with `site.pem` (of `example.com`), `site.key` and
//! `ca.pem`, which vouches for it and for the client.
//!
//! Lines before the first `---` say which origins there are, and how they answer (`status N`,
//! `body TEXT`, `chunked`, `until_close`, `cut`, `close`, `path` (closes for `/close…`), `reset`, `never`,
//! `stopped`, `unix` (on a Unix socket), `tls` (over TLS), `tls deep`
//! (the same with a certificate that has two others between it and the authority's), `grpc` (HTTP/2), `raw TEXT` with `\r\n` escapes,
//! `kept TEXT`, the same without closing). In `conf` stands the inside
//! of `http`; `${listen}` is `127.0.0.1:PORT`, `${port}` the port alone, `${NAME}` an origin's
//! address, `${NAME_port}` its port. `--- main` adds lines outside of `http`. Each request is sent
//! on a connection of its own, `xN` times in a row; line ends become CRLF, a blank line ends the
//! head, and what stands behind it is the body (without the last line end). `\xHH` is a byte. Unless
//! the head says something of Connection, it says `close`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Socket, Type};

use crate::names;
use crate::speak::{Callee, FILES, Speaks};
use crate::support::{Answer, Origin, free_port};

/// One case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// What it shows, with the file's name before it.
    pub(crate) name: String,
    /// Origins by name, with how they answer.
    pub(crate) origins: BTreeMap<String, String>,
    /// The inside of `http`.
    pub(crate) conf: String,
    /// Lines outside of `http`.
    pub(crate) main: String,
    /// How many lines the access log gets.
    pub(crate) lines: usize,
    /// How many origins each request comes to, if that takes its time.
    pub(crate) reaches: usize,
    /// Whether the connections that come to origins are compared.
    pub(crate) counts: bool,
    /// What is spoken with the balancer.
    pub(crate) speaks: Speaks,
    /// A configuration of the field, in place of `conf`.
    pub(crate) field: Option<String>,
    /// What is put in place of what in it.
    replace: Vec<(String, String)>,
    /// The requests.
    pub(crate) requests: Vec<Request>,
}

/// The origins of a case, started.
#[derive(Default)]
pub(crate) struct Origins {
    pub(crate) by_name: BTreeMap<String, Origin>,
    /// Those that speak gRPC.
    pub(crate) callees: BTreeMap<String, Callee>,
    /// Where those are that speak TLS.
    pub(crate) secured: BTreeMap<String, SocketAddr>,
    /// Addresses of stopped ones.
    held: Vec<Socket>,
}

/// Keeps an address, on which nobody listens, from others.
fn hold(address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).ok()?;
    Some(socket)
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) times: usize,
}

impl Case {
    /// The cases of a file.
    pub(crate) fn read_all(group: &str, text: &str) -> Vec<Self> {
        let parts = format!("\n{text}");
        parts.split("\n=== ").skip(1).map(|text| Self::read(group, text)).collect()
    }

    fn read(group: &str, text: &str) -> Self {
        let (head, rest) = text.split_once("\n--- ").unwrap_or_else(|| panic!("no parts: {text}"));
        let mut lines = head.lines();
        let name = format!("{group}: {}", lines.next().unwrap().trim());
        let mut case = Self { name, ..Self::default() };
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let (key, value) =
                line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", case.name));
            if key == "origins" {
                let names = value.split_whitespace();
                case.origins.extend(names.map(|name| (name.to_owned(), String::new())));
            } else if key == "counts" {
                assert_eq!(value.trim(), "connections", "{}", case.name);
                case.counts = true;
            } else if key == "speaks" {
                case.speaks = Speaks::read(value);
            } else if key == "lines" {
                case.lines = value.trim().parse().unwrap();
            } else if key == "reaches" {
                case.reaches = value.trim().parse().unwrap();
            } else if key == "field" {
                case.field = Some(value.trim().to_owned());
            } else if key == "replace" {
                let (from, to) = value.split_once("=>").unwrap_or_else(|| panic!("{value}"));
                case.replace.push((from.trim().to_owned(), to.trim().to_owned()));
            } else {
                let origin = case.origins.get_mut(key).unwrap_or_else(|| panic!("no origin {key}"));
                value.trim().clone_into(origin);
            }
        }
        for part in rest.split("\n--- ") {
            let (title, body) = part.split_once('\n').unwrap_or((part, ""));
            match title.trim() {
                "conf" => body.clone_into(&mut case.conf),
                "main" => body.clone_into(&mut case.main),
                title => case.requests.push(Request::read(title, body)),
            }
        }
        case
    }

    /// The origins, started.
    pub(crate) async fn start(&self) -> Origins {
        let mut origins = Origins::default();
        for (name, answer) in &self.origins {
            if answer == "grpc" {
                origins.callees.insert(name.clone(), Callee::start().await);
                continue;
            }
            let mut origin = Origin::start(name).await;
            let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
            match word {
                "" => {}
                "status" => origin.answer(Answer::Status(rest.parse().unwrap())),
                "body" => origin.answer(Answer::Ok(rest.as_bytes().to_vec())),
                "unix" => origin = Origin::start_unix(name).await,
                "tls" => {
                    let around = FILES.around(origin.socket_addr(), rest == "deep").await;
                    origins.secured.insert(name.clone(), around);
                }
                "close" => origin.answer(Answer::Close),
                "path" => origin.answer(Answer::CloseByPath),
                "reset" => origin.answer(Answer::Reset),
                "chunked" => {
                    origin.answer(Answer::Chunked(vec![b"one".to_vec(), b"two".to_vec()], vec![]));
                }
                "until_close" => origin.answer(Answer::UntilClose(b"the end".to_vec())),
                "cut" => origin.answer(Answer::Cut { declared: 10, sent: 4 }),
                "raw" => origin.answer(Answer::RawThenClose(unescape(rest))),
                "kept" => origin.answer(Answer::Raw(unescape(rest))),
                "never" => origin.answer(Answer::Never),
                "stopped" => loop {
                    origin.stop().await;
                    if let Some(socket) = hold(origin.socket_addr()) {
                        origins.held.push(socket);
                        break;
                    }
                    // Somebody was quicker; another port will do.
                    origin = Origin::start(name).await;
                },
                other => panic!("{}: no such answer: {other}", self.name),
            }
            origins.by_name.insert(name.clone(), origin);
        }
        origins
    }

    /// Writes nginx's `nginx.conf`, with all that it includes, for a port.
    pub(crate) fn write(&self, to: &Path, port: u16, origins: &Origins) {
        let log = to.join("access.log");
        match &self.field {
            None => {
                let text = format!(
                    "{BARE}
                     {}
                     events {{ worker_connections 128; }}
                     http {{
                     {} {TEMPORARY}
                     {}
                     }}\n",
                    self.main,
                    if self.lines == 0 { "access_log off;" } else { "" },
                    self.conf
                );
                let text = text.replace("${log}", &log.display().to_string());
                fs::write(to.join("nginx.conf"), filled(text, port, origins)).unwrap();
            }
            Some(name) => {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/field");
                self.copy(&folder.join(name), to, &|text| filled(text, port, origins));
            }
        }
    }

    /// Copies a configuration of the field: it runs in the foreground, as the user who runs the tests,
    /// below one folder, and with the replacements.
    fn copy(&self, from: &Path, to: &Path, fill: &dyn Fn(String) -> String) {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                fs::create_dir_all(&target).unwrap();
                self.copy(&path, &target, fill);
            } else if path.extension().is_some_and(|extension| extension == "conf") {
                let mut text = fs::read_to_string(&path).unwrap();
                if path.ends_with("nginx.conf") {
                    let lines = text.lines().filter(|line| {
                        let word = line.split_whitespace().next().unwrap_or_default();
                        !["user", "pid", "worker_processes", "error_log"].contains(&word)
                    });
                    text = format!("{BARE}\n{}\n", lines.collect::<Vec<_>>().join("\n"));
                    text = text.replacen("http {", &format!("http {{ {TEMPORARY}"), 1);
                }
                text = text.replace("/var/log/nginx/", "");
                for (from, to) in &self.replace {
                    text = text.replace(from, to);
                }
                fs::write(target, fill(text)).unwrap();
            }
        }
    }
}

/// In the foreground, in one process, and without a place of the system's.
const BARE: &str = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;";

/// Folders of nginx's own, beside its file.
const TEMPORARY: &str = "client_body_temp_path tmp-body; proxy_temp_path tmp-proxy;
    fastcgi_temp_path tmp-fastcgi; uwsgi_temp_path tmp-uwsgi; scgi_temp_path tmp-scgi;";

/// A text with addresses in place of their names.
fn filled(mut text: String, port: u16, origins: &Origins) -> String {
    for (name, callee) in &origins.callees {
        text = text.replace(&format!("${{{name}}}"), &callee.address().to_string());
    }
    for (name, around) in &origins.secured {
        text = text.replace(&format!("${{{name}}}"), &around.to_string());
    }
    if text.contains("${tls}") {
        text = text.replace("${tls}", &FILES.folder().display().to_string());
    }
    for (name, origin) in &origins.by_name {
        text = text.replace(&format!("${{{name}}}"), &origin.address());
        if !origin.is_unix() {
            text = text.replace(&format!("${{{name}_port}}"), &origin.port().to_string());
        }
    }
    if text.contains("${beside}") {
        text = text.replace("${beside}", &free_port().to_string());
    }
    while text.contains("${free}") {
        text = text.replacen("${free}", &free_port().to_string(), 1);
    }
    if text.contains("${dns}") {
        text = text.replace("${dns}", &names::server().to_string());
    }
    text.replace("${listen}", &format!("127.0.0.1:{port}")).replace("${port}", &port.to_string())
}

impl Request {
    fn read(title: &str, body: &str) -> Self {
        let title =
            title.strip_prefix("request").unwrap_or_else(|| panic!("no such part: {title}"));
        let (name, times) = match title.trim().rsplit_once('x') {
            Some((name, times)) if times.parse::<usize>().is_ok() => (name, times.parse().unwrap()),
            _ => (title, 1),
        };
        let text = body.strip_suffix('\n').unwrap_or(body);
        let (head, content) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let content = content.strip_suffix('\n').unwrap_or(content);
        let mut head = head.trim_end().replace('\n', "\r\n");
        // The answer is read to the end of the connection.
        if head.contains(" HTTP/1.1") && !head.to_ascii_lowercase().contains("\r\nconnection:") {
            head.push_str("\r\nConnection: close");
        }
        head.push_str("\r\n\r\n");
        let bytes = [unescape(&head), unescape(content)].concat();
        let line = text.lines().next().unwrap_or_default();
        let name = if name.trim().is_empty() { line } else { name.trim() };
        Self { name: name.to_owned(), bytes, times }
    }
}

/// `\xHH`, `\r` and `\n`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let (byte, length) = match rest.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b'x') => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
