//! A moving picture of a terminal as SVG, for the README: what was on the screen, for as long as it was there.
//!
//! The frames stand one below the other in a strip that moves past a window, so one animation is enough; a row that
//! is in several frames is written down once. Without animations (a printer) it shows the last frame.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use vt100::{Cell, Color, Screen};

/// How large a cell is.
const CELL: (f64, f64) = (8.4, 18.0);
/// The space around the screen.
const MARGIN: f64 = 14.0;
/// The first eight colours and their bright twins, on a dark ground.
const COLOURS: [&str; 16] = [
    "#5c6370", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#7f848e", "#e06c75",
    "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#ffffff",
];
const TEXT: &str = "#dcdfe4";
const GROUND: &str = "#1e2127";

/// One state of the screen, and how long it is shown.
pub struct Frame {
    /// What is on it.
    pub screen: Screen,
    /// Until the next one.
    pub shown_for: Duration,
}

/// The picture of frames of one size. `text` is what it shows at the end, for whoever cannot see it.
pub fn picture(frames: &[Frame], title: &str, text: &str) -> String {
    let (rows, columns) = frames.last().expect("a frame").screen.size();
    let (width, height) = (f64::from(columns.get()) * CELL.0, f64::from(rows.get()) * CELL.1);
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut defined, mut strip) = (String::new(), String::new());
    for (index, frame) in frames.iter().enumerate() {
        for row in 0..rows.get() {
            let drawn = drawn_row(&frame.screen, row, columns.get());
            if drawn.is_empty() {
                continue;
            }
            let next = known.len();
            let id = *known.entry(drawn.clone()).or_insert(next);
            if id == next {
                let _ = writeln!(defined, "<g id=\"r{id}\">{drawn}</g>");
            }
            let y = index as f64 * height + f64::from(row) * CELL.1;
            let _ = writeln!(strip, "<use href=\"#r{id}\" y=\"{y}\"/>");
        }
    }
    let outer = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.1} {:.1}\" width=\"{:.0}\" role=\"img\">\n\
         <title>{}</title>\n<desc>\n{}</desc>\n\
         <style>\n\
         text {{ font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: {TEXT} }}\n\
         .b {{ font-weight: bold }} .d {{ opacity: .6 }}\n\
         {}</style>\n\
         <defs>\n{defined}</defs>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{GROUND}\"/>\n\
         <svg x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{width:.1}\" height=\"{height:.1}\">\n\
         <g class=\"strip\">\n{strip}</g>\n</svg>\n</svg>\n",
        outer.0,
        outer.1,
        outer.0,
        escaped(title),
        escaped(text),
        animation(frames, height),
    )
}

/// Moves the strip up by one frame at each frame's time. It rests on the last one.
fn animation(frames: &[Frame], height: f64) -> String {
    let whole: f64 = frames.iter().map(|f| f.shown_for.as_secs_f64()).sum();
    let at = |index: usize| -(index as f64) * height;
    let mut steps = String::new();
    let mut begun = 0.0;
    for (index, frame) in frames.iter().enumerate() {
        let _ = write!(
            steps,
            " {:.3}% {{ transform: translateY({}px) }}",
            begun / whole * 100.0,
            at(index)
        );
        begun += frame.shown_for.as_secs_f64();
    }
    let last = at(frames.len() - 1);
    format!(
        ".strip {{ transform: translateY({last}px); animation: show {whole:.2}s step-end infinite }}\n\
         @keyframes show {{{steps} }}\n"
    )
}

/// A row as text elements, for each run of cells that look the same; empty for an empty row.
fn drawn_row(screen: &Screen, row: u16, columns: u16) -> String {
    let mut drawn = String::new();
    let mut column = 0;
    while column < columns {
        let Some(first) = screen.cell(row, column) else { break };
        let (start, look) = (column, look(first));
        let mut text = String::new();
        while let Some(cell) = screen.cell(row, column).filter(|c| self::look(c) == look) {
            if !cell.is_wide_continuation() {
                text.push_str(if cell.has_contents() { cell.contents() } else { " " });
            }
            column += 1;
        }
        drawn.push_str(&words(&text, start, &look));
    }
    drawn
}

/// The words of a run at their places. Each is as wide as its cells, whatever font the viewer has; and spaces that stand
/// together do not count in SVG.
fn words(run: &str, start: u16, look: &str) -> String {
    let mut drawn = String::new();
    let mut column = usize::from(start);
    for (index, word) in run.split(' ').enumerate() {
        column += usize::from(index > 0);
        let cells = console::measure_text_width(word);
        if cells > 0 {
            let _ = write!(
                drawn,
                "<text x=\"{:.1}\" y=\"13\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"{look}>{}</text>",
                column as f64 * CELL.0,
                cells as f64 * CELL.0,
                escaped(word),
            );
        }
        column += cells;
    }
    drawn
}

/// How a cell looks, as attributes of a text element.
fn look(cell: &Cell) -> String {
    let mut look = String::new();
    match cell.fgcolor() {
        Color::Default => {}
        Color::Idx(index) => {
            let colour = COLOURS.get(usize::from(index)).expect("one of sixteen colours");
            let _ = write!(look, " style=\"fill:{colour}\"");
        }
        Color::Rgb(red, green, blue) => {
            let _ = write!(look, " style=\"fill:#{red:02x}{green:02x}{blue:02x}\"");
        }
    }
    match (cell.bold(), cell.dim()) {
        (false, false) => {}
        (bold, dim) => {
            let names = [(bold, "b"), (dim, "d")];
            let names: Vec<&str> = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
            let _ = write!(look, " class=\"{}\"", names.join(" "));
        }
    }
    look
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
