//! Broken files: whatever the importer is given, it ends soon, what it writes is good, and nothing is
//! reachable that nginx keeps everybody from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use plimsoll::config;
use plimsoll::import::{self, Files};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use crate::{mains, root};

/// What an import may take of a processor's time, in a program that is not optimised: many times what
/// the longest of all took when this was written (0.2 s).
const LONGEST: Duration = Duration::from_secs(10);

/// Files in memory.
#[derive(Debug, Clone, Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let directory = if directory == Path::new(".") { Path::new("") } else { directory };
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(directory).ok());
        let first = inside.filter_map(|path| path.components().next());
        Ok(first.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect())
    }
}

impl Memory {
    /// All files of a folder.
    fn of(folder: &Path) -> Self {
        let mut files = Self::default();
        files.add(folder, folder);
        files
    }

    fn add(&mut self, base: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.add(base, &path);
            } else {
                let name = path.strip_prefix(base).unwrap().to_owned();
                self.0.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }

    fn main(&self, name: &str) -> String {
        String::from_utf8(self.0[Path::new(name)].clone()).unwrap()
    }
}

/// A text to break, with the files beside it.
#[derive(Debug, Clone)]
struct Whole {
    text: String,
    files: Memory,
}

/// Every configuration of the tests: whole ones, those of the field with what they include, and those
/// that are compared with nginx.
fn corpus() -> &'static [Whole] {
    static CORPUS: OnceLock<Vec<Whole>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let mut all = Vec::new();
        let folder = root().join("tests/import");
        for main in mains(&folder) {
            let text = std::fs::read_to_string(main).unwrap();
            all.push(Whole { text, files: Memory::default() });
        }
        for main in mains(&folder.join("field")) {
            let files = Memory::of(main.parent().unwrap());
            all.push(Whole { text: files.main("nginx.conf"), files });
        }
        for entry in std::fs::read_dir(root().join("tests/parity/cases")).unwrap() {
            let cases = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for part in cases.split("\n--- conf\n").skip(1) {
                let conf = part.split("\n--- ").next().unwrap();
                let conf = conf.replace("${listen}", "127.0.0.1:8080").replace("${port}", "8080");
                let text = format!("events {{}}\nhttp {{\n{}\n}}\n", addresses(&conf));
                all.push(Whole { text, files: Memory::default() });
            }
        }
        assert!(all.len() > 200, "{}", all.len());
        all
    })
}

/// Puts addresses in place of `${a}`, which the cases have for origins.
fn addresses(conf: &str) -> String {
    let mut parts = conf.split("${");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        text.push_str(if name.len() < 4 { "127.0.0.1:9000" } else { "9000" });
        text.push_str(rest);
    }
    text
}

/// What is put into files to break them: words that mean something.
const WORDS: &[&str] = &[
    ";",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "$",
    "${",
    "#",
    "\n",
    " ",
    "=",
    "~",
    "~*",
    "^~",
    "/",
    "//",
    "@a",
    "http",
    "server",
    "location",
    "upstream",
    "if",
    "($host = a)",
    "limit_except",
    "map",
    "events",
    "split_clients",
    "include",
    "return",
    "301",
    "444",
    "rewrite",
    "proxy_pass",
    "grpc_pass",
    "proxy_bind",
    "proxy_ssl_name",
    "proxy_ssl_verify_depth",
    "proxy_ssl_password_file",
    "ssl_password_file",
    "proxy_cookie_flags",
    "proxy_limit_rate",
    "limit_rate",
    "early_hints",
    "keepalive_disable",
    "merge_slashes",
    "proxy_http_version",
    "least_time",
    "last_byte",
    "slow_start=30s",
    "off",
    "$args",
    "$limit_rate",
    "$limit_req_status",
    "$upstream_trailer_x",
    "http://app",
    "http://unix:/s:/u",
    "https://",
    "$request_uri",
    "listen",
    "443 ssl",
    "[::]:80",
    "unix:/x",
    "server_name",
    "*.a.test",
    "a.test",
    "default_server",
    "backup",
    "down",
    "weight=0",
    "weight=99999999",
    "max_fails=3",
    "fail_timeout=1y",
    "0",
    "-1",
    "99999999999",
    "1g",
    "off",
    "on",
    "hash",
    "consistent",
    "keepalive",
    "proxy_set_header",
    "Host",
    "Connection",
    "\"\"",
    "add_header",
    "always",
    "try_files",
    "set",
    "$a",
    "deny all",
    "allow",
    "internal",
    "é",
    "\u{0}",
    "content_by_lua_block",
    "allow 10.0.0.0/8",
    "satisfy any",
    "auth_basic x",
    "auth_request /a",
    "valid_referers none",
    "set_real_ip_from a",
    "^/(?!a)",
    "(?<!b)$",
    "unix:",
    "8000-8003",
    "hostnames",
    "sticky learn create=$upstream_cookie_a lookup=$cookie_a zone=z:1m",
    "access_log /x.log combined",
    "least_time last inflight",
    "slow_start=10s",
    "!-f",
    "$request_filename",
];

/// A step that breaks a text.
#[derive(Debug, Clone)]
enum Step {
    /// From where, how much is taken out, and the words put in.
    Replace(usize, usize, Vec<&'static str>),
    /// A line is left out.
    Drop(usize),
    /// A line stands behind another once more.
    Copy(usize, usize),
    /// Two lines change places.
    Swap(usize, usize),
    /// The text ends.
    Cut(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let words = proptest::collection::vec(proptest::sample::select(WORDS), 0..4);
    let at = any::<usize>;
    prop_oneof![
        6 => (at(), 0_usize..40, words).prop_map(|(at, length, words)| Step::Replace(at, length, words)),
        2 => at().prop_map(Step::Drop),
        2 => (at(), at()).prop_map(|(from, to)| Step::Copy(from, to)),
        2 => (at(), at()).prop_map(|(a, b)| Step::Swap(a, b)),
        1 => (at()).prop_map(Step::Cut),
    ]
}

fn broken(text: &str, steps: &[Step]) -> String {
    let mut text = text.to_owned();
    for step in steps {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let count = lines.len().max(1);
        match step {
            _ if lines.is_empty() => {}
            Step::Replace(from, length, words) => {
                let from = text.floor_char_boundary(from % (text.len() + 1));
                let end = text.ceil_char_boundary((from + length).min(text.len()));
                text.replace_range(from..end, &words.join(" "));
            }
            Step::Drop(at) => {
                lines.remove(at % count);
                text = lines.concat();
            }
            Step::Copy(from, to) => {
                lines.insert(to % count, lines[from % count]);
                text = lines.concat();
            }
            Step::Swap(a, b) => {
                lines.swap(a % count, b % count);
                text = lines.concat();
            }
            Step::Cut(at) => {
                let at = text.len() / 2 + at % (text.len() / 2 + 1);
                text.truncate(text.floor_char_boundary(at));
            }
        }
    }
    text
}

fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// Imports, holds that it ends soon and that what is written is good, and hands that back.
fn imported(text: &str, files: &Memory) -> Result<Option<import::Imported>, TestCaseError> {
    let mut files = files.clone();
    files.0.insert("nginx.conf".into(), text.into());
    let began = spent();
    let imported = import::import(Path::new("nginx.conf"), &files);
    let took = spent().saturating_sub(began);
    prop_assert!(took < LONGEST, "{took:?}\n{text}");
    let Ok(imported) = imported else {
        return Ok(None);
    };
    // Certificates and keys that a configuration names are not there.
    let of_file = |one: &config::Diagnostic| one.message.contains("` cannot be read: ");
    if let Err(report) = config::parse("imported.toml", &imported.toml, &|_| None)
        && !report.diagnostics().iter().all(of_file)
    {
        return Err(TestCaseError::fail(format!("{report}\n{text}\n{}", imported.toml)));
    }
    imported.report.markdown();
    imported.report.to_json();
    Ok(Some(imported))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_broken_is_refused_or_imported_well(
        whole in proptest::sample::select(corpus()),
        steps in steps(),
    ) {
        imported(&broken(&whole.text, &steps), &whole.files)?;
    }

    #[test]
    fn two_files_in_one_are_refused_or_imported_well(
        one in proptest::sample::select(corpus()),
        other in proptest::sample::select(corpus()),
        (at, from, length) in (any::<usize>(), any::<usize>(), 0_usize..2_000),
    ) {
        let mut text = one.text.clone();
        let at = text.floor_char_boundary(at % (text.len() + 1));
        let from = other.text.floor_char_boundary(from % (other.text.len() + 1));
        let end = other.text.ceil_char_boundary((from + length).min(other.text.len()));
        text.insert_str(at, &other.text[from..end]);
        imported(&text, &one.files)?;
    }

    #[test]
    fn any_words_at_all_are_refused_or_imported_well(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
    ) {
        let text = format!("server {{ listen 80; {} }}", words.join(" "));
        imported(&text, &Memory::default())?;
    }

    /// Where `http` keeps everybody out, and nothing below it lets anybody in, no request is sent on.
    #[test]
    fn nobody_comes_in_where_everybody_is_kept_out(
        whole in proptest::sample::select(corpus()),
        steps in steps(),
    ) {
        let text = broken(&whole.text, &steps);
        // What lets in stands nowhere, and what keeps some out would hide the word about all.
        let text = text.replace("allow", "index").replace("deny", "index");
        let text = text.replace("satisfy any", "satisfy all");
        let text = text.replacen("http {", "http { deny all;", 1);
        let Some(imported) = imported(&text, &Memory::default())? else { return Ok(()) };
        let holds = imported.report.rows.iter().any(|row| {
            row.directive == "deny all" && row.verdict == import::Verdict::Carried
        });
        if holds {
            // Connections that are passed through are no business of `http`.
            let mut in_route = false;
            let open = imported.toml.lines().find(|line| {
                if line.starts_with('[') {
                    in_route = line.starts_with("[[route]]") || line.starts_with("[route.");
                }
                let leads = ["upstream = ", "split = "].iter().any(|key| line.starts_with(key));
                leads && in_route
            });
            prop_assert!(open.is_none(), "{open:?}\n{text}\n{}", imported.toml);
        }
    }
}

#[test]
fn every_whole_file_is_imported_well() {
    for whole in corpus() {
        let imported = imported(&whole.text, &whole.files).unwrap();
        assert!(imported.is_some(), "{}", whole.text);
    }
}
