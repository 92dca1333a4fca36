//! What operators say beside the files: words on backends, and backends added or taken away.
//!
//! Values only; `operate` puts them in force, `keep` writes them down. Each holds until its end, or until
//! it is taken back; reloads do not touch it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::{self, Config};
use crate::control::Origin;
use crate::model::{AdminState, Weight};
use crate::snapshot::build::Orders;

/// Who says it, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who, as the admin API knows them.
    pub actor: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// Since when, in milliseconds of Unix time.
    pub since: u64,
    /// Until when, in the same; `None`: until it is taken back.
    pub until: Option<u64>,
}

impl By {
    /// Said now, for so long.
    pub fn now(actor: String, reason: String, lasts: Option<Duration>) -> Self {
        let since = unix_ms();
        let until = lasts.map(|lasts| since.saturating_add(lasts.as_millis() as u64));
        Self { actor, reason, since, until }
    }

    /// Whoever stands behind a change of that origin, where nobody is named.
    pub(super) fn of(origin: Origin) -> Self {
        let actor = if origin == Origin::FileWatch { "file" } else { origin.name() };
        Self::now(actor.to_owned(), String::new(), None)
    }
}

/// This moment, in milliseconds of Unix time.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// What can be said of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Its weight.
    #[serde(with = "number")]
    Weight(Weight),
    /// Its admin state.
    #[serde(with = "name")]
    State(AdminState),
}

/// What a word is about: of each kind there is one at most for a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The weight.
    Weight,
    /// The admin state.
    State,
}

impl Word {
    /// What it is about.
    pub fn kind(self) -> Kind {
        match self {
            Self::Weight(_) => Kind::Weight,
            Self::State(_) => Kind::State,
        }
    }

    /// For people: `weight 5`, `draining`.
    pub fn words(self) -> String {
        match self {
            Self::Weight(weight) => format!("weight {}", weight.value()),
            Self::State(state) => state.name().replace('_', " "),
        }
    }
}

/// A word on a backend, in place of what the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The upstream's name.
    pub upstream: String,
    /// The backend's label.
    pub backend: String,
    /// What holds in place of the file's.
    #[serde(flatten)]
    pub word: Word,
    /// Who says so.
    #[serde(flatten)]
    pub by: By,
}

/// A backend beside those of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The upstream's name.
    pub upstream: String,
    /// Where it is, as it would be written in the file.
    pub address: String,
    /// Its weight.
    #[serde(with = "number")]
    pub weight: Weight,
    /// Its tier.
    pub tier: u8,
    /// Requests in flight per process; 0 is no limit.
    pub max_connections: u32,
    /// Who says so.
    #[serde(flatten)]
    pub by: By,
}

/// A backend of the file that is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The upstream's name.
    pub upstream: String,
    /// What the file calls it.
    pub backend: String,
    /// Who says so.
    #[serde(flatten)]
    pub by: By,
}

/// All that is said at present.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Said {
    /// Words on backends.
    pub overrides: Vec<Override>,
    /// Backends beside those of the file.
    pub added: Vec<Added>,
    /// Backends of the file that are taken away.
    pub removed: Vec<Removed>,
}

impl Said {
    /// Says a word, in place of what was said of the same before.
    pub(super) fn say(&mut self, word: Override) {
        self.lift(&word.upstream, &word.backend, &[word.word.kind()]);
        self.overrides.push(word);
    }

    /// Takes words on a backend back, and gives them.
    pub(super) fn lift(&mut self, upstream: &str, backend: &str, kinds: &[Kind]) -> Vec<Override> {
        let is = |one: &mut Override| {
            one.upstream == upstream && one.backend == backend && kinds.contains(&one.word.kind())
        };
        self.overrides.extract_if(.., is).collect()
    }

    /// Takes out those words whose time is over.
    pub(super) fn expire(&mut self, now: u64) -> Vec<Override> {
        let is_over = |one: &mut Override| one.by.until.is_some_and(|until| until <= now);
        self.overrides.extract_if(.., is_over).collect()
    }

    /// How long it is until the next one ends.
    pub(super) fn next_end(&self, now: u64) -> Option<Duration> {
        let next = self.overrides.iter().filter_map(|one| one.by.until).min()?;
        Some(Duration::from_millis(next.saturating_sub(now)))
    }

    /// What is said of each backend.
    pub(super) fn orders(&self) -> Orders {
        let mut orders = Orders::new();
        for one in &self.overrides {
            let upstream = orders.entry(one.upstream.clone()).or_default();
            let order = upstream.entry(one.backend.clone()).or_default();
            match one.word {
                Word::Weight(weight) => order.weight = Some(weight),
                Word::State(state) => order.admin = Some(state),
            }
        }
        orders
    }

    /// The configuration with backends added and taken away. The file goes first: what it has is not
    /// added, and what it has alone in an upstream is not taken away.
    pub fn patch(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for gone in &self.removed {
            if let Some(upstream) = config.upstreams.get_mut(&gone.upstream)
                && upstream.backends.len() > 1
            {
                upstream.backends.retain(|entry| entry.called() != gone.backend);
            }
        }
        for new in &self.added {
            let Some(upstream) = config.upstreams.get_mut(&new.upstream) else { continue };
            let Ok(address) = config::backend_address(&new.address) else { continue };
            let there = address.to_string();
            if upstream.backends.iter().any(|entry| entry.called() == there) {
                continue;
            }
            upstream.backends.push(config::model::Backend {
                name: None,
                address,
                weight: new.weight,
                tier: Some(new.tier),
                zone: None,
                region: None,
                state: AdminState::Enabled,
                max_connections: new.max_connections,
                capacity: None,
                max_fails: upstream.passive.max_fails,
                fail_timeout: upstream.passive.fail_timeout,
                route: None,
                service: None,
            });
        }
        config
    }
}

/// A weight as a number.
mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Weight;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    pub(super) fn serialize<S: Serializer>(weight: &Weight, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(weight.value())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Weight, D::Error> {
        Weight::try_from(i64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// An admin state by its name.
mod name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::AdminState;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    pub(super) fn serialize<S: Serializer>(state: &AdminState, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(state.name())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<AdminState, D::Error> {
        let name = String::deserialize(from)?;
        AdminState::named(&name).ok_or_else(|| D::Error::custom(format!("{name} is no state")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(backend: &str, word: Word, until: Option<u64>) -> Override {
        let by = By { actor: "alice".into(), reason: "deploy".into(), since: 5, until };
        Override { upstream: "api".into(), backend: backend.into(), word, by }
    }

    fn weight(weight: i64) -> Word {
        Word::Weight(Weight::try_from(weight).unwrap())
    }

    #[test]
    fn of_each_kind_the_last_word_holds_until_its_end() {
        let mut said = Said::default();
        said.say(word("a", weight(5), Some(100)));
        said.say(word("a", Word::State(AdminState::Draining), None));
        said.say(word("a", weight(7), Some(200)));
        said.say(word("b", weight(2), Some(50)));
        assert_eq!(said.next_end(20), Some(Duration::from_millis(30)));
        assert_eq!(said.expire(50).len(), 1);
        let orders = said.orders();
        assert_eq!(orders["api"].len(), 1);
        let order = orders["api"]["a"];
        assert_eq!(order.weight.map(Weight::value), Some(7));
        assert_eq!(order.admin, Some(AdminState::Draining));
        assert_eq!(said.expire(200).len(), 1);
        assert_eq!(said.next_end(200), None, "the other one has no end");
        assert_eq!(said.lift("api", "a", &[Kind::State, Kind::Weight]).len(), 1);
        assert_eq!(said, Said::default());
    }

    #[test]
    fn what_is_written_down_reads_back() {
        let by = word("a", weight(1), None).by;
        let said = Said {
            overrides: vec![
                word("a", weight(5), Some(100)),
                word("b", Word::State(AdminState::ForcedDown), None),
            ],
            added: vec![Added {
                upstream: "api".into(),
                address: "10.0.0.9:80".into(),
                weight: Weight::ONE,
                tier: 1,
                max_connections: 0,
                by: by.clone(),
            }],
            removed: vec![Removed { upstream: "api".into(), backend: "x:80".into(), by }],
        };
        let text = serde_json::to_string(&said).unwrap();
        assert!(text.contains(r#""weight":5"#) && text.contains(r#""state":"forced_down""#));
        assert_eq!(serde_json::from_str::<Said>(&text).unwrap(), said);
        for bad in [text.replace("forced_down", "gone"), text.replace(":5,", ":0,")] {
            assert!(serde_json::from_str::<Said>(&bad).is_err(), "{bad}");
        }
    }
}
