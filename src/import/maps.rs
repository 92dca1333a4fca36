//! `map`, `split_clients` and `geo`: those that choose an upstream or ask for an upgrade are routes, others
//! become variables.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::tree::Directive;
use super::variables::{Part, parts};

/// All of them, by the variable they make.
#[derive(Debug, Default)]
pub(super) struct Maps<'t> {
    chosen: BTreeMap<String, Map<'t>>,
    splits: BTreeMap<String, &'t Directive>,
    geos: BTreeMap<String, &'t Directive>,
}

/// One `map`.
#[derive(Debug)]
pub(super) struct Map<'t> {
    pub block: &'t Directive,
}

impl<'t> Maps<'t> {
    /// Those of `http`, but for those of which a part cannot be read.
    pub(super) fn of(http: &'t [Directive], f: &mut Findings<'_>) -> Self {
        let mut maps = Self::default();
        let blocks =
            http.iter().filter(|d| ["map", "split_clients", "geo"].contains(&&*d.name.text));
        for block in blocks {
            let mut includes = block.inner().iter().filter(|one| one.name.text == "include");
            if includes.any(|one| f.of(one).is_some()) {
                let why = "what stands in a file that cannot be read is not known";
                f.missing(block, why, "import on the machine where the file is");
                continue;
            }
            let includes = block.inner().iter().filter(|one| one.name.text == "include");
            includes.for_each(|one| f.carried(one));
            maps.add(block);
        }
        maps
    }

    /// Takes in a block.
    fn add(&mut self, block: &'t Directive) {
        let variable = block.args.last().and_then(|arg| arg.text.strip_prefix('$'));
        let Some(name) = variable.map(str::to_owned) else { return };
        match &*block.name.text {
            "map" => {
                self.chosen.insert(name, Map { block });
            }
            "geo" => {
                self.geos.insert(name, block);
            }
            _ => {
                self.splits.insert(name, block);
            }
        }
    }

    /// The map behind a text that is nothing but its variable.
    pub(super) fn of_text(&self, text: &str) -> Option<&Map<'t>> {
        match parts(text).collect::<Vec<_>>()[..] {
            [Part::Variable(name)] => self.chosen.get(name),
            _ => None,
        }
    }

    /// The map that makes this variable.
    pub(super) fn map(&self, name: &str) -> Option<&Map<'t>> {
        self.chosen.get(name)
    }

    /// The split that makes this variable.
    pub(super) fn split(&self, name: &str) -> Option<&'t Directive> {
        self.splits.get(name).copied()
    }

    /// All blocks, by the variable they make.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (&str, &'t Directive)> {
        let maps = self.chosen.iter().map(|(name, map)| (&**name, map.block));
        let others = self.splits.iter().chain(&self.geos);
        maps.chain(others.map(|(name, block)| (&**name, *block)))
    }

    /// Tells of those that nothing carried uses.
    pub(super) fn unused(&self, f: &mut Findings<'_>) {
        let websocket = |map: &Map<'_>| {
            map.block.arg(0) == "$http_upgrade"
                && map.values().any(|one| one.eq_ignore_ascii_case("upgrade"))
        };
        for map in self.chosen.values() {
            if f.of(map.block).is_some() {
                continue;
            }
            if websocket(map) {
                f.carried_as(map.block, "see `upgrades`");
            } else {
                let why = "nothing that is carried uses it, or a variable in it has no counterpart";
                f.missing(map.block, why, "write a `[variable.NAME]` by hand");
            }
        }
        for block in self.geos.values() {
            if f.of(block).is_none() {
                let why = "nothing that is carried uses it, or it has `proxy`, or ranges one within \
                           the other";
                f.missing(block, why, "write a `[variable.NAME]` by hand");
            }
        }
        for block in self.splits.values() {
            if f.of(block).is_none() {
                let why = "nothing that is carried uses it, or its key has no counterpart";
                f.missing(block, why, "write a `[variable.NAME]` by hand");
            }
        }
    }
}

impl<'t> Map<'t> {
    /// Whether its keys are names of hosts, compared as those are.
    pub(super) fn has_hostnames(&self) -> bool {
        let alone = |one: &Directive| one.name.text == "hostnames" && one.args.is_empty();
        self.block.inner().iter().any(alone)
    }

    /// Its lines, without those that set it up.
    pub(super) fn entries(&self) -> impl Iterator<Item = &'t Directive> {
        let setup = ["hostnames", "volatile", "include"];
        let block = self.block;
        block.inner().iter().filter(move |one| {
            !(setup.contains(&&*one.name.text) && one.args.is_empty()) && one.name.text != "include"
        })
    }

    /// The values that it gives.
    pub(super) fn values(&self) -> impl Iterator<Item = &'t str> {
        self.entries().map(|entry| entry.arg(0))
    }

    /// What it gives for an empty source.
    pub(super) fn without(&self) -> &'t str {
        let of = |key: &str| {
            self.entries().find(|entry| entry.name.text == key).map(|entry| entry.arg(0))
        };
        of("").or_else(|| of("default")).unwrap_or_default()
    }
}
