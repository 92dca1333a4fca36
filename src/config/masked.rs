//! A configuration that can be shown to others: its files without what only their owner may know.
//!
//! What is not known to be harmless is masked: texts of settings that are not in the list here, values of
//! fields, everything under a key that there is none of, and comments. Of the texts that are shown, users and
//! passwords of URLs and the values of their queries are masked too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::files;
use super::load::{Environment, LARGEST, load};
use super::settings::{ROOT, SECRET};
use super::table::{Kind, Section};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Settings whose texts are shown: where things are, what they are called, and what requests are asked for.
const SHOWN: [&str; 72] = [
    "access_logs",
    "address",
    "allow",
    "audit_log",
    "auth",
    "backends_file",
    "ca",
    "certificate",
    "chain",
    "checks",
    "client",
    "client_address",
    "content_type",
    "cookie",
    "crl",
    "database",
    "deny",
    "depends_on",
    "directory",
    "domain",
    "early_hints_when",
    "env",
    "file",
    "from",
    "go_to",
    "header",
    "host",
    "hosts",
    "include",
    "key",
    "learn",
    "limits",
    "listeners",
    "lookup",
    "method",
    "methods",
    "mirror",
    "name",
    "names",
    "network",
    "node",
    "ocsp",
    "passed_headers",
    "path",
    "path_exact",
    "path_prefix",
    "path_regex",
    "pid_file",
    "priority",
    "protocols",
    "rate",
    "regex",
    "region",
    "remove",
    "replace_prefix",
    "request_id",
    "route",
    "san",
    "sentinels",
    "server_name",
    "servers",
    "service",
    "set",
    "socket_mode",
    "source",
    "state",
    "subject",
    "template",
    "to",
    "trusted_proxies",
    "upgrades",
    "upstream",
];

/// Bytes of the shortest secret that is looked for elsewhere: shorter ones stand in too many words.
const SHORTEST: usize = 6;

/// A configuration's text as it can be shown; or why it cannot.
///
/// # Errors
/// It is not TOML.
pub fn masked(text: &str) -> Result<String, String> {
    Masked::default().text(text, None)
}

/// Whether a text has [`MASK`] in place of a secret.
pub fn holds_mask(text: &str) -> bool {
    fn holds(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains(MASK),
            Value::Array(all) => all.iter().any(holds),
            Value::Table(table) => table.values().any(holds),
            _ => false,
        }
    }
    toml::from_str(text).is_ok_and(|table: Table| table.values().any(holds))
}

/// The files of a configuration without their secrets.
#[derive(Debug, Default)]
pub struct Masked {
    /// Each file as TOML, the main one first; or why it cannot be shown.
    pub files: Vec<(PathBuf, Result<String, String>)>,
    secrets: BTreeSet<String>,
}

impl Masked {
    /// Masks a configuration, with what it includes as far as it is good.
    pub fn add(&mut self, path: &Path, environment: Environment<'_>) {
        let included = load(path, environment).map(|loaded| loaded.config.files);
        for file in included.unwrap_or_else(|_| vec![path.to_owned()]) {
            let text = self.file(&file, environment);
            self.files.push((file, text));
        }
    }

    /// Looks elsewhere for the secrets of this text too.
    pub fn learn(&mut self, text: &str) {
        // Where it cannot be read it holds none that were ever in use.
        let _ = self.text(text, None);
    }

    fn file(&mut self, path: &Path, environment: Environment<'_>) -> Result<String, String> {
        let bytes = files::read(path, LARGEST).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let base = path.parent().unwrap_or(Path::new(""));
        self.text(&text, Some((base, environment)))
    }

    fn text(&mut self, text: &str, refers: Option<Refers<'_>>) -> Result<String, String> {
        // What is wrong with it is not told: that would be an excerpt.
        let mut table: Table = toml::from_str(text).map_err(|_| "it is not TOML".to_owned())?;
        Walk { masked: self, refers }.table(&mut table, Some(&ROOT));
        toml::to_string(&table).map_err(|error| error.to_string())
    }

    /// One more secret that is looked for, and each longer word of it.
    pub fn know(&mut self, secret: &str) {
        let whole = Some(secret.trim()).filter(|whole| whole.len() >= SHORTEST);
        let is_part = |c: char| c.is_alphanumeric() || "-_.~+/=".contains(c);
        let words = secret.split(|c| !is_part(c)).filter(|word| word.len() >= SHORTEST + 2);
        self.secrets.extend(words.chain(whole).map(str::to_owned));
    }

    /// A text with each secret masked that is known of the files, as it is and as in JSON.
    pub fn hide(&self, text: &str) -> String {
        let mut secrets: Vec<&String> = self.secrets.iter().collect();
        // One may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = text.to_owned();
        for secret in secrets {
            let quoted = Value::String(secret.clone()).to_string();
            let json = serde_json::Value::from(secret.as_str()).to_string();
            for form in [secret, quoted.trim_matches('"'), json.trim_matches('"')] {
                if form.len() >= SHORTEST && text.contains(form) {
                    text = text.replace(form, MASK);
                }
            }
        }
        text
    }
}

/// A walk through a file.
struct Walk<'m, 'e> {
    masked: &'m mut Masked,
    refers: Option<Refers<'e>>,
}

/// Where secrets are found that are referred to: the folder of their files, and the environment.
type Refers<'e> = (&'e Path, Environment<'e>);

impl Walk<'_, '_> {
    fn table(&mut self, table: &mut Table, section: Option<&Section>) {
        for (key, value) in table {
            let kind = section.and_then(|section| section.find(key)).map(|setting| &setting.kind);
            self.value(key, value, kind);
        }
    }

    /// Masks a value of the setting of that key.
    fn value(&mut self, key: &str, value: &mut Value, kind: Option<&Kind>) {
        match (value, kind) {
            (Value::Table(table), Some(Kind::Or(_, section))) if is_secret(section) => {
                self.referred(table);
            }
            (Value::Table(table), Some(Kind::Table(section) | Kind::Or(_, section))) => {
                self.table(table, Some(section));
            }
            (Value::Table(table), Some(Kind::Map(each))) => {
                for (_, value) in table {
                    self.value(key, value, Some(each));
                }
            }
            (Value::Table(table), _) => self.table(table, None),
            (Value::Array(all), kind) => {
                let each = match kind {
                    Some(Kind::List(each) | Kind::Or(Kind::List(each), _)) => Some(*each),
                    other => other,
                };
                for value in all {
                    self.value(key, value, each);
                }
            }
            (Value::String(text), kind) if is_shown(key, kind) => *text = self.show(text),
            (Value::String(text), _) => self.mask(text),
            (value, None) => *value = Value::String(MASK.to_owned()),
            (_, Some(_)) => {}
        }
    }

    /// What a reference refers to is a secret; the reference is none.
    fn referred(&mut self, table: &Table) {
        let Some((base, environment)) = self.refers else { return };
        let text = |key: &str| table.get(key).and_then(Value::as_str);
        let of_file = text("file").and_then(|file| files::read(&base.join(file), 1 << 20).ok());
        let of_file = of_file.and_then(|bytes| String::from_utf8(bytes).ok());
        let of_variable = text("env").and_then(environment);
        for secret in of_file.into_iter().chain(of_variable) {
            self.masked.know(&secret);
        }
    }

    /// Masks a text, unless it is made of nothing but variables.
    fn mask(&mut self, text: &mut String) {
        let mut rest = text.as_str();
        while let Some((_, behind)) = rest.strip_prefix("${").and_then(|rest| rest.split_once('}'))
        {
            rest = behind;
        }
        if !rest.is_empty() {
            self.masked.know(text);
            MASK.clone_into(text);
        }
    }

    /// A text without the user of its URL and without the values of its query.
    fn show(&mut self, text: &str) -> String {
        let mut shown = text.to_owned();
        if let Some((scheme, rest)) = shown.split_once("://") {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            if let Some((user, _)) = rest[..end].rsplit_once('@') {
                for part in user.split(':') {
                    self.masked.know(part);
                }
                shown = format!("{scheme}://{MASK}{}", &rest[user.len()..]);
            }
        }
        let Some((place, query)) = shown.split_once('?') else { return shown };
        let mut pairs: Vec<String> = Vec::new();
        for pair in query.split('&') {
            let Some((name, value)) = pair.split_once('=') else {
                pairs.push(pair.to_owned());
                continue;
            };
            let mut value = value.to_owned();
            self.mask(&mut value);
            pairs.push(format!("{name}={value}"));
        }
        format!("{place}?{}", pairs.join("&"))
    }
}

fn is_secret(section: &Section) -> bool {
    section.title == SECRET.title
}

fn is_shown(key: &str, kind: Option<&Kind>) -> bool {
    match kind {
        None | Some(Kind::Map(_) | Kind::Table(_)) => false,
        Some(Kind::Or(_, section)) if is_secret(section) => false,
        Some(Kind::Text | Kind::List(_) | Kind::Or(..) | Kind::SizeOrText { .. }) => {
            SHOWN.contains(&key)
        }
        // Words, numbers and times.
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret in every place where one has been seen; each begins with `geheim`.
    const FULL: &str = r#"
# The old password was geheim-comment.
[admin.tokens.deploy]
sha256 = "geheim-hash"

[[listener]]
name = "main"
address = "127.0.0.1:80"

[[route]]
upstream = "api"
path = "/a"
headers = { X-Api-Key = "geheim-match" }
when = [{ value = "${arg.key}", is = "geheim-when" }]
request_headers = { set = { Authorization = "Bearer geheim-bearer", X-Id = "${request_id}" } }

[[route]]
redirect = { to = "https://ann:geheim-url@example.com/x?sig=geheim-query&id=${arg.id}" }

[variable.known]
from = "${header.key}"
cases = [{ is = "geheim-case", give = "geheim-given" }]

[upstream.api.check.web]
type = "tcp"
send = "AUTH geheim-sent\r\n"

[upstream.api.check.program]
type = "exec"
command = ["/usr/bin/check", "--password", "geheim-argument"]

[upstream.api.check.base]
type = "redis"
password = "geheim-password"

[upstream.api.check.other]
type = "redis"
password = { file = "token" }

[[upstream.api.backend]]
address = "10.0.0.1:80"
passwort = "geheim-unknown"
pin = 4711
"#;

    fn masked() -> (Masked, String) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "geheim-file\n").unwrap();
        let file = folder.path().join("plimsoll.toml");
        std::fs::write(&file, FULL).unwrap();
        let mut masked = Masked::default();
        masked.add(&file, &|_| None);
        let text = masked.files[0].1.clone().unwrap();
        (masked, text)
    }

    #[test]
    fn no_secret_is_shown_and_what_is_none_is() {
        let (_, text) = masked();
        assert!(!text.contains("geheim") && !text.contains("4711"), "{text}");
        for shown in [
            "address = \"10.0.0.1:80\"",
            "X-Id = \"${request_id}\"",
            "https://***@example.com/x?sig=***&id=${arg.id}",
            "file = \"token\"",
            "type = \"redis\"",
            "Authorization = \"***\"",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }

    #[test]
    fn a_mask_is_known_from_a_comment() {
        assert!(holds_mask(&super::masked(FULL).unwrap()));
        assert!(!holds_mask("# *** by hand ***\nworkers = 2\n"));
        assert!(holds_mask("[[a]]\nb = [\"https://***@c\"]\n"));
        assert!(!super::masked(FULL).unwrap().contains("geheim"));
    }

    #[test]
    fn secrets_are_hidden_elsewhere_too() {
        let (mut masked, _) = masked();
        masked.know("a \"quoted\" one");
        masked.learn("[admin.tokens.old]\nsha256 = \"geheim-of-before\"\n");
        for (told, hidden) in [
            ("refused: Bearer geheim-bearer", "refused: ***"),
            ("geheim-bearer", "***"),
            ("token=geheim-file;", "token=***;"),
            ("geheim-query geheim-url geheim-unknown", "*** *** ***"),
            (r#"{"why": "a \"quoted\" one"}"#, r#"{"why": "***"}"#),
            ("AUTH geheim-sent, geheim-of-before", "***, ***"),
            ("it sent geheim-sent", "it sent ***"),
        ] {
            assert_eq!(masked.hide(told), hidden, "{told}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plimsoll.toml");
        std::fs::write(&file, "password = geheim").unwrap();
        let mut masked = Masked::default();
        masked.add(&file, &|_| None);
        assert_eq!(masked.files, [(file, Err("it is not TOML".to_owned()))]);
        let mut missing = Masked::default();
        missing.add(Path::new("/no/such/file.toml"), &|_| None);
        assert!(missing.files[0].1.is_err());
    }
}
