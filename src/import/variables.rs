//! nginx's variables in texts → Plimsoll's, where there are such.

use std::collections::{BTreeMap, BTreeSet};

use super::made::MadeVariables;
use crate::config::{Stage, stage_of_variable};

/// A text with constants put in is cut off from the import when it gets longer.
const LONGEST: usize = 4096;

/// What a text may speak of at its place.
#[derive(Debug, Default, Clone)]
pub(super) struct Scope {
    /// Variables with a value that is known now; `None` for one that is known to vary.
    pub constants: BTreeMap<String, Option<String>>,
    /// By which scheme all requests come, if it is the same for all.
    pub scheme: Option<&'static str>,
    /// Groups of regular expressions that were found on the way here, by name.
    pub groups: BTreeSet<String>,
    /// How many groups of the last one have numbers.
    pub numbers: usize,
    /// The last one, with the text that it was found in.
    pub(super) last: Option<(String, String)>,
    /// Texts with variables that others stand for.
    aliases: BTreeMap<String, String>,
    /// Variables that the file makes.
    pub made: MadeVariables,
    /// The names of the server.
    pub names: Vec<String>,
    /// Blocks of `if` of which all is said by variables.
    pub carried: BTreeSet<usize>,
    /// Each request says where it is sent.
    by_request: bool,
}

impl Scope {
    /// A place where nothing is set.
    pub(super) fn with(made: &MadeVariables) -> Self {
        Self { made: made.clone(), ..Self::default() }
    }

    /// Takes in `set $name value`.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let Some(name) = name.strip_prefix('$') else { return };
        let folded = self.fold(value);
        let value = self.constant(value);
        self.aliases.remove(name);
        if value.is_none() && folded.len() <= LONGEST {
            self.aliases.insert(name.to_owned(), folded);
        }
        self.constants.insert(name.to_owned(), value);
    }

    /// The same before anything was set of this variable of nginx's own.
    pub(super) fn before(&self, name: &str) -> Self {
        let mut scope = self.clone();
        scope.constants.remove(name);
        scope.aliases.remove(name);
        scope
    }

    /// Notes that a variable has one value or another.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(name) = name.strip_prefix('$') {
            self.constants.insert(name.to_owned(), None);
            self.aliases.remove(name);
        }
    }

    /// Notes that a variable is one that the file makes, by nginx's name of that.
    pub(super) fn stand_for(&mut self, name: &str, made: &str) {
        self.constants.insert(name.to_owned(), None);
        self.aliases.insert(name.to_owned(), format!("${{{made}}}"));
    }

    /// Whether a variable was set on the way here.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// The same where `proxy_pass` leads to a host.
    pub(super) fn with_target(&self, host: &str) -> Self {
        let mut scope = self.clone();
        let port = host.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| port.bytes().all(|c| c.is_ascii_digit())).unwrap_or("80");
        scope.constants.insert("proxy_host".to_owned(), Some(host.to_owned()));
        scope.constants.insert("proxy_port".to_owned(), Some(port.to_owned()));
        scope
    }

    /// The same where each request says where it is sent.
    pub(super) fn by_request(&self) -> Self {
        Self { by_request: true, ..self.clone() }
    }

    /// The text with constants put in; what is left of variables stays.
    pub(super) fn fold(&self, text: &str) -> String {
        let mut folded = String::new();
        for part in parts(text) {
            match part {
                Part::Text(text) => folded.push_str(text),
                Part::Variable(name) => match self.constants.get(name) {
                    Some(Some(value)) => folded.push_str(value),
                    _ => match self.aliases.get(name) {
                        Some(text) => folded.push_str(text),
                        None => folded.extend(["${", name, "}"]),
                    },
                },
            }
        }
        folded
    }

    /// The text, if no variable is left in it.
    pub(super) fn constant(&self, text: &str) -> Option<String> {
        let folded = self.fold(text);
        let plain = parts(&folded).all(|part| matches!(part, Part::Text(_)));
        (plain && folded.len() <= LONGEST).then_some(folded)
    }

    /// The text as a template of Plimsoll's, or the first variable that has no counterpart. What
    /// is known at `stage` only later is empty, as it is for nginx.
    pub(super) fn template(&self, text: &str, stage: Stage) -> Result<Template, String> {
        let folded = self.fold(text);
        let mut template =
            Template { text: String::new(), notes: Vec::new(), from: Stage::Request };
        if folded.len() > LONGEST {
            return Err("…".to_owned());
        }
        for part in parts(&folded) {
            match part {
                Part::Text(text) => template.text.push_str(&text.replace("${", "$${")),
                Part::Variable(name) => {
                    if let Some(group) = self.group(name) {
                        template.text.extend(["${", &group, "}"]);
                        continue;
                    }
                    let of_target = match name {
                        "proxy_host" if self.by_request => Some("${to.host}"),
                        "proxy_port" if self.by_request => Some("${to.port}"),
                        _ => None,
                    };
                    if let Some(ours) = of_target {
                        template.text.push_str(ours);
                        continue;
                    }
                    let made = self.made.find(name).map(|made| Counterpart {
                        ours: made.name.clone(),
                        from: made.stage,
                        note: None,
                    });
                    let found = made.or_else(|| counterpart(name));
                    let found = found.ok_or_else(|| format!("${name}"))?;
                    template.from = template.from.max(found.from);
                    if found.from <= stage {
                        template.text.extend(["${", &found.ours, "}"]);
                        template.notes.extend(found.note);
                    } else {
                        template.notes.push("what is known of the response only is empty here");
                    }
                }
            }
        }
        Ok(template)
    }
}

/// A text with `${variables}` of Plimsoll's.
pub(super) struct Template {
    pub text: String,
    /// In what it differs.
    pub notes: Vec<&'static str>,
    /// From when on all of it is known.
    pub from: Stage,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// The parts of a text; a `$` before no name is a plain one.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = variable(rest) {
            rest = after;
            return Some(Part::Variable(name));
        }
        let mut from = rest.chars().next().map_or(1, char::len_utf8);
        let end = loop {
            let Some(next) = rest.get(from..).and_then(|tail| tail.find('$')) else {
                break rest.len();
            };
            if variable(&rest[from + next..]).is_some() {
                break from + next;
            }
            from += next + 1;
        };
        let (plain, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(plain))
    })
}

/// The variable at the beginning of a text, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('$')?;
    if let Some(inner) = rest.strip_prefix('{') {
        let (name, after) = inner.split_once('}')?;
        return (is_name(name)).then_some((name, after));
    }
    // A group has one digit, whatever stands behind.
    let end = if rest.starts_with(|c: char| ('1'..='9').contains(&c)) {
        1
    } else {
        rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len())
    };
    (end > 0).then(|| rest.split_at(end))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_char)
}

/// Plimsoll's variable for one of nginx's.
struct Counterpart {
    ours: String,
    /// From when on it is known.
    from: Stage,
    /// In what it differs.
    note: Option<&'static str>,
}

/// nginx's variables without an argument, with Plimsoll's.
const PLAIN: [(&str, &str); 60] = [
    ("hostname", "hostname"),
    ("request_body", "request_body"),
    ("proxy_protocol_addr", "proxied.client_ip"),
    ("proxy_protocol_port", "proxied.client_port"),
    ("proxy_protocol_server_addr", "proxied.server_ip"),
    ("proxy_protocol_server_port", "proxied.server_port"),
    ("remote_addr", "client_ip"),
    ("binary_remote_addr", "client_ip_bytes"),
    ("remote_port", "client_port"),
    ("realip_remote_addr", "downstream_ip"),
    ("realip_remote_port", "client_port"),
    ("limit_req_status", "limit.rate"),
    ("limit_conn_status", "limit.concurrency"),
    ("remote_user", "user"),
    ("proxy_add_x_forwarded_for", "forwarded_for"),
    ("server_addr", "server_ip"),
    ("server_port", "server_port"),
    ("server_protocol", "version"),
    ("connection_requests", "connection_requests"),
    ("host", "host"),
    ("scheme", "scheme"),
    ("https", "https"),
    ("ssl_protocol", "tls.version"),
    ("ssl_cipher", "tls.cipher"),
    ("ssl_server_name", "tls.server_name"),
    ("ssl_session_reused", "tls.resumed"),
    ("ssl_alpn_protocol", "tls.protocol"),
    ("ssl_client_verify", "tls.client.verified"),
    ("ssl_client_s_dn", "tls.client.subject"),
    ("ssl_client_i_dn", "tls.client.issuer"),
    ("ssl_client_serial", "tls.client.serial"),
    ("ssl_client_fingerprint", "tls.client.fingerprint"),
    ("ssl_client_escaped_cert", "tls.client.certificate"),
    ("request", "request_line"),
    ("request_method", "method"),
    // Made of `auth_request_set`.
    ("auth_status", "auth_status"),
    ("request_uri", "uri"),
    ("request_id", "request_id"),
    ("request_length", "request_length"),
    ("request_time", "duration"),
    ("uri", "normalized_path"),
    ("document_uri", "normalized_path"),
    ("args", "query"),
    ("query_string", "query"),
    ("is_args", "query_mark"),
    ("content_length", "header.content-length"),
    ("content_type", "header.content-type"),
    ("msec", "time"),
    ("time_local", "time.local"),
    ("time_iso8601", "time.iso8601"),
    ("status", "status"),
    ("bytes_sent", "response_length"),
    ("upstream_addr", "upstream.addr"),
    ("upstream_status", "upstream.status"),
    ("upstream_connect_time", "upstream.connect_time"),
    ("upstream_header_time", "upstream.header_time"),
    ("upstream_response_time", "upstream.response_time"),
    ("upstream_response_length", "upstream.response_length"),
    ("upstream_bytes_received", "upstream.bytes_received"),
    ("upstream_bytes_sent", "upstream.bytes_sent"),
];

/// The same where something differs.
const DIFFERENT: [(&str, &str, &str); 3] = [
    ("connection", "connection", "connections are counted by each worker for itself"),
    ("body_bytes_sent", "body_length", "what chunks are framed with is not counted"),
    ("proxy_host", "upstream", "an upstream without a name is called by its address"),
];

/// Variables with an argument.
const FAMILIES: [(&str, &str); 8] = [
    // Made of `auth_request_set`.
    ("auth_http_", "auth."),
    ("upstream_http_", "upstream.header."),
    ("upstream_cookie_", "upstream.cookie."),
    ("upstream_trailer_", "upstream.trailer."),
    ("sent_http_", "response."),
    ("http_", "header."),
    ("cookie_", "cookie."),
    ("arg_", "arg."),
];

fn counterpart(name: &str) -> Option<Counterpart> {
    let made = |ours: String, note| {
        let from = stage_of_variable(&ours)?;
        Some(Counterpart { ours, from, note })
    };
    if let Some((_, ours)) = PLAIN.iter().find(|(theirs, _)| *theirs == name) {
        return made((*ours).to_owned(), None);
    }
    if let Some((_, ours, note)) = DIFFERENT.iter().find(|(theirs, ..)| *theirs == name) {
        return made((*ours).to_owned(), Some(*note));
    }
    FAMILIES.iter().find_map(|(theirs, ours)| {
        let of = name.strip_prefix(theirs).filter(|of| !of.is_empty())?;
        let is_field = !matches!(*theirs, "cookie_" | "arg_" | "upstream_cookie_");
        let of = if is_field { of.replace('_', "-") } else { of.to_owned() };
        made(format!("{ours}{of}"), None)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours(text: &str) -> Result<String, String> {
        Scope::default().template(text, Stage::Request).map(|template| template.text)
    }

    #[test]
    fn variables_have_their_counterparts() {
        assert_eq!(ours("$scheme://$host$request_uri").unwrap(), "${scheme}://${host}${uri}");
        assert_eq!(ours("${http_x_a}b").unwrap(), "${header.x-a}b");
        assert_eq!(ours("a$").unwrap(), "a$");
        let found = Scope { numbers: 1, ..Scope::default() };
        assert_eq!(found.template("/$1_old$10", Stage::Request).unwrap().text, "/${1}_old${1}0");
        assert_eq!(ours("é$arg_x$").unwrap(), "é${arg.x}$");
        assert_eq!(ours("a$upstream_status$is_args").unwrap(), "a${query_mark}");
        assert_eq!(ours("$ssl_cipher").unwrap(), "${tls.cipher}");
        assert_eq!(ours("$ssl_curve"), Err("$ssl_curve".to_owned()));
        assert_eq!(ours("$1"), Err("$1".to_owned()));
        assert_eq!(ours("$http_"), Err("$http_".to_owned()));
    }

    #[test]
    fn constants_are_put_in_and_do_not_grow_without_end() {
        let mut scope = Scope::default();
        scope.set("$a", "x");
        scope.set("$b", "$a-$a");
        assert_eq!(scope.constant("<$b>").as_deref(), Some("<x-x>"));
        for _ in 0..100 {
            scope.set("$b", "$b$b");
        }
        assert_eq!(scope.constant("$b"), None);
        scope.forget("$a");
        assert_eq!(scope.constant("$a"), None);
    }

    #[test]
    fn every_counterpart_is_a_variable() {
        let plain = PLAIN.iter().map(|(theirs, _)| *theirs);
        let different = DIFFERENT.iter().map(|(theirs, ..)| *theirs);
        for name in plain.chain(different) {
            assert!(counterpart(name).is_some(), "{name}");
        }
        for (family, _) in FAMILIES {
            assert!(counterpart(&format!("{family}x")).is_some(), "{family}");
        }
    }

    proptest! {
        #[test]
        fn parts_hold_the_whole_text(text in "[$a{}é_]{0,12}") {
            let mut whole = String::new();
            for part in parts(&text) {
                match part {
                    Part::Text(plain) => whole.push_str(plain),
                    Part::Variable(name) => whole.push_str(name),
                }
            }
            let plain = |text: &str| text.replace(['$', '{', '}'], "");
            prop_assert_eq!(plain(&whole), plain(&text));
        }
    }
}
