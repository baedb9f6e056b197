//! What a relay adds to the events of streams, and to the first byte of an answer.

use super::svg::{BAR, Svg, nice};
use crate::first_byte::FirstBytes;
use crate::statistics::{percentile, typical_percentile};
use crate::{Row, TIMED_STREAMS, origin};
use std::time::Duration;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 516.0;
/// The left panel's axes: x from here to there, y from 100 % at the top to 0 at the bottom.
const LEFT: (f64, f64) = (56.0, 410.0);
/// The right panel's: x from 0 to the most round trips.
const RIGHT: (f64, f64) = (590.0, 840.0);
const TOP: f64 = 64.0;
const BOTTOM: f64 = 320.0;
/// The legend of the left panel.
const LEGEND: f64 = 388.0;
/// From one row of the right panel to the next.
const ROW: f64 = 18.0;
/// Room for the title of a group of rows.
const GROUP: f64 = 34.0;
/// Ticks of the left panel's x.
const TICKS: usize = 5;

/// Draws both panels.
pub(crate) fn draw(rows: &[Row], rtt: Duration, pause: Duration) -> String {
    let title = "What a relay adds to a token, and to the first byte of an answer";
    let mut svg = Svg::new(title, (WIDTH, HEIGHT));
    draw_tokens(&mut svg, rows);
    draw_first_bytes(&mut svg, rows, rtt, pause);
    let turns = rows.first().map_or(0, |row| row.delays.len());
    let caption = [
        format!(
            "One machine, TLS on both sides, one worker each. Left: {TIMED_STREAMS} streams, {} \
             tokens a second; medians of {turns} turns.",
            origin::EVENTS_PER_SECOND
        ),
        format!(
            "Right: a round trip of {rtt:?} between relay and API; medians, and a dot for each \
             request."
        ),
    ];
    for (line, y) in caption.iter().zip([HEIGHT - 30.0, HEIGHT - 13.0]) {
        svg.text(16.0, y, "small", line);
    }
    svg.finish()
}

/// The share of tokens that came with at most so much delay more than the median without a relay.
fn draw_tokens(svg: &mut Svg, rows: &[Row]) {
    let straight = rows.first().map_or(0.0, |row| typical_percentile(&row.delays, 50));
    let added = |row: &Row, percent| typical_percentile(&row.delays, percent) - straight;
    let most = nice(rows.iter().map(|row| added(row, 95)).fold(1.0, f64::max));
    let x = |added: f64| LEFT.0 + (LEFT.1 - LEFT.0) * added / most;
    let y = |percent: f64| BOTTOM - (BOTTOM - TOP) * percent / 100.0;

    svg.text(LEFT.0 - 40.0, 28.0, "title", "Delay added to a token");
    svg.text(LEFT.0 - 40.0, 48.0, "small", "share of tokens");
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        svg.line((LEFT.0, y(percent)), (LEFT.1, y(percent)), "grid");
        svg.text(LEFT.0 - 8.0, y(percent) + 4.0, "small end", &format!("{percent} %"));
    }
    for tick in 0..=TICKS {
        let added = most * tick as f64 / TICKS as f64;
        svg.line((x(added), TOP), (x(added), BOTTOM), "grid");
        svg.text(x(added), BOTTOM + 18.0, "small middle", &format!("{added:.0}"));
    }
    let centre = (LEFT.0 + LEFT.1) / 2.0;
    let axis = "microseconds more than the median without a relay";
    svg.text(centre, BOTTOM + 38.0, "small middle", axis);

    let clip = format!(
        "<clipPath id='plot'><rect x='{}' y='{TOP}' width='{}' height='{}'/></clipPath>",
        LEFT.0,
        LEFT.1 - LEFT.0,
        BOTTOM - TOP
    );
    svg.put(&clip);
    svg.put("<g clip-path='url(#plot)'>");
    for row in rows {
        let points = (0..=100).map(|percent| (x(added(row, percent)), y(percent as f64)));
        svg.curve(points, row.program);
    }
    svg.put("</g>");
    svg.text(LEFT.1 - 60.0, LEGEND, "small end", "p50");
    svg.text(LEFT.1, LEGEND, "small end", "p99");
    for (number, row) in rows.iter().enumerate() {
        let at = LEGEND + (number + 1) as f64 * ROW;
        let [p50, p99] = [50, 99].map(|percent| added(row, percent));
        svg.sample((LEFT.0, at - 4.0), row.program);
        svg.text(LEFT.0 + 34.0, at, "small", &row.name);
        svg.text(LEFT.1 - 60.0, at, "small end", &format!("{p50:.0}"));
        svg.text(LEFT.1, at, "small end", &format!("{p99:.0}"));
    }
}

/// Three groups of bars, one for each question, with a row for each way.
fn draw_first_bytes(svg: &mut Svg, rows: &[Row], rtt: Duration, pause: Duration) {
    type Pick = fn(&FirstBytes) -> &[Duration];
    let groups: [(String, Pick); 3] = [
        ("first client after the start".to_owned(), |times| &times.first),
        (format!("new client after {pause:?} of silence"), |times| &times.paused),
        ("kept connection".to_owned(), |times| &times.kept),
    ];
    let slowest =
        |pick: &Pick| rows.iter().filter_map(|row| pick(&row.first_bytes).last().copied()).max();
    let slowest = groups.iter().filter_map(|(_, pick)| slowest(pick)).max().unwrap_or_default();
    // Room for a number after the longest bar.
    let most = round_trips(slowest, rtt).max(1.0) + 0.4;
    let x = |trips: f64| RIGHT.0 + (RIGHT.1 - RIGHT.0) * trips / most;

    let start = RIGHT.0 - 130.0;
    svg.text(start, 28.0, "title", "Time to the first byte");
    let end = TOP - 10.0 + groups.len() as f64 * (GROUP + rows.len() as f64 * ROW);
    for trips in 0..=most as usize {
        svg.text(x(trips as f64), end + 18.0, "small middle", &trips.to_string());
    }
    svg.text((RIGHT.0 + RIGHT.1) / 2.0, end + 38.0, "small middle", "round trips to the API");
    let mut top = TOP - 16.0;
    for (title, pick) in &groups {
        svg.text(start, top + 24.0, "small", title);
        top += GROUP;
        let bottom = top + rows.len() as f64 * ROW;
        for trips in (0..=most as usize).map(|trips| x(trips as f64)) {
            svg.line((trips, top), (trips, bottom), "grid");
        }
        for row in rows {
            let times = pick(&row.first_bytes);
            let middle = top + ROW / 2.0;
            let median = round_trips(percentile(times, 50), rtt);
            svg.text(RIGHT.0 - 8.0, middle + 4.0, "small end", &row.name);
            svg.bar((RIGHT.0, middle - BAR / 2.0), x(median) - RIGHT.0, row.program);
            for time in times {
                svg.dot((x(round_trips(*time, rtt)), middle), row.program);
            }
            let beside = x(round_trips(times.last().copied().unwrap_or_default(), rtt)) + 8.0;
            svg.text(beside, middle + 4.0, "small", &format!("{median:.1}"));
            top += ROW;
        }
    }
}

fn round_trips(time: Duration, rtt: Duration) -> f64 {
    time.as_secs_f64() / rtt.as_secs_f64()
}
