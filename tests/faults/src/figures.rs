//! What a fault cost.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use streamz_protocol::Millis;

/// One fault, once.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Its name.
    pub fault: String,
    /// For each user, the longest that a message of theirs was on its way, in milliseconds: of those that were sent
    /// between the blow and the moment at which all was well again.
    pub gaps: Vec<u64>,
    /// From the end of the fault (of the blow, if nothing was mended) until every device was connected, saw the others
    /// rightly, and had a new message delivered.
    pub well_after: u64,
    /// Devices that had to connect anew.
    pub reconnected: usize,
    /// The most that one device had to.
    pub most_reconnects: usize,
    /// Of the connections those that began with a new session.
    pub fresh: usize,
    /// Messages of that time: delivered, expired, refused.
    pub outcomes: (usize, usize, usize),
    /// When it struck and when all was well again, on the clock of the run.
    #[serde(skip)]
    pub span: (Millis, Millis),
}

/// All runs of one fault.
struct Row<'a> {
    fault: &'a str,
    runs: usize,
    gaps: Vec<u64>,
    well_after: Vec<u64>,
    reconnected: usize,
    most_reconnects: usize,
    fresh: usize,
    outcomes: (usize, usize, usize),
}

/// The value below which this part of them lies (nearest rank).
#[must_use]
pub(crate) fn percentile(values: &[u64], part: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// A table of many figures, one row for each fault.
pub struct Table<'a>(pub &'a [Figures]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32} {:>4}  {:>24}  {:>13}  {:>13} {:>6}  {:>20}",
            "fault", "runs", "longest gap ms", "well after ms", "reconnects", "new", "messages"
        )?;
        writeln!(
            f,
            "{:<32} {:>4}  {:>7} {:>7} {:>8}  {:>6} {:>6}  {:>7} {:>5} {:>6}  {:>8} {:>5} {:>5}",
            "",
            "",
            "p50",
            "p99",
            "most",
            "p50",
            "most",
            "devices",
            "most",
            "ses'ns",
            "deliv'd",
            "exp'd",
            "other"
        )?;
        for row in rows(self.0) {
            let Row { fault, runs, gaps, well_after, reconnected, most_reconnects, fresh, outcomes } = row;
            writeln!(
                f,
                "{fault:<32} {runs:>4}  {:>7} {:>7} {:>8}  {:>6} {:>6}  {reconnected:>7} {most_reconnects:>5} {fresh:>6}  {:>8} {:>5} {:>5}",
                percentile(&gaps, 0.5),
                percentile(&gaps, 0.99),
                percentile(&gaps, 1.0),
                percentile(&well_after, 0.5),
                percentile(&well_after, 1.0),
                outcomes.0,
                outcomes.1,
                outcomes.2,
            )?;
        }
        Ok(())
    }
}

fn rows(figures: &[Figures]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for figure in figures {
        let known = rows.iter().position(|row| row.fault == figure.fault);
        let at = known.unwrap_or_else(|| {
            rows.push(Row {
                fault: &figure.fault,
                runs: 0,
                gaps: Vec::new(),
                well_after: Vec::new(),
                reconnected: 0,
                most_reconnects: 0,
                fresh: 0,
                outcomes: (0, 0, 0),
            });
            rows.len() - 1
        });
        let row = &mut rows[at];
        row.runs += 1;
        row.gaps.extend(&figure.gaps);
        row.well_after.push(figure.well_after);
        row.reconnected += figure.reconnected;
        row.most_reconnects = row.most_reconnects.max(figure.most_reconnects);
        row.fresh += figure.fresh;
        row.outcomes.0 += figure.outcomes.0;
        row.outcomes.1 += figure.outcomes.1;
        row.outcomes.2 += figure.outcomes.2;
    }
    rows
}

/// Whole milliseconds.
#[must_use]
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(percentile(&[], 0.5), 0);
        assert_eq!(percentile(&[7], 0.5), 7);
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(
            (percentile(&hundred, 0.5), percentile(&hundred, 0.99), percentile(&hundred, 1.0)),
            (50, 99, 100)
        );
    }

    #[test]
    fn runs_of_one_fault_are_one_row() {
        let one = |gaps: &[u64]| Figures {
            fault: "node killed".into(),
            gaps: gaps.to_vec(),
            well_after: 5,
            reconnected: 1,
            most_reconnects: 1,
            fresh: 0,
            outcomes: (3, 0, 0),
            span: (Millis(0), Millis(1)),
        };
        let figures = [one(&[10, 20]), one(&[30])];
        let shown = Table(&figures).to_string();
        let row: Vec<&str> = shown.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(row, ["node", "killed", "2", "20", "30", "30", "5", "5", "2", "1", "0", "6", "0", "0"]);
    }
}
