//! TLS of listeners: what of it goes on from the snapshot before.

use std::sync::Arc;

use crate::config::model as config;
use crate::snapshot::{ListenerTls, Snapshot};
use crate::telemetry::Registry;
use crate::tls::{Challenges, Server};

/// How connections to a listener are secured, if they are. What has not changed is kept as it is, and
/// clients may go on from their sessions.
pub(super) fn tls(
    section: &config::Listener,
    previous: Option<&Snapshot>,
    registry: &Registry,
    challenges: &Arc<Challenges>,
) -> Option<Arc<ListenerTls>> {
    let terms = section.tls.as_ref()?;
    let before = previous.and_then(|snapshot| {
        let mut listeners = snapshot.listeners.iter();
        listeners.find(|listener| listener.name == section.name)?.tls.as_ref()
    });
    let server = Server::new(terms, before.map(|before| &before.server), challenges);
    let series = registry.tls(&section.name);
    series.set_certificates(
        terms.identities.iter().map(|one| (one.label.clone(), one.identity.not_after())).collect(),
    );
    Some(Arc::new(ListenerTls { server, series }))
}

/// The same of the admin listener.
pub(super) fn admin(
    config: &config::Config,
    previous: Option<&Snapshot>,
    challenges: &Arc<Challenges>,
) -> Option<Arc<Server>> {
    let terms = config.admin.as_ref()?.tls.as_ref()?;
    let before = previous.and_then(|snapshot| snapshot.admin_tls.as_ref());
    Some(Server::new(terms, before, challenges))
}
