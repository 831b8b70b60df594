//! Reads one variable after the other, and keeps every problem.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::args::{ConfigArgs, Preset, VARIABLES, Variable};

/// What is wrong with one variable, as a sentence that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {message}")]
pub struct Problem {
    /// The variable, or `.env`.
    pub variable: &'static str,
    /// The rest of the sentence.
    pub message: String,
}

/// Everything that is wrong with a configuration. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

pub(super) struct Reader<'a> {
    args: &'a ConfigArgs,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(args: &'a ConfigArgs, problems: Vec<Problem>) -> Self {
        Self { args, problems }
    }

    /// `value`, unless something was wrong on the way to it.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigErrors(self.problems)) }
    }

    pub(super) fn problem(&mut self, variable: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { variable, message: message.into() });
    }

    /// What was written, or the default if that is a value.
    pub(super) fn text(&self, name: &'static str) -> Option<&'a str> {
        self.args.written(name).or_else(|| match variable(name).default {
            Preset::Value(text) => Some(text),
            Preset::Rule(_) => None,
        })
    }

    /// What was written, read by `parse`; None if nothing was, or if that is a problem (it is noted then).
    /// `parse` says what is wrong in the words that follow "NAME is … ".
    pub(super) fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(wanted) => {
                self.problem(name, format!("is {}: {wanted}.", quoted(name, text)));
                None
            }
        }
    }

    /// The entries of a comma list, without empty ones.
    pub(super) fn list<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&'a str) -> Result<T, E>,
    ) -> Vec<T> {
        let entries = self.text(name).unwrap_or_default().split(',').map(str::trim);
        let mut values = Vec::new();
        for (index, entry) in entries.enumerate().filter(|(_, entry)| !entry.is_empty()) {
            match parse(entry) {
                Ok(value) => values.push(value),
                Err(wanted) => {
                    let number = index + 1;
                    self.problem(name, format!("has entry {number}, {}: {wanted}.", quoted(name, entry)));
                }
            }
        }
        values
    }

    /// A whole number. (Whatever is read after a problem is never seen: [`Reader::finish`] keeps it.)
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> u32 {
        let (least, most) = (*range.start(), *range.end());
        self.parsed(name, |text| match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("write a whole number from {least} to {most}")),
        })
        .unwrap_or(least)
    }

    /// The same, for what is counted in memory.
    pub(super) fn count(&mut self, name: &'static str, range: RangeInclusive<u32>) -> usize {
        usize::try_from(self.number(name, range)).unwrap_or(usize::MAX)
    }

    /// A size: bytes, KiB or MiB.
    pub(super) fn size(&mut self, name: &'static str, range: RangeInclusive<usize>) -> usize {
        let (least, most) = (*range.start(), *range.end());
        self.parsed(name, |text| match parse_size(text) {
            Some(size) if range.contains(&size) => Ok(size),
            _ => Err(format!(
                "write a size from {} to {}, in bytes or such as 64KiB",
                SizeText(least),
                SizeText(most)
            )),
        })
        .unwrap_or(least)
    }

    /// A duration with its unit.
    pub(super) fn duration(&mut self, name: &'static str, range: RangeInclusive<Duration>) -> Duration {
        let (least, most) = (*range.start(), *range.end());
        self.parsed(name, |text| match humantime::parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Ok(duration),
            _ => Err(format!(
                "write a time from {} to {} with its unit, such as 30s, 15m, 24h or 7d",
                DurationText(least),
                DurationText(most)
            )),
        })
        .unwrap_or(least)
    }

    /// A rule between two variables. What is wrong is said of the first; nothing is, if one of them is wrong by
    /// itself: the values compared would be stand-ins.
    pub(super) fn require(
        &mut self,
        variables: [&'static str; 2],
        holds: bool,
        otherwise: impl FnOnce() -> String,
    ) {
        let known = self.problems.iter().any(|problem| variables.contains(&problem.variable));
        if !holds && !known {
            self.problem(variables[0], otherwise());
        }
    }
}

fn variable(name: &'static str) -> &'static Variable {
    VARIABLES
        .iter()
        .find(|variable| variable.doc.name == name)
        .expect("every name that is read is in the table")
}

/// The value as a message may show it: not at all if it is secret, short, and without control characters.
fn quoted(name: &'static str, text: &str) -> String {
    if variable(name).doc.secret {
        return "not usable (it is not shown here)".to_owned();
    }
    let short: String = text.chars().take(80).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1024,
        "m" | "mib" => 1024 * 1024,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// A size as one would write it.
pub(super) struct SizeText(pub(super) usize);

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size > 0 && size.is_multiple_of(1024 * 1024) => write!(f, "{}MiB", size / (1024 * 1024)),
            size if size > 0 && size.is_multiple_of(1024) => write!(f, "{}KiB", size / 1024),
            size => write!(f, "{size}"),
        }
    }
}

/// A duration as one would write it, in its largest whole unit.
pub(super) struct DurationText(pub(super) Duration);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None if millis == 0 => f.write_str("0s"),
            None => write!(f, "{millis}ms"),
        }
    }
}
