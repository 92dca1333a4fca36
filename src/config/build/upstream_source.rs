//! `source` of an upstream: where its connections leave from.

use std::net::SocketAddr;

use rustix::thread::{CapabilitySet, capabilities};

use super::Build;
use super::template::template;
use crate::config::model::Source;
use crate::config::tree::Table;

/// The address, and whether it may be another machine's.
pub(super) fn source(b: &mut Build<'_>, table: &Table) -> (Option<Source>, bool) {
    let source = address(b, table);
    let transparent = table.bool("transparent");
    if transparent {
        check_transparent(b, table, source.as_ref());
    }
    (source, transparent)
}

fn address(b: &mut Build<'_>, table: &Table) -> Option<Source> {
    let (_, item) = table.written("source")?;
    let text = item.text();
    if text.contains("${") {
        return Some(Source::Of(template(b, item.place, text)));
    }
    let address = text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 0)));
    if address.is_none() {
        b.error(item.place, format!("`{text}` is no IP address"), "write it like `10.0.0.100`");
    }
    address.map(Source::Address)
}

fn check_transparent(b: &mut Build<'_>, table: &Table, source: Option<&Source>) {
    let at = table.place_of("transparent");
    if source.is_none() {
        let help = "write `source = \"${client_ip}\"`, or leave `transparent` out";
        b.error(at, "without `source` the system chooses an address of its own", help);
    }
    if matches!(source, Some(Source::Of(_))) && table.text("protocol") != "http1" {
        let message = "an HTTP/2 connection serves many clients, and leaves from one address";
        b.error(at, message, "leave `protocol` out, or `transparent`");
    }
    // Linux asks for either of the two (`IP_TRANSPARENT` of ip(7)).
    let either = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    if !capabilities(None).is_ok_and(|mine| mine.effective.intersects(either)) {
        let message = "this process may not use addresses of other machines: no connection is made";
        let help = "run it with the capability CAP_NET_ADMIN or CAP_NET_RAW, and have backends' answers \
                    routed to this machine";
        b.warning(at, message, help);
    }
}
