//! Plots: percentile curves, rates against payload, and processor time a message, as SVG and PNG.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use slipring_bench_kit::rival::Wait;

use super::cells::Figure;
use super::rows::{CellResult, CompareRow};
use super::systems::OURS;
use crate::table::{amount, time};

/// Pixels, or units of an SVG.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";
const CAPTION: u32 = 22;
const LABEL: u32 = 14;

/// Colours that people tell apart whatever their eyes (Okabe and Ito), after slipring's own.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(240, 128, 64),
    RGBColor(120, 120, 120),
    RGBColor(150, 140, 20),
];
const OUR_COLOUR: RGBColor = RGBColor(200, 16, 16);

/// A picture that was drawn.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// Its file's name, without svg or png.
    pub(super) name: String,
    pub(super) caption: String,
}

/// One curve for each system.
type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// What a picture shows.
struct Chart {
    picture: Picture,
    x: &'static str,
    y: &'static str,
    show_x: fn(f64) -> String,
    show_y: fn(f64) -> String,
    curves: Curves,
}

/// Draws all that `results` have curves for into `folder`.
pub(super) fn draw(folder: &Path, results: &[CellResult]) -> Result<Vec<Picture>> {
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| anyhow!("the font of the plots cannot be read"))?;
    let mut drawn = Vec::new();
    for chart in charts(results) {
        if chart.curves.values().all(|points| points.len() < 2) {
            continue;
        }
        let path = |ending: &str| folder.join(format!("{}.{ending}", chart.picture.name));
        let cannot = |error: String| anyhow!("draw {}: {error}", chart.picture.name);
        plot(&SVGBackend::new(&path("svg"), SIZE).into_drawing_area(), &chart).map_err(cannot)?;
        plot(&BitMapBackend::new(&path("png"), SIZE).into_drawing_area(), &chart).map_err(cannot)?;
        drawn.push(chart.picture);
    }
    Ok(drawn)
}

fn charts(results: &[CellResult]) -> Vec<Chart> {
    let mut charts: Vec<Chart> = results.iter().filter(|result| has_curve(result, results)).map(percentiles).collect();
    for wait in [Wait::Spin, Wait::Adaptive] {
        let word = wait.word();
        let over = |what: &dyn Fn(&CompareRow) -> Option<f64>| sweep(results, wait, what);
        charts.push(Chart {
            picture: Picture {
                name: format!("compare-messages-{word}"),
                caption: format!("Messages a second against payload, {word}"),
            },
            x: "payload",
            y: "messages a second",
            show_x: |bytes| amount(bytes, "B"),
            show_y: |rate| amount(rate, ""),
            curves: over(&|row| row.row.msgs_per_s),
        });
        charts.push(Chart {
            picture: Picture {
                name: format!("compare-bytes-{word}"),
                caption: format!("GB a second against payload, {word}"),
            },
            x: "payload",
            y: "GB/s",
            show_x: |bytes| amount(bytes, "B"),
            show_y: |rate| format!("{rate}"),
            curves: over(&|row| row.row.bytes_per_s.map(|rate| rate / 1e9)),
        });
        charts.push(Chart {
            picture: Picture {
                name: format!("compare-cpu-{word}"),
                caption: format!("Processor time a message, both sides, {word}"),
            },
            x: "payload",
            y: "CPU time a message",
            show_x: |bytes| amount(bytes, "B"),
            show_y: time,
            curves: over(&|row| row.cpu_ns_per_message),
        });
    }
    charts
}

/// One picture of latencies for each work, wait and load: that of its shortest payload.
fn has_curve(result: &CellResult, results: &[CellResult]) -> bool {
    let cell = &result.cell;
    let alike = results.iter().map(|other| &other.cell).filter(|other| {
        (other.name, other.wait, other.load, other.clients) == (cell.name, cell.wait, cell.load, cell.clients)
    });
    cell.figure() == Figure::Time && alike.map(|other| other.payload).min() == Some(cell.payload)
}

fn percentiles(result: &CellResult) -> Chart {
    let cell = &result.cell;
    let load = cell.load.map_or(String::new(), |load| format!("-{load}"));
    let curves = result.entries.iter().map(|entry| (entry.row.row.system.clone(), entry.curve.clone()));
    Chart {
        picture: Picture {
            name: format!("compare-{}-{}-{}{load}", cell.work(), cell.payload, cell.wait.word()),
            caption: format!("Latency by percentile: {}", cell.title()),
        },
        x: "percentile",
        y: "latency",
        show_x: |x| {
            // 10 is p90, 100 is p99: as many nines as zeros.
            if x < 2.0 { "min".to_owned() } else { format!("p{}", (100.0 - 100.0 / x) as f32) }
        },
        show_y: time,
        curves: curves.collect(),
    }
}

/// A figure of every system's streams, by payload.
fn sweep(results: &[CellResult], wait: Wait, what: &dyn Fn(&CompareRow) -> Option<f64>) -> Curves {
    let mut curves = Curves::new();
    let streams = results.iter().filter(|result| result.cell.work() == "stream" && result.cell.wait == wait);
    for result in streams {
        for entry in &result.entries {
            if let Some(value) = what(&entry.row) {
                let points = curves.entry(entry.row.row.system.clone()).or_default();
                points.push((result.cell.payload as f64, value));
            }
        }
    }
    curves.values_mut().for_each(|points| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    curves
}

/// Draws with both axes logarithmic.
fn plot<B: DrawingBackend>(area: &DrawingArea<B, Shift>, chart: &Chart) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let points = || chart.curves.values().flatten();
    let range = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::INFINITY, f64::min);
        let most = points().map(of).fold(0.0, f64::max);
        (least, most)
    };
    let ((left, right), (bottom, top)) = (range(&|point| point.0), range(&|point| point.1));
    area.fill(&WHITE).map_err(|error| told(&error))?;
    let mut context = ChartBuilder::on(area)
        .caption(&chart.picture.caption, (FONT, CAPTION))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(86)
        .build_cartesian_2d((left..right * 1.05).log_scale(), (bottom * 0.8..top * 1.25).log_scale())
        .map_err(|error| told(&error))?;
    context
        .configure_mesh()
        .x_desc(chart.x)
        .y_desc(chart.y)
        .x_label_formatter(&|x| (chart.show_x)(*x))
        .y_label_formatter(&|y| (chart.show_y)(*y))
        .label_style((FONT, LABEL))
        .light_line_style(RGBColor(240, 240, 240))
        .draw()
        .map_err(|error| told(&error))?;
    for (index, (system, points)) in others_first(&chart.curves).into_iter().enumerate() {
        let style = style_of(system, index);
        context
            .draw_series(LineSeries::new(points.iter().copied(), style))
            .map_err(|error| told(&error))?
            .label(system)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font((FONT, LABEL))
        .draw()
        .map_err(|error| told(&error))?;
    area.present().map_err(|error| told(&error))
}

/// slipring last, so that no other curve lies over it.
fn others_first(curves: &Curves) -> Vec<(&String, &Vec<(f64, f64)>)> {
    let (ours, mut others): (Vec<_>, Vec<_>) = curves.iter().partition(|(system, _)| system.starts_with(OURS));
    others.extend(ours);
    others
}

fn style_of(system: &str, index: usize) -> ShapeStyle {
    let (colour, width) = if system.starts_with(OURS) { (OUR_COLOUR, 3) } else { (COLOURS[index % COLOURS.len()], 2) };
    colour.stroke_width(width)
}
