//! `listen` → addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::findings::{Findings, Verdict};
use super::table::{self, LISTEN};
use super::tree::Directive;
use crate::config::Place;

/// One `listen` that is carried.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    pub address: SocketAddr,
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
    let Some((one, ports)) = listener(d, f) else {
        return Vec::new();
    };
    let both = d.args.iter().any(|arg| arg.text == "ipv6only=off");
    let ip = one.address.ip();
    let v4 = (both && ip == Ipv6Addr::UNSPECIFIED).then_some(Ipv4Addr::UNSPECIFIED.into());
    let at = |port| {
        let one = &one;
        let with = move |ip: IpAddr| Listen { address: (ip, port).into(), ..one.clone() };
        std::iter::once(ip).chain(v4).map(with)
    };
    ports.flat_map(at).collect()
}

fn listener(d: &Directive, f: &mut Findings<'_>) -> Option<(Listen, RangeInclusive<u16>)> {
    let text = d.arg(0);
    if text.starts_with("unix:") {
        let why = "Plimsoll does not listen on Unix sockets";
        f.missing(d, why, "listen on a port of 127.0.0.1");
        return None;
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
    let address = (ip, *ports.start()).into();
    f.carried(d);
    if text.starts_with("localhost") {
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
    let one = Listen { address, default, proxy_protocol, tls, http2, at: d.name.place };
    (!left_out).then_some((one, ports))
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
