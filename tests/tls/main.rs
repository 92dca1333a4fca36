//! TLS over real sockets, with OpenSSL and rustls at the other end.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod backends;
mod listener;
#[path = "../http2_client/peer.rs"]
#[allow(dead_code, reason = "it offers more than these tests need")]
mod peer;
mod peers;
mod sessions;

use std::fmt::Write as _;

use support::{Authority, Lb, Origin, Pair};
use tempfile::TempDir;

/// A request that most tests can do with.
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The program with TLS before an origin; the files are in a directory of their own.
struct Setup {
    files: TempDir,
    /// Lines of the listener's TLS section, in front of its certificates.
    tls: String,
    /// The names of the pairs of files.
    pairs: Vec<String>,
    /// Whole sections, and lines of the route before them.
    route: String,
}

impl Setup {
    /// With these certificates.
    fn new(pairs: &[(&str, &Pair)]) -> Self {
        let files = TempDir::new().unwrap();
        for (name, pair) in pairs {
            pair.write(files.path(), name);
        }
        let pairs = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { files, tls: String::new(), pairs, route: String::new() }
    }

    fn tls(self, lines: &str) -> Self {
        Self { tls: lines.to_owned(), ..self }
    }

    fn route(self, lines: &str) -> Self {
        Self { route: lines.to_owned(), ..self }
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.files.path().join(name), content).unwrap();
    }

    fn config(&self, origin: &Origin) -> String {
        let Self { tls, route, .. } = self;
        let directory = self.files.path().display();
        let mut config = format!(
            "workers = 2\nwatch_interval = \"100ms\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [access_log]\nformat = \"json\"\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\n{tls}\n"
        );
        config = config.replace("DIR", &directory.to_string());
        for name in &self.pairs {
            writeln!(
                config,
                "[[listener.tls.certificate]]\nchain = \"{directory}/{name}.pem\"\n\
                 key = \"{directory}/{name}.key\""
            )
            .unwrap();
        }
        writeln!(
            config,
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n{route}\n\
             [[upstream.app.backend]]\naddress = \"{}\"",
            origin.address()
        )
        .unwrap();
        config
    }

    async fn before(&self, origin: &Origin) -> Lb {
        Lb::start(self.config(origin)).await
    }
}

/// An authority, and a certificate of it for `shop.test` and all below `wild.test`.
fn shop() -> (Authority, Pair) {
    let authority = Authority::new("tests");
    let pair = authority.issue(&["shop.test", "*.wild.test"]);
    (authority, pair)
}
