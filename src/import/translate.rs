//! The tree's meaning → a draft of the imported file.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Action, Draft, PathRule, ResponseEdits, Route};
use super::findings::Findings;
use super::limits::Zones;
use super::listen::{At, Listen, listen};
use super::location::{Spot, Walk};
use super::made::MadeVariables;
use super::maps::Maps;
use super::names::{Names, names};
use super::places::{defaults, is_last, place, placements, unique};
use super::process::Process;
use super::routes::{self, Server};
use super::secured::{self, Secured};
use super::settings::Settings;
use super::table::{self, Rule};
use super::tree::Directive;
use super::upstream::{Group, group};
use super::used::{Met, Use};
use super::variables::Scope;
use super::{Files, answer, finish, headers, listeners, pages, process, refuse, scope, stream};

/// A translation under way.
pub(super) struct Translator<'t, 'f> {
    pub files: &'t dyn Files,
    pub findings: Findings<'f>,
    pub maps: Maps<'t>,
    pub made: MadeVariables,
    pub groups: BTreeMap<String, Group>,
    pub uses: Vec<Use>,
    pub zones: Zones,
    /// The TLS of each address.
    pub secured: Secured,
    /// How the backends of the `proxy_pass` that is being read are met.
    pub met: Met,
    /// The log of each `access_log`, by its number: a name, or the usual one.
    pub log_of: BTreeMap<usize, Option<String>>,
    /// Whether what nginx takes for the client's address is not known in this server.
    pub address_unsure: bool,
}

/// A server with its listeners.
pub(super) struct Site<'t> {
    pub block: &'t Directive,
    pub listens: Vec<Listen>,
    pub names: Names,
}

/// Translates a checked tree.
pub(super) fn translate<'f>(
    tree: &[Directive],
    files: &dyn Files,
    findings: Findings<'f>,
) -> (Draft, Findings<'f>) {
    let mut t = Translator {
        files,
        findings,
        maps: Maps::default(),
        made: MadeVariables::default(),
        groups: BTreeMap::new(),
        uses: Vec::new(),
        zones: Zones::default(),
        secured: Secured::default(),
        met: Met::default(),
        log_of: BTreeMap::new(),
        address_unsure: false,
    };
    let mut draft = Draft::default();
    let blocks: Vec<&Directive> = tree.iter().filter(|d| d.name.text == "http").collect();
    for block in &blocks {
        t.findings.carried(block);
    }
    // A fragment holds what stands in `http` without it.
    let http: &[Directive] = match blocks.first() {
        Some(first) => first.inner(),
        None => tree,
    };
    for block in blocks.iter().skip(1) {
        t.findings.missing_whole(block, "there is one `http`", "put both into one");
    }
    t.maps = Maps::of(http, &mut t.findings);
    t.made = MadeVariables::of(&t.maps);
    draft.process = t.process(tree, http);
    t.log_of = std::mem::take(&mut draft.process.log_of);
    t.groups_and_zones(http);
    let sites = t.sites(http);
    let defaults = defaults(&sites);
    let mut placed = Vec::new();
    for (index, site) in sites.iter().enumerate() {
        placed.extend(refusing(&sites[index], defaults.len()));
        let places = placements(&sites, index, &defaults);
        if places.is_empty() {
            let why = "no request reaches it: it has no name of its own that is carried";
            t.findings.missing_whole(site.block, why, "see its `server_name`");
            continue;
        }
        t.address_unsure = refuse::address_unsure(http, site, &sites, &defaults);
        let routes = t.site_routes(http, site, sites.len() > 1);
        for (listeners, hosts) in places {
            let at = |route: &Route| place(route.clone(), &listeners, &hosts, &site.names.first);
            placed.extend(routes.iter().map(at));
        }
    }
    placed.sort_by_key(|route| is_last(&route.hosts));
    draft.routes = unique(placed);
    draft.listeners = listeners::listeners(&mut t, http, &sites, &defaults, &draft.routes);
    finish::fields(&mut draft);
    draft.upstreams = finish::upstreams(&mut t, &draft.routes);
    for block in tree.iter().filter(|d| d.name.text == "stream") {
        stream::stream(&mut t, block, &mut draft);
    }
    draft.limits = std::mem::take(&mut t.zones).into_used(&mut t.findings, http);
    draft.variables = std::mem::take(&mut t.made).into_used();
    draft.variables.iter().for_each(|made| t.findings.carried_at(made.id));
    t.maps.unused(&mut t.findings);
    for d in http.iter().filter(|d| d.name.text == "upstream") {
        let used = draft.upstreams.iter().any(|one| one.used && one.at == d.name.place);
        if !used {
            let why = "nothing that is carried leads to it";
            t.findings.missing_whole(d, why, "");
        }
    }
    (draft, t.findings)
}

impl<'t> Translator<'t, '_> {
    fn process(&mut self, tree: &'t [Directive], http: &'t [Directive]) -> Process {
        let made = self.made.clone();
        let mut process = Process { workers: Some(1), made, ..Process::default() };
        for d in http.iter().filter(|d| d.name.text == "log_format") {
            process::log_format(&mut process, d, &mut self.findings);
        }
        let is_log = |d: &&Directive| d.name.text == "access_log";
        for d in
            tree.iter().filter(|d| d.name.text != "access_log").chain(http.iter().filter(is_log))
        {
            if let Some(Rule::Process(setter)) = table::find(&d.name.text).map(|row| row.rule) {
                setter(&mut process, d, &mut self.findings);
            }
        }
        for d in http.iter().filter(|d| d.name.text == "error_log") {
            process::error_log(&mut process, d, &mut self.findings);
        }
        self.inner_logs(&mut process, http);
        process
    }

    /// Logs of servers and locations.
    fn inner_logs(&mut self, process: &mut Process, level: &'t [Directive]) {
        for d in level.iter().filter(|d| d.block.is_some()) {
            for log in d.inner() {
                match &*log.name.text {
                    "access_log" if log.arg(0) == "off" => self.findings.carried(log),
                    "access_log" => process::access_log(process, log, &mut self.findings),
                    "error_log" => process::error_log(process, log, &mut self.findings),
                    _ => {}
                }
            }
            self.inner_logs(process, d.inner());
        }
    }

    /// The upstreams and the zones of limits.
    fn groups_and_zones(&mut self, http: &[Directive]) {
        for d in http {
            match &*d.name.text {
                "upstream" if self.groups.contains_key(d.arg(0)) => {
                    let why = "an upstream of this name stands above, which counts";
                    let help = "give it another name: nginx refuses it too";
                    self.findings.missing_whole(d, why, help);
                }
                "upstream" => {
                    let group = group(d, &self.made, &mut self.findings);
                    self.groups.insert(d.arg(0).to_owned(), group);
                }
                "limit_req_zone" | "limit_conn_zone" => {
                    self.zones.add(d, &Scope::with(&self.made), &mut self.findings);
                }
                _ => {}
            }
        }
    }

    /// The servers that have a listener, with what names are theirs.
    fn sites(&mut self, http: &'t [Directive]) -> Vec<Site<'t>> {
        let mut sites: Vec<Site<'t>> = Vec::new();
        let mut taken: BTreeSet<(At, String)> = BTreeSet::new();
        for block in http.iter().filter(|d| d.name.text == "server") {
            let f = &mut self.findings;
            let lines: Vec<_> = block.inner().iter().filter(|d| d.name.text == "listen").collect();
            let mut listens: Vec<Listen> = Vec::new();
            let tls = block.inner().iter().chain(http).find(|d| d.name.text == "ssl");
            let tls = tls.is_some_and(|d| d.arg(0) == "on");
            for line in &lines {
                for mut one in listen(line, f) {
                    one.tls |= tls;
                    if !listens.iter().any(|other| other.address == one.address) {
                        listens.push(one);
                    }
                }
            }
            if lines.is_empty() {
                f.differs(block, "without `listen`, it listens on port 80");
                listens.push(Listen {
                    proxy_protocol: false,
                    http2: false,
                    tls,
                    address: At::Ip(([0, 0, 0, 0], 80).into()),
                    default: false,
                    at: block.name.place,
                });
            }
            if listens.is_empty() {
                let why = "none of its listeners is carried";
                f.missing_whole(block, why, "see its `listen`");
                continue;
            }
            let mut names = names(block, f);
            let fresh = |name: &String| {
                listens.iter().all(|one| taken.insert((one.address.clone(), name.clone())))
            };
            let had = names.all.len();
            names.all.retain(fresh);
            if names.all.len() < had {
                f.differs(block, "a name that an earlier server has is that server's");
            }
            f.carried(block);
            sites.push(Site { block, listens, names });
        }
        self.secured = secured::secured(http, &mut sites, &mut self.findings);
        for site in sites.iter().filter(|site| site.listens.is_empty()) {
            let why = "none of its listeners is carried";
            self.findings.missing_whole(site.block, why, "see its `listen`");
        }
        sites.retain(|site| !site.listens.is_empty());
        sites
    }

    /// The routes of a server, without listeners and hosts.
    fn site_routes(&mut self, http: &'t [Directive], site: &Site<'t>, others: bool) -> Vec<Route> {
        let block = site.block;
        let ports: BTreeSet<u16> = site.listens.iter().map(|one| one.address.port()).collect();
        let port = ports.first().copied().filter(|_| ports.len() == 1);
        let by_tls = site.listens.iter().filter(|one| one.tls).count();
        let scheme = match by_tls {
            0 => Some("http"),
            all if all == site.listens.len() => Some("https"),
            _ => None,
        };
        let scope = routes::server_scope(block, &site.names, (port, scheme), &self.made);
        let levels = [http, block.inner()];
        let walk = Walk::of(&levels, &scope);
        let server = Server {
            port,
            named: walk.named.clone(),
            files: pages::files(&levels, &walk, self.files),
            accel: !walk.named.is_empty() || mentions(block.inner(), "internal"),
        };
        let s = self.settings(&levels, true);
        let edits = headers::response(&s, &scope, &mut self.findings);
        let onward = self.onward(&s, &scope, &server).of_answer();
        let (mut routes, answers_all) = self.first(block, &s, (&scope, &edits), &server);
        for route in &mut routes {
            route.onward.get_or_insert_with(|| onward.clone());
        }
        if answers_all {
            // The only locations that are reached are those of its error pages.
            if !onward.pages.is_empty() {
                routes.extend(self.routes_of_all(named(&walk, &scope), &server));
            }
            return routes;
        }
        for (d, why, help) in &walk.refused {
            self.findings.missing_whole(d, why, help);
        }
        let spots = walk.spots.iter().cloned().chain(named(&walk, &scope));
        routes.extend(self.routes_of_all(spots, &server));
        let has_root =
            |route: &Route| route.path == PathRule::Prefix("/".to_owned()) && route.when.is_empty();
        if !routes.iter().any(has_root)
            && (others || s.content.is_some() || routes.is_empty() || !onward.pages.is_empty())
        {
            let action = match s.content {
                Some(content) => {
                    let row = table::find(&content.name.text);
                    self.findings.missing(
                        content,
                        row.map_or("", |row| row.doc),
                        row.map_or("", |row| row.instead),
                    );
                    answer::not_carried()
                }
                None => answer::status(404),
            };
            let path = PathRule::Prefix("/".to_owned());
            let mut route = routes::route(block.name.place, path, action, &edits, &s);
            route.onward = Some(onward);
            routes.push(route);
        }
        routes
    }

    fn routes_of_all(
        &mut self,
        spots: impl Iterator<Item = Spot<'t>>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        spots.flat_map(|spot| self.routes_of(&spot, server)).collect()
    }
}

/// The locations that are reached by name.
fn named<'t>(walk: &Walk<'t>, scope: &Scope) -> impl Iterator<Item = Spot<'t>> {
    walk.named.iter().map(|(location, levels)| {
        let mut scope = scope.clone();
        scope::constants(location.inner(), &mut scope);
        Spot {
            location,
            path: PathRule::Name(location.arg(0).to_owned()),
            prefix: String::new(),
            levels: levels.clone(),
            scope,
            before_regex: false,
            also: Vec::new(),
            unread: None,
            bare: false,
        }
    })
}

/// The route of hosts that a server may have, where nobody knows.
fn refusing(site: &Site<'_>, addresses: usize) -> Option<Route> {
    let hosts = Some(&site.names.unread).filter(|hosts| !hosts.is_empty())?;
    let every = site.listens.len() == addresses;
    let listeners = site.listens.iter().filter(|_| !every).map(|one| one.address.to_string());
    let (root, edits) = (PathRule::Prefix("/".to_owned()), ResponseEdits::default());
    let route =
        routes::route(site.block.name.place, root, Action::Refuse, &edits, &Settings::default());
    Some(place(route, &listeners.collect::<Vec<_>>(), hosts, &site.names.first))
}

/// Whether a directive of that name stands at this level or below.
fn mentions(level: &[Directive], name: &str) -> bool {
    level.iter().any(|d| d.name.text == name || mentions(d.inner(), name))
}
