//! The header of the PROXY protocol, versions 1 and 2, as `HAProxy`'s `proxy-protocol.txt` has it: who
//! connected to a proxy, told before the first byte of the connection. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What version 2 begins with; no request does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is taken, as nginx's buffer: there is room for many TLVs.
const LONGEST: usize = 4096;

/// The two ends of a connection to a proxy, the client's first.
pub type Ends = (SocketAddr, SocketAddr);

/// What came of reading a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It has no end yet.
    Partial,
    /// It is complete.
    Complete {
        /// Its bytes; what is behind them is the client's.
        len: usize,
        /// The ends, unless the proxy does not know them (`UNKNOWN`), speaks for itself (`LOCAL`), or
        /// they are no TCP addresses.
        ends: Option<Ends>,
    },
    /// This is no such header.
    Bad,
}

impl ProxyHeader {
    /// Reads the header at the start of `bytes`, of either version.
    pub fn read(bytes: &[u8]) -> Self {
        let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
        if begins(&SIGNATURE) {
            if bytes.len() < SIGNATURE.len() { Self::Partial } else { read_binary(bytes) }
        } else if begins(b"PROXY ") {
            read_line(bytes)
        } else {
            Self::Bad
        }
    }
}

impl ProxyHeader {
    /// Appends a line of version 1 that tells of these ends; `None`: it is unknown who is behind us.
    pub fn write_line(ends: Option<Ends>, out: &mut Vec<u8>) {
        let Some((client, server)) = ends.map(of_one_family) else {
            out.extend_from_slice(b"PROXY UNKNOWN\r\n");
            return;
        };
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (client.ip(), server.ip());
        let line = format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), server.port());
        out.extend_from_slice(line.as_bytes());
    }

    /// Appends a header of version 2 that tells of these ends; `None`: we speak for ourselves.
    pub fn write_binary(ends: Option<Ends>, out: &mut Vec<u8>) {
        out.extend_from_slice(&SIGNATURE);
        match ends.map(of_one_family) {
            None => out.extend_from_slice(&[0x20, 0, 0, 0]),
            Some((SocketAddr::V4(client), SocketAddr::V4(server))) => {
                out.extend_from_slice(&[0x21, 0x11, 0, 12]);
                out.extend_from_slice(&client.ip().octets());
                out.extend_from_slice(&server.ip().octets());
                out.extend_from_slice(&client.port().to_be_bytes());
                out.extend_from_slice(&server.port().to_be_bytes());
            }
            Some((client, server)) => {
                out.extend_from_slice(&[0x21, 0x21, 0, 36]);
                for end in [client, server] {
                    out.extend_from_slice(&mapped(end.ip()).octets());
                }
                out.extend_from_slice(&client.port().to_be_bytes());
                out.extend_from_slice(&server.port().to_be_bytes());
            }
        }
    }
}

/// The ends in the form of one family: IPv4 if both are, else IPv6.
fn of_one_family((client, server): Ends) -> Ends {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (client, server) = (plain(client), plain(server));
    if client.is_ipv4() == server.is_ipv4() {
        return (client, server);
    }
    let wide = |end: SocketAddr| SocketAddr::new(mapped(end.ip()).into(), end.port());
    (wide(client), wide(server))
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 80` and a line end.
fn read_line(bytes: &[u8]) -> ProxyHeader {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let whole = window.len() == LONGEST_LINE;
        return if whole { ProxyHeader::Bad } else { ProxyHeader::Partial };
    };
    let len = end + 2;
    let line = str::from_utf8(&window[..end]).unwrap_or_default();
    let mut words = line.split(' ').skip(1);
    let (family, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
    match (family, &*rest) {
        ("UNKNOWN", _) => ProxyHeader::Complete { len, ends: None },
        ("TCP4" | "TCP6", [source, destination, source_port, destination_port]) => {
            let ends = address(family, source, source_port).zip(address(
                family,
                destination,
                destination_port,
            ));
            ends.map_or(ProxyHeader::Bad, |ends| ProxyHeader::Complete { len, ends: Some(ends) })
        }
        _ => ProxyHeader::Bad,
    }
}

fn address(family: &str, ip: &str, port: &str) -> Option<SocketAddr> {
    let ip: IpAddr = ip.parse().ok()?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits)?;
    (ip.is_ipv4() == (family == "TCP4")).then(|| SocketAddr::new(ip, port))
}

/// Version 2: signature, version and command, family and transport, length, addresses, TLVs.
fn read_binary(bytes: &[u8]) -> ProxyHeader {
    let Some(&[command, family, high, low]) =
        bytes.get(12..16).and_then(|fixed| fixed.first_chunk::<4>())
    else {
        return ProxyHeader::Partial;
    };
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    // Version 2; commands LOCAL and PROXY.
    if command >> 4 != 2 || command & 15 > 1 || len > LONGEST {
        return ProxyHeader::Bad;
    }
    let Some(body) = bytes.get(16..len) else {
        return ProxyHeader::Partial;
    };
    let ends = match (command & 15, family) {
        (1, 0x11) => match body.first_chunk::<12>() {
            Some(body) => Some(v4(body)),
            None => return ProxyHeader::Bad,
        },
        (1, 0x21) => match body.first_chunk::<36>() {
            Some(body) => Some(v6(body)),
            None => return ProxyHeader::Bad,
        },
        // LOCAL, UDP, Unix sockets: the connection counts as its own.
        _ => None,
    };
    ProxyHeader::Complete { len, ends }
}

fn v4(body: &[u8; 12]) -> Ends {
    let ip = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    ((ip(0), port(8)).into(), (ip(4), port(10)).into())
}

fn v6(body: &[u8; 36]) -> Ends {
    let ip = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&body[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    ((ip(0), port(32)).into(), (ip(16), port(34)).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(len: usize, ends: Option<(&str, &str)>) -> ProxyHeader {
        let ends = ends.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
        ProxyHeader::Complete { len, ends }
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    #[test]
    fn lines_are_read() {
        for (line, ends) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80", Some(("192.0.2.1:4711", "192.0.2.2:80"))),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535", Some(("[2001:db8::1]:1", "[::1]:65535"))),
            ("PROXY UNKNOWN", None),
            ("PROXY UNKNOWN ffff::1 whatever it says", None),
        ] {
            let text = format!("{line}\r\nGET / HTTP/1.1\r\n");
            assert_eq!(
                ProxyHeader::read(text.as_bytes()),
                complete(line.len() + 2, ends),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_no_header_is_bad() {
        for line in [
            "GET / HTTP/1.1",
            "PROXY",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 90",
            "PROXY TCP4 ::1 192.0.2.2 4711 80",
            "PROXY TCP6 192.0.2.1 192.0.2.2 4711 80",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 80",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 80",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 80",
        ] {
            let read = ProxyHeader::read(format!("{line}\r\n").as_bytes());
            assert_eq!(read, ProxyHeader::Bad, "{line}");
        }
        assert_eq!(ProxyHeader::read(&[b"PROXY ", &[b'x'; 200][..]].concat()), ProxyHeader::Bad);
        assert_eq!(ProxyHeader::read(&binary(0x11, 0x11, &[0; 12])), ProxyHeader::Bad);
        assert_eq!(ProxyHeader::read(&binary(0x22, 0x11, &[0; 12])), ProxyHeader::Bad);
        assert_eq!(ProxyHeader::read(&binary(0x21, 0x11, &[0; 11])), ProxyHeader::Bad);
        assert_eq!(ProxyHeader::read(&binary(0x21, 0x11, &[0; 5000])), ProxyHeader::Bad);
    }

    #[test]
    fn binary_headers_are_read_with_what_follows_the_addresses() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
        let ends = Some(("192.0.2.1:4711", "192.0.2.2:80"));
        assert_eq!(ProxyHeader::read(&binary(0x21, 0x11, &four)), complete(28, ends));
        let with_tlv = [&four[..], &[3, 0, 1, 9]].concat();
        assert_eq!(ProxyHeader::read(&binary(0x21, 0x11, &with_tlv)), complete(32, ends));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 7, 8);
        let ends = Some(("[::1]:7", "[::2]:8"));
        assert_eq!(ProxyHeader::read(&binary(0x21, 0x21, &six)), complete(52, ends));
        for (command, family) in [(0x20, 0x11), (0x21, 0x12), (0x21, 0x31), (0x21, 0), (0x20, 0)] {
            assert_eq!(ProxyHeader::read(&binary(command, family, &four)), complete(28, None));
        }
    }

    #[test]
    fn headers_are_written_as_the_specification_has_them() {
        let line = |ends: Option<(&str, &str)>| {
            let mut out = Vec::new();
            let ends = ends.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
            ProxyHeader::write_line(ends, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(None), "PROXY UNKNOWN\r\n");
        for (client, server, expected) in [
            ("192.0.2.1:4711", "192.0.2.2:80", "TCP4 192.0.2.1 192.0.2.2 4711 80"),
            ("[2001:db8::1]:4711", "[::1]:80", "TCP6 2001:db8::1 ::1 4711 80"),
            ("[::ffff:192.0.2.1]:4711", "192.0.2.2:80", "TCP4 192.0.2.1 192.0.2.2 4711 80"),
            ("192.0.2.1:4711", "[::1]:80", "TCP6 ::ffff:192.0.2.1 ::1 4711 80"),
        ] {
            assert_eq!(line(Some((client, server))), format!("PROXY {expected}\r\n"));
        }
        let mut out = Vec::new();
        ProxyHeader::write_binary(None, &mut out);
        assert_eq!(out, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        out.clear();
        let ends = ("192.0.2.1:4711".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        ProxyHeader::write_binary(Some(ends), &mut out);
        let body = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
        assert_eq!(out, binary(0x21, 0x11, &body));
    }

    proptest! {
        #[test]
        fn a_header_that_trickles_in_is_partial_up_to_its_end(
            six: bool,
            octets: [u8; 36],
            tlv in prop::collection::vec(any::<u8>(), 0..50),
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let body = [if six { &octets[..] } else { &octets[..12] }, &tlv].concat();
            let header = binary(0x21, if six { 0x21 } else { 0x11 }, &body);
            for len in 0..header.len() {
                prop_assert_eq!(ProxyHeader::read(&header[..len]), ProxyHeader::Partial);
            }
            let read = ProxyHeader::read(&[&header[..], &rest].concat());
            let is_whole = matches!(
                read,
                ProxyHeader::Complete { len, ends: Some(_) } if len == header.len()
            );
            prop_assert!(is_whole, "{:?}", read);
        }

        #[test]
        fn what_is_written_is_read_again(
            four: bool,
            client: (u128, u16),
            server: (u128, u16),
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let end = |(ip, port): (u128, u16)| {
                let ip: IpAddr = if four { Ipv4Addr::from(ip as u32).into() } else {
                    // Beside those that stand for IPv4.
                    Ipv6Addr::from(ip | 1 << 127).into()
                };
                SocketAddr::new(ip, port)
            };
            let ends = Some((end(client), end(server)));
            for write in [ProxyHeader::write_line, ProxyHeader::write_binary] {
                let mut out = Vec::new();
                write(ends, &mut out);
                let len = out.len();
                out.extend(&rest);
                prop_assert_eq!(ProxyHeader::read(&out), ProxyHeader::Complete { len, ends });
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            ProxyHeader::read(&bytes);
            ProxyHeader::read(&[&SIGNATURE[..], &bytes].concat());
            ProxyHeader::read(&[&b"PROXY "[..], &bytes].concat());
        }
    }
}
