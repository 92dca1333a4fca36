//! The configuration that most tests begin with.

use super::Origin;

/// Two workers, an admin listener, one listener `main`, one route to one upstream `api`.
///
/// `top` is put at the top of the file, `upstream` below `[upstream.api]`; each of `backends` is
/// the text of one backend's section.
pub(crate) fn config(top: &str, upstream: &str, backends: &[String]) -> String {
    let mut text = format!(
        "{top}
workers = 2
watch_interval = \"off\"

[access_log]
format = \"off\"

[admin]
address = \"127.0.0.1:0\"

[[listener]]
name = \"main\"
address = \"127.0.0.1:0\"

[[route]]
name = \"all\"
upstream = \"api\"

[upstream.api]
{upstream}
"
    );
    for backend in backends {
        for line in ["\n[[upstream.api.backend]]\n", backend, "\n"] {
            text.push_str(line);
        }
    }
    text
}

/// The section of a backend at this origin.
pub(crate) fn at(origin: &Origin) -> String {
    format!("address = \"{}\"", origin.address())
}

/// The same with further settings, one per line.
pub(crate) fn at_with(origin: &Origin, settings: &str) -> String {
    format!("{}\n{settings}", at(origin))
}
