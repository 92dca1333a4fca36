//! `listen` → addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::findings::{Findings, Verdict};
use super::table::{self, LISTEN};
use super::tree::Directive;
use crate::config::{Place, backend_address};

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(String),
}

impl At {
    /// The port that redirects name: none of a Unix socket, which is as good as the usual one.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix(_) => 80,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// One `listen` that is carried.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    pub address: At,
    pub default: bool,
    pub proxy_protocol: bool,
    pub tls: bool,
    pub http2: bool,
    pub at: Place,
}

/// Ports in a range at most.
const MOST_PORTS: u16 = 1000;

/// Reads a `listen`: the addresses and, where IPv6 is not all that it takes, those of IPv4; nothing
/// if its listener is left out.
pub(super) fn listen(d: &Directive, f: &mut Findings<'_>) -> Vec<Listen> {
    let Some(addresses) = addresses(d, f) else { return Vec::new() };
    f.carried(d);
    if d.arg(0).starts_with("localhost") {
        f.differs(d, "`localhost` is 127.0.0.1");
    }
    let mut left_out = false;
    let (mut tls, mut http2) = (false, false);
    let mut default = false;
    let mut proxy_protocol = false;
    for arg in &d.args[1..] {
        let Some(row) = table::parameter(LISTEN, &arg.text) else {
            f.missing(d, &format!("`{}` is not known", arg.text), "correct it, or leave it out");
            continue;
        };
        default |= row.name.starts_with("default");
        proxy_protocol |= row.name == "proxy_protocol";
        tls |= row.name == "ssl";
        http2 |= row.name == "http2";
        left_out |= row.name == "quic";
        let note = format!("`{}`: {}", arg.text, row.doc);
        match row.verdict {
            Verdict::Carried => {}
            Verdict::Difference => f.differs(d, &note),
            Verdict::NotCarried => f.missing(d, &note, row.instead),
        }
    }
    if left_out {
        return Vec::new();
    }
    let at = |address| Listen { address, default, proxy_protocol, tls, http2, at: d.name.place };
    addresses.into_iter().map(at).collect()
}

/// The addresses of a `listen`; `None`, and told, if they cannot be listened on.
fn addresses(d: &Directive, f: &mut Findings<'_>) -> Option<Vec<At>> {
    let text = d.arg(0);
    if let Some(path) = text.strip_prefix("unix:") {
        if let Err((message, help)) = backend_address(text) {
            f.missing(d, &message, &help);
            return None;
        }
        return Some(vec![At::Unix(path.to_owned())]);
    }
    let Some((ip, ports)) = address(text) else {
        let why = format!("`{text}` is neither a port nor an IP address with one");
        f.missing(d, &why, "write the address as numbers");
        return None;
    };
    if ports.end() - ports.start() >= MOST_PORTS {
        let why = format!("these are more than {MOST_PORTS} ports");
        f.missing(d, &why, "listen on those that are used");
        return None;
    }
    let both = d.args.iter().any(|arg| arg.text == "ipv6only=off");
    let v4 = (both && ip == Ipv6Addr::UNSPECIFIED).then_some(Ipv4Addr::UNSPECIFIED.into());
    let at = |port| {
        let with = move |ip: IpAddr| At::Ip((ip, port).into());
        std::iter::once(ip).chain(v4).map(with)
    };
    Some(ports.flat_map(at).collect())
}

/// `80`, `8000-8010`, `*:80`, `127.0.0.1`, `127.0.0.1:80`, `[::]:80`, `[::1]`, `localhost:80`.
fn address(text: &str) -> Option<(IpAddr, RangeInclusive<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ports = |text: &str| match text.split_once('-') {
        Some((first, last)) => Some(port(first)?..=port(last)?).filter(|ports| !ports.is_empty()),
        None => port(text).map(|port| port..=port),
    };
    if let Some(ports) = ports(text) {
        return Some((Ipv4Addr::UNSPECIFIED.into(), ports));
    }
    let ip = |text: &str| match text {
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => text.parse().ok().map(IpAddr::V4),
        },
    };
    if let Some(ip) = ip(text) {
        return Some((ip, 80..=80));
    }
    let (host, numbers) = text.rsplit_once(':')?;
    Some((ip(host)?, ports(numbers)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("80", "0.0.0.0:80"),
            ("*:8080", "0.0.0.0:8080"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::]:80", "[::]:80"),
            ("[::1]", "[::1]:80"),
            ("localhost:82", "127.0.0.1:82"),
            ("8000-8002", "0.0.0.0:8000"),
            ("[::1]:8000-8000", "[::1]:8000"),
        ] {
            let first = |(ip, ports): (IpAddr, RangeInclusive<u16>)| {
                SocketAddr::new(ip, *ports.start()).to_string()
            };
            assert_eq!(address(text).map(first).as_deref(), Some(expected));
        }
        assert_eq!(address("8000-8002").map(|(_, ports)| ports), Some(8000..=8002));
        for text in [
            "81-80",
            "80-",
            "-80",
            "127.0.0.1:0-5",
            "80-65536",
            "",
            "0",
            "65536",
            "a.test:80",
            "::1",
            "[::1",
            ":80",
            "80:80:80",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
