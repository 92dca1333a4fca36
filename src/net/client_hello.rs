//! The name that a client of TLS asks for (SNI, RFC 6066 §3) and the protocols that it offers within (ALPN,
//! RFC 7301 §3.1), read off its first message without answering it. Pure.
//!
//! The message may come in several records (RFC 8446 §5.1), and in TLS 1.3 looks as in the versions
//! before (§4.1.2). Nothing of it is checked beyond what finding these takes: who ends the TLS does.

/// The longest message that is read, with its records; real ones have half a KiB, with keys against
/// quantum computers two.
const LONGEST: usize = 16 * 1024;
/// A handshake message in a record.
const HANDSHAKE: u8 = 22;
/// The message.
const CLIENT_HELLO: u8 = 1;
/// The extension with the name.
const SERVER_NAME: u16 = 0;
/// The extension with the protocols.
const PROTOCOLS: u16 = 16;

/// What came of reading a client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHello {
    /// It has no end yet.
    Partial,
    /// It is complete.
    Whole(Asked),
    /// This is no such message.
    Other,
}

/// What a client of TLS asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The host, if it names one: in lower case, without a dot at the end.
    pub name: Option<String>,
    /// The protocols that it offers, in its order.
    pub protocols: Vec<Box<[u8]>>,
}

impl ClientHello {
    /// Reads the message at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Self {
        match message(bytes) {
            Message::Partial if bytes.len() < LONGEST => Self::Partial,
            Message::Partial | Message::Other => Self::Other,
            Message::Whole(body) => look(&body).map_or(Self::Other, Self::Whole),
        }
    }
}

enum Message {
    Partial,
    /// What is behind type and length.
    Whole(Vec<u8>),
    Other,
}

/// Puts the message together from its records.
fn message(mut bytes: &[u8]) -> Message {
    let mut all = Vec::new();
    loop {
        let header = &bytes[..bytes.len().min(5)];
        let good = match *header {
            [] => true,
            [kind] => kind == HANDSHAKE,
            [kind, major, ..] => kind == HANDSHAKE && major == 3,
        };
        if !good {
            return Message::Other;
        }
        let &[_, _, _, high, low] = header else {
            return Message::Partial;
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        // A record holds something, and 2^14 bytes at most.
        if len == 0 || len > 1 << 14 {
            return Message::Other;
        }
        let record = &bytes[5..bytes.len().min(5 + len)];
        all.extend_from_slice(record);
        if all.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Message::Other;
        }
        if let &[_, a, b, c, ..] = &*all {
            let end = 4 + usize::from(u16::from_be_bytes([b, c])) + (usize::from(a) << 16);
            if end > LONGEST {
                return Message::Other;
            }
            if all.len() >= end {
                all.truncate(end);
                all.drain(..4);
                return Message::Whole(all);
            }
        }
        if record.len() < len {
            return Message::Partial;
        }
        bytes = &bytes[5 + len..];
    }
}

/// Looks for what is asked for in a message; `None`: it is malformed.
fn look(body: &[u8]) -> Option<Asked> {
    let mut asked = Asked::default();
    // Version and random.
    let mut rest = Rest(body.get(34..)?);
    rest.take_with_length(1)?; // Session.
    rest.take_with_length(2)?; // Cipher suites.
    rest.take_with_length(1)?; // Compression.
    if rest.0.is_empty() {
        return Some(asked);
    }
    let mut extensions = Rest(rest.take_with_length(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let value = extensions.take_with_length(2)?;
        if kind == usize::from(SERVER_NAME) {
            // Twice (RFC 8446 §4.2): the backend might go by the other one.
            if asked.name.replace(host_name(value)?).is_some() {
                return None;
            }
        } else if kind == usize::from(PROTOCOLS) {
            asked.protocols = protocols(value)?;
        }
    }
    Some(asked)
}

/// The protocols of a list, each of one byte or more.
fn protocols(value: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let mut list = Rest(Rest(value).take_with_length(2)?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.take_with_length(1).filter(|protocol| !protocol.is_empty())?;
        protocols.push(protocol.into());
    }
    Some(protocols)
}

/// The first name of the list; the only kind there is, is a host's.
fn host_name(value: &[u8]) -> Option<String> {
    let mut list = Rest(Rest(value).take_with_length(2)?);
    if list.number(1)? != 0 {
        return None;
    }
    let name = str::from_utf8(list.take_with_length(2)?).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = |c: u8| c.is_ascii_alphanumeric() || b"-_.:".contains(&c);
    (!name.is_empty() && name.bytes().all(good)).then(|| name.to_ascii_lowercase())
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// A number of so many bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let (number, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(number.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows its length, which has so many bytes.
    fn take_with_length(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let len = self.number(bytes)?;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What OpenSSL 3.0 sends that asks for `www.example.com`.
    const OF_OPENSSL: &[u8] = include_bytes!("client_hello.openssl");

    /// One of TLS 1.2 that asks for `example.com`, byte by byte.
    const GOLDEN: &[u8] = b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x03\
        \x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
        \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\
        \x00\x00\x04\xc0\x2f\x00\xff\x01\x00\x00\x18\
        \x00\x00\x00\x10\x00\x0e\x00\x00\x0bexample.com\x00\x23\x00\x00";

    /// A message with these extensions, in records of so many bytes.
    fn hello(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
        let with_length = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, value)| [&kind.to_be_bytes(), &*with_length(value)].concat())
            .collect();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(with_length(&extensions));
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend(with_length(&body));
        let records = message.chunks(record);
        records.flat_map(|piece| [&[22, 3, 1], &*with_length(piece)].concat()).collect()
    }

    fn name(text: &str) -> (u16, Vec<u8>) {
        let len = text.len() as u16;
        let mut value = (len + 3).to_be_bytes().to_vec();
        value.push(0);
        value.extend(len.to_be_bytes());
        value.extend(text.as_bytes());
        (SERVER_NAME, value)
    }

    fn asks(name: &str, protocols: &[&str]) -> ClientHello {
        let name = Some(name).filter(|name| !name.is_empty()).map(str::to_owned);
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().into()).collect();
        ClientHello::Whole(Asked { name, protocols })
    }

    #[test]
    fn the_name_is_found() {
        assert_eq!(ClientHello::read(GOLDEN), asks("example.com", &[]));
        assert_eq!(ClientHello::read(OF_OPENSSL), asks("www.example.com", &[]));
        let named = hello(&[(10, vec![0, 2, 0, 29]), name("A.Example."), (43, vec![])], 900);
        assert_eq!(ClientHello::read(&named), asks("a.example", &[]));
        assert_eq!(ClientHello::read(&hello(&[], 900)), asks("", &[]));
        assert_eq!(ClientHello::read(&hello(&[(43, vec![])], 900)), asks("", &[]));
    }

    #[test]
    fn the_protocols_are_found() {
        let of = |list: &[u8]| (PROTOCOLS, [&[0, list.len() as u8], list].concat());
        let both = of(b"\x02h2\x08http/1.1");
        for extensions in [[both.clone(), name("a.test")], [name("a.test"), both.clone()]] {
            let read = ClientHello::read(&hello(&extensions, 900));
            assert_eq!(read, asks("a.test", &["h2", "http/1.1"]));
        }
        assert_eq!(ClientHello::read(&hello(&[both], 3)), asks("", &["h2", "http/1.1"]));
        for odd in [&b"\x03h2"[..], b"\x00\x02h2", b"\x02h2\x08http/1."] {
            let odd = hello(&[of(odd)], 900);
            assert_eq!(ClientHello::read(&odd), ClientHello::Other);
        }
        assert_eq!(ClientHello::read(&hello(&[(PROTOCOLS, vec![0])], 900)), ClientHello::Other);
    }

    #[test]
    fn what_is_no_such_message_is_told_at_once() {
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x15\x03\x01",
            b"\x16\x02",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\x00\x04\x02",
            b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",
            b"SSH-2.0-x\r\n",
        ] {
            assert_eq!(ClientHello::read(other), ClientHello::Other, "{}", other.escape_ascii());
        }
        for odd in ["a b", "", "a\u{e4}", "a/b"] {
            assert_eq!(ClientHello::read(&hello(&[name(odd)], 900)), ClientHello::Other, "{odd}");
        }
        assert_eq!(ClientHello::read(&hello(&[(0, vec![0, 9, 0])], 900)), ClientHello::Other);
        let two = hello(&[name("a.test"), name("b.test")], 900);
        assert_eq!(ClientHello::read(&two), ClientHello::Other);
    }

    proptest! {
        #[test]
        fn a_message_that_trickles_in_is_partial_up_to_its_end(
            host in "[a-z]{1,20}(\\.[a-z]{1,10}){0,3}",
            before in prop::collection::vec(any::<u8>(), 0..300),
            record in 1..400_usize,
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let bytes = hello(&[(21, before), name(&host), (43, vec![2, 3, 4])], record);
            for len in 0..bytes.len() {
                prop_assert_eq!(ClientHello::read(&bytes[..len]), ClientHello::Partial);
            }
            let all = [bytes, rest].concat();
            prop_assert_eq!(ClientHello::read(&all), asks(&host, &[]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at: usize) {
            ClientHello::read(&bytes);
            let mut changed = GOLDEN.to_vec();
            for (place, byte) in bytes.iter().enumerate().take(4) {
                let len = changed.len();
                changed[(at.wrapping_add(place * 7)) % len] = *byte;
            }
            ClientHello::read(&changed);
        }
    }
}
