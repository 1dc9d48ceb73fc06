//! Figures, the table on stdout and the JSON file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

/// One measured quantity on both sides.
pub struct Figure {
    /// The group it belongs to, as accepted by `--only`.
    pub group: &'static str,
    /// What was measured, unique within the group.
    pub name: String,
    /// Our value, in `unit`.
    pub ours: f64,
    /// The peer's value, in `unit`.
    pub peer: f64,
    /// The tuned peer's value, where there is one.
    pub tuned: Option<f64>,
    /// The unit of the values.
    pub unit: &'static str,
    /// Which values are good.
    pub better: Better,
}

/// Which values of a figure are good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Times, sizes.
    Smaller,
    /// Throughputs and what derives from them.
    Larger,
}

impl Figure {
    /// Ours against the better of the peer's settings, such that below one we
    /// are ahead.
    pub fn ratio(&self) -> f64 {
        let tuned = self.tuned.unwrap_or(self.peer);
        match self.better {
            Better::Smaller => self.ours / self.peer.min(tuned),
            Better::Larger => self.peer.max(tuned) / self.ours,
        }
    }
}

/// Collects figures, printing each as soon as it is known.
pub struct Report {
    figures: Vec<Figure>,
    peer: &'static str,
    group: &'static str,
}

impl Report {
    /// An empty report whose peer column is headed `peer`.
    pub fn new(peer: &'static str) -> Self {
        Self { figures: Vec::new(), peer, group: "" }
    }

    /// Prints the row of `figure` and keeps it for the JSON file.
    pub fn add(&mut self, figure: Figure) {
        if self.group != figure.group {
            self.group = figure.group;
            println!(
                "\n{:<68} {:>10} {:>10} {:>10} {:<5} {:>6}",
                figure.group, "ours", self.peer, "tuned", "unit", "ratio"
            );
        }
        println!(
            "  {:<66} {:>10} {:>10} {:>10} {:<5} {:>6.2}",
            figure.name,
            number(figure.ours),
            number(figure.peer),
            figure.tuned.map(number).unwrap_or_default(),
            figure.unit,
            figure.ratio()
        );
        self.figures.push(figure);
    }

    /// Adds the geometric means of the figures of `group` that `weighed`
    /// accepts, as one more figure of that group.
    pub fn geometric_mean(&mut self, group: &'static str, weighed: impl Fn(&Figure) -> bool) {
        let members: Vec<&Figure> =
            self.figures.iter().filter(|figure| figure.group == group && weighed(figure)).collect();
        let Some(first) = members.first() else {
            return;
        };
        let figure = Figure {
            group,
            name: format!("geometric mean of {}", members.len()),
            ours: mean(members.iter().map(|figure| figure.ours)),
            peer: mean(members.iter().map(|figure| figure.peer)),
            tuned: None,
            unit: first.unit,
            better: first.better,
        };
        self.add(figure);
    }

    /// Prints a remark under the current table.
    pub fn remark(&self, text: &str) {
        println!("  ({text})");
    }

    /// Writes an array with one object per figure.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let array: Vec<_> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "group": figure.group,
                    "name": figure.name,
                    "ours": figure.ours,
                    "peer": figure.peer,
                    "tuned": figure.tuned,
                    "unit": figure.unit,
                    "ratio": figure.ratio(),
                })
            })
            .collect();
        let write = || -> Result<()> {
            let mut file = File::create(path)?;
            serde_json::to_writer_pretty(&mut file, &array)?;
            file.write_all(b"\n")?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the figures to {}", path.display()))
    }
}

/// The geometric mean of positive values.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(f64::ln).sum::<f64>() / count).exp()
}

/// Four significant digits, or all of them for counts above a thousand.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometric_mean_of_a_value_and_its_inverse_is_one() {
        assert!((mean([4.0, 0.25].into_iter()) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ratios_are_to_the_better_setting_of_the_peer() {
        let mut figure = Figure {
            group: "",
            name: String::new(),
            ours: 2.0,
            peer: 4.0,
            tuned: None,
            unit: "us",
            better: Better::Smaller,
        };
        assert_eq!(figure.ratio(), 0.5);
        figure.tuned = Some(1.0);
        assert_eq!(figure.ratio(), 2.0);
        figure.better = Better::Larger;
        assert_eq!(figure.ratio(), 2.0);
    }

    #[test]
    fn numbers_keep_four_significant_digits() {
        assert_eq!(number(1.23456), "1.235");
        assert_eq!(number(12.3456), "12.35");
        assert_eq!(number(123_456.7), "123457");
    }
}
