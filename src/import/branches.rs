//! Where a `proxy_pass` leads: to one upstream, to those that a `map` chooses from, to the shares of a
//! `split_clients`, or where each request says.

use std::collections::BTreeSet;

use super::condition::{Condition, mapped};
use super::draft::{Check, Setting};
use super::location::Spot;
use super::pass::{Authority, Target};
use super::passing::Refusal;
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;

/// Upstreams by their place in the list of those in use, with weights.
pub(super) type Split = Vec<(usize, u32)>;

/// A branch of a `proxy_pass`: when it is taken, where it leads, and what nginx would say in `Host`
/// where that is not what is written.
pub(super) type Branch = (Vec<Check>, Split, Option<String>);

impl<'t> Translator<'t, '_> {
    /// The upstreams that a target leads to, each with its condition and share.
    pub(super) fn branches(
        &mut self,
        d: &'t Directive,
        target: &Target,
        s: &Settings<'t>,
        spot: &Spot<'t>,
    ) -> Result<(Vec<Branch>, Option<Setting>), Refusal> {
        let name = match &target.authority {
            Authority::Fixed(authority) => {
                let one = self.used(d, authority, target.grpc)?;
                return Ok((vec![(Vec::new(), vec![(one, 1)], None)], None));
            }
            Authority::Asked(text) => return self.by_request(d, text, s, spot),
            Authority::Variable(name) => name.clone(),
        };
        if let Some(block) = self.maps.split(&name) {
            let branches = match self.made.find(&name).map(|made| made.name) {
                Some(ours) => self.parted(d, block, &format!("${{{ours}}}"), target.grpc)?,
                None => vec![(Vec::new(), self.split(d, block, target.grpc)?, None)],
            };
            return Ok((branches, None));
        }
        let chosen = self.mapped(d, &name, target.grpc);
        if chosen.is_err() && !target.grpc {
            let uri = target.uri.as_deref().unwrap_or_default();
            return self.by_request(d, &format!("${{{name}}}{uri}"), s, spot);
        }
        chosen.map(|branches| (branches, None))
    }

    /// The upstreams that a map gives, each with its condition.
    fn mapped(&mut self, d: &'t Directive, name: &str, grpc: bool) -> Result<Vec<Branch>, Refusal> {
        let unknown = || {
            let why = format!("`${name}` is not known when the file is read");
            (why, "name the upstreams, and choose one by route")
        };
        let map = self.maps.map(name).ok_or_else(unknown)?;
        let hosts = match map.has_hostnames().then(|| self.made.find(name)) {
            Some(made) => Some(made.ok_or_else(unknown)?.name),
            None => None,
        };
        let (block, entries): (_, Vec<_>) = (map.block, map.entries().collect());
        let mut branches = Vec::new();
        let mut otherwise = None;
        // Plain keys first, expressions in their order, as in nginx.
        let (regexes, plain): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.name.text.starts_with('~'));
        for entry in plain.into_iter().chain(regexes) {
            let to = entry.arg(0);
            let to = to.strip_prefix("http://").unwrap_or(to);
            let one = self.used(d, to, grpc)?;
            let host = Some(to.to_owned());
            if entry.name.text == "default" {
                otherwise = Some((one, host));
                continue;
            }
            if let Some(ours) = &hosts {
                // Which name fits best is for the variable to say.
                let (value, text) = (format!("${{{ours}}}"), entry.arg(0).to_owned());
                branches.push((vec![Check { value, rule: "is", text }], vec![(one, 1)], host));
                continue;
            }
            let condition = mapped(block.arg(0), &entry.name.text).ok_or_else(|| {
                let why =
                    format!("no route can ask for `{}` of `{}`", entry.name.text, block.arg(0));
                (why, "choose the upstream by a header field or a cookie")
            })?;
            match condition {
                Condition::When(checks) => branches.push((checks, vec![(one, 1)], host)),
                Condition::Always => branches.push((Vec::new(), vec![(one, 1)], host)),
                Condition::Never => {}
            }
        }
        let (otherwise, host) = otherwise.ok_or_else(|| {
            let why = format!("`${name}` has no default");
            (why, "add a `default` to the map")
        })?;
        let mut seen = BTreeSet::new();
        branches.retain(|(when, ..)| when.is_empty() || seen.insert(when.clone()));
        branches.push((Vec::new(), vec![(otherwise, 1)], host));
        self.findings.carried(block);
        Ok(branches)
    }

    /// The upstreams of a `split_clients`, each where the variable made of it names it.
    fn parted(
        &mut self,
        d: &'t Directive,
        block: &'t Directive,
        value: &str,
        grpc: bool,
    ) -> Result<Vec<Branch>, Refusal> {
        let mut branches = Vec::new();
        for entry in block.inner() {
            let to = entry.arg(0);
            let one = vec![(self.used(d, to, grpc)?, 1)];
            let check = Check { value: value.to_owned(), rule: "is", text: to.to_owned() };
            let when = if entry.name.text == "*" { Vec::new() } else { vec![check] };
            branches.push((when, one, Some(to.to_owned())));
        }
        let first_of_all = branches.iter().position(|(when, ..)| when.is_empty());
        if first_of_all.is_none_or(|at| at + 1 != branches.len()) {
            return Err(("the shares do not add up".to_owned(), "end with `*`"));
        }
        let mut seen = BTreeSet::new();
        branches.retain(|(when, ..)| seen.insert(when.clone()));
        self.findings.carried(block);
        Ok(branches)
    }

    /// The shares of a `split_clients` whose key has no counterpart.
    fn split(
        &mut self,
        d: &'t Directive,
        block: &'t Directive,
        grpc: bool,
    ) -> Result<Split, Refusal> {
        let mut split: Vec<(usize, u32)> = Vec::new();
        let mut left = 10_000_u32;
        for entry in block.inner() {
            let share = match &*entry.name.text {
                "*" => left,
                text => percent(text)
                    .filter(|share| *share <= left)
                    .ok_or_else(|| (format!("`{text}` is no share"), "write it like `10%`"))?,
            };
            left -= share;
            let one = self.used(d, entry.arg(0), grpc)?;
            match split.iter_mut().find(|(known, _)| *known == one) {
                Some((_, weight)) => *weight += share,
                None => split.push((one, share)),
            }
        }
        split.retain(|(_, weight)| *weight > 0);
        if split.is_empty() || left > 0 {
            return Err(("the shares do not add up".to_owned(), "end with `*`"));
        }
        self.findings.differs(
            block,
            "each request is drawn for itself, where nginx goes by the key: a client may see several",
        );
        Ok(split)
    }
}

/// `12.5%` in hundredths of a percent.
fn percent(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u32>().ok().filter(|whole| *whole <= 100).map(|whole| whole * 100 + part)
}
