//! `listen` → addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::findings::{Findings, Verdict};
use super::table::{self, LISTEN};
use super::tree::Directive;
use crate::config::Place;

/// One `listen` that is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    pub address: SocketAddr,
    pub default: bool,
    pub proxy_protocol: bool,
    pub at: Place,
}

/// Reads a `listen`: the address and, where IPv6 is not all that it takes, that of IPv4; nothing if
/// its listener is left out.
pub(super) fn listen(d: &Directive, f: &mut Findings<'_>) -> Vec<Listen> {
    let Some(one) = listener(d, f) else {
        return Vec::new();
    };
    let both = d.args.iter().any(|arg| arg.text == "ipv6only=off");
    let all_v6 = one.address.is_ipv6() && one.address.ip().is_unspecified();
    let v4 = (both && all_v6).then(|| Listen {
        address: (Ipv4Addr::UNSPECIFIED, one.address.port()).into(),
        ..one.clone()
    });
    [one].into_iter().chain(v4).collect()
}

fn listener(d: &Directive, f: &mut Findings<'_>) -> Option<Listen> {
    let text = d.arg(0);
    if text.starts_with("unix:") {
        let why = "Plimsoll does not listen on Unix sockets";
        f.missing(d, why, "listen on a port of 127.0.0.1");
        return None;
    }
    let Some(address) = address(text) else {
        let why = format!("`{text}` is neither a port nor an IP address with one");
        f.missing(d, &why, "write the address as numbers");
        return None;
    };
    f.carried(d);
    if text.starts_with("localhost") {
        f.differs(d, "`localhost` is 127.0.0.1");
    }
    let mut left_out = false;
    let mut default = false;
    let mut proxy_protocol = false;
    for arg in &d.args[1..] {
        let Some(row) = table::parameter(LISTEN, &arg.text) else {
            f.missing(d, &format!("`{}` is not known", arg.text), "correct it, or leave it out");
            continue;
        };
        default |= row.name.starts_with("default");
        proxy_protocol |= row.name == "proxy_protocol";
        left_out |= ["ssl", "quic"].contains(&row.name);
        let note = format!("`{}`: {}", arg.text, row.doc);
        match row.verdict {
            Verdict::Carried => {}
            Verdict::Difference => f.differs(d, &note),
            Verdict::NotCarried => f.missing(d, &note, row.instead),
        }
    }
    (!left_out).then_some(Listen { address, default, proxy_protocol, at: d.name.place })
}

/// `80`, `*:80`, `127.0.0.1`, `127.0.0.1:80`, `[::]:80`, `[::1]`, `localhost:80`.
fn address(text: &str) -> Option<SocketAddr> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(port) = port(text) {
        return Some((Ipv4Addr::UNSPECIFIED, port).into());
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
        return Some((ip, 80).into());
    }
    let (host, number) = text.rsplit_once(':')?;
    Some((ip(host)?, port(number)?).into())
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
        ] {
            assert_eq!(address(text).map(|one| one.to_string()).as_deref(), Some(expected));
        }
        for text in ["", "0", "65536", "a.test:80", "::1", "[::1", ":80", "80:80:80"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
