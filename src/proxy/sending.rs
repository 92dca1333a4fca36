//! Sends a request otherwise than it came: to a place that its values name, by another method, with
//! another target, another body, or without the client's fields.
//!
//! `attempt` comes here for routes that ask for it, and goes on with what is found here. After
//! nginx's `proxy_pass` with variables, `proxy_method`, `proxy_set_body` and their like.

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use crate::http1::target::push_escaped;
use crate::http1::{Framing, is_token};
use crate::model::{Address, UpstreamIx};
use crate::proxy::attempt;
use crate::proxy::done::Done;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::local;
use crate::proxy::passage::Passage;
use crate::proxy::request::State;
use crate::proxy::retry::is_idempotent;
use crate::proxy::vars::{self, Otherwise};
use crate::proxy::view::Local;
use crate::snapshot::Destination;
use crate::snapshot::settings::{Sending, Template, Towards};

/// The port where none is written.
const PORT: u16 = 80;

/// The longest method that is sent, as of those that are taken.
const LONGEST_METHOD: usize = 32;

/// The longest path of a Unix socket (`sun_path` of Linux, without its last byte).
const LONGEST_PATH: usize = 107;

/// Where a request goes that names its place.
enum Place<'a> {
    /// To an upstream of the file.
    Upstream(UpstreamIx, &'a Local),
    /// To addresses that were found.
    Found(Rc<Local>),
}

/// Sends the request as its route says.
pub(super) async fn run(
    passage: &Passage<'_>,
    sending: &Sending,
    down: &mut Downstream,
    state: &mut State,
) -> Result<Done, Failure> {
    let mut otherwise = Otherwise { headers: sending.headers, ..Otherwise::default() };
    let mut place = None;
    if let Some(towards) = &sending.to {
        let text = render(&towards.address, passage, state);
        let text = String::from_utf8(text).map_err(|_| Failure::NoPlace)?;
        let wanted = Wanted::read(&text).ok_or(Failure::NoPlace)?;
        (otherwise.host, otherwise.port) = (wanted.shown().to_owned(), wanted.port);
        otherwise.target = wanted.target.map(|target| as_target(target.as_bytes()));
        place = Some(find(passage, towards, &wanted).await?);
    }
    state.otherwise = Some(Box::new(otherwise));
    if let Some(target) = &sending.target {
        let target = as_target(&render(target, passage, state));
        state.otherwise.get_or_insert_default().target = Some(target);
    }
    let method = sending.method.as_ref().map(|method| render(method, passage, state));
    let is_method = |method: &Vec<u8>| {
        let refused = matches!(&**method, b"CONNECT" | b"TRACE");
        is_token(method) && method.len() <= LONGEST_METHOD && !refused
    };
    let method = method.filter(is_method);
    let may_repeat = method.as_ref().is_none_or(|method| is_idempotent(method));
    state.otherwise.get_or_insert_default().method = method;
    if let Some(body) = &sending.body {
        let bytes = render_raw(body, passage, state);
        // A question leaves the body where it is.
        if !passage.asks && local::is_worth_discarding(state) {
            // Whether the connection can go on shows later.
            local::discard_what_came(passage.at, down, state).await;
        }
        let length = bytes.len() as u64;
        let framing = if body.0.is_empty() { Framing::None } else { Framing::Length(length) };
        state.upload.send_instead(bytes, framing);
    }
    let plain = Passage { settled: true, may_repeat, ..*passage };
    match place {
        None => attempt::run(&plain, down, state).await,
        Some(Place::Upstream(upstream, local)) => {
            let destination = Destination { upstream, ..passage.destination.clone() };
            let plain = Passage { destination: &destination, local, ..plain };
            attempt::run(&plain, down, state).await
        }
        Some(Place::Found(local)) => {
            let plain = Passage { local: &local, found: true, ..plain };
            attempt::run(&plain, down, state).await
        }
    }
}

fn render(template: &Template, passage: &Passage<'_>, state: &State) -> Vec<u8> {
    let mut text = Vec::new();
    vars::render(template, &passage.vars(state, ""), &mut text);
    text
}

fn render_raw(template: &Template, passage: &Passage<'_>, state: &State) -> Vec<u8> {
    let mut text = Vec::new();
    vars::render_raw(template, &passage.vars(state, ""), &mut text);
    text
}

/// A text as a request target: beginning with `/`, with what may not stand there escaped.
fn as_target(text: &[u8]) -> Vec<u8> {
    let mut target = Vec::with_capacity(text.len() + 1);
    if !text.starts_with(b"/") {
        target.push(b'/');
    }
    push_escaped(&mut target, text, |byte| byte.is_ascii_graphic() && byte != b'#');
    target
}

/// A place as a text names it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'t> {
    /// Host and port as they are written.
    authority: &'t str,
    /// Without the port and brackets; of a Unix socket the same.
    host: &'t str,
    /// 80 if none is written; 0 of a Unix socket.
    port: u16,
    /// What stands behind.
    target: Option<&'t str>,
}

impl<'t> Wanted<'t> {
    /// `[http://]HOST[:PORT][/TARGET]` or `[http://]unix:PATH[:/TARGET]`; `None` if it is nothing
    /// like it.
    fn read(text: &'t str) -> Option<Self> {
        let rest = match text.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => rest,
            _ => text,
        };
        if let Some(path) = rest.strip_prefix("unix:") {
            let (path, target) = match path.split_once(':') {
                Some((path, target)) => (path, Some(target).filter(|target| !target.is_empty())),
                None => (path, None),
            };
            let is_path =
                path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0');
            let authority = &rest[.."unix:".len() + path.len()];
            return is_path.then_some(Self { authority, host: authority, port: 0, target });
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, port)) => {
                host.parse::<Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => PORT,
            Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0)?
            }
            Some(_) => return None,
        };
        let good = |c: u8| c.is_ascii_graphic() && !b"@\\\"<>#".contains(&c);
        let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(good);
        let target = Some(target).filter(|target| !target.is_empty());
        is_host.then_some(Self { authority, host, port, target })
    }

    /// The path of a Unix socket.
    fn socket(&self) -> Option<&'t str> {
        self.host.strip_prefix("unix:")
    }

    /// The host as it is told to others: with its port, unless that goes without saying.
    fn shown(&self) -> &'t str {
        match self.authority.strip_suffix(":80") {
            _ if self.socket().is_some() => "localhost",
            Some(host) if self.port == PORT => host,
            _ => self.authority,
        }
    }
}

/// Where the request goes. An upstream of that name comes first, then an address, then a name.
async fn find<'a>(
    passage: &Passage<'a>,
    towards: &Towards,
    wanted: &Wanted<'_>,
) -> Result<Place<'a>, Failure> {
    let view = passage.at.view;
    let named = |local: &Rc<Local>| local.upstream.name.eq_ignore_ascii_case(wanted.authority);
    if let Some(place) = view.upstreams.iter().position(named) {
        let local = &view.upstreams[place];
        // One without backends has no more than settings.
        if !local.upstream.backends.is_empty() {
            return Ok(Place::Upstream(UpstreamIx(place as u32), local));
        }
    }
    let of = &passage.local.upstream;
    let places = &passage.at.worker.places;
    let host = wanted.host.to_ascii_lowercase();
    let addresses = if let Some(path) = wanted.socket() {
        if !towards.allows_socket(path) {
            return Err(not_allowed(of.name.as_str(), wanted.host));
        }
        vec![Address::Unix(path.into())]
    } else if let Ok(address) = host.parse::<IpAddr>() {
        if !towards.allows_address(address) {
            return Err(not_allowed(of.name.as_str(), &host));
        }
        vec![Address::Ip((address, wanted.port).into())]
    } else {
        if is_number(&host) || !towards.allows_name(&host) {
            return Err(not_allowed(of.name.as_str(), &host));
        }
        let found = places.resolve(of, &host, wanted.port).await;
        found.ok_or(Failure::NotFound)?
    };
    let called = wanted.socket().map_or_else(|| wanted.shown(), |_| wanted.authority);
    Ok(Place::Found(places.local(passage.at.worker, of, called, addresses)))
}

/// Whether a name is an address in a form that none is written in here.
fn is_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    last.bytes().all(|c| c.is_ascii_digit())
}

fn not_allowed(upstream: &str, host: &str) -> Failure {
    tracing::warn!(upstream, host, "a request names a place that `allow` does not let it reach");
    Failure::NotAllowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(&str, u16, Option<&str>)> {
        Wanted::read(text).map(|wanted| (wanted.host, wanted.port, wanted.target))
    }

    #[test]
    fn a_place_is_read() {
        assert_eq!(read("app"), Some(("app", 80, None)));
        assert_eq!(read("HTTP://app:81/a?b"), Some(("app", 81, Some("/a?b"))));
        assert_eq!(read("10.0.0.1?x"), Some(("10.0.0.1", 80, Some("?x"))));
        assert_eq!(read("[::1]:8080/"), Some(("::1", 8080, Some("/"))));
        assert_eq!(read("[::1]"), Some(("::1", 80, None)));
        assert_eq!(read("http://unix:/run/A.sock"), Some(("unix:/run/A.sock", 0, None)));
        assert_eq!(read("unix:/a:/x?y"), Some(("unix:/a", 0, Some("/x?y"))));
        assert_eq!(Wanted::read("unix:/a:/x").unwrap().shown(), "localhost");
        for bad in [
            "",
            "/x",
            "unix:",
            "unix:a.sock",
            "unix:/a\0b",
            "http://",
            "https://a",
            "a:",
            "a:0",
            "a:x",
            "a:+1",
            "a:65536",
            "::1",
            "[::1",
            "[a]",
            "[::1]x",
            "u@a",
            "a b",
            "a:1:2",
            "\u{e4}",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Wanted::read("a:80").unwrap().shown(), "a");
        assert_eq!(Wanted::read("a:8080").unwrap().shown(), "a:8080");
    }

    #[test]
    fn a_target_may_be_sent() {
        assert_eq!(as_target(b"/a b?\xc3\xa4#%20"), b"/a%20b?%C3%A4%23%20");
        assert_eq!(as_target(b"?q"), b"/?q");
    }

    #[test]
    fn odd_forms_of_addresses_are_no_names() {
        for (host, odd) in
            [("127.0.0.1.", true), ("2130706433", true), ("a.1", true), ("a1", false), ("", true)]
        {
            assert_eq!(is_number(host), odd, "{host}");
        }
    }
}
