//! The results as tables, in Markdown.

use crate::process::cores;
use crate::statistics::{percentile, typical_percentile};
use crate::{Row, TIMED_STREAMS, origin, workers};
use std::io::{self, Write};
use std::time::Duration;

/// Of each way, and how much more than the median without a relay.
pub(crate) fn delays(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout();
    let (streams, events) = (TIMED_STREAMS, origin::EVENTS_PER_SECOND);
    writeln!(out, "\n{streams} streams, {events} events a second; delay of an event in us\n")?;
    writeln!(out, "| | p50 | p90 | p99 | added p50 | added p99 |\n|---|---|---|---|---|---|")?;
    let of = |row: &Row| [50, 90, 99].map(|percent| typical_percentile(&row.delays, percent));
    let [straight, ..] = rows.first().map(of).unwrap_or_default();
    for row in rows {
        let [p50, p90, p99] = of(row);
        let (more50, more99) = (p50 - straight, p99 - straight);
        let name = &row.name;
        writeln!(out, "| {name} | {p50:.0} | {p90:.0} | {p99:.0} | {more50:.0} | {more99:.0} |")?;
    }
    Ok(())
}

/// In round trips.
pub(crate) fn first_bytes(rows: &[Row], rtt: Duration, pause: Duration) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "\ntime to the first byte, in round trips of {rtt:?}\n")?;
    writeln!(out, "| | first | kept | new, after {pause:?} |\n|---|---|---|---|")?;
    for Row { name, first_bytes: times, .. } in rows {
        let medians = [&times.first, &times.kept, &times.paused];
        let [first, kept, paused] =
            medians.map(|times| percentile(times, 50).as_secs_f64() / rtt.as_secs_f64());
        writeln!(out, "| {name} | {first:.2} | {kept:.2} | {paused:.2} |")?;
    }
    Ok(())
}

/// A column for each number of streams.
pub(crate) fn costs(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout();
    let Some(counted) = rows.iter().find(|row| !row.costs.is_empty()) else { return Ok(()) };
    let numbers = counted.costs.iter().map(|it| it.streams.to_string()).collect::<Vec<_>>();
    let lines = "---|".repeat(numbers.len() + 1);
    writeln!(out, "\n| us of a core for an event | {} |\n|{lines}", numbers.join(" | "))?;
    for row in rows.iter().filter(|row| !row.costs.is_empty()) {
        let cells = row.costs.iter().map(|it| format!(" {:.1} |", it.event())).collect::<String>();
        writeln!(out, "| {} |{cells}", row.name)?;
    }
    writeln!(out, "\n| KB of memory for a stream | {} |\n|{lines}", numbers.join(" | "))?;
    for row in rows.iter().filter(|row| !row.costs.is_empty()) {
        let cells = row.costs.iter().map(|it| format!(" {:.1} |", it.stream())).collect::<String>();
        writeln!(out, "| {} |{cells}", row.name)?;
    }
    Ok(())
}

/// A row for each number of workers.
pub(crate) fn workers(workers: &[usize], times: &[f64]) -> io::Result<()> {
    let mut out = io::stdout();
    let (cores, clients) = (cores().len(), workers::CLIENTS);
    writeln!(out, "\n{clients} clients, {cores} cores\n")?;
    writeln!(out, "| workers | us of a core for a request | compared |\n|---|---|---|")?;
    let alone = times.first().copied().unwrap_or(1.0);
    for (number, time) in workers.iter().zip(times) {
        writeln!(out, "| {number} | {time:.1} | {:.2} |", time / alone)?;
    }
    Ok(())
}
