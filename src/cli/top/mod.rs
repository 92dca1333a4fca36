//! `plimsoll top`: the running process, live in a terminal.
//!
//! The way of a view: `reading` asks the admin listener, `screen` makes rates of two readings, `desk` knows
//! what is chosen and what keys do, `draw` draws. One thread asks and changes, this one draws and listens to
//! keys: an admin listener that does not answer holds up no key.

mod desk;
mod draw;
mod reading;
mod screen;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::json;

use self::desk::{Change, Desk, Next};
use self::draw::{age, draw, short, time};
use self::reading::Reading;
use self::screen::Screen;
use super::admin::{Place, segment};
use super::operate::{self, text};
use super::table::table;

/// How often a key is looked for, at least.
const KEYS: Duration = Duration::from_millis(100);

/// Readings that rates are made of: from the first of them to the last.
const READINGS: usize = 6;

/// What is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    admin: Place,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Tell it once, as JSON
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = operate::time(text)?;
    let good = (Duration::from_millis(100)..=Duration::from_mins(1)).contains(&interval);
    if good { Ok(interval) } else { Err("from 100ms to 1m".to_owned()) }
}

/// Shows it until the end is asked for; where there is no terminal, or for programs, tells it once.
pub(super) fn top(arguments: &TopArgs, out: &mut impl Write) -> io::Result<bool> {
    if arguments.json || !io::stdout().is_terminal() {
        return once(arguments, out).map(|()| true);
    }
    // Before the terminal is another one: who is not there is told of in the usual way.
    let begun = Instant::now();
    let first = Reading::take(&arguments.admin, begun)?;
    let (wishes, wished) = channel();
    let (tells, told) = channel();
    let (admin, pause) = (arguments.admin.clone(), arguments.interval);
    thread::spawn(move || ask(&admin, (pause, begun), &wished, &tells));
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, first, &wishes, &told);
    ratatui::try_restore()?;
    shown.map(|()| true)
}

/// What the thread that asks has to tell.
enum Told {
    Reading(Box<Reading>),
    /// What came of a change, or why there is no reading.
    Words(String),
}

/// Asks again and again, and makes changes, until nobody listens any more.
fn ask(
    place: &Place,
    (pause, begun): (Duration, Instant),
    from: &Receiver<Change>,
    to: &Sender<Told>,
) {
    loop {
        match from.recv_timeout(pause) {
            Ok(change) => {
                if to.send(Told::Words(make(place, &change))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let told = match Reading::take(place, begun) {
            Ok(reading) => Told::Reading(Box::new(reading)),
            Err(error) => Told::Words(error.to_string()),
        };
        if to.send(told).is_err() {
            return;
        }
    }
}

/// Makes a change; gives what came of it.
fn make(place: &Place, change: &Change) -> String {
    let Change { backend, body, words } = change;
    let mut body = body.clone();
    body["reason"] = json!("by hand, in plimsoll top");
    let path = format!("{}/{}", operate::BACKENDS, segment(backend));
    match place.done("PATCH", &path, Some(&body), Duration::ZERO) {
        Ok(answer) => {
            let now = &answer["backend"];
            format!("{backend}: {words}. {}, weight {}", text(now, "why"), now["weight"])
        }
        Err(error) => error.to_string(),
    }
}

/// Draws what is told and does what keys say, up to the end.
fn show(
    terminal: &mut DefaultTerminal,
    first: Reading,
    wishes: &Sender<Change>,
    told: &Receiver<Told>,
) -> io::Result<()> {
    let mut desk = Desk::default();
    let mut screen = Screen::of(None, &first);
    let mut readings = VecDeque::from([first]);
    loop {
        terminal.draw(|frame| draw(frame, &screen, &desk))?;
        if event::poll(KEYS)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let breaks = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('c') if breaks => return Ok(()),
                code => match desk.press(code, &screen) {
                    Next::End => return Ok(()),
                    Next::Change(change) => {
                        desk.said = format!("{}: {} …", change.backend, change.words);
                        // It ends with this one only.
                        let _ = wishes.send(change);
                    }
                    Next::Nothing => {}
                },
            }
        }
        while let Ok(told) = told.try_recv() {
            match told {
                Told::Words(words) => desk.said = words,
                Told::Reading(reading) => {
                    screen = Screen::of(readings.front(), &reading);
                    readings.push_back(*reading);
                    if readings.len() == READINGS {
                        readings.pop_front();
                    }
                }
            }
        }
    }
}

/// Tells it once: what is, and what came within one interval.
fn once(arguments: &TopArgs, out: &mut impl Write) -> io::Result<()> {
    let begun = Instant::now();
    let before = Reading::take(&arguments.admin, begun)?;
    thread::sleep(arguments.interval);
    let screen = Screen::of(Some(&before), &Reading::take(&arguments.admin, begun)?);
    if arguments.json {
        return writeln!(out, "{:#}", serde_json::to_value(&screen)?);
    }
    let Screen { version, phase, status, .. } = &screen;
    let (requests, errors) = (screen.requests_per_second, screen.errors_per_second);
    writeln!(out, "plimsoll {version}: {phase} for {}, {status}", age(screen.uptime_seconds))?;
    writeln!(out, "{}/s requests, {}/s answered with 5xx\n", short(requests), short(errors))?;
    let times = |time_: Option<f64>| time_.map_or_else(|| "-".to_owned(), time);
    let upstreams = screen.upstreams.iter().flat_map(|one| {
        let all = vec![
            one.name.clone(),
            one.status.clone(),
            "-".to_owned(),
            format!("{}/{}", one.eligible, one.backends.len()),
            one.in_flight.to_string(),
            short(one.attempts_per_second),
            short(one.failures_per_second),
            times(one.p50_seconds),
            times(one.p99_seconds),
        ];
        let backends = one.backends.iter().map(|backend| {
            vec![
                format!("{}/{}", one.name, backend.name),
                backend.state.clone(),
                backend.state_seconds.map_or_else(|| "-".to_owned(), age),
                backend.weight.to_string(),
                backend.in_flight.to_string(),
                short(backend.attempts_per_second),
                short(backend.failures_per_second),
                backend
                    .response_seconds
                    .map_or_else(|| "-".to_owned(), |t| format!("~{}", time(t))),
                "-".to_owned(),
            ]
        });
        std::iter::once(all).chain(backends).collect::<Vec<_>>()
    });
    table(out, &draw::HEADS, upstreams)
}
