//! The whole proxy between a client and a backend that a target plays, in one process and without a
//! network: a listener and a backend on Unix sockets.
//!
//! The proxy adds a field to every request whose value nobody else knows. What comes to the backend
//! without it is a request that the proxy did not know it was sending: it was smuggled.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::http1::{Decoder, Framing};
use plimsoll::server::Server;
use tempfile::TempDir;

/// After which a client closes its side that is not answered, since it has not asked all.
const PATIENCE: Duration = Duration::from_millis(20);
/// In which a connection ends whose client has closed its side.
const END: Duration = Duration::from_secs(15);
/// The field that the proxy adds.
const MARK: &str = "X-Fuzz-Mark";

/// The proxy, running, and what its backend answers.
pub struct Proxy {
    front: PathBuf,
    /// What is answered to every request; `None`: what is right.
    answer: &'static Mutex<Option<Vec<u8>>>,
    _server: Mutex<Server>,
    _directory: TempDir,
}

impl Proxy {
    /// The one proxy of the process.
    pub fn running() -> &'static Self {
        static PROXY: OnceLock<Proxy> = OnceLock::new();
        PROXY.get_or_init(Self::start)
    }

    fn start() -> Self {
        static ANSWER: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        let directory = TempDir::new().expect("a directory");
        let (front, back) = (directory.path().join("front"), directory.path().join("back"));
        let listener = UnixListener::bind(&back).expect("a socket");
        let secret = format!("{:016x}{:016x}", random(), random());
        let expected = secret.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, expected) = (connection.expect("a connection"), expected.clone());
                thread::spawn(move || Backend::new(connection, expected).serve(&ANSWER));
            }
        });
        let config = format!(
            r#"
            workers = 1
            access_log = {{ format = "off" }}
            log = {{ level = "error" }}
            [[listener]]
            address = "unix:{}"
            http2 = true
            header_timeout = "1s"
            body_timeout = "1s"
            [[route]]
            upstream = "a"
            request_headers = {{ set = {{ {MARK} = "{secret}" }} }}
            [upstream.a]
            passive = {{ max_fails = 0 }}
            timeouts = {{ read = "10s" }}
            retry = {{ tries = 1 }}
            [[upstream.a.backend]]
            address = "unix:{}"
            "#,
            front.display(),
            back.display(),
        );
        let loaded = plimsoll::config::parse("fuzz.toml", &config, &|_| None);
        let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
        let server = Server::start(loaded, None).expect("it starts");
        Self { front, answer: &ANSWER, _server: Mutex::new(server), _directory: directory }
    }

    /// Has the backend answer with these bytes and close, or again as it should.
    pub fn answer_with(&self, bytes: Option<&[u8]>) {
        *self.answer.lock().expect("nobody panicked") = bytes.map(<[u8]>::to_vec);
    }

    /// All that comes back on a connection for one request, which the proxy closes.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut client = UnixStream::connect(&self.front).expect("it accepts");
        client.set_read_timeout(Some(END)).expect("a time-out");
        client.write_all(request).expect("it is read");
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got);
        got
    }

    /// All that comes back when these bytes are sent, after which the client closes its side.
    pub fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = UnixStream::connect(&self.front).expect("it accepts");
        client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        client.set_write_timeout(Some(END)).expect("a time-out");
        // What is refused early is not read to its end.
        let _ = client.write_all(bytes);
        let mut got = Vec::new();
        match client.read_to_end(&mut got) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = client.shutdown(Shutdown::Write);
                client.set_read_timeout(Some(END)).expect("a time-out");
                let ended = client.read_to_end(&mut got);
                let late = ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
                assert!(!late, "the connection stays open, so far: {}", got.escape_ascii());
            }
            // Ended, or cut.
            _ => {}
        }
        got
    }
}

/// A backend's connection, which believes nothing.
struct Backend {
    stream: UnixStream,
    expected: String,
    /// What was read, and not yet used.
    pending: Vec<u8>,
}

impl Backend {
    fn new(stream: UnixStream, expected: String) -> Self {
        Self { stream, expected, pending: Vec::new() }
    }

    fn serve(mut self, answer: &Mutex<Option<Vec<u8>>>) -> io::Result<()> {
        while let Some(head) = self.head()? {
            let method = self.judge(&head);
            if !self.body(&head)? {
                return Ok(());
            }
            let answer = answer.lock().expect("nobody panicked").clone();
            match answer {
                Some(bytes) => {
                    self.stream.write_all(&bytes)?;
                    return Ok(());
                }
                None if method == "HEAD" => {
                    self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
                }
                None => self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
            }
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let n = self.stream.read(&mut buffer)?;
        self.pending.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    }

    /// The next head, to its empty line; `None`: the connection ends.
    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.pending.drain(..end + 4).collect()));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Panics unless the head is what the proxy may send. The method.
    fn judge(&self, head: &[u8]) -> String {
        let text = head.escape_ascii();
        let lines = head.strip_suffix(b"\r\n\r\n").expect("its end");
        let lines: Vec<&[u8]> = lines.split(|&byte| byte == b'\n').collect();
        for (n, line) in lines.iter().enumerate() {
            let line = if n + 1 < lines.len() {
                line.strip_suffix(b"\r").unwrap_or_else(|| panic!("a bare LF: {text}"))
            } else {
                line
            };
            let is_bad = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
            assert!(!line.iter().any(is_bad), "a control: {text}");
        }
        let request: Vec<&[u8]> = lines[0].trim_ascii_end().split(|&byte| byte == b' ').collect();
        assert!(matches!(request[..], [_, _, b"HTTP/1.1"]), "{text}");
        assert!(request[1].is_ascii() && !request[1].contains(&b'#'), "{text}");
        assert_eq!(values(head, "Host").len(), 1, "{text}");
        assert_eq!(values(head, MARK), [self.expected.as_str()], "smuggled: {text}");
        let (lengths, codings) =
            (values(head, "Content-Length"), values(head, "Transfer-Encoding"));
        assert!(lengths.len() + codings.len() <= 1, "{text}");
        assert!(codings.iter().all(|coding| coding == "chunked"), "{text}");
        let is_number = |value: &String| value.bytes().all(|byte| byte.is_ascii_digit());
        assert!(lengths.iter().all(is_number), "{text}");
        assert!(values(head, "Forwarded").is_empty(), "{text}");
        assert_eq!(values(head, "X-Forwarded-For").len(), 1, "{text}");
        assert!(values(head, "Keep-Alive").is_empty(), "{text}");
        assert!(values(head, "HTTP2-Settings").is_empty(), "{text}");
        let upgrades = values(head, "Upgrade");
        assert!(upgrades.iter().all(|one| one.eq_ignore_ascii_case("websocket")), "{text}");
        String::from_utf8_lossy(request[0]).into_owned()
    }

    /// Reads the body; `false`: the proxy has given the request up.
    fn body(&mut self, head: &[u8]) -> io::Result<bool> {
        let length = values(head, "Content-Length").first().map(|value| value.parse());
        let framing = match length {
            Some(length) => Framing::Length(length.expect("a number of 64 bits")),
            None if values(head, "Transfer-Encoding").is_empty() => Framing::None,
            None => Framing::Chunked,
        };
        let mut decoder = Decoder::new(framing);
        loop {
            while !decoder.is_done() && !self.pending.is_empty() {
                let decoded = decoder.decode(&self.pending);
                let decoded = decoded
                    .unwrap_or_else(|error| panic!("{error} in {}", self.pending.escape_ascii()));
                self.pending.drain(..decoded.consumed);
            }
            if decoder.is_done() {
                return Ok(true);
            }
            if !self.more()? {
                return Ok(false);
            }
        }
    }
}

/// The values of a field, by a reading of heads that knows nothing of the proxy's.
fn values(head: &[u8], name: &str) -> Vec<String> {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    });
    fields
        .filter(|(found, _)| found.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// Not to be guessed by what libFuzzer does to its inputs.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u128(Instant::now().elapsed().as_nanos());
    hasher.finish()
}

/// The answers in what a client got, each with its head, and whether the last one is whole. `None`:
/// they are no answers that a client could read.
pub fn answers(mut bytes: &[u8], methods: &[&str]) -> Option<Vec<(u16, Vec<u8>, bool)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(read) = head.parse(bytes) else { return None };
        let httparse::Status::Complete(len) = read else {
            found.push((0, bytes.to_vec(), false));
            return Some(found);
        };
        let status = head.code?;
        let (text, rest) = bytes.split_at(len);
        bytes = rest;
        if status < 200 && status != 101 {
            continue;
        }
        let method = methods.get(found.len()).copied().unwrap_or("GET");
        let length = values(text, "Content-Length").first().and_then(|value| value.parse().ok());
        let framing = match length {
            _ if method == "HEAD" || matches!(status, 204 | 304) => Framing::None,
            _ if !values(text, "Transfer-Encoding").is_empty() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
        let mut decoder = Decoder::new(framing);
        while !decoder.is_done() && !bytes.is_empty() {
            let decoded = decoder.decode(bytes).ok()?;
            bytes = &bytes[decoded.consumed..];
        }
        let whole = decoder.is_done() || decoder.on_eof().is_ok();
        found.push((status, text.to_vec(), whole));
        if !whole {
            return Some(found);
        }
    }
    Some(found)
}
