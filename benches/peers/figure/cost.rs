//! What a stream takes of a relay's memory, and an event of its time on a core.

use super::svg::{BAR, Svg, nice};
use crate::{Row, origin};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 372.0;
/// The left panel's x, from 0 to the most memory.
const LEFT: (f64, f64) = (136.0, 400.0);
/// The right panel's: the fewest streams and the most, with a part of it on each side.
const RIGHT: (f64, f64) = (500.0, 840.0);
/// The axes' y.
const TOP: f64 = 64.0;
const BOTTOM: f64 = 224.0;
/// From one program to the next.
const ROW: f64 = 18.0;
/// The legend of the right panel.
const LEGEND: f64 = 266.0;
/// Ticks of an axis.
const TICKS: usize = 4;
/// Streams whose memory is shown: or the next more.
const STREAMS: usize = 1000;

/// Draws both panels.
pub(crate) fn draw(rows: &[Row]) -> String {
    let title = "What a stream and an event cost a relay";
    let mut svg = Svg::new(title, (WIDTH, HEIGHT));
    let rows: Vec<_> = rows.iter().filter(|row| !row.costs.is_empty()).collect();
    draw_memory(&mut svg, &rows);
    draw_time(&mut svg, &rows);
    let caption = format!(
        "One machine, TLS on both sides, one worker each, {} events a second, of all streams \
         together. Left: open and silent streams.",
        origin::EVENTS_PER_SECOND
    );
    svg.text(16.0, HEIGHT - 13.0, "small", &caption);
    svg.finish()
}

fn draw_memory(svg: &mut Svg, rows: &[&Row]) {
    let of = |row: &Row| {
        let enough = row.costs.iter().find(|it| it.streams >= STREAMS).or(row.costs.last());
        enough.map_or((0, 0.0), |it| (it.streams, it.stream()))
    };
    let most = nice(rows.iter().map(|row| of(row).1).fold(1.0, f64::max) * 1.1);
    let x = |kilobytes: f64| LEFT.0 + (LEFT.1 - LEFT.0) * kilobytes / most;
    let streams = rows.first().map_or(0, |row| of(row).0);

    svg.text(16.0, 28.0, "title", "Memory of a stream");
    svg.text(16.0, 48.0, "small", &format!("of {} open ones", with_comma(streams)));
    let step = 2.0 * ROW;
    let bottom = TOP + step * rows.len() as f64;
    for tick in 0..=TICKS {
        let kilobytes = most * tick as f64 / TICKS as f64;
        svg.line((x(kilobytes), TOP), (x(kilobytes), bottom), "grid");
        svg.text(x(kilobytes), bottom + 18.0, "small middle", &format!("{kilobytes:.0}"));
    }
    svg.text((LEFT.0 + LEFT.1) / 2.0, bottom + 38.0, "small middle", "KB");
    for (number, row) in rows.iter().enumerate() {
        let middle = TOP + step * (number as f64 + 0.5);
        let (_, kilobytes) = of(row);
        svg.text(LEFT.0 - 8.0, middle + 4.0, "small end", &row.name);
        svg.bar((LEFT.0, middle - BAR / 2.0), x(kilobytes) - LEFT.0, row.program);
        svg.text(x(kilobytes) + 6.0, middle + 4.0, "small", &format!("{kilobytes:.1}"));
    }
}

/// A place for each number of streams, from left to right, with all programs.
fn draw_time(svg: &mut Svg, rows: &[&Row]) {
    let times = rows.iter().flat_map(|row| &row.costs).map(|it| it.event());
    let most = nice(times.fold(1.0, f64::max));
    let numbers = rows.first().map_or(0, |row| row.costs.len()).max(1) as f64;
    let x = |number: usize| RIGHT.0 + (RIGHT.1 - RIGHT.0) * (number as f64 + 0.5) / numbers;
    let y = |time: f64| BOTTOM - (BOTTOM - TOP) * time / most;

    svg.text(RIGHT.0 - 40.0, 28.0, "title", "Time on a core for an event");
    svg.text(RIGHT.0 - 40.0, 48.0, "small", "microseconds, user and kernel");
    for tick in 0..=TICKS {
        let time = most * tick as f64 / TICKS as f64;
        svg.line((RIGHT.0, y(time)), (RIGHT.1, y(time)), "grid");
        svg.text(RIGHT.0 - 8.0, y(time) + 4.0, "small end", &format!("{time}"));
    }
    for (number, cost) in rows.first().iter().flat_map(|row| &row.costs).enumerate() {
        svg.text(x(number), BOTTOM + 18.0, "small middle", &with_comma(cost.streams));
    }
    svg.text((RIGHT.0 + RIGHT.1) / 2.0, BOTTOM + 38.0, "small middle", "open streams");
    for (place, row) in rows.iter().enumerate() {
        let points: Vec<_> =
            row.costs.iter().enumerate().map(|(number, it)| (x(number), y(it.event()))).collect();
        svg.curve(points.iter().copied(), row.program);
        points.into_iter().for_each(|point| svg.dot(point, row.program));
        let at = LEGEND + (place + 1) as f64 * ROW;
        svg.sample((RIGHT.0, at - 4.0), row.program);
        svg.text(RIGHT.0 + 34.0, at, "small", &row.name);
        let [few, many] =
            [row.costs.first(), row.costs.last()].map(|it| it.map_or(0.0, |it| it.event()));
        svg.text(RIGHT.1, at, "small end", &format!("{few:.1} to {many:.1}"));
    }
}

/// `9,000`
fn with_comma(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}
