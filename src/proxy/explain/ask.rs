//! What is asked for, in the words of who asks: method, URL and fields become a request head, and the
//! listener that it comes to is found.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::Address;
use crate::snapshot::{Listener, Snapshot};

/// A request that nobody sends, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The method.
    pub method: String,
    /// `https://example.com/path?query`, or a path.
    pub url: String,
    /// Fields, as `Name: value`.
    pub fields: Vec<String>,
    /// Who asks.
    pub client: IpAddr,
    /// The listener's name or address; `None`: the first with the URL's port, else with its scheme.
    pub listener: Option<String>,
}

/// The same as a head.
pub(super) struct Asked {
    pub(super) head: String,
    secured: bool,
    port: Option<u16>,
}

impl Asked {
    pub(super) fn of(wanted: &Wanted) -> Result<Self, String> {
        let (scheme, rest) = match wanted.url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, &*wanted.url),
        };
        let secured = match scheme {
            Some("https") => true,
            Some("http") | None => false,
            Some(scheme) => {
                return Err(format!("`{scheme}` is not asked for; write http or https"));
            }
        };
        let at = rest
            .find(['/', '?'])
            .filter(|_| scheme.is_some())
            .unwrap_or_else(|| if scheme.is_some() { rest.len() } else { 0 });
        let (authority, target) = rest.split_at(at);
        let slash = if target.starts_with(['/', '*']) { "" } else { "/" };
        let mut head = format!("{} {slash}{target} HTTP/1.1\r\n", wanted.method);
        if !authority.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(head, "Host: {authority}\r\n");
        }
        for field in &wanted.fields {
            if field.contains(['\r', '\n']) || !field.contains(':') {
                return Err(format!("`{field}` is no field; write it like `Accept: text/html`"));
            }
            let _ = write!(head, "{field}\r\n");
        }
        head.push_str("\r\n");
        let digits = authority.rsplit_once(':').map(|(_, port)| port.parse());
        let usual = scheme.map(|_| if secured { 443 } else { 80 });
        Ok(Self { head, secured, port: digits.and_then(Result::ok).or(usual) })
    }

    /// The listener that it comes to.
    pub(super) fn listener<'s>(
        &self,
        snapshot: &'s Snapshot,
        named: Option<&str>,
    ) -> Result<&'s Listener, String> {
        let of_requests = || snapshot.listeners.iter().filter(|one| one.tcp.is_none());
        if let Some(named) = named {
            let is_named =
                |one: &&Arc<Listener>| one.name == named || one.address.to_string() == named;
            return of_requests().find(is_named).map(|one| &**one).ok_or_else(|| {
                let names = of_requests().map(|one| one.name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                format!("no listener of requests is called `{named}`; there are: {names}")
            });
        }
        let port = |one: &&Arc<Listener>| match &one.address {
            Address::Ip(address) => Some(address.port()) == self.port,
            Address::Unix(_) => false,
        };
        let scheme = |one: &&Arc<Listener>| one.tls.is_some() == self.secured;
        let found = of_requests().find(port).or_else(|| of_requests().find(scheme));
        let found = found.or_else(|| of_requests().next());
        found.map(|one| &**one).ok_or_else(|| "no listener reads requests".to_owned())
    }
}
