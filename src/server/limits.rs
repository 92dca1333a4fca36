//! How many descriptors the process may open: a proxied request takes two.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::proxy::Descriptors;

/// With fewer than this, a log line says so.
const LOW: u64 = 8192;

/// How the process uses the descriptors that it may have by now.
pub(super) fn descriptors() -> Descriptors {
    Descriptors::of(getrlimit(Resource::Nofile).current)
}

/// Raises the limit of open descriptors as far as the system allows without privileges. Logs what
/// could not be done, and a limit that is low for a balancer.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let mut limit = current;
    if current.is_some() && current != maximum {
        let raised = Rlimit { current: maximum, maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = maximum,
            Err(error) => {
                tracing::warn!(?current, ?maximum, %error, "cannot raise the limit of descriptors");
            }
        }
    }
    if let Some(limit) = limit.filter(|limit| *limit < LOW) {
        tracing::warn!(
            limit,
            "few descriptors: each proxied request takes two; raise the hard limit (LimitNOFILE= of \
             systemd, `ulimit -Hn`)"
        );
    }
}
