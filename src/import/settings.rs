//! What the directives that hold at one place say, together: the setters of the table fill it.

use std::time::Duration;

use super::client::Client;
use super::findings::Findings;
use super::limits::Limits;
use super::onward::Says;
use super::refuse::is_network;
use super::resolver::Asked;
use super::retries::Policy;
use super::to_secured::ToSecured;
use super::tree::Directive;
use super::units;
use crate::config::is_token;

/// What holds at one place. What is `None` or empty was not written.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Default)]
pub(super) struct Settings<'t> {
    pub pass: Option<&'t Directive>,
    pub answer: Option<&'t Directive>,
    pub rewrites: Vec<&'t Directive>,
    /// Blocks of `if` that do nothing but rewrite.
    pub rewriting_ifs: Vec<&'t Directive>,
    pub try_files: Option<&'t Directive>,
    pub internal: bool,
    /// A rule that keeps clients out, and is not carried.
    pub guard: Option<&'t Directive>,
    /// Who is let in and who is kept out, in order.
    pub access: Vec<(bool, &'t str)>,
    pub satisfy_any: bool,
    /// Whether what nginx takes for the client's address is not known here.
    pub address_unsure: bool,
    /// Something that makes content, and is not carried.
    pub content: Option<&'t Directive>,
    pub http11: bool,
    pub http2: bool,
    pub http_version: Option<&'t Directive>,
    pub proxy: Policy,
    pub grpc: Policy,
    pub set_headers: Vec<&'t Directive>,
    pub grpc_set_headers: Vec<&'t Directive>,
    pub add_headers: Vec<&'t Directive>,
    pub hide_headers: Vec<&'t Directive>,
    pub expires: Option<&'t Directive>,
    pub redirects: Vec<&'t Directive>,
    pub cookie_domains: Vec<&'t Directive>,
    pub cookie_paths: Vec<&'t Directive>,
    pub cookie_flags: Vec<&'t Directive>,
    pub pass_headers: Vec<&'t Directive>,
    pub trailers: Vec<&'t Directive>,
    pub pass_trailers: bool,
    pub early_hints: Option<&'t Directive>,
    pub method: Option<&'t Directive>,
    pub set_body: Option<&'t Directive>,
    pub no_request_headers: bool,
    pub no_request_body: bool,
    pub no_chunks: bool,
    pub request_streaming: bool,
    pub streaming: bool,
    pub buffers: Option<u64>,
    pub no_temp_file: bool,
    pub rate: Option<&'t Directive>,
    pub rate_after: Option<&'t Directive>,
    pub backend_rate: Option<&'t Directive>,
    pub ignored: Vec<&'t Directive>,
    pub body_memory: Option<u64>,
    /// Requests are not logged in the usual log.
    pub silent: bool,
    /// Other logs in which they are.
    pub logs: Vec<String>,
    pub body_limit: Option<u64>,
    pub default_type: Option<&'t str>,
    pub relative_redirect: bool,
    /// Who is asked for names, and for how long.
    pub resolver: Option<Asked>,
    pub resolver_timeout: Option<Duration>,
    /// What is said of TLS to backends.
    pub to_secured: ToSecured<'t>,
    /// What says which address connections to backends leave from.
    pub source: Option<&'t Directive>,
    pub says: Says<'t>,
    pub client: Client,
    pub limits: Limits<'t>,
    pub ignore_client_abort: bool,
}

pub(super) fn time(d: &Directive, index: usize, f: &mut Findings<'_>) -> Option<Duration> {
    let time = units::time(d.arg(index));
    match time {
        Some(_) => f.carried(d),
        None => f.missing(d, "this is no time", "write it like `60s`: nginx refuses it too"),
    }
    time
}

pub(super) fn number<N: std::str::FromStr>(
    d: &Directive,
    index: usize,
    f: &mut Findings<'_>,
) -> Option<N> {
    let number = d.arg(index).parse().ok();
    match number {
        Some(_) => f.carried(d),
        None => f.missing(d, "this is no number", "correct it: nginx refuses it too"),
    }
    number
}

/// `on` or `off`.
fn flag(d: &Directive, f: &mut Findings<'_>) -> Option<bool> {
    match d.arg(0) {
        "on" => Some(true),
        "off" => Some(false),
        _ => {
            f.missing(d, "it is `on` or `off`", "correct it: nginx refuses it too");
            None
        }
    }
}

/// Reads a flag, which is carried whatever it says.
pub(super) fn carried_flag(d: &Directive, f: &mut Findings<'_>) -> Option<bool> {
    let flag = flag(d, f);
    if flag.is_some() {
        f.carried(d);
    }
    flag
}

macro_rules! times {
    ($($setter:ident => $($field:ident).+;)*) => {$(
        pub(super) fn $setter<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
            s.$($field).+ = time(d, 0, f);
        }
    )*};
}

times! {
    connect_timeout => proxy.connect;
    write_timeout => proxy.write;
    read_timeout => proxy.read;
    next_timeout => proxy.timeout;
    grpc_connect_timeout => grpc.connect;
    grpc_write_timeout => grpc.write;
    grpc_read_timeout => grpc.read;
    grpc_next_timeout => grpc.timeout;
    header_timeout => client.header;
    body_timeout => client.body;
    send_timeout => client.write;
}

macro_rules! kept {
    ($($setter:ident => $field:ident;)*) => {$(
        /// Kept for later, when all that it depends on is known.
        pub(super) fn $setter<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
            s.$field = Some(d);
        }
    )*};
}

kept! {
    pass => pass;
    try_files => try_files;
    expires => expires;
    early_hints => early_hints;
    method => method;
    set_body => set_body;
    bind => source;
    limit_rate => rate;
    limit_rate_after => rate_after;
    proxy_limit_rate => backend_rate;
}

macro_rules! listed {
    ($($setter:ident => $field:ident;)*) => {$(
        /// Kept for later, when all that it depends on is known.
        pub(super) fn $setter<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
            s.$field.push(d);
        }
    )*};
}

listed! {
    rewrite => rewrites;
    set_header => set_headers;
    grpc_set_header => grpc_set_headers;
    add_header => add_headers;
    add_trailer => trailers;
    proxy_redirect => redirects;
    cookie_domain => cookie_domains;
    cookie_path => cookie_paths;
    cookie_flags => cookie_flags;
}

/// The first `return` answers; nothing behind it is reached.
pub(super) fn answer<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.answer.get_or_insert(d);
}

pub(super) fn hide_header<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    if is_token(d.arg(0)) {
        f.carried(d);
        s.hide_headers.push(d);
    } else {
        f.missing(d, "this is no name of a header field", "correct it");
    }
}

pub(super) fn pass_header<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.pass_headers.push(d);
}

pub(super) fn pass_trailers(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.pass_trailers = flag(d, f) == Some(true);
}

pub(super) fn http_version<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.http_version = Some(d);
    match d.arg(0) {
        "1.1" => {
            s.http11 = true;
            f.carried(d);
        }
        "1.0" => {
            f.differs(d, "backends are spoken to in HTTP/1.1, on connections that are not kept");
        }
        "2" => {
            s.http2 = true;
            f.carried(d);
        }
        _ => f.missing(d, "this version is not known", "use 1.1"),
    }
}

pub(super) fn buffering(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.streaming = flag(d, f) == Some(false);
}

pub(super) fn buffers(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    match (d.arg(0).parse::<u64>(), units::size(d.arg(1))) {
        (Ok(count), Some(size)) => {
            f.carried(d);
            s.buffers = Some(count.saturating_mul(size));
        }
        _ => f.missing(d, "this is no number with a size", "write it like `8 8k`"),
    }
}

pub(super) fn temp_file(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.no_temp_file = size(d, f) == Some(0);
}

pub(super) fn ignore_headers<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    let accel = |word: &str| word.eq_ignore_ascii_case("X-Accel-Redirect");
    s.says.no_accel = d.args.iter().any(|arg| accel(&arg.text));
    s.ignored.push(d);
}

pub(super) fn request_buffering(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.request_streaming = flag(d, f) == Some(false);
}

pub(super) fn body_memory(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.body_memory = size(d, f);
}

pub(super) fn ignore_client_abort(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.ignore_client_abort = carried_flag(d, f) == Some(true);
}

pub(super) fn chunked(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.no_chunks = carried_flag(d, f) == Some(false);
}

pub(super) fn pass_request_headers(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.no_request_headers = carried_flag(d, f) == Some(false);
}

pub(super) fn pass_request_body(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.no_request_body = carried_flag(d, f) == Some(false);
}

pub(super) fn body_limit(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    s.body_limit = size(d, f);
}

fn size(d: &Directive, f: &mut Findings<'_>) -> Option<u64> {
    let size = units::size(d.arg(0));
    match size {
        Some(_) => f.carried(d),
        None => f.missing(d, "this is no size", "write it like `8m`: nginx refuses it too"),
    }
    size
}

pub(super) fn default_type<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.default_type = Some(d.arg(0));
}

pub(super) fn absolute_redirect(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.relative_redirect = flag(d, f) == Some(false);
}

pub(super) fn internal(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.internal = true;
}

pub(super) fn allow<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    access(s, d, true, f);
}

pub(super) fn deny<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    access(s, d, false, f);
}

fn access<'t>(s: &mut Settings<'t>, d: &'t Directive, allow: bool, f: &mut Findings<'_>) {
    let who = d.arg(0);
    if is_network(who) || ["all", "unix:"].contains(&who) {
        f.carried(d);
        s.access.push((allow, who));
    } else {
        let why = "this is neither an address nor a network: the route answers 403 to everybody";
        f.missing(d, why, "correct it: nginx refuses it too");
        s.guard = Some(d);
    }
}

pub(super) fn satisfy(s: &mut Settings<'_>, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.satisfy_any = d.arg(0) == "any";
}

pub(super) fn auth_basic<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    if d.arg(0) == "off" {
        f.carried(d);
        return;
    }
    let why = "there is no authentication yet: the route answers 403 to everybody";
    f.missing(
        d,
        why,
        "let the application ask for the password, then write the route's action anew",
    );
    s.guard = Some(d);
}
