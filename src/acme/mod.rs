//! Certificates of an authority (ACME, RFC 8555): asked for, kept on disk, renewed in time.
//!
//! `control` hands over what is wanted with each configuration. A task of the control thread, never a
//! worker, orders what is missing or has a third of its life left, answers the authority's questions
//! through [`Challenges`], and stores key and chain in one file, at once or not at all. What it stores
//! gets in by the way of every other certificate: the configuration is loaded again.
//!
//! What an order needs of the network is `instant-acme`'s; when one is due is `due`'s; the files are
//! `state`'s.

mod due;
mod order;
mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::model::{Acme, Managed};
use crate::model::Event;
use crate::telemetry::Registry;
use crate::tls::Challenges;

/// An order takes no longer; the authority's questions and its own checks are in it.
const LONGEST: Duration = Duration::from_mins(5);

/// The wall clock is looked at this often, for it may be set.
const LOOK: Duration = Duration::from_hours(1);

/// Keeps the certificates of at most one configuration.
#[derive(Debug, Default)]
pub struct Keeper {
    wanted: Option<Acme>,
    /// Ends with this value.
    task: JoinSet<()>,
}

impl Keeper {
    /// Keeps these certificates from now on. What has not changed goes on undisturbed, an order under
    /// way too.
    pub fn keep(
        &mut self,
        wanted: Option<&Acme>,
        challenges: &Arc<Challenges>,
        registry: &Arc<Registry>,
        events: &mpsc::Sender<Event>,
    ) {
        if self.wanted.as_ref() == wanted {
            return;
        }
        self.task.abort_all();
        challenges.set(Vec::new());
        self.wanted = wanted.cloned();
        if let Some(acme) = self.wanted.clone() {
            let (challenges, registry) = (Arc::clone(challenges), Arc::clone(registry));
            self.task.spawn(keep(acme, challenges, registry, events.clone()));
        }
    }
}

/// One certificate, and when it is ordered next.
struct Kept<'a> {
    managed: &'a Managed,
    /// Since 1970.
    at: Duration,
    /// Orders that failed, one after the other.
    failures: u32,
}

async fn keep(
    acme: Acme,
    challenges: Arc<Challenges>,
    registry: Arc<Registry>,
    events: mpsc::Sender<Event>,
) {
    let mut all = Vec::new();
    for managed in &acme.certificates {
        let stored = state::stored(managed.file.clone()).await;
        let at = stored.map_or(Duration::ZERO, |identity| due::renewal(&identity));
        all.push(Kept { managed, at, failures: 0 });
    }
    while let Some(next) = all.iter_mut().min_by_key(|one| one.at) {
        while let Some(pause) = next.at.checked_sub(now()).filter(|pause| !pause.is_zero()) {
            tokio::time::sleep(pause.min(LOOK)).await;
        }
        let names = next.managed.names.join(", ");
        info!(%names, directory = acme.directory, "ordering a certificate");
        let ordered = tokio::time::timeout(LONGEST, order::order(&acme, next.managed, &challenges));
        let ordered = ordered.await.unwrap_or(Err(order::Error::TooLong));
        challenges.set(Vec::new());
        registry.process().certificate_ordered(ordered.is_ok());
        match ordered {
            Ok(identity) => {
                (next.at, next.failures) = (due::renewal(&identity), 0);
                info!(%names, "the certificate is there");
                // The control loop has ended: so does this task, soon.
                let _ = events.send(Event::CertificateStored).await;
            }
            Err(error) => {
                next.failures += 1;
                let pause = due::pause(next.failures);
                next.at = now() + pause;
                warn!(%names, %error, ?pause, "no certificate, trying again after a pause");
            }
        }
    }
}

/// Since 1970: a certificate's life is told so.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
