//! Ids that outlive reloads.

use ahash::AHashMap;

use crate::model::{BackendId, UpstreamId};

/// Gives upstreams and backends their ids: one for each name, one for each label within it, for the
/// life of the process. `control` keeps the only one.
///
/// Nothing is forgotten, so that a backend which returns is the one it was; that costs some hundred
/// bytes for each address that a name ever had.
#[derive(Debug, Default)]
pub struct Identities {
    upstreams: AHashMap<String, Group>,
    backends_given: u64,
}

#[derive(Debug)]
struct Group {
    id: UpstreamId,
    backends: AHashMap<String, BackendId>,
}

impl Identities {
    /// The id of the upstream of that name.
    pub fn upstream(&mut self, name: &str) -> UpstreamId {
        self.group(name).id
    }

    /// The id of a backend, by its upstream's name and its label.
    pub fn backend(&mut self, upstream: &str, label: &str) -> BackendId {
        let next = BackendId(self.backends_given);
        let backends = &mut self.group(upstream).backends;
        if let Some(id) = backends.get(label) {
            return *id;
        }
        backends.insert(label.to_owned(), next);
        self.backends_given += 1;
        next
    }

    fn group(&mut self, name: &str) -> &mut Group {
        if !self.upstreams.contains_key(name) {
            let id = UpstreamId(self.upstreams.len() as u32);
            self.upstreams.insert(name.to_owned(), Group { id, backends: AHashMap::new() });
        }
        self.upstreams.get_mut(name).unwrap_or_else(|| unreachable!("it was inserted above"))
    }
}
