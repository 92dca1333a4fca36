//! What differs between two sides.

use std::fmt;

use crate::case::Case;
use crate::side::{Observed, Seen};
use crate::support::{Fields, find};

/// Fields of responses that each program writes in its own way.
const NOT_OF_RESPONSES: [&str; 3] = ["date", "server", "connection"];

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) case: String,
    pub(crate) request: String,
    /// What differs: `status`, `interim`, `field NAME`, `body`, `own page` (nginx's, for a status),
    /// `answer` (one of the two is no HTTP), `answers` (their number), `connections` (that came to origins), `sequence`, `request line`, `sent field NAME`, `sent body`.
    pub(crate) aspect: String,
    pub(crate) theirs: String,
    pub(crate) ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, request, aspect, theirs, ours } = self;
        write!(f, "{case}\n  {request}\n  {aspect}\n    nginx:    {theirs}\n    plimsoll: {ours}")
    }
}

/// A message apart: first line, fields, body.
struct Message {
    line: String,
    fields: Fields,
    body: String,
}

impl Message {
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
        let (line, fields) = text.split_once("\r\n")?;
        let body = &bytes[end + 4..];
        let fields = Fields::parse(fields.as_bytes());
        let chunked = fields.all("transfer-encoding").iter().any(|one| one.contains("chunked"));
        let body = if chunked { dechunked(body) } else { body.escape_ascii().to_string() };
        Some(Self { line: line.to_owned(), fields, body })
    }
}

/// The content of a chunked body, and how it ends.
fn dechunked(mut body: &[u8]) -> String {
    let mut content = String::new();
    while let Some(line) = find(body, b"\r\n") {
        let digits = String::from_utf8_lossy(&body[..line]).into_owned();
        let Ok(size) = usize::from_str_radix(digits.split(';').next().unwrap(), 16) else { break };
        if size == 0 {
            return content + "<whole>" + &body[line + 2..].escape_ascii().to_string();
        }
        let end = (line + 2 + size).min(body.len());
        content += &body[line + 2..end].escape_ascii().to_string();
        body = body.get(end + 2..).unwrap_or_default();
    }
    content + "<cut>"
}

/// All differences of a case.
pub(crate) fn compare(case: &Case, theirs: &Observed, ours: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    for ((request, theirs), ours) in case.requests.iter().zip(&theirs.requests).zip(&ours.requests)
    {
        let mut tell = |aspect: &str, theirs: String, ours: String| {
            if theirs != ours {
                found.push(Difference {
                    case: case.name.clone(),
                    request: request.name.clone(),
                    aspect: aspect.to_owned(),
                    theirs,
                    ours,
                });
            }
        };
        for (theirs, ours) in theirs.answers.iter().zip(&ours.answers) {
            let (theirs, ours) = (apart(theirs), apart(ours));
            tell("answers", theirs.len().to_string(), ours.len().to_string());
            for (theirs, ours) in theirs.iter().zip(&ours) {
                answer(theirs, ours, &mut tell);
            }
        }
        tell("connections", format!("{:?}", theirs.opened), format!("{:?}", ours.opened));
        received(theirs, ours, &mut tell);
    }
    if theirs.log != ours.log {
        found.push(Difference {
            case: case.name.clone(),
            request: "*".to_owned(),
            aspect: "log".to_owned(),
            theirs: theirs.log.join("\n"),
            ours: ours.log.join("\n"),
        });
    }
    found.dedup();
    found
}

/// The answers on a connection, one by one, each with the interim ones before it.
fn apart(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (_, last) = without_interim(bytes);
        let from = bytes.len() - last.len();
        let next = next_message(last).map_or(bytes.len(), |length| from + length);
        all.push(bytes[..next].to_vec());
        bytes = &bytes[next..];
        if bytes.is_empty() {
            return all;
        }
    }
}

/// Where an answer with a length ends, if another one begins there.
fn next_message(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let length: usize = Message::of(bytes)?.fields.all("content-length").first()?.parse().ok()?;
    bytes.get(head + length..)?.starts_with(b"HTTP/1.").then_some(head + length)
}

fn answer(theirs: &[u8], ours: &[u8], tell: &mut impl FnMut(&str, String, String)) {
    let ((a_interim, theirs), (b_interim, ours)) = (without_interim(theirs), without_interim(ours));
    let (Some(a), Some(b)) = (Message::of(theirs), Message::of(ours)) else {
        tell("answer", theirs.escape_ascii().to_string(), ours.escape_ascii().to_string());
        return;
    };
    tell("interim", a_interim, b_interim);
    // The reason phrase is for people (RFC 9112 §4).
    let status = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    if status(&a.line) != status(&b.line) {
        // All else follows from it.
        tell("status", status(&a.line), status(&b.line));
        return;
    }
    if a.body.contains("<hr><center>nginx") {
        // nginx's own page; all that depends on it is one difference.
        let without = ["content-type", "content-length"];
        let without = [&NOT_OF_RESPONSES[..], &without].concat();
        fields("field", &a.fields, &b.fields, &without, tell);
        tell("own page", a.body, b.body);
        return;
    }
    fields("field", &a.fields, &b.fields, &NOT_OF_RESPONSES, tell);
    tell("body", a.body, b.body);
}

/// The status lines of interim responses, and what follows them. An interim response without a
/// final one behind it is what the client got in its place.
fn without_interim(mut bytes: &[u8]) -> (String, &[u8]) {
    let mut interim = String::new();
    while bytes.starts_with(b"HTTP/1.1 10")
        && let Some(end) = find(bytes, b"\r\n\r\n")
        && bytes[end + 4..].starts_with(b"HTTP/1.1 ")
    {
        interim += &bytes[..end].escape_ascii().to_string();
        bytes = &bytes[end + 4..];
    }
    (interim, bytes)
}

/// Field by field, in any order of different names.
fn fields(
    aspect: &str,
    theirs: &Fields,
    ours: &Fields,
    without: &[&str],
    tell: &mut impl FnMut(&str, String, String),
) {
    let mut names: Vec<String> =
        theirs.0.iter().chain(&ours.0).map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    for name in names.iter().filter(|name| !without.contains(&&***name)) {
        let shown = |fields: &Fields| format!("{:?}", fields.all(name));
        if !is_soon_after(&theirs.all(name), &ours.all(name)) {
            tell(&format!("{aspect} {name}"), shown(theirs), shown(ours));
        }
    }
}

/// Whether both are dates, less than a minute apart: they are told from now on, and now passes.
fn is_soon_after(theirs: &[&str], ours: &[&str]) -> bool {
    let date = |all: &[&str]| match all {
        [text] => httpdate::parse_http_date(text).ok(),
        _ => None,
    };
    let (Some(a), Some(b)) = (date(theirs), date(ours)) else { return false };
    let apart = a.duration_since(b).unwrap_or_else(|error| error.duration());
    apart.as_secs() < 60
}

fn received(theirs: &Seen, ours: &Seen, tell: &mut impl FnMut(&str, String, String)) {
    let sequence = |seen: &Seen| {
        seen.received.iter().map(|(name, _, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    };
    tell("sequence", sequence(theirs), sequence(ours));
    for ((_, a, a_body), (_, b, b_body)) in theirs.received.iter().zip(&ours.received) {
        let (Some(head_a), Some(head_b)) = (Message::of(a), Message::of(b)) else {
            continue;
        };
        // The version is told apart in the report of the importer.
        let line = |line: &str| line.rsplit_once(' ').map_or(line, |(line, _)| line).to_owned();
        tell("request line", line(&head_a.line), line(&head_b.line));
        fields("sent field", &head_a.fields, &head_b.fields, &[], tell);
        tell("sent body", a_body.escape_ascii().to_string(), b_body.escape_ascii().to_string());
    }
}
