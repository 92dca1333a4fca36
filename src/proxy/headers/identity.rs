//! Who sent a request, and under which id it goes: both are decided once, before routing, and then
//! told alike to backends, templates and logs.

use std::net::{IpAddr, SocketAddr};

use crate::http1::{Known, RequestHead};
use crate::model::UNIX_CLIENT;
use crate::snapshot::settings::{AddressSource, Forwarded, RequestIdField, is_within};

/// The longest id of a client that is kept.
const MAX_ID_BYTES: usize = 128;

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The client's address, after trusted proxies.
    pub address: IpAddr,
    /// The address at the other end of the connection: the client's or a proxy's.
    pub downstream: IpAddr,
    /// Whether `downstream` is a proxy whose forwarding headers are believed.
    pub trusted: bool,
    /// How the request came to us: `http` or `https`.
    pub scheme: &'static str,
}

impl ClientIdentity {
    /// Tells who sent `head` over a connection from `downstream`. An IPv4 address in IPv6 form, as
    /// dual-stack sockets have it, counts as IPv4.
    pub fn new(
        downstream: IpAddr,
        scheme: &'static str,
        head: &RequestHead,
        forwarded: &Forwarded,
    ) -> Self {
        let downstream = downstream.to_canonical();
        Self {
            address: client_address(downstream, head, forwarded),
            downstream,
            trusted: is_trusted(downstream, forwarded),
            scheme,
        }
    }

    /// The same, where the PROXY protocol told of `source`, if that is where the client's address is
    /// taken from.
    #[must_use]
    pub fn proxied(self, source: IpAddr, forwarded: &Forwarded) -> Self {
        if self.trusted
            && forwarded.client_address == AddressSource::ProxyProtocol
            && source.to_canonical() != UNIX_CLIENT
        {
            return Self { address: source.to_canonical(), ..self };
        }
        self
    }
}

/// The client's address. That is `downstream`, unless it is a trusted proxy: then the field in which
/// proxies tell addresses is read from its end, all lines as one list, through trusted addresses up
/// to the first that is not, or to the first entry of the list. What cannot be read ends the walk at
/// the entry before it.
pub fn client_address(downstream: IpAddr, head: &RequestHead, forwarded: &Forwarded) -> IpAddr {
    if !is_trusted(downstream, forwarded) {
        return downstream;
    }
    match &forwarded.client_address {
        AddressSource::XForwardedFor => {
            let lines =
                head.fields().iter().rev().filter(|field| field.known == Known::XForwardedFor);
            walk(downstream, lines.map(|field| head.value(*field)), forwarded, parse_entry)
        }
        AddressSource::Forwarded => {
            let lines = head.fields().iter().rev().filter(|field| field.known == Known::Forwarded);
            walk(downstream, lines.map(|field| head.value(*field)), forwarded, parse_element)
        }
        AddressSource::Field(name) => {
            let is_of_name = |field: &&_| head.name(**field).eq_ignore_ascii_case(name.as_bytes());
            let lines = head.fields().iter().rev().filter(is_of_name);
            walk(downstream, lines.map(|field| head.value(*field)), forwarded, parse_entry)
        }
        AddressSource::ProxyProtocol | AddressSource::None => downstream,
    }
}

/// Walks a list, whose last line comes first, from its end.
fn walk<'h>(
    downstream: IpAddr,
    lines: impl Iterator<Item = &'h [u8]>,
    forwarded: &Forwarded,
    parse: impl Fn(&[u8]) -> Option<IpAddr>,
) -> IpAddr {
    let mut entries = lines
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty());
    let mut address = downstream;
    while is_trusted(address, forwarded)
        && let Some(before) = entries.next().and_then(&parse)
    {
        address = before;
        if !forwarded.recursive {
            break;
        }
    }
    address
}

/// The address in `for=` of an element of `Forwarded` (RFC 7239 §4, §6). An address needs no comma,
/// so that a list may be cut at every one: a quoted text with one in it cannot be read.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let mut pairs = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })?;
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    parse_entry(bare.unwrap_or(value))
}

/// Whether this is a proxy whose word is taken.
pub fn is_trusted(address: IpAddr, forwarded: &Forwarded) -> bool {
    forwarded.trusted_proxies.iter().any(|network| is_within(network, address))
}

/// An address, which some proxies write with a port or in brackets.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?;
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = entry.parse().ok();
    let address = address.or_else(|| entry.parse().ok().map(|entry: SocketAddr| entry.ip()));
    let address = address.or_else(bare).map(|address| address.to_canonical());
    address.filter(|address| *address != UNIX_CLIENT)
}

/// The request's id: what the client sent in `field`, if that is 1 to 128 visible ASCII characters,
/// else the 128 bits of `random` as hexadecimal digits, written to `made`.
pub fn request_id<'a>(
    head: &'a RequestHead,
    field: Option<&RequestIdField>,
    random: [u64; 2],
    made: &'a mut [u8; 32],
) -> &'a [u8] {
    let is_sane = |id: &&[u8]| {
        !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(u8::is_ascii_graphic)
    };
    let came = match field {
        Some(RequestIdField::Usual) => head.first(Known::XRequestId),
        Some(RequestIdField::Named(name)) => head.find(name),
        None => None,
    };
    if let Some(id) = came.filter(is_sane) {
        return id;
    }
    let bits = u128::from(random[0]) << 64 | u128::from(random[1]);
    for (digits, byte) in made.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        digits.copy_from_slice(&HEX[usize::from(byte)]);
    }
    made
}

/// Each byte as two hexadecimal digits.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};
