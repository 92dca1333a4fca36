//! The view, drawn: what there is to see, and nothing asked or changed.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};

use super::desk::{Desk, Row};
use super::screen::{BackendRow, EventRow, Screen, UpstreamRow};

/// Events that are shown where there is room.
const EVENTS: u16 = 5;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, desk: &Desk) {
    let rows = desk.rows(screen);
    // The table goes first: it has what the others leave, and never less than a few rows.
    let [head, table, events, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(4),
        Constraint::Length((EVENTS + 1).min(frame.area().height / 4)),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(screen)), head);
    draw_rows(frame, table, (screen, desk), &rows);
    draw_events(frame, events, screen, rows.get(desk.place(&rows)));
    frame.render_widget(footer(desk), foot);
}

fn heading(screen: &Screen) -> Vec<Line<'static>> {
    let Screen { version, phase, status, generation, revision, .. } = screen;
    let health = Style::new().fg(match status.as_str() {
        "healthy" => Color::Green,
        "degraded" => Color::Yellow,
        _ => Color::Red,
    });
    let uptime = age(screen.uptime_seconds);
    vec![
        Line::from(vec![
            Span::styled(format!("plimsoll {version}"), Modifier::BOLD),
            format!("  {phase} for {uptime}, ").into(),
            Span::styled(status.clone(), health),
            format!(", revision {revision}").into(),
            Span::styled(if screen.is_on_probation { " on probation" } else { "" }, Color::Yellow),
            format!(", generation {generation}").into(),
        ]),
        Line::from(format!(
            "{}/s requests, {}/s answered with 5xx, {} in flight, {} connections",
            short(screen.requests_per_second),
            short(screen.errors_per_second),
            screen.in_flight,
            screen.connections
        )),
    ]
}

/// What stands over the columns.
pub(super) const HEADS: [&str; 9] =
    ["UPSTREAM", "STATE", "FOR", "WEIGHT", "IN FLIGHT", "REQ/S", "FAIL/S", "P50", "P99"];

fn draw_rows(frame: &mut Frame<'_>, area: Rect, (screen, desk): (&Screen, &Desk), rows: &[Row]) {
    let of = |row: &Row| {
        let upstream = screen.upstreams.iter().find(|one| one.name == row.upstream)?;
        Some(match &row.backend {
            None => upstream_row(upstream),
            Some(name) => backend_row(upstream.backends.iter().find(|one| one.name == *name)?),
        })
    };
    let longest = rows.iter().map(|row| match &row.backend {
        Some(backend) => backend.chars().count() + 2,
        None => row.upstream.chars().count(),
    });
    let name = longest.max().unwrap_or(0).clamp(HEADS[0].len(), 40);
    // Where there is too little room, the names keep theirs.
    let others = [11, 7, 6, 9, 6, 6, 7, 7].map(Constraint::Max);
    let widths = std::iter::once(Constraint::Min(name as u16)).chain(others);
    let heads = TableRow::new(HEADS).style(Modifier::BOLD);
    let table = Table::new(rows.iter().filter_map(of), widths)
        .header(heads)
        .row_highlight_style(Modifier::REVERSED);
    let mut chosen = TableState::new().with_selected(desk.place(rows));
    frame.render_stateful_widget(table, area, &mut chosen);
}

fn upstream_row(one: &UpstreamRow) -> TableRow<'static> {
    let UpstreamRow { name, status, eligible, backends, in_flight, .. } = one;
    let colour = match status.as_str() {
        "healthy" => Color::Green,
        "degraded" => Color::Yellow,
        _ => Color::Red,
    };
    let waiting = if one.waiting > 0 { format!("+{}", one.waiting) } else { String::new() };
    TableRow::new([
        Cell::from(name.clone()),
        Cell::from(status.clone()).style(colour),
        Cell::from(""),
        Cell::from(format!("{eligible}/{}", backends.len())),
        Cell::from(format!("{in_flight}{waiting}")),
        Cell::from(short(one.attempts_per_second)),
        failures(one.failures_per_second),
        Cell::from(one.p50_seconds.map_or_else(String::new, time)),
        Cell::from(one.p99_seconds.map_or_else(String::new, time)),
    ])
    .style(Modifier::BOLD)
}

fn backend_row(one: &BackendRow) -> TableRow<'static> {
    let colour = match (one.eligible, one.state.as_str()) {
        (true, "up") => Color::Green,
        (_, "down" | "forced_down" | "parked") => Color::Red,
        _ => Color::Yellow,
    };
    TableRow::new([
        Cell::from(format!("  {}", one.name)),
        Cell::from(one.state.replace('_', " ")).style(colour),
        Cell::from(one.state_seconds.map_or_else(|| "?".to_owned(), age)),
        Cell::from(one.weight.to_string()),
        Cell::from(one.in_flight.to_string()),
        Cell::from(short(one.attempts_per_second)),
        failures(one.failures_per_second),
        Cell::from(one.response_seconds.map_or_else(String::new, |it| format!("~{}", time(it)))),
    ])
}

fn failures(each_second: f64) -> Cell<'static> {
    let colour = if each_second > 0.0 { Style::new().fg(Color::Red) } else { Style::new() };
    Cell::from(short(each_second)).style(colour)
}

/// Why the chosen row is as it is, and what happened to it.
fn draw_events(frame: &mut Frame<'_>, area: Rect, screen: &Screen, chosen: Option<&Row>) {
    let Some(chosen) = chosen else { return };
    let backend = chosen.backend.as_ref();
    let why = backend.and_then(|name| screen.backend(&chosen.upstream, name));
    let title = match why {
        Some(one) => format!("{}/{}: {}", chosen.upstream, one.name, one.why),
        None => chosen.upstream.clone(),
    };
    let is_of = |event: &&EventRow| {
        event.upstream.as_ref() == Some(&chosen.upstream)
            && backend.is_none_or(|name| event.backend.as_ref().is_none_or(|its| its == name))
    };
    let line = |event: &EventRow| {
        let EventRow { at, kind, backend, actor, cause, .. } = event;
        let at = at.split_once('T').map_or(at.as_str(), |(_, time)| time.get(..8).unwrap_or(time));
        let backend = backend.as_deref().unwrap_or_default();
        Line::from(format!("{at}  {kind}  {backend} (by {actor}): {cause}"))
    };
    let events = screen.events.iter().filter(is_of).map(line);
    let lines = std::iter::once(Line::styled(title, Modifier::BOLD)).chain(events);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn footer(desk: &Desk) -> Paragraph<'static> {
    if let Some(change) = &desk.asked {
        let question = format!("{}: {}? y: yes, any other key: no", change.backend, change.words);
        return Paragraph::new(question).style(Style::new().fg(Color::Yellow).bold());
    }
    if !desk.said.is_empty() {
        return Paragraph::new(desk.said.clone()).style(Color::Yellow);
    }
    let only = if desk.only.is_some() { "esc all" } else { "enter only" };
    Paragraph::new(format!(
        "q quit  {only}  s sort: {}  d drain  m out  u up  +- weight  r reset",
        desk.sort.name()
    ))
    .style(Modifier::DIM)
}

/// A number in three digits or so.
pub(super) fn short(number: f64) -> String {
    match number {
        n if n >= 999_500.0 => format!("{:.1}M", n / 1e6),
        n if n >= 9_950.0 => format!("{:.0}k", n / 1e3),
        n if n >= 10.0 || n == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

/// A time that something took.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0}us", s * 1e6),
        s if s < 0.009_95 => format!("{:.1}ms", s * 1e3),
        s if s < 0.999_5 => format!("{:.0}ms", s * 1e3),
        s => format!("{s:.1}s"),
    }
}

/// How long something has been so: its two largest units.
pub(super) fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::*;

    fn screen() -> Screen {
        let backend = |name: &str, state: &str, seconds, weight| BackendRow {
            name: name.to_owned(),
            state: state.to_owned(),
            state_seconds: seconds,
            eligible: state == "up",
            why: "nothing speaks against it".to_owned(),
            weight,
            in_flight: 7,
            attempts_per_second: 1234.0,
            failures_per_second: 0.4,
            response_seconds: Some(0.0123),
        };
        let mut down = backend("10.0.0.2:8080", "down", Some(61.0), 2);
        "down: its probes fail (web: status 503)".clone_into(&mut down.why);
        (down.in_flight, down.attempts_per_second, down.failures_per_second) = (0, 0.0, 0.0);
        down.response_seconds = None;
        let event = |kind: &str, backend: &str, cause: &str| EventRow {
            at: "2026-11-21T18:00:07.123456Z".to_owned(),
            kind: kind.to_owned(),
            upstream: Some("api".to_owned()),
            backend: Some(backend.to_owned()),
            actor: "probe".to_owned(),
            cause: cause.to_owned(),
        };
        Screen {
            version: "0.1.0".to_owned(),
            phase: "ready".to_owned(),
            status: "degraded".to_owned(),
            generation: 3,
            revision: 2,
            is_on_probation: true,
            uptime_seconds: 93_784.0,
            requests_per_second: 1234.4,
            errors_per_second: 0.25,
            in_flight: 7,
            connections: 41,
            upstreams: vec![
                UpstreamRow {
                    name: "api".to_owned(),
                    status: "degraded".to_owned(),
                    strategy: "random".to_owned(),
                    eligible: 1,
                    in_flight: 7,
                    waiting: 3,
                    attempts_per_second: 1234.0,
                    failures_per_second: 0.4,
                    p50_seconds: Some(0.001_2),
                    p99_seconds: Some(1.25),
                    backends: vec![backend("10.0.0.1:8080", "up", Some(93_784.0), 1), down],
                },
                UpstreamRow {
                    name: "idle".to_owned(),
                    status: "healthy".to_owned(),
                    eligible: 1,
                    backends: vec![BackendRow {
                        name: "unix:/run/idle.sock".to_owned(),
                        state: "up".to_owned(),
                        eligible: true,
                        weight: 1,
                        ..BackendRow::default()
                    }],
                    ..UpstreamRow::default()
                },
            ],
            events: vec![
                event("backend.down", "10.0.0.2:8080", "3 probes failed"),
                event("backend.up", "10.0.0.1:8080", "2 probes succeeded"),
            ],
        }
    }

    fn drawn(desk: &Desk, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &screen(), desk)).unwrap();
        let text = terminal.backend().to_string();
        let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn all_of_it_is_on_one_screen() {
        insta::assert_snapshot!(drawn(&Desk::default(), 90, 20));
    }

    #[test]
    fn the_chosen_backend_tells_why_it_is_out_and_a_change_is_asked_about() {
        let mut desk = Desk::default();
        for key in [KeyCode::Down, KeyCode::Down, KeyCode::Char('+')] {
            desk.press(key, &screen());
        }
        insta::assert_snapshot!(drawn(&desk, 90, 20));
    }

    #[test]
    fn a_small_terminal_shows_the_chosen_row_first() {
        let mut desk = Desk::default();
        desk.press(KeyCode::End, &screen());
        let text = drawn(&desk, 40, 8);
        assert!(text.contains("unix:/run/idle.sock"), "{text}");
        // Nothing at all to draw on is no fault either.
        drawn(&desk, 1, 1);
    }

    #[test]
    fn numbers_are_as_short_as_can_be() {
        let shown = [0.0, 0.25, 9.94, 12.3, 9_949.0, 12_345.0, 1_250_000.0].map(short);
        assert_eq!(shown, ["0", "0.2", "9.9", "12", "9949", "12k", "1.2M"]);
        assert_eq!([0.000_04, 0.001_23, 0.25, 1.26].map(time), ["40us", "1.2ms", "250ms", "1.3s"]);
        assert_eq!([9.9, 61.0, 7_260.0, 93_784.0].map(age), ["9s", "1m1s", "2h1m", "1d2h"]);
    }
}
