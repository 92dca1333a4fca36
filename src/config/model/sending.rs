//! What backends get otherwise than the client asked for, and where it goes.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Template;

/// What is sent otherwise than it came. Most routes have none of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Where each request is sent for itself.
    pub to: Option<Towards>,
    /// The method in place of the client's.
    pub method: Option<Template>,
    /// The target in place of the client's.
    pub target: Option<Template>,
    /// The body in place of the client's; without any piece there is none.
    pub body: Option<Template>,
    /// Whether the client's header fields are sent on.
    pub headers: bool,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Towards {
    /// The name of an upstream, or an address or a name with a port, or `unix:` with a path, perhaps
    /// with `http://` before it and a target behind.
    pub address: Template,
    /// What may be reached beside upstreams.
    pub allow: Vec<Reach>,
}

/// What may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Addresses of this network.
    Network(IpNet),
    /// The host of this name, lower case.
    Name(String),
    /// Hosts whose names end with this, `.` first, lower case.
    Below(String),
    /// Every name.
    EveryName,
    /// The Unix socket of this path, or all below it if it ends with `/`.
    Socket(String),
}

impl Towards {
    /// Whether this address may be reached.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|one| matches!(one, Reach::Network(net) if net.contains(&address)))
    }

    /// Whether the host of this name, lower case, may be reached.
    pub fn allows_name(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.allow.iter().any(|one| match one {
            Reach::Network(_) | Reach::Socket(_) => false,
            Reach::Name(known) => known == name,
            Reach::Below(suffix) => name.len() > suffix.len() && name.ends_with(&**suffix),
            Reach::EveryName => true,
        })
    }

    /// Whether the Unix socket of this path may be reached. A path that climbs may not.
    pub fn allows_socket(&self, path: &str) -> bool {
        let climbs = path.split('/').any(|part| part == "..");
        !climbs
            && self.allow.iter().any(|one| match one {
                Reach::Socket(known) if known.ends_with('/') => path.starts_with(&**known),
                Reach::Socket(known) => path == known,
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_reached() {
        let towards = Towards {
            address: Template::default(),
            allow: vec![
                Reach::Network("10.0.0.0/8".parse().unwrap()),
                Reach::Name("api.test".to_owned()),
                Reach::Below(".internal".to_owned()),
                Reach::Socket("/run/apps/".to_owned()),
                Reach::Socket("/run/one.sock".to_owned()),
            ],
        };
        for (address, allowed) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("127.0.0.1", false), ("::1", false)]
        {
            assert_eq!(towards.allows_address(address.parse().unwrap()), allowed, "{address}");
        }
        for (name, allowed) in [
            ("api.test", true),
            ("api.test.", true),
            ("b.api.test", false),
            ("a.internal", true),
            (".internal", false),
            ("internal", false),
            ("10.1.2.3.test", false),
        ] {
            assert_eq!(towards.allows_name(name), allowed, "{name}");
        }
        for (path, allowed) in [
            ("/run/apps/a.sock", true),
            ("/run/apps/b/a.sock", true),
            ("/run/apps/../docker.sock", false),
            ("/run/one.sock", true),
            ("/run/one.sock.other", false),
            ("/run/docker.sock", false),
        ] {
            assert_eq!(towards.allows_socket(path), allowed, "{path}");
        }
        let every = Towards { allow: vec![Reach::EveryName], ..towards };
        assert!(every.allows_name("any"));
        assert!(!every.allows_address([10, 0, 0, 1].into()));
    }
}
