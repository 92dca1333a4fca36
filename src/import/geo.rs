//! `geo` → the cases of a `[variable.NAME]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Subnets};

use super::tree::Directive;
use super::write::quote;

/// What is looked up: the client's address, if nothing else is written.
pub(super) fn source(block: &Directive) -> &str {
    if block.args.len() > 1 { block.arg(0) } else { "$remote_addr" }
}

/// Lines of the section; `None`: there is no counterpart.
pub(super) fn lines(block: &Directive) -> Option<Vec<(String, String)>> {
    let mut lines = Vec::new();
    let by_ranges = block.inner().iter().any(|one| one.name.text == "ranges");
    // The last one counts, as in nginx.
    let mut networks: BTreeMap<IpNet, (usize, &str)> = BTreeMap::new();
    let mut ranges = Vec::new();
    for (place, entry) in block.inner().iter().enumerate() {
        let value = entry.arg(0);
        match &*entry.name.text {
            "ranges" | "include" => {}
            // Whose address it is, is for the listener to say.
            "proxy" | "proxy_recursive" => return None,
            "default" => lines.push(("default".to_owned(), quote(&value.replace("${", "$${")))),
            "delete" => {
                networks.remove(&network(value)?);
            }
            range if by_ranges => {
                let (from, to) = range.split_once('-')?;
                let (from, to): (Ipv4Addr, Ipv4Addr) = (from.parse().ok()?, to.parse().ok()?);
                ranges.push((from, to));
                for part in Ipv4Subnets::new(from, to, 0) {
                    networks.insert(part.into(), (place, value));
                }
            }
            written => {
                networks.insert(network(written)?, (place, value));
            }
        }
    }
    // Of ranges one within the other, the networks that they are made of would not do.
    ranges.sort_unstable();
    if ranges.windows(2).any(|two| two[1].0 <= two[0].1) {
        return None;
    }
    let mut networks: Vec<_> = networks.into_iter().collect();
    networks.sort_by_key(|(network, (place, _))| (*place, *network));
    let cases: Vec<String> = networks
        .iter()
        .map(|(network, (_, value))| {
            let give = quote(&value.replace("${", "$${"));
            format!("  {{ network = {}, give = {give} }},", quote(&network.to_string()))
        })
        .collect();
    if !cases.is_empty() {
        lines.push(("cases".to_owned(), format!("[\n{}\n]", cases.join("\n"))));
    }
    Some(lines)
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).ok().map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use crate::import::Verdict;
    use crate::import::tests::{imported, verdict};

    fn of(geo: &str) -> crate::import::Imported {
        let server = "server { listen 80; location / { proxy_set_header X-Zone $zone; \
                      proxy_pass http://10.0.0.1; } }";
        imported(&[("nginx.conf", &format!("http {{ {geo} {server} }}"))])
    }

    #[test]
    fn networks_are_cases_and_the_last_of_equals_counts() {
        let made = of("geo $zone { default far; 10.0.0.0/8 near; 10.1.2.3 me; 10.0.0.0/8 here; \
                       2001:db8::/32 six; 192.0.2.0/24 gone; delete 192.0.2.0/24; }");
        let expected = "[variable.zone] # nginx.conf:1\nfrom = \"${client_ip}\"\ndefault = \"far\"\n\
                        cases = [\n  { network = \"10.1.2.3/32\", give = \"me\" },\n  \
                        { network = \"10.0.0.0/8\", give = \"here\" },\n  \
                        { network = \"2001:db8::/32\", give = \"six\" },\n]\n";
        assert!(made.toml.contains(expected), "{}", made.toml);
        assert_eq!(verdict(&made, "geo"), Verdict::Carried);
    }

    #[test]
    fn ranges_are_cut_into_networks() {
        let made = of("geo $arg_ip $zone { ranges; 10.0.0.0-10.0.0.2 a; 10.0.0.3-10.0.0.3 b; }");
        let expected = "from = \"${arg.ip}\"\ncases = [\n  \
                        { network = \"10.0.0.0/31\", give = \"a\" },\n  \
                        { network = \"10.0.0.2/32\", give = \"a\" },\n  \
                        { network = \"10.0.0.3/32\", give = \"b\" },\n]\n";
        assert!(made.toml.contains(expected), "{}", made.toml);
    }

    #[test]
    fn what_cannot_be_said_is_told() {
        for geo in [
            "geo $zone { ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.6 b; }",
            "geo $zone { proxy 10.0.0.1; 10.0.0.0/8 a; }",
            "geo $zone { nonsense a; }",
        ] {
            let made = of(geo);
            assert_eq!(verdict(&made, "geo"), Verdict::NotCarried, "{geo}");
            assert!(!made.toml.contains("[variable"), "{}", made.toml);
        }
    }
}
