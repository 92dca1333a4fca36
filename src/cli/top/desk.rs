//! What is chosen, and what keys do.

use ratatui::crossterm::event::KeyCode;
use serde_json::{Value, json};

use super::screen::{BackendRow, Screen, UpstreamRow};

/// What the rows are sorted by: upstreams among each other, and the backends of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// As they are told.
    #[default]
    Told,
    /// Most attempts first.
    Attempts,
    /// Most failures first.
    Failures,
    /// Most in flight first.
    InFlight,
    /// The slowest first.
    Slow,
}

impl Sort {
    const ALL: [Self; 5] = [Self::Told, Self::Attempts, Self::Failures, Self::InFlight, Self::Slow];

    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Told => "file",
            Self::Attempts => "requests",
            Self::Failures => "failures",
            Self::InFlight => "in flight",
            Self::Slow => "slowest",
        }
    }

    fn next(self) -> Self {
        let place = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Self::ALL[(place + 1) % Self::ALL.len()]
    }

    fn of_upstream(self, one: &UpstreamRow) -> f64 {
        match self {
            Self::Told => 0.0,
            Self::Attempts => one.attempts_per_second,
            Self::Failures => one.failures_per_second,
            Self::InFlight => one.in_flight as f64,
            Self::Slow => one.p99_seconds.unwrap_or(0.0),
        }
    }

    fn of_backend(self, one: &BackendRow) -> f64 {
        match self {
            Self::Told => 0.0,
            Self::Attempts => one.attempts_per_second,
            Self::Failures => one.failures_per_second,
            Self::InFlight => one.in_flight as f64,
            Self::Slow => one.response_seconds.unwrap_or(0.0),
        }
    }
}

/// A row: an upstream, or a backend of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) upstream: String,
    pub(super) backend: Option<String>,
}

/// A change that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// `UPSTREAM/BACKEND`.
    pub(super) backend: String,
    /// What is said of it.
    pub(super) body: Value,
    /// What that means.
    pub(super) words: String,
}

/// What comes of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Nothing beyond the view.
    Nothing,
    /// A change.
    Change(Change),
    /// The end.
    End,
}

/// What is chosen.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The chosen row; while it is gone, the first one.
    pub(super) chosen: Option<Row>,
    pub(super) sort: Sort,
    /// Only this upstream is shown.
    pub(super) only: Option<String>,
    /// It waits for a yes.
    pub(super) asked: Option<Change>,
    /// What came of the last change, or what is wrong.
    pub(super) said: String,
}

impl Desk {
    /// The rows, in their order.
    pub(super) fn rows(&self, screen: &Screen) -> Vec<Row> {
        let shown = |one: &&UpstreamRow| self.only.as_ref().is_none_or(|only| *only == one.name);
        let mut upstreams: Vec<_> = screen.upstreams.iter().filter(shown).collect();
        upstreams.sort_by(|a, b| self.sort.of_upstream(b).total_cmp(&self.sort.of_upstream(a)));
        let mut rows = Vec::new();
        for upstream in upstreams {
            let row = |backend| Row { upstream: upstream.name.clone(), backend };
            rows.push(row(None));
            let mut backends: Vec<_> = upstream.backends.iter().collect();
            backends.sort_by(|a, b| self.sort.of_backend(b).total_cmp(&self.sort.of_backend(a)));
            rows.extend(backends.into_iter().map(|one| row(Some(one.name.clone()))));
        }
        rows
    }

    /// The place of the chosen row among them.
    pub(super) fn place(&self, rows: &[Row]) -> usize {
        rows.iter().position(|row| Some(row) == self.chosen.as_ref()).unwrap_or(0)
    }

    /// What comes of a key.
    pub(super) fn press(&mut self, key: KeyCode, screen: &Screen) -> Next {
        if let Some(change) = self.asked.take() {
            if let KeyCode::Char('y' | 'Y') = key {
                return Next::Change(change);
            }
            "nothing is changed".clone_into(&mut self.said);
            return Next::Nothing;
        }
        self.said.clear();
        let rows = self.rows(screen);
        let place = self.place(&rows);
        let last = rows.len().saturating_sub(1);
        match key {
            KeyCode::Down | KeyCode::Char('j') => self.choose(&rows, place + 1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(&rows, place.saturating_sub(1)),
            KeyCode::PageDown => self.choose(&rows, (place + 10).min(last)),
            KeyCode::PageUp => self.choose(&rows, place.saturating_sub(10)),
            KeyCode::Home => self.choose(&rows, 0),
            KeyCode::End => self.choose(&rows, last),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Enter => self.only = rows.get(place).map(|row| row.upstream.clone()),
            KeyCode::Esc if self.only.is_some() => self.only = None,
            KeyCode::Char('q') | KeyCode::Esc => return Next::End,
            KeyCode::Char(key) => self.ask(key, rows.get(place), screen),
            _ => {}
        }
        Next::Nothing
    }

    fn choose(&mut self, rows: &[Row], place: usize) {
        if let Some(row) = rows.get(place) {
            self.chosen = Some(row.clone());
        }
    }

    /// Asks whether what a key stands for shall be done.
    fn ask(&mut self, key: char, row: Option<&Row>, screen: &Screen) {
        if !"dmur+-=".contains(key) {
            return;
        }
        let chosen = row.and_then(|row| Some((&row.upstream, row.backend.as_ref()?)));
        let found = chosen.and_then(|(upstream, name)| screen.backend(upstream, name));
        let (Some((upstream, name)), Some(backend)) = (chosen, found) else {
            "choose a backend first".clone_into(&mut self.said);
            return;
        };
        let weigh = |weight: u64| {
            (json!({ "weight": weight }), format!("weight {} to {weight}", backend.weight))
        };
        let (body, words) = match key {
            'd' => (json!({ "state": "draining" }), "drain".to_owned()),
            'm' => (json!({ "state": "disabled" }), "maintenance".to_owned()),
            'u' => (json!({ "state": "enabled" }), "up again".to_owned()),
            'r' => (json!({ "state": null, "weight": null }), "as the file says".to_owned()),
            '-' if backend.weight <= 1 => {
                "the weight is 1 already; m takes it out".clone_into(&mut self.said);
                return;
            }
            '-' => weigh(backend.weight - 1),
            _ => weigh(backend.weight + 1),
        };
        self.asked = Some(Change { backend: format!("{upstream}/{name}"), body, words });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        let backend = |name: &str, attempts, weight| BackendRow {
            name: name.to_owned(),
            attempts_per_second: attempts,
            weight,
            ..BackendRow::default()
        };
        let upstream = |name: &str, attempts, backends| UpstreamRow {
            name: name.to_owned(),
            attempts_per_second: attempts,
            backends,
            ..UpstreamRow::default()
        };
        let api = upstream("api", 3.0, vec![backend("a", 1.0, 1), backend("b", 2.0, 5)]);
        let web = upstream("web", 9.0, vec![backend("a", 9.0, 1)]);
        Screen { upstreams: vec![api, web], ..Screen::default() }
    }

    fn names(desk: &Desk) -> Vec<String> {
        let name = |row: Row| match row.backend {
            Some(backend) => format!("{}/{backend}", row.upstream),
            None => row.upstream,
        };
        desk.rows(&screen()).into_iter().map(name).collect()
    }

    #[test]
    fn rows_are_sorted_and_one_upstream_can_be_shown_alone() {
        let mut desk = Desk::default();
        assert_eq!(names(&desk), ["api", "api/a", "api/b", "web", "web/a"]);
        desk.press(KeyCode::Char('s'), &screen());
        assert_eq!(desk.sort, Sort::Attempts);
        assert_eq!(names(&desk), ["web", "web/a", "api", "api/b", "api/a"]);
        desk.press(KeyCode::Enter, &screen());
        assert_eq!(names(&desk), ["web", "web/a"]);
        assert_eq!(desk.press(KeyCode::Esc, &screen()), Next::Nothing);
        assert_eq!(names(&desk).len(), 5);
        assert_eq!(desk.press(KeyCode::Esc, &screen()), Next::End);
        assert_eq!(desk.press(KeyCode::Char('q'), &screen()), Next::End);
    }

    #[test]
    fn the_choice_stays_with_its_row_and_within_the_rows() {
        let mut desk = Desk::default();
        for _ in 0..2 {
            desk.press(KeyCode::Down, &screen());
        }
        let place = |desk: &Desk| desk.place(&desk.rows(&screen()));
        assert_eq!(place(&desk), 2, "api/b");
        desk.press(KeyCode::Char('s'), &screen());
        assert_eq!(place(&desk), 3, "api/b, elsewhere");
        for _ in 0..9 {
            desk.press(KeyCode::Down, &screen());
        }
        assert_eq!(place(&desk), 4);
        desk.press(KeyCode::Home, &screen());
        desk.press(KeyCode::Up, &screen());
        assert_eq!(place(&desk), 0);
    }

    #[test]
    fn nothing_is_changed_without_a_yes() {
        let mut desk = Desk::default();
        assert_eq!(desk.press(KeyCode::Char('d'), &screen()), Next::Nothing);
        assert_eq!((&desk.asked, &*desk.said), (&None, "choose a backend first"));
        desk.press(KeyCode::End, &screen());
        desk.press(KeyCode::Up, &screen());
        desk.press(KeyCode::Up, &screen());
        for (key, body, words) in [
            ('d', json!({ "state": "draining" }), "drain"),
            ('m', json!({ "state": "disabled" }), "maintenance"),
            ('u', json!({ "state": "enabled" }), "up again"),
            ('r', json!({ "state": null, "weight": null }), "as the file says"),
            ('+', json!({ "weight": 6 }), "weight 5 to 6"),
            ('-', json!({ "weight": 4 }), "weight 5 to 4"),
        ] {
            assert_eq!(desk.press(KeyCode::Char(key), &screen()), Next::Nothing);
            let change = Change { backend: "api/b".to_owned(), body, words: words.to_owned() };
            assert_eq!(desk.asked, Some(change.clone()));
            assert_eq!(desk.press(KeyCode::Char('q'), &screen()), Next::Nothing, "no yes");
            assert_eq!(&*desk.said, "nothing is changed");
            desk.press(KeyCode::Char(key), &screen());
            assert_eq!(desk.press(KeyCode::Char('y'), &screen()), Next::Change(change));
            assert_eq!(desk.asked, None);
        }
        desk.press(KeyCode::Up, &screen());
        desk.press(KeyCode::Char('-'), &screen());
        assert!(desk.asked.is_none() && desk.said.contains("1 already"), "{}", desk.said);
    }
}
