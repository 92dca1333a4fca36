//! From single runs to medians, ratios and files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::cases::{Case, Kind};
use crate::proxies::Contender;

/// The figures of one run, or their medians; `None` where the case does not give them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Requests per second.
    pub(crate) rate: Option<f64>,
    /// Latency in microseconds: median, 99 %, 99.9 %, the longest.
    pub(crate) latency: [Option<f64>; 4],
    /// The longest latency of a typical quarter of a second.
    pub(crate) typical_worst: Option<f64>,
    /// Seconds of processor per 100,000 requests, and the part in user mode.
    pub(crate) cpu: Option<f64>,
    /// See `cpu`.
    pub(crate) user: Option<f64>,
    /// Resident MiB at the end of the window.
    pub(crate) memory: Option<f64>,
    /// Bytes per idle connection.
    pub(crate) idle: Option<f64>,
    /// Cores that load and origins used; near 1 they are the limit.
    pub(crate) load: Option<f64>,
}

/// The columns: heading, decimals, value.
type Column = (&'static str, usize, fn(&Figures) -> Option<f64>);
const COLUMNS: [Column; 11] = [
    ("req/s", 0, |figures| figures.rate),
    ("p50 µs", 0, |figures| figures.latency[0]),
    ("p99 µs", 0, |figures| figures.latency[1]),
    ("p99.9 µs", 0, |figures| figures.latency[2]),
    ("max µs", 0, |figures| figures.latency[3]),
    ("max in ¼ s", 0, |figures| figures.typical_worst),
    ("CPU s/100k", 3, |figures| figures.cpu),
    ("user s/100k", 3, |figures| figures.user),
    ("memory MiB", 1, |figures| figures.memory),
    ("B/idle conn", 0, |figures| figures.idle),
    ("load core", 2, |figures| figures.load),
];

/// The ratios ours ÷ theirs are given for all columns but the load's own.
const RATIOS: usize = COLUMNS.len() - 1;

/// All runs so far, by case and contender, in the order they were made.
#[derive(Default)]
pub(crate) struct Report {
    raw: String,
    tables: String,
}

impl Report {
    /// Takes in a case's runs and gives its table.
    pub(crate) fn add(&mut self, case: &Case, runs: &BTreeMap<Contender, Vec<Figures>>) -> String {
        for (contender, rounds) in runs {
            for (round, figures) in rounds.iter().enumerate() {
                let _ = write!(self.raw, "{},{},{}", case.name, round + 1, contender.name());
                for (_, _, value) in COLUMNS {
                    let text = value(figures).map_or(String::new(), |value| format!("{value:.4}"));
                    let _ = write!(self.raw, ",{text}");
                }
                self.raw.push('\n');
            }
        }
        let table = table(case, runs);
        self.tables.push_str(&table);
        table
    }

    /// Writes `raw.csv` and `summary.md` to `benches/runs/<date>-<name>/`; gives the directory.
    pub(crate) fn save(&self, name: &str, versions: &[(Contender, String)]) -> Result<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/runs");
        let directory = root.join(format!("{}-{name}", said("date", &["-u", "+%F"])));
        fs::create_dir_all(&directory)?;
        let headings = COLUMNS.map(|(heading, _, _)| heading.replace(' ', "_")).join(",");
        let raw = format!("case,round,proxy,{headings}\n{}", self.raw);
        fs::write(directory.join("raw.csv"), raw)?;
        fs::write(directory.join("summary.md"), self.summary(name, versions))?;
        Ok(directory.display().to_string())
    }

    fn summary(&self, name: &str, versions: &[(Contender, String)]) -> String {
        let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        let command = arguments.collect::<Vec<_>>().join(" ");
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let versions = versions.iter().fold(String::new(), |mut text, (contender, version)| {
            let _ = writeln!(text, "- {}: {version}", contender.name());
            text
        });
        format!(
            "# {name}\n\n\
             Command: `cargo bench --bench e2e -- {command}`\n\n\
             - machine: {} x {}, Linux {}, TCP congestion control {}\n- commit: {}\n{versions}\n\
             Medians over interleaved rounds with fresh processes; the proxy on one core, load and \
             origins on another. How each column is measured, and its caveats: `benches/runs/README.md`.\n\n\
             {}",
            cpu.lines().filter(|line| line.starts_with("processor")).count(),
            model.trim_start_matches([' ', '\t', ':']),
            said("uname", &["-r"]),
            said("cat", &["/proc/sys/net/ipv4/tcp_congestion_control"]),
            said("git", &["describe", "--always", "--dirty"]),
            self.tables
        )
    }
}

/// A case's table of medians, with the ratios of ours to each other contender.
fn table(case: &Case, runs: &BTreeMap<Contender, Vec<Figures>>) -> String {
    let shown = COLUMNS.iter().enumerate().filter(|(_, (_, _, value))| {
        runs.values().flatten().any(|figures| value(figures).is_some())
    });
    let shown = shown.collect::<Vec<_>>();
    let rounds = runs.values().map(Vec::len).max().unwrap_or(0);
    let mut text = format!("### {}: {} ({rounds} rounds)\n\n| proxy |", case.name, case.title);
    for (_, (heading, _, _)) in &shown {
        let _ = write!(text, " {heading} |");
    }
    let _ = write!(text, " spread |\n|---|{}---:|\n", "---:|".repeat(shown.len()));
    for (contender, rounds) in runs {
        let _ = write!(text, "| {} |", contender.name());
        for (_, (_, decimals, value)) in &shown {
            match median(rounds, *value) {
                Some(value) => write!(text, " {value:.decimals$} |"),
                None => write!(text, " |"),
            }
            .unwrap_or_default();
        }
        let _ = writeln!(text, " {} |", spread(case, rounds));
    }
    let Some(ours) = runs.get(&Contender::Plimsoll) else {
        return text + "\n";
    };
    for (contender, theirs) in runs.iter().filter(|(other, _)| **other != Contender::Plimsoll) {
        let _ = write!(text, "| **÷ {}** |", contender.name());
        for (place, (_, _, value)) in &shown {
            match (median(ours, *value), median(theirs, *value)) {
                (Some(ours), Some(theirs)) if *place < RATIOS => {
                    let _ = write!(text, " **{:.2}** |", ours / theirs);
                }
                _ => text.push_str(" |"),
            }
        }
        text.push_str(" |\n");
    }
    text + "\n"
}

/// How far the rounds lie apart in the case's main figure, as a part of the median.
fn spread(case: &Case, rounds: &[Figures]) -> String {
    let main: fn(&Figures) -> Option<f64> = match case.kind {
        Kind::Closed => |figures| figures.cpu.or(figures.rate),
        Kind::Open(_) => |figures| figures.latency[1],
        Kind::Idle => |figures| figures.idle,
    };
    let values = rounds.iter().filter_map(main);
    let (least, most) = values
        .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    match median(rounds, main) {
        Some(middle) if rounds.len() > 1 => format!("{:.0} %", (most - least) / middle * 100.0),
        _ => String::new(),
    }
}

/// The median of a figure; of an even number of rounds the mean of the middle two.
fn median(rounds: &[Figures], value: fn(&Figures) -> Option<f64>) -> Option<f64> {
    let mut values = rounds.iter().filter_map(value).collect::<Vec<_>>();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The first line that a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("").to_owned(),
    )
}
