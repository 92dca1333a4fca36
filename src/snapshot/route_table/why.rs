//! Why a route is not the one of a request: for people who ask, not for requests.

use super::conditions::header_holds;
use super::paths::fits;
use super::{Facts, MAX_HOST_BYTES, Request, plain_host};
use crate::config::model::{HeaderMatch, HostMatch, Route};

/// What of a route's rules a request does not meet; the first of them, in the order in which a table
/// looks at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'r> {
    /// None of its hosts.
    Host,
    /// Its path.
    Path,
    /// None of its methods.
    Method,
    /// A rule on this field.
    Header(&'r str),
    /// The condition at this place of its list.
    When(usize),
}

/// What keeps a request from a route; `None`: nothing but that another one goes before it.
pub fn mismatch<'r, H: Facts>(route: &'r Route, request: &Request<'_, H>) -> Option<Mismatch<'r>> {
    let mut buffer = [0; MAX_HOST_BYTES];
    let host = plain_host(request.host, &mut buffer);
    let is_host = |rule: &HostMatch| host.is_some_and(|host| is_of(rule, host));
    if !route.hosts.is_empty() && !route.hosts.iter().any(is_host) {
        return Some(Mismatch::Host);
    }
    if !fits(&route.path, request.path) {
        return Some(Mismatch::Path);
    }
    let is_method = |method: &String| method.as_bytes() == request.method;
    if !route.methods.is_empty() && !route.methods.iter().any(is_method) {
        return Some(Mismatch::Method);
    }
    let broken = |rule: &&HeaderMatch| !header_holds(rule, request.facts);
    if let Some(rule) = route.headers.iter().find(broken) {
        return Some(Mismatch::Header(&rule.name));
    }
    route.when.iter().position(|one| !request.facts.holds(one)).map(Mismatch::When)
}

/// Whether a host, in lower case and without its port, is of this rule.
fn is_of(rule: &HostMatch, host: &[u8]) -> bool {
    match rule {
        HostMatch::Exact(name) => host == name.as_bytes(),
        HostMatch::Suffix(suffix) => {
            host.strip_suffix(suffix.as_bytes()).is_some_and(|rest| rest.ends_with(b"."))
        }
        HostMatch::Prefix(prefix) => {
            host.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
        }
        HostMatch::Regex(pattern) => pattern.0.is_match(host),
    }
}
