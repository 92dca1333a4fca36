//! Addresses of listeners and backends.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Build;
use crate::config::model::BackendAddress;
use crate::config::tree::Item;
use crate::model::Address;

/// The port of a backend that names none, as in nginx.
const DEFAULT_PORT: u16 = 80;

/// Longest path of a Unix socket: `sun_path` of Linux without its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// An IP address and port to listen on.
pub(super) fn socket(b: &mut Build<'_>, item: Option<&Item>) -> SocketAddr {
    let unread = SocketAddr::from(([127, 0, 0, 1], 0));
    // That it is missing was reported.
    let Some(item) = item else { return unread };
    let text = item.text();
    if let Ok(address) = text.parse() {
        return address;
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    let help = if port.parse::<u16>().is_ok() {
        format!(
            "write `0.0.0.0:{port}` for every IPv4 address, `[::]:{port}` for every IPv6 address"
        )
    } else if text.parse::<Ipv6Addr>().is_ok() {
        format!("write an IPv6 address in brackets: `[{text}]:8080`")
    } else if text.parse::<IpAddr>().is_ok() {
        format!("add a port: `{text}:8080`")
    } else {
        "write it like `0.0.0.0:8080` or `[::]:8080`".to_owned()
    };
    b.error(item.place, format!("`{text}` is not an IP address with a port"), help);
    unread
}

/// An IP address and port, or a Unix socket, to listen on.
pub(super) fn listening(b: &mut Build<'_>, item: Option<&Item>) -> Address {
    let path = item.and_then(|item| Some((item, item.text().strip_prefix("unix:")?)));
    let Some((item, path)) = path else { return Address::Ip(socket(b, item)) };
    match unix(path) {
        Ok(BackendAddress::Unix(path)) => Address::Unix(path),
        Ok(_) => Address::Unix(path.into()),
        Err((message, help)) => {
            b.error(item.place, message, help);
            Address::Unix(path.into())
        }
    }
}

/// Where a backend is: `10.0.0.1:8080`, `[::1]:80`, `name:80`, `unix:/path`; port 80 if none.
pub(crate) fn backend(text: &str) -> Result<BackendAddress, (String, String)> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path);
    }
    let fault = |message: &str, help: &str| Err((format!("`{text}` {message}"), help.to_owned()));
    if text.contains("://") {
        return fault("is a URL, not an address", "leave the scheme and the path out");
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => fault("has port 0", "write the port the backend listens on"),
            _ => Ok(BackendAddress::Ip(address)),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return fault("is an IPv6 address without brackets", "write it like `[::1]:8080`");
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(BackendAddress::Ip(SocketAddr::new(ip, DEFAULT_PORT)));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (name, port),
            _ => return fault("has no valid port", "a port is a number from 1 to 65535"),
        },
        None => (text, DEFAULT_PORT),
    };
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|c| c.is_ascii_digit()) && !last.is_empty() {
        return fault("is not a valid IPv4 address", "it has four numbers from 0 to 255");
    }
    if !is_name(name) {
        return fault(
            "is neither an address nor a host name",
            "write it like `10.0.0.1:8080`, `[::1]:8080`, `api.internal:8080` or `unix:/run/a.sock`",
        );
    }
    Ok(BackendAddress::Name(name.to_owned(), port))
}

fn unix(path: &str) -> Result<BackendAddress, (String, String)> {
    let fault = if !path.starts_with('/') {
        "the path of a Unix socket must begin with `/`".to_owned()
    } else if path.len() > LONGEST_SOCKET_PATH {
        format!("the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes")
    } else if path.contains('\0') {
        "a path cannot contain a zero byte".to_owned()
    } else {
        return Ok(BackendAddress::Unix(path.into()));
    };
    Err((fault, "write it like `unix:/run/app.sock`".to_owned()))
}

/// Whether a text may be a `Host`: a name or address, perhaps with a port.
pub(crate) fn is_authority(text: &str) -> bool {
    let bare = |text: &str| {
        let v6 = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        is_name(text) || v6.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
    };
    let with_port = |(name, port): (&str, &str)| bare(name) && port.parse::<u16>().is_ok();
    bare(text) || text.rsplit_once(':').is_some_and(with_port)
}

/// Whether a text may be a host name (RFC 1123, and `_` as seen in the wild).
pub(crate) fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_addresses_are_shown_with_their_port() {
        for (text, shown) in [
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("10.0.0.1", "10.0.0.1:80"),
            ("[::1]:81", "[::1]:81"),
            ("[::1]", "[::1]:80"),
            ("api.internal:8080", "api.internal:8080"),
            ("api", "api:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(backend(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "::1",
            "10.0.0.1:0",
            "10.0.0.256",
            "10.0.0:80",
            "a:b",
            "a:65536",
            "http://a",
            "a b",
            "-a",
            "a..b",
            "unix:run",
            "unix:",
            "[::1",
            "é:80",
        ] {
            assert!(backend(text).is_err(), "{text}");
        }
        assert!(backend(&format!("unix:/{}", "x".repeat(107))).is_err());
    }
}
