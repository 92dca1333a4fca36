//! Who may use a route.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::UNIX_CLIENT;

/// An ordered list of who is let in and who is kept out. Who is in no rule is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(pub Box<[AccessRule]>);

/// One rule: the first that fits a client decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether the rule lets in.
    pub allow: bool,
    /// Whom it is about.
    pub who: Who,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    All,
    /// Clients with an address of this network.
    Network(IpNet),
}

/// Whether a client's address is in a network. Clients on Unix sockets are in theirs alone, which
/// `unix:` stands for.
pub fn is_within(network: &IpNet, client: IpAddr) -> bool {
    network.contains(&client) && (client != UNIX_CLIENT || network.prefix_len() == 32)
}

impl Access {
    /// Whether a client of this address is let in. An IPv4 address in IPv6 form counts as IPv4.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        self.rule_of(client).is_none_or(|rule| rule.allow)
    }

    /// The same where a rule has to say so.
    pub fn names(&self, client: IpAddr) -> bool {
        self.rule_of(client).is_some_and(|rule| rule.allow)
    }

    fn rule_of(&self, client: IpAddr) -> Option<&AccessRule> {
        let client = client.to_canonical();
        let fits = |rule: &&AccessRule| match &rule.who {
            Who::All => true,
            Who::Network(network) => is_within(network, client),
        };
        self.0.iter().find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |allow, network: &str| AccessRule {
            allow,
            who: network.parse().map_or(Who::All, Who::Network),
        };
        let access = Access(Box::new([
            rule(false, "192.0.2.7/32"),
            rule(true, "192.0.2.0/24"),
            rule(true, "2001:db8::/32"),
            rule(false, "all"),
        ]));
        for (client, let_in) in [
            ("192.0.2.7", false),
            ("192.0.2.8", true),
            ("::ffff:192.0.2.8", true),
            ("192.0.3.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            let client = client.parse().unwrap();
            assert_eq!(
                (access.lets_in(client), access.names(client)),
                (let_in, let_in),
                "{client}"
            );
        }
        let on_unix = |network| Access(Box::new([rule(false, network)])).lets_in(UNIX_CLIENT);
        assert!(on_unix("0.0.0.0/0") && !on_unix("0.0.0.0/32") && !on_unix("all"));
        let other = Access(Box::new([rule(false, "10.0.0.0/8")]));
        let client = [192, 0, 2, 1].into();
        assert!(other.lets_in(client) && !other.names(client));
    }
}
