//! Where series are made, found again and summed.
//!
//! A snapshot's build asks for series by name and keeps them; the registry remembers them weakly.
//! While any snapshot (or request) holds a series, asking for its name gives the same one, so
//! counters survive reloads; when the last holder is gone, the series leaves `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::backend::BackendSeries;
use super::downstream::{ListenerSeries, RouteSeries};
use super::history::History;
use super::limit::LimitSeries;
use super::process::ProcessSeries;
use super::text::{Exposition, Text};
use super::tls::TlsSeries;
use super::upstream::UpstreamSeries;

/// All series of the process. Used when a snapshot is built and at a scrape, never by requests.
#[derive(Debug)]
pub struct Registry {
    workers: usize,
    listeners: Table<ListenerSeries>,
    tls: Table<TlsSeries>,
    routes: Table<RouteSeries>,
    limits: Table<LimitSeries>,
    upstreams: Table<UpstreamSeries>,
    backends: Table<BackendSeries>,
    process: ProcessSeries,
    history: History,
}

impl Registry {
    /// A registry for a fixed number of workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            listeners: Table::default(),
            tls: Table::default(),
            routes: Table::default(),
            limits: Table::default(),
            upstreams: Table::default(),
            backends: Table::default(),
            process: ProcessSeries::new(),
            history: History::default(),
        })
    }

    /// The series of a listener.
    pub fn listener(&self, name: &str) -> Arc<ListenerSeries> {
        self.listeners.series([name, ""], || ListenerSeries::new(name, self.workers))
    }

    /// The series of a listener's TLS.
    pub fn tls(&self, listener: &str) -> Arc<TlsSeries> {
        self.tls.series([listener, ""], || TlsSeries::new(listener, self.workers))
    }

    /// The series of a route on a listener; `_none` is the route of what no route took.
    pub fn route(&self, listener: &str, route: &str) -> Arc<RouteSeries> {
        self.routes.series([listener, route], || RouteSeries::new(listener, route, self.workers))
    }

    /// The series of a limit.
    pub fn limit(&self, name: &str) -> Arc<LimitSeries> {
        self.limits.series([name, ""], || LimitSeries::new(name, self.workers))
    }

    /// The series of an upstream.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamSeries> {
        self.upstreams.series([name, ""], || UpstreamSeries::new(name, self.workers))
    }

    /// The series of a backend, by the names of its upstream and its own. It keeps the upstream's
    /// series alive.
    pub fn backend(&self, upstream: &str, backend: &str) -> Arc<BackendSeries> {
        let group = self.upstream(upstream);
        self.backends.series([upstream, backend], || {
            BackendSeries::new(upstream, backend, &group, self.workers)
        })
    }

    /// The series of the process.
    pub fn process(&self) -> &ProcessSeries {
        &self.process
    }

    /// What happened to backends and upstreams.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Prometheus text (version 0.0.4) of all series that are alive, each summed over the workers.
    pub fn encode(&self) -> String {
        self.encode_as(Exposition::Prometheus)
    }

    /// The same in this form.
    pub fn encode_as(&self, form: Exposition) -> String {
        let mut text = Text::new(form);
        ListenerSeries::encode(&self.listeners.alive(), &mut text);
        TlsSeries::encode(&self.tls.alive(), &mut text);
        RouteSeries::encode(&self.routes.alive(), &mut text);
        LimitSeries::encode(&self.limits.alive(), &mut text);
        UpstreamSeries::encode(&self.upstreams.alive(), &mut text);
        BackendSeries::encode(&self.backends.alive(), &mut text);
        self.process.encode(&mut text);
        text.into_string()
    }
}

/// Series of one kind by the values of their labels, in that order.
#[derive(Debug)]
struct Table<S>(Mutex<Places<S>>);

#[derive(Debug)]
struct Places<S> {
    by_name: BTreeMap<[String; 2], Weak<S>>,
    /// Number of places at which the dead ones are swept out, so that a process which nobody
    /// scrapes does not grow with every backend that ever was.
    sweep_at: usize,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self(Mutex::new(Places { by_name: BTreeMap::new(), sweep_at: 64 }))
    }
}

impl<S> Table<S> {
    /// The living series of that name, else a new one.
    fn series(&self, name: [&str; 2], make: impl FnOnce() -> S) -> Arc<S> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.by_name.len() >= places.sweep_at {
            places.by_name.retain(|_, series| series.strong_count() > 0);
            places.sweep_at = places.by_name.len().max(32) * 2;
        }
        let place = places.by_name.entry(name.map(str::to_owned)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *place = Arc::downgrade(&made);
            made
        })
    }

    /// The living series, by name.
    fn alive(&self) -> Vec<Arc<S>> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.by_name.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests;
