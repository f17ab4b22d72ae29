//! The frame of a running session as indicatif draws it: the lines of the tasks, and the bar of the session.
//!
//! indicatif lays the bar out and puts everything together. It does not write: it draws on a canvas that only keeps
//! the lines, because on a real terminal it counts lines to find the way back up, and a terminal that was resized
//! since breaks them elsewhere. `screen` writes them.

use std::io;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::frame::Frame;

/// The bar, and what it drew last.
pub(super) struct Bars {
    bar: ProgressBar,
    canvas: Canvas,
}

impl Bars {
    pub(super) fn new(total: usize) -> Self {
        let canvas = Canvas::default();
        let target = ProgressDrawTarget::term_like(Box::new(canvas.clone()));
        Self {
            bar: ProgressBar::with_draw_target(Some(total as u64), target),
            canvas,
        }
    }

    /// The lines of the frame, on a terminal of so many columns.
    pub(super) fn lines(&self, frame: &Frame, settled: usize, columns: usize) -> Vec<String> {
        self.canvas.drawn().columns = columns;
        let template = match frame.bar {
            Some(bar) => format!("{{msg}}\n{{bar:{bar}}}  {{prefix}}"),
            None => "{msg}\n{prefix}".into(),
        };
        // The templates are fixed: they are known to be right.
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.progress_chars("█░"));
        self.bar.set_position(settled as u64);
        self.bar.set_prefix(frame.session.clone());
        self.bar.set_message(frame.tasks.join("\n"));
        self.canvas.drawn().lines.clone()
    }
}

/// A terminal on which nothing moves: it keeps the lines of the last draw.
#[derive(Clone, Debug, Default)]
struct Canvas(Arc<Mutex<Drawn>>);

#[derive(Debug, Default)]
struct Drawn {
    columns: usize,
    coming: Vec<String>,
    lines: Vec<String>,
}

impl Canvas {
    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        // indicatif cannot draw in less than the widest character takes.
        u16::try_from(self.drawn().columns).unwrap_or(u16::MAX).max(2)
    }

    /// The frame is as high as it may be: nothing is to be left out.
    fn height(&self) -> u16 {
        u16::MAX
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    /// A line, or the spaces with which indicatif fills it up.
    fn write_str(&self, text: &str) -> io::Result<()> {
        if !text.trim().is_empty() {
            self.drawn().coming.push(text.to_owned());
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawn = self.drawn();
        drawn.lines = take(&mut drawn.coming);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tasks: &[&str], bar: Option<usize>, session: &str) -> Frame {
        Frame {
            tasks: tasks.iter().map(|t| (*t).to_owned()).collect(),
            bar,
            session: session.into(),
        }
    }

    #[test]
    fn the_lines_come_as_they_were_laid_out_and_the_bar_before_the_last() {
        let bars = Bars::new(4);
        let drawn = |frame: Frame, settled| bars.lines(&frame, settled, 40);
        assert_eq!(
            drawn(frame(&["1  a", "2  漢字 👩\u{200d}💻"], None, "0/4"), 0),
            ["1  a", "2  漢字 👩\u{200d}💻", "0/4"]
        );
        assert_eq!(
            drawn(frame(&[" 1  {a}"], Some(8), "3/4"), 3),
            [" 1  {a}", "██████░░  3/4"]
        );
        assert_eq!(drawn(frame(&[], Some(8), "4/4"), 4), ["████████  4/4"]);
    }

    #[test]
    fn many_lines_and_narrow_terminals_lose_nothing() {
        let many: Vec<String> = (0..500).map(|n| format!("{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for columns in 0..5 {
            assert_eq!(Bars::new(500).lines(&frame(&many, None, "x"), 1, columns).len(), 501);
        }
    }
}
