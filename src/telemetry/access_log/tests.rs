use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::combined::LocalClock;
use super::*;
use crate::telemetry::Registry;

fn entry() -> Entry<'static> {
    Entry {
        time: UNIX_EPOCH,
        client: Client::Ip([192, 0, 2, 1].into()),
        user: None,
        method: b"GET",
        target: b"/a?b=c",
        version: b"HTTP/1.1",
        host: Some(b"example.com"),
        status: 200,
        request_bytes: 0,
        body_bytes: 2,
        duration: Duration::from_micros(1_500),
        referer: None,
        user_agent: None,
        request_id: b"r1",
        trace_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
        listener: "web",
        route: "shop",
        upstream: Some("cart"),
        failure: None,
        attempts: &[],
    }
}

fn line(entry: &Entry<'_>, zone: &TimeZone) -> String {
    let mut out = Vec::new();
    combined::write(entry, &mut LocalClock::new(zone.clone()), &mut out);
    String::from_utf8(out).unwrap()
}

// --- combined, beside nginx -----------------------------------------------------------------

/// A zone with half an hour and another day's date for much of a day.
const ZONE: &str = "Asia/Kolkata";

/// A real nginx on a Unix socket that answers everything, and believes `X-Real-IP`.
struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path().display();
        let config = format!(
            r#"daemon off; master_process off; pid {root}/pid; error_log stderr notice;
            events {{}}
            http {{
                client_body_temp_path {root}/1; proxy_temp_path {root}/2;
                fastcgi_temp_path {root}/3; uwsgi_temp_path {root}/4; scgi_temp_path {root}/5;
                set_real_ip_from unix:; real_ip_header X-Real-IP;
                lingering_close off;
                log_format time '$msec';
                access_log {root}/access.log combined;
                access_log {root}/time.log time;
                server {{ listen unix:{root}/socket; location / {{ return 200 "hi"; }} }}
            }}"#
        );
        std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let mut process = Command::new("nginx")
            .args(["-e", "stderr", "-p"])
            .arg(directory.path())
            .arg("-c")
            .arg(directory.path().join("nginx.conf"))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()))
            .env("TZ", ZONE)
            .stderr(Stdio::piped())
            .spawn()
            .expect("nginx is needed for this test: apt-get install nginx");
        // It says so once it listens; then its standard error closes or goes on, unread and short.
        let mut said = String::new();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        while !said.contains("start worker") && !said.contains("using the \"epoll\"") {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "nginx has not started: {said}");
            said += &line;
        }
        process.stderr = Some(stderr.into_inner());
        Self { process, directory }
    }

    /// Sends raw bytes and reads to the end of the connection. nginx writes its log before it
    /// closes, so the line is there afterwards.
    fn send(&self, request: &[u8]) {
        let mut stream = UnixStream::connect(self.directory.path().join("socket")).unwrap();
        stream.write_all(request).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    fn lines(&self, log: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join(log)).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is sent to nginx and what is logged here of the same.
#[derive(Clone, Copy)]
struct Case {
    client: &'static str,
    method: &'static [u8],
    target: &'static [u8],
    version: &'static [u8],
    authorization: Option<&'static [u8]>,
    referer: Option<&'static [u8]>,
    user_agent: Option<&'static [u8]>,
    status: u16,
    body_bytes: u64,
}

const PLAIN: Case = Case {
    client: "192.0.2.7",
    method: b"GET",
    target: b"/",
    version: b"HTTP/1.1",
    authorization: None,
    referer: None,
    user_agent: None,
    status: 200,
    body_bytes: 2,
};

impl Case {
    fn request(&self) -> Vec<u8> {
        let mut request = [self.method, b" ", self.target, b" ", self.version].concat();
        request.extend_from_slice(b"\r\nHost: a\r\nConnection: close\r\nX-Real-IP: ");
        request.extend_from_slice(self.client.as_bytes());
        for (name, value) in [
            ("Authorization: ", self.authorization),
            ("Referer: ", self.referer),
            ("User-Agent: ", self.user_agent),
        ] {
            if let Some(value) = value {
                request.extend_from_slice(b"\r\n");
                request.extend_from_slice(name.as_bytes());
                request.extend_from_slice(value);
            }
        }
        request.extend_from_slice(b"\r\n\r\n");
        request
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        PLAIN,
        Case { referer: Some(b""), user_agent: Some(b""), ..PLAIN },
        Case { referer: Some(b"http://a/?x=\"y\""), user_agent: Some(b"curl/8 (x; y)"), ..PLAIN },
        Case { target: b"/q\"uote\\back\x80\xc3\xa9\xff?a=%20~", ..PLAIN },
        Case { user_agent: Some(b"tab\there \x01\x1f\x7f\x80 \xc3\xa9"), ..PLAIN },
        Case { method: b"HEAD", version: b"HTTP/1.0", body_bytes: 0, ..PLAIN },
        Case { method: b"OPTIONS", target: b"/x//y/../z", ..PLAIN },
    ];
    for client in [
        "255.255.255.254",
        "::1",
        "::",
        "fe80::",
        "2001:db8:0:0:1:0:0:1",
        "1:0:2:3:4:5:6:7",
        "2001:db8::1:0:1",
        "::ffff:1.2.3.4",
    ] {
        cases.push(Case { client, ..PLAIN });
    }
    for authorization in [
        &b"Basic Ym9iOnB3"[..], // bob:pw
        b"basic   Ym9iOnB3",
        b"Basic Ym9iOnA=",
        b"Basic Ym9iOg==",
        b"Basic Ym9iOn=",
        b"Basic Ym9iOnB",
        b"Basic Ym9iO",
        b"Basic Ym9-OnB3",
        b"Basic Ym9iOnB3 x",
        b"Basic YSJi6Vw6eA==", // a"b\xe9\:x
        b"Basic YSBiOmM=",     // "a b:c"
        b"Basic OnB3",         // :pw
        b"Basic bm9wdw==",     // no colon
        b"Basic",
        b"Basic ",
        b"Bearer Ym9iOnB3",
        b"",
    ] {
        cases.push(Case { authorization: Some(authorization), ..PLAIN });
    }
    cases
}

#[test]
fn combined_is_byte_for_byte_what_nginx_writes() {
    let nginx = Nginx::start();
    let cases = cases();
    for case in &cases {
        nginx.send(&case.request());
    }
    // A request line that nobody could parse.
    nginx.send(b"\x16\x03\x01\"\\\x02\r\n\r\n");

    let theirs = nginx.lines("access.log");
    let times = nginx.lines("time.log");
    assert_eq!(theirs.len(), cases.len() + 1, "{theirs:#?}");
    let zone = TimeZone::get(ZONE).expect("the time zones are needed: apt-get install tzdata");
    let time = |ix: usize| {
        let time: &str = &times[ix];
        UNIX_EPOCH + Duration::from_secs_f64(time.parse().unwrap())
    };
    for (ix, case) in cases.iter().enumerate() {
        let user = case.authorization.and_then(basic_user);
        let entry = Entry {
            time: time(ix),
            client: Client::Ip(case.client.parse().unwrap()),
            user: user.as_deref(),
            method: case.method,
            target: case.target,
            version: case.version,
            referer: case.referer,
            user_agent: case.user_agent,
            status: case.status,
            body_bytes: case.body_bytes,
            ..entry()
        };
        assert_eq!(line(&entry, &zone).trim_end_matches('\n'), theirs[ix]);
    }
    let last = theirs.last().unwrap();
    let body_bytes = last.split(' ').rev().nth(2).unwrap().parse().unwrap();
    let unparsed = Entry {
        time: time(cases.len()),
        client: Client::Unix,
        method: b"",
        target: b"\x16\x03\x01\"\\\x02",
        version: b"",
        status: 400,
        body_bytes,
        ..entry()
    };
    assert_eq!(line(&unparsed, &zone).trim_end_matches('\n'), last);
}

#[test]
fn the_local_time_follows_the_zone_and_its_changes() {
    let zone = TimeZone::get("Europe/Berlin").expect("apt-get install tzdata");
    let mut clock = LocalClock::new(zone);
    let mut at = |second: u64| {
        let mut out = Vec::new();
        let entry = Entry { time: UNIX_EPOCH + Duration::from_secs(second), ..entry() };
        combined::write(&entry, &mut clock, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.split(['[', ']']).nth(1).unwrap().to_owned()
    };
    // The last second of summer time in 2026, and the one after.
    assert_eq!(at(1_792_890_000 - 1), "25/Oct/2026:02:59:59 +0200");
    assert_eq!(at(1_792_890_000), "25/Oct/2026:02:00:00 +0100");
    assert_eq!(at(0), "01/Jan/1970:01:00:00 +0100");
}

// --- json -----------------------------------------------------------------------------------

#[test]
fn json_tells_every_attempt_and_survives_any_bytes() {
    let attempts = [
        Attempt {
            backend: "10.0.0.1:80",
            outcome: Outcome::Reset,
            status: None,
            reused: true,
            connect: None,
            first_byte: None,
            duration: Duration::from_millis(3),
            retried_because: Some("reset"),
        },
        Attempt {
            backend: "10.0.0.2:80",
            outcome: Outcome::Ok,
            status: Some(200),
            reused: false,
            connect: Some(Duration::from_micros(250)),
            first_byte: Some(Duration::from_millis(1)),
            duration: Duration::from_millis(2),
            retried_because: None,
        },
    ];
    let entry = Entry {
        time: UNIX_EPOCH + Duration::from_millis(1_500),
        target: b"/\"\\\x00\xff\xc3\xa9",
        user_agent: Some(b"a\nb"),
        attempts: &attempts,
        ..entry()
    };
    let mut out = Vec::new();
    json::write(&entry, &mut out);
    assert_eq!(out.lines().count(), 1);
    insta::assert_snapshot!(String::from_utf8(out.clone()).unwrap().trim_end());
    let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(parsed["target"], "/\"\\\0\u{fffd}é");
}

#[test]
fn long_fields_are_cut() {
    let long = vec![b'"'; 1 << 20];
    let entry = Entry {
        user: Some(&long),
        method: &long,
        target: &long,
        version: &long,
        host: Some(&long),
        referer: Some(&long),
        user_agent: Some(&long),
        request_id: &long,
        ..entry()
    };
    assert!(line(&entry, &TimeZone::UTC).len() <= 6 * 4 * FIELD_MAX + 200);
    let mut out = Vec::new();
    json::write(&entry, &mut out);
    assert!(out.len() <= 8 * 6 * FIELD_MAX + 1000);
}

// --- the writer -----------------------------------------------------------------------------

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_workers_recorded_is_in_the_file_after_the_end() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("access.log");
    let registry = Registry::new(3);
    let log = AccessLog::start(Some(&path), Arc::clone(&registry)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut local = log.handle().local();
            scope.spawn(move || {
                (0..1_000).for_each(|_| local.record(Format::Combined, &entry()));
            });
        }
    });
    drop(log);
    let text = read(&path);
    let expected = line(&entry(), &TimeZone::system());
    assert_eq!(text.lines().count(), 3_000);
    assert!(text.lines().all(|line| line == expected.trim_end()));
    assert_eq!(registry.process().access_log_dropped_lines(), 0);
}

#[test]
fn reopening_follows_a_rotation_and_a_reload_may_name_another_file() {
    let directory = TempDir::new().unwrap();
    let [first, rotated, second] = ["a", "a.1", "b"].map(|name| directory.path().join(name));
    let log = AccessLog::start(Some(&first), Registry::new(1)).unwrap();
    let mut local = log.handle().local();
    let mut say = |target: &'static [u8]| {
        local.record(Format::Combined, &Entry { target, ..entry() });
        local.flush();
    };
    say(b"/one");
    std::fs::rename(&first, &rotated).unwrap();
    say(b"/two");
    log.handle().reopen();
    say(b"/three");
    assert!(log.handle().set_path(Some(directory.path().join("missing/c"))).is_err());
    say(b"/four");
    log.handle().set_path(Some(second.clone())).unwrap();
    say(b"/five");
    drop(log);
    let targets = |path| {
        let text = read(path);
        text.lines().map(|line| line.split(' ').nth(6).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(targets(&second), ["/five"]);
    assert_eq!(targets(&rotated), ["/one", "/two"]);
    assert_eq!(targets(&first), ["/three", "/four"]);
}

#[test]
fn a_reader_that_stands_still_costs_lines_but_never_stops_a_worker() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    // Both ends here, so that nobody waits for the other to open.
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let registry = Registry::new(1);
    let log = AccessLog::start(Some(&path), Arc::clone(&registry)).unwrap();
    let mut local = log.handle().local();
    let agent = vec![b'x'; 8_000];
    let entry = Entry { user_agent: Some(&agent), ..entry() };
    let recorded = 4_000;
    // Twice what may wait; this loop would hang if a worker waited.
    (0..recorded).for_each(|_| local.record(Format::Combined, &entry));
    drop(local);
    let dropped = registry.process().access_log_dropped_lines();
    assert!(dropped > recorded / 3 && dropped < recorded, "{dropped}");

    let written = recorded - dropped;
    let drain = std::thread::spawn(move || {
        BufReader::new(reader).lines().take(written as usize).map(|line| line.unwrap().len()).min()
    });
    drop(log);
    assert!(drain.join().unwrap() > Some(8_000), "every line that was written is whole");
    assert_eq!(registry.process().access_log_dropped_lines(), dropped);
}

#[test]
fn a_full_disk_is_counted_in_lines() {
    let registry = Registry::new(1);
    let log = AccessLog::start(Some(Path::new("/dev/full")), Arc::clone(&registry)).unwrap();
    let mut local = log.handle().local();
    (0..5).for_each(|_| local.record(Format::Json, &entry()));
    drop(local);
    drop(log);
    assert_eq!(registry.process().access_log_dropped_lines(), 5);
}

#[test]
fn a_log_that_cannot_be_opened_says_so_at_the_start() {
    assert!(AccessLog::start(Some(Path::new("/nowhere/at/all")), Registry::new(1)).is_err());
}
