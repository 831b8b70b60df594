//! What comes out: every figure beside the forwarder's and beside its budget.

use std::fmt::Write as _;

use serde::Serialize;

pub use crate::machine::Machine;

use crate::latency::median;

/// The whole report. As JSON it is this, field by field.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of Streamz that measured.
    pub version: &'static str,
    /// When it began, as RFC 3339.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether it was the short form.
    pub quick: bool,
    /// Built without optimisation: the figures mean nothing.
    pub debug_build: bool,
    /// What was measured, in words.
    pub subject: String,
    /// Where it ran.
    pub machine: Machine,
    /// The figures.
    pub rows: Vec<Row>,
    /// What has to be known to read them.
    pub notes: Vec<String>,
    /// What could not be measured, and why. Not empty means that the bench failed.
    pub failures: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it belongs to.
    pub part: &'static str,
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Streamz: the median of the rounds.
    pub streamz: Option<f64>,
    /// The least and the most of the rounds.
    pub range: Option<(f64, f64)>,
    /// What it is measured beside: the median of the same rounds. That is the forwarder, unless the part says otherwise.
    pub forwarder: Option<f64>,
    /// The median of the rounds' ratios. None if nothing was measured beside it.
    pub ratio: Option<f64>,
    /// What it should be at most.
    pub budget: Option<Budget>,
    /// Whether it is.
    pub met: Option<bool>,
    /// Things that were counted for it in all rounds: messages, connections, devices.
    pub samples: u64,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Bytes in 1024.
    Kib,
    /// Bytes in 1024².
    Mib,
    /// So many a second.
    PerSecond,
    /// So many.
    Count,
    /// Processors that were busy.
    Cores,
}

/// What a figure should be at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Itself, in its unit.
    AtMost(f64),
    /// Its ratio to the forwarder.
    Ratio(f64),
}

/// The rounds of one figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) streamz: Vec<f64>,
    pub(crate) forwarder: Vec<f64>,
    pub(crate) samples: u64,
}

impl Rounds {
    /// `None` where nothing could be measured, which is not a round.
    pub(crate) fn add(&mut self, of_streamz: bool, value: Option<f64>, samples: u64) {
        let side = if of_streamz { &mut self.streamz } else { &mut self.forwarder };
        side.extend(value);
        if of_streamz {
            self.samples += samples;
        }
    }

    pub(crate) fn row(
        &self,
        part: &'static str,
        name: impl Into<String>,
        unit: Unit,
        budget: Option<Budget>,
    ) -> Row {
        let streamz = median(&self.streamz);
        let least = self.streamz.iter().copied().min_by(f64::total_cmp);
        let most = self.streamz.iter().copied().max_by(f64::total_cmp);
        // A round counts only whole: a ratio of figures of different moments says nothing.
        let whole = self.streamz.len() == self.forwarder.len();
        let ratios: Vec<f64> =
            self.streamz.iter().zip(&self.forwarder).filter(|(_, f)| **f > 0.0).map(|(s, f)| s / f).collect();
        let ratio = median(&ratios).filter(|_| whole && ratios.len() == self.streamz.len());
        let met = match budget {
            Some(Budget::AtMost(most)) => streamz.map(|value| value <= most),
            Some(Budget::Ratio(most)) => ratio.map(|ratio| ratio <= most),
            None => None,
        };
        Row {
            part,
            name: name.into(),
            unit,
            streamz,
            range: least.zip(most),
            forwarder: median(&self.forwarder),
            ratio,
            budget,
            met,
            samples: self.samples,
        }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Kib => "KiB",
            Unit::Mib => "MiB",
            Unit::PerSecond => "/s",
            Unit::Count => "",
            Unit::Cores => "cpus",
        }
    }
}

impl Report {
    /// The table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Machine { processor, cores, memory_mib, kernel, load_before } = &self.machine;
        let _ = writeln!(text, "streamz bench {} · {} · {:.0} s", self.version, self.began, self.seconds);
        let _ = writeln!(
            text,
            "{processor} · {cores} cores · {memory_mib} MiB · Linux {kernel} · load {load_before}"
        );
        let _ = writeln!(text, "{}", self.subject);
        if self.debug_build {
            let _ = writeln!(text, "NOT OPTIMISED: these figures mean nothing. Build with --release.");
        }
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = row.part;
                let _ = writeln!(
                    text,
                    "\n{part:<46}{:>10} {:<4}{:>21}{:>11}{:>8}   budget",
                    "Streamz", "", "least – most", "forwarder", "ratio"
                );
            }
            row.write(&mut text);
        }
        for (title, lines) in [("Notes", &self.notes), ("FAILED", &self.failures)] {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{title}");
                for line in lines {
                    let _ = writeln!(text, "  - {line}");
                }
            }
        }
        text
    }
}

impl Row {
    fn write(&self, text: &mut String) {
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
        let range =
            self.range.map(|(least, most)| format!("{} – {}", short(least), short(most))).unwrap_or_default();
        let ratio = self.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}×"));
        let budget = match self.budget {
            Some(Budget::AtMost(most)) => format!("≤ {} {}", short(most), self.unit.name()),
            Some(Budget::Ratio(most)) => format!("≤ {most:.1}×"),
            None => String::new(),
        };
        let verdict = match self.met {
            Some(true) => " met",
            Some(false) => " MISSED",
            None if self.budget.is_some() => " not measured",
            None => "",
        };
        let line = format!(
            "  {:<44}{:>10} {:<4}{range:>21}{:>11}{ratio:>8}   {budget}{verdict}",
            self.name,
            number(self.streamz),
            self.unit.name(),
            number(self.forwarder),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Three digits that say something.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(streamz: &[f64], forwarder: &[f64]) -> Rounds {
        Rounds { streamz: streamz.to_vec(), forwarder: forwarder.to_vec(), samples: 9 }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let row = rounds(&[20.0, 30.0, 90.0], &[10.0, 20.0, 30.0]).row(
            "relay",
            "CPU",
            Unit::Micros,
            Some(Budget::Ratio(2.0)),
        );
        assert_eq!((row.streamz, row.forwarder, row.ratio), (Some(30.0), Some(20.0), Some(2.0)));
        assert_eq!((row.range, row.met), (Some((20.0, 90.0)), Some(true)));
    }

    #[test]
    fn without_the_forwarder_there_is_no_ratio_and_no_verdict() {
        for forwarder in [&[][..], &[10.0][..], &[10.0, 0.0][..]] {
            let row = rounds(&[20.0, 20.0], forwarder).row("p", "n", Unit::Micros, Some(Budget::Ratio(3.0)));
            assert_eq!((row.ratio, row.met), (None, None), "{forwarder:?}");
        }
        let row = rounds(&[5.0], &[]).row("p", "n", Unit::Kib, Some(Budget::AtMost(4.0)));
        assert_eq!((row.ratio, row.met), (None, Some(false)));
    }

    #[test]
    fn digits_are_few() {
        for (value, text) in
            [(0.0, "0.00"), (1.234, "1.23"), (9.999, "10.0"), (42.04, "42.0"), (999.6, "1000")]
        {
            assert_eq!(short(value), text);
        }
    }

    fn report() -> Report {
        let row = rounds(&[20.0], &[10.0]).row("relay", "CPU", Unit::Micros, Some(Budget::Ratio(1.5)));
        Report {
            version: "1.2.3",
            began: "2026-01-02T03:04:05Z".to_owned(),
            seconds: 1.5,
            quick: true,
            debug_build: false,
            subject: "a server".to_owned(),
            machine: Machine {
                processor: "p".to_owned(),
                cores: 2,
                memory_mib: 1,
                kernel: "6".to_owned(),
                load_before: 0.5,
            },
            rows: vec![row],
            notes: vec!["n".to_owned()],
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_json_has_a_shape_that_programs_can_rely_on() {
        let json = serde_json::to_value(report()).unwrap();
        let expected = serde_json::json!({
            "version": "1.2.3", "began": "2026-01-02T03:04:05Z", "seconds": 1.5, "quick": true, "debug_build": false,
            "subject": "a server",
            "machine": {"processor": "p", "cores": 2, "memory_mib": 1, "kernel": "6", "load_before": 0.5},
            "rows": [{
                "part": "relay", "name": "CPU", "unit": "micros", "streamz": 20.0, "range": [20.0, 20.0],
                "forwarder": 10.0, "ratio": 2.0, "budget": {"ratio": 1.5}, "met": false, "samples": 9,
            }],
            "notes": ["n"], "failures": [],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_text_shows_figure_ratio_budget_and_verdict() {
        let text = report().text();
        let line = text.lines().find(|line| line.trim_start().starts_with("CPU")).unwrap();
        for part in ["20.0 µs", "10.0", "2.00×", "≤ 1.5× MISSED"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!text.contains("FAILED") && !text.contains("NOT OPTIMISED"));
    }
}
