//! What clients are offered on a listener: certificates by name, versions, tickets; and what is asked
//! of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::challenges::PROTOCOL;
use super::depth::Within;
use super::tickets::Verified;
use super::{Challenges, Crls, Identity, Roots, provider};

/// The presets of Mozilla's Server Side TLS, version 5.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// TLS 1.3.
    Modern,
    /// TLS 1.2 and 1.3; forward secrecy and authenticated encryption only.
    Intermediate,
}

impl Policy {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Modern => &BOTH[..1],
            Self::Intermediate => &BOTH,
        }
    }
}

/// An identity, and the names for which it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it is called: the file of its chain, as written.
    pub label: String,
    /// The identity.
    pub identity: Identity,
    /// Names in lower case, `*.` before some.
    pub names: Vec<String>,
}

/// What is asked of clients.
#[derive(Clone)]
pub struct ClientTerms {
    roots: Roots,
    crls: Crls,
    required: bool,
    depth: usize,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A listener's terms, as the operator has written them.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTerms {
    /// Who we are; the first one is shown to clients that ask for no name of any.
    pub identities: Vec<Named>,
    /// Names whose certificate is still to be had of an authority. Who asks for one is turned away.
    pub awaited: Vec<String>,
    /// Whether an authority is answered that asks whether a name is ours.
    pub answers_challenges: bool,
    /// Clients that ask for a name of none are turned away.
    pub known_names_only: bool,
    /// Whether requests are refused on a connection on which another name was asked for, with a
    /// certificate of its own.
    pub refuses_misdirected: bool,
    /// Versions and cipher suites.
    pub policy: Policy,
    /// Protocols within the session (ALPN, RFC 7301), the best one first.
    pub protocols: Vec<Vec<u8>>,
    /// Whether clients get tickets for a shorter handshake the next time.
    pub tickets: bool,
    /// Whether certificates are asked of clients.
    pub clients: Option<ClientTerms>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

/// What sessions of a listener are made of. All workers share one.
pub struct Server {
    terms: Arc<ServerTerms>,
    config: Arc<ServerConfig>,
    by_name: Arc<ByName>,
}

impl Server {
    /// Makes ready for sessions under these terms. Clients may go on from sessions under the terms
    /// `before` if the same was asked of them.
    pub fn new(
        terms: &Arc<ServerTerms>,
        before: Option<&Arc<Self>>,
        challenges: &Arc<Challenges>,
    ) -> Arc<Self> {
        if let Some(before) = before.filter(|before| before.terms == *terms) {
            return Arc::clone(before);
        }
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(terms.policy.versions())
            .expect("the provider has suites for both versions");
        let builder = match &terms.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        };
        let by_name = Arc::new(ByName::new(terms, challenges));
        let resolver: Arc<dyn ResolvesServerCert> = by_name.clone();
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&terms.protocols);
        if terms.answers_challenges {
            config.alpn_protocols.push(PROTOCOL.to_vec());
        }
        // Tickets are enough; a store would be a lock that all workers share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A ticket says of a client that its certificate was good: it holds only where the same would
        // be asked of it.
        let before = before.filter(|b| b.terms.tickets && b.terms.clients == terms.clients);
        let ticketer = match before {
            _ if !terms.tickets => None,
            Some(before) => Some(Arc::clone(&before.config.ticketer)),
            // Without random numbers there are no tickets, and nothing else either.
            None => Ticketer::new().ok().map(|tickets| match &terms.clients {
                None => tickets,
                Some(clients) => {
                    let verifier = Arc::clone(&clients.verifier);
                    Arc::new(Verified { tickets, verifier }) as Arc<dyn ProducesTickets>
                }
            }),
        };
        match ticketer {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        Arc::new(Self { terms: Arc::clone(terms), config: Arc::new(config), by_name })
    }

    /// Whether `host` has a certificate here and it is none of those that who asked for `asked` may
    /// have been shown: the request is refused then.
    pub fn is_another(&self, asked: &str, host: &str) -> bool {
        let (Some(shown), Some(own)) = (self.by_name.known(asked), self.by_name.known(host)) else {
            return false;
        };
        let is_shown = |key: &Arc<CertifiedKey>| shown.iter().any(|one| Arc::ptr_eq(one, key));
        self.terms.refuses_misdirected && !own.iter().any(is_shown)
    }

    /// The terms.
    pub fn terms(&self) -> &Arc<ServerTerms> {
        &self.terms
    }

    /// What a session begins with.
    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl ClientTerms {
    /// Certificates are asked for, of these authorities, and not among the revoked; `required`: a
    /// client without one is turned away. When there is any list of revoked certificates there has to
    /// be one of each authority. Between a client's certificate and an authority's there may be `depth`
    /// others, 6 at most.
    ///
    /// # Errors
    /// Why the authorities or lists cannot be used.
    pub fn new(roots: Roots, crls: Crls, (required, depth): (bool, usize)) -> Result<Self, String> {
        let store = Arc::clone(&roots.store);
        let mut builder = WebPkiClientVerifier::builder_with_provider(store, provider());
        if !crls.0.is_empty() {
            builder = builder.with_crls(crls.0.iter().cloned()).enforce_revocation_expiration();
        }
        if !required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| error.to_string())?;
        let verifier = Arc::new(Within { most: depth, verifier });
        Ok(Self { roots, crls, required, depth, verifier })
    }
}

impl ClientTerms {
    /// Whether a client without a certificate is turned away.
    pub fn is_required(&self) -> bool {
        self.required
    }
}

impl PartialEq for ClientTerms {
    fn eq(&self, other: &Self) -> bool {
        self.roots == other.roots
            && self.crls == other.crls
            && (self.required, self.depth) == (other.required, other.depth)
    }
}

impl Eq for ClientTerms {}

impl fmt::Debug for ClientTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { roots, crls, required, depth, .. } = self;
        write!(f, "ClientTerms({roots:?}, {crls:?}, required: {required}, depth: {depth})")
    }
}

/// The keys for one name: of several kinds, the cheapest first.
type Keys = Vec<Arc<CertifiedKey>>;

/// Chooses a certificate by the name that the client asks for.
struct ByName {
    exact: AHashMap<String, Keys>,
    /// By what follows `*.`.
    below: AHashMap<String, Keys>,
    /// For all others.
    default: Keys,
    /// Answers for an authority.
    challenges: Option<Arc<Challenges>>,
}

impl ByName {
    fn new(terms: &ServerTerms, challenges: &Arc<Challenges>) -> Self {
        let mut by_name = Self {
            // Of no keys none fits, and the handshake fails.
            exact: terms.awaited.iter().map(|name| (name.clone(), Keys::new())).collect(),
            below: AHashMap::new(),
            default: Keys::new(),
            challenges: terms.answers_challenges.then(|| Arc::clone(challenges)),
        };
        let mut cheapest_first: Vec<&Named> = terms.identities.iter().collect();
        cheapest_first.sort_by_key(|named| named.identity.is_rsa());
        for Named { identity, names, .. } in cheapest_first {
            let key = &identity.certified;
            for name in names {
                let keys = match name.strip_prefix("*.") {
                    Some(parent) => by_name.below.entry(parent.to_owned()).or_default(),
                    None => by_name.exact.entry(name.clone()).or_default(),
                };
                keys.push(Arc::clone(key));
            }
            // The first one, and those of another kind for the same names.
            let first = terms.identities.first();
            if !terms.known_names_only && first.is_some_and(|first| first.names == *names) {
                by_name.default.push(Arc::clone(key));
            }
        }
        by_name
    }

    fn keys(&self, name: Option<&str>) -> &Keys {
        name.and_then(|name| self.known(name)).unwrap_or(&self.default)
    }

    /// Those that this name has of its own; with a dot at its end it is the same name, as for nginx.
    fn known(&self, name: &str) -> Option<&Keys> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(keys) = self.exact.get(name) {
            return Some(keys);
        }
        let mut parents = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
        parents.find_map(|parent| self.below.get(parent))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(challenges) = &self.challenges
            && Challenges::are_asked(&hello)
        {
            return challenges.certificate(hello.server_name()?);
        }
        let keys = self.keys(hello.server_name());
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        keys.iter().find(fits).cloned()
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.exact.keys()).entries(self.below.keys()).finish()
    }
}
