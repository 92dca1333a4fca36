//! Backends that a request names: the upstream of its route with these in place of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Candidate, Limits, Lives, Plan, Settings, Strategy, Tiers};
use crate::model::{Address, BackendId, BackendIx, BackendState, Weight};
use crate::snapshot::settings::{Query, Template, UpstreamNginx};
use crate::snapshot::{Backend, Course, Upstream};
use crate::telemetry::BackendSeries;

/// No backend of a snapshot has this id.
const NOBODY: BackendId = BackendId(u64::MAX);

impl Upstream {
    /// The same with a backend at each of these addresses, taken in turn. `authority` is what is
    /// written of them. Nothing is held against any of them, for they may be gone with the request.
    #[must_use]
    pub fn at(&self, addresses: &[Address], authority: &str, series: &Arc<BackendSeries>) -> Self {
        let limits = Limits { max_fails: 0, fail_timeout: Duration::ZERO };
        // As nginx calls what has no name.
        let authority = if authority.starts_with("unix:") { "localhost" } else { authority };
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let tls = self.tls().map(|terms| terms.meet(host));
        let backend = |address: &Address| Backend {
            id: NOBODY,
            label: address.to_string(),
            address: address.clone(),
            authority: authority.to_owned(),
            weight: Weight::ONE,
            tier: 0,
            max_connections: 0,
            limits,
            state: BackendState::default(),
            tls: tls.clone(),
            series: Arc::clone(series),
        };
        let backends: Box<[_]> = addresses.iter().map(|one| Arc::new(backend(one))).collect();
        let settings = Settings {
            strategy: Strategy::RoundRobin,
            choices: 1,
            second_of_equals: self.nginx.turns,
            ..Settings::default()
        };
        let candidates: Vec<_> = (0..).map(BackendIx).zip(&backends).map(candidate).collect();
        Self {
            id: self.id,
            name: self.name.clone(),
            strategy: Strategy::RoundRobin,
            key: Template::default(),
            protocol: self.protocol,
            tiers: Tiers::new(Plan::build(&settings, &candidates), Vec::new(), None),
            course: Course::default(),
            behind: None,
            panic: false,
            announcement: None,
            live: Lives::new(backends.len()),
            eligible: vec![true; backends.len()].into(),
            entries: vec![0; backends.len()].into(),
            backends,
            trials: Box::default(),
            fail_open: false,
            pool: self.pool.clone(),
            passive: self.passive.clone(),
            sticky: None,
            line: None,
            hedge: None,
            queue: None,
            source_address: self.source_address.clone(),
            transparent: self.transparent,
            measures_whole: self.measures_whole,
            tls_name: self.tls_name.clone(),
            own_files: self.own_files.clone(),
            send_proxy: self.send_proxy,
            nginx: UpstreamNginx { failures: false, ..self.nginx },
            tallies: false,
            placed: false,
            series: Arc::clone(&self.series),
            source: Arc::clone(&self.source),
        }
    }

    /// The question for a name that a request gives, lower case.
    pub fn question(&self, name: &str) -> Query {
        let resolver = Arc::clone(&self.source.dns.resolver);
        Query { name: name.to_owned(), service: None, resolver }
    }

    /// How long an answer with this time to live is used.
    pub fn holds(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.source.dns.min_ttl, self.source.dns.max_ttl)
    }
}

fn candidate((ix, backend): (BackendIx, &Arc<Backend>)) -> Candidate<'_> {
    Candidate {
        ix,
        id: NOBODY,
        label: &backend.label,
        weight: Weight::ONE,
        eligible: true,
        max_connections: 0,
        failures: None,
    }
}
