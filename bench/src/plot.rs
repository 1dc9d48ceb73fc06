//! Draws the time of a request against the pages it writes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use svg::Document;
use svg::node::element::{Description, Group, Line, Path as Shape, Polyline, Rectangle, Style, Text, Title};

use crate::groups::pages::{Curves, Point};

/// The size of the picture, and the frame of the plot within it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 400.0;

/// Colours that are told apart by people with colour-blindness as well, after
/// Okabe and Ito, brighter on a dark ground.
const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .ground { fill: #ffffff } .grid { stroke: #d1d9e0 } .frame { stroke: #59636e; fill: none }
  .line { fill: none; stroke-width: 2 } .mark { stroke: none }
  .s0 .line { stroke: #009e73 } .s1 .line { stroke: #0072b2 } .s2 .line { stroke: #d55e00 } .s3 .line { stroke: #a3478a }
  .s0 .mark { fill: #009e73 } .s1 .mark { fill: #0072b2 } .s2 .mark { fill: #d55e00 } .s3 .mark { fill: #a3478a }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .ground { fill: #0d1117 } .grid { stroke: #30363d } .frame { stroke: #9198a1 }
    .s0 .line { stroke: #2bd4a0 } .s1 .line { stroke: #56b4e9 } .s2 .line { stroke: #ff8a4c } .s3 .line { stroke: #e8a5ce }
    .s0 .mark { fill: #2bd4a0 } .s1 .mark { fill: #56b4e9 } .s2 .mark { fill: #ff8a4c } .s3 .mark { fill: #e8a5ce }
  }
";

/// A curve: its label, its values, and the shape of its marks about (0, 0).
struct Series<'a> {
    label: String,
    value: fn(&Point) -> f64,
    mark: &'a str,
}

/// Writes the plot of `curves` to `path`; `ours` and `peer` are the sides'
/// names.
pub fn write(curves: &Curves, ours: &str, peer: &str, path: &Path) -> Result<()> {
    ensure!(curves.points.len() > 1, "a plot takes two points at least; leave --filter out");
    let series = [
        Series { label: format!("{ours}, reset()"), value: |p| p.reset, mark: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z" },
        Series { label: format!("{ours}, instantiate and drop"), value: |p| p.dropped, mark: "M-4.5,-4.5h9v9h-9z" },
        Series { label: format!("{peer}, default pool"), value: |p| p.peer, mark: "M0,-6l5.5,10h-11z" },
        Series {
            label: format!("{peer}, 1 MiB kept resident, pagemap scan"),
            value: |p| p.tuned,
            mark: "M0,-6l6,6l-6,6l-6,-6z",
        },
    ];
    let scale = Scale::new(&curves.points, &series);
    let mut picture = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, HEIGHT))
        .set("width", WIDTH)
        .set("height", HEIGHT)
        .set("role", "img")
        .add(Title::new(heading(curves)))
        .add(Description::new().add(svg::node::Text::new(description(&curves.points, &series))))
        .add(Style::new(STYLE))
        .add(Rectangle::new().set("class", "ground").set("width", WIDTH).set("height", HEIGHT))
        .add(Text::new(heading(curves)).set("class", "title").set("x", LEFT).set("y", 32));
    picture = picture.add(horizontal(&scale)).add(vertical(&scale, &curves.points));
    for (number, series) in series.iter().enumerate() {
        picture = picture.add(curve(&scale, &curves.points, series, number));
    }
    picture = picture.add(legend(&series));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    svg::save(path, &picture).with_context(|| format!("cannot write the plot to {}", path.display()))
}

fn heading(curves: &Curves) -> String {
    format!("One request on a pristine instance ({}): time by pages written", curves.guest)
}

/// Where points go. Pages are evenly spaced, which makes them a logarithmic
/// scale with a place for zero; microseconds are logarithmic.
struct Scale {
    columns: usize,
    /// Powers of ten.
    low: i32,
    high: i32,
}

impl Scale {
    fn new(points: &[Point], series: &[Series<'_>]) -> Self {
        let values = || points.iter().flat_map(|point| series.iter().map(|series| (series.value)(point)));
        let low = values().fold(f64::MAX, f64::min).log10().floor() as i32;
        let high = values().fold(f64::MIN, f64::max).log10().ceil() as i32;
        Self { columns: points.len(), low, high: high.max(low + 1) }
    }

    fn x(&self, column: usize) -> f64 {
        let margin = 25.0;
        LEFT + margin + (RIGHT - LEFT - 2.0 * margin) * column as f64 / (self.columns - 1) as f64
    }

    fn y(&self, microseconds: f64) -> f64 {
        let part = (microseconds.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        BOTTOM - (BOTTOM - TOP) * part
    }
}

/// The lines and labels of the microseconds.
fn horizontal(scale: &Scale) -> Group {
    let mut group = Group::new();
    for power in scale.low..=scale.high {
        let value = 10_f64.powi(power);
        let y = scale.y(value);
        let label = Text::new(format!("{value}")).set("x", LEFT - 8.0).set("y", y + 4.5).set("text-anchor", "end");
        group = group.add(grid(LEFT, y, RIGHT, y)).add(label);
        for part in [2.0, 5.0] {
            if power < scale.high {
                let y = scale.y(value * part);
                group = group.add(grid(LEFT, y, RIGHT, y).set("stroke-dasharray", "2 4"));
            }
        }
    }
    let middle = (TOP + BOTTOM) / 2.0;
    let label = Text::new("microseconds per request (log scale)").set("text-anchor", "middle");
    group.add(label.set("transform", format!("translate(22 {middle}) rotate(-90)")))
}

/// The labels of the pages, and the frame.
fn vertical(scale: &Scale, points: &[Point]) -> Group {
    let mut group = Group::new();
    for (column, point) in points.iter().enumerate() {
        let x = scale.x(column);
        let label = Text::new(point.pages.to_string()).set("x", x).set("y", BOTTOM + 19.0).set("text-anchor", "middle");
        group = group.add(grid(x, TOP, x, BOTTOM)).add(label);
    }
    let frame = Rectangle::new().set("class", "frame").set("x", LEFT).set("y", TOP);
    let label = Text::new("pages of 4 KiB written by each request (log2 scale, and zero)").set("text-anchor", "middle");
    group
        .add(frame.set("width", RIGHT - LEFT).set("height", BOTTOM - TOP))
        .add(label.set("x", (LEFT + RIGHT) / 2.0).set("y", BOTTOM + 44.0))
}

fn grid(x1: f64, y1: f64, x2: f64, y2: f64) -> Line {
    let at = |v: f64| format!("{v:.1}");
    Line::new().set("class", "grid").set("x1", at(x1)).set("y1", at(y1)).set("x2", at(x2)).set("y2", at(y2))
}

fn curve(scale: &Scale, points: &[Point], series: &Series<'_>, number: usize) -> Group {
    let places: Vec<(f64, f64)> =
        points.iter().enumerate().map(|(column, point)| (scale.x(column), scale.y((series.value)(point)))).collect();
    let corners: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let line = Polyline::new().set("class", "line").set("points", corners.join(" "));
    let mut group = Group::new().set("class", format!("s{number}")).add(line);
    for (x, y) in places {
        group = group.add(mark(series, x, y));
    }
    group
}

fn mark(series: &Series<'_>, x: f64, y: f64) -> Shape {
    Shape::new().set("class", "mark").set("d", series.mark).set("transform", format!("translate({x:.1} {y:.1})"))
}

/// In the upper left corner, where no curve has come so far.
fn legend(series: &[Series<'_>]) -> Group {
    let mut group = Group::new();
    for (number, series) in series.iter().enumerate() {
        let (x, y) = (LEFT + 28.0, TOP + 20.0 + 20.0 * number as f64);
        let line = Line::new().set("class", "line").set("x1", x - 14.0).set("x2", x + 14.0).set("y1", y).set("y2", y);
        let sample = Group::new().set("class", format!("s{number}")).add(line).add(mark(series, x, y));
        group = group.add(sample).add(Text::new(series.label.clone()).set("x", x + 24.0).set("y", y + 4.5));
    }
    group
}

/// The figures, for those who cannot see the picture.
fn description(points: &[Point], series: &[Series<'_>]) -> String {
    let curve = |series: &Series<'_>| {
        let values: Vec<String> =
            points.iter().map(|point| format!("{}: {:.2}", point.pages, (series.value)(point))).collect();
        format!("{}: {}.", series.label, values.join(", "))
    };
    let curves: Vec<String> = series.iter().map(curve).collect();
    format!("Microseconds by pages written. {}", curves.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_well_formed_and_has_every_point() {
        let point =
            |pages, base| Point { pages, dropped: base, reset: base / 2.0, peer: base * 9.0, tuned: base * 2.0 };
        let points = vec![point(0, 0.4), point(1, 0.5), point(2, 30.0)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/plot.svg");
        write(&Curves { guest: "a <module>".to_owned(), points }, "ours", "peer", &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("class=\"mark\"").count(), 4 * (3 + 1));
        assert!(text.contains("a &lt;module&gt;"), "{text}");
        for event in svg::read(&text).unwrap() {
            assert!(!matches!(event, svg::parser::Event::Error(_)), "{event:?}");
        }
    }

    #[test]
    fn the_scale_covers_all_values_and_rises_upwards() {
        let points = [Point { pages: 0, dropped: 0.3, reset: 0.2, peer: 8.0, tuned: 2.0 }];
        let series = [
            Series { label: String::new(), value: |p| p.reset, mark: "" },
            Series { label: String::new(), value: |p| p.peer, mark: "" },
        ];
        let scale = Scale::new(&points, &series);
        assert_eq!((scale.low, scale.high), (-1, 1));
        assert!((scale.y(0.1) - BOTTOM).abs() < 1e-9 && (scale.y(10.0) - TOP).abs() < 1e-9);
    }
}
