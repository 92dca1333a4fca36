//! Figures as a picture: the 99th percentile of each second, one line for each run.

use std::time::Duration;

use plotters::prelude::*;

use super::Figures;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 480);

/// The shortest time that is shown, in milliseconds; the scale is logarithmic.
const LEAST: f64 = 1.0;

/// An SVG of these runs, each with its name.
///
/// # Errors
/// What the drawing library says; it draws into memory, so that nothing is to be expected.
pub fn plot(title: &str, runs: &[(String, Figures)]) -> Result<String, String> {
    let mut svg = String::new();
    draw(&mut svg, title, runs).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    title: &str,
    runs: &[(String, Figures)],
) -> Result<(), Box<dyn std::error::Error>> {
    let ms = |time: Duration| (time.as_secs_f64() * 1e3).max(LEAST);
    let seconds = runs.iter().map(|(_, figures)| figures.seconds.len()).max().unwrap_or(1).max(2);
    let all = runs.iter().flat_map(|(_, figures)| &figures.seconds);
    let most = all.map(|second| ms(second.p99)).fold(10.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0..seconds - 1, (LEAST..most * 1.2).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("second")
        .y_desc("p99, ms")
        .y_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (place, (name, figures)) in runs.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let points = figures.seconds.iter().enumerate().map(|(x, second)| (x, ms(second.p99)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
