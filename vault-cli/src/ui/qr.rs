//! QR codes, as characters for a terminal or a text file, and as SVG.
//!
//! Each has the quiet zone that readers need, and shows dark on light wherever it is shown.

#[cfg(test)]
pub(crate) mod testing;

use std::fmt::Write as _;

use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};

/// Light modules around a code.
const QUIET: usize = 4;

/// A code as a square of modules, with its quiet zone.
pub(crate) struct Code {
    width: usize,
    dark: Vec<bool>,
}

impl Code {
    /// The code for a text.
    ///
    /// # Errors
    ///
    /// The text is longer than a code can hold.
    pub(crate) fn new(text: &str) -> Result<Self, QrError> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
        let inner = code.width();
        let width = inner + 2 * QUIET;
        let mut dark = vec![false; width * width];
        for (i, color) in code.into_colors().into_iter().enumerate() {
            dark[(i / inner + QUIET) * width + i % inner + QUIET] = color == Color::Dark;
        }
        Ok(Self { width, dark })
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        y < self.width && self.dark[y * self.width + x]
    }

    /// Two rows of modules in a line of characters. For paper dark modules are ink; a terminal is told the colours, since it
    /// may show light text on a dark ground.
    pub(crate) fn to_text(&self, terminal: bool) -> String {
        let mut text = String::new();
        for y in (0..self.width).step_by(2) {
            let mut line = String::with_capacity(4 * self.width);
            for x in 0..self.width {
                line.push(match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            // Writing to a `String` cannot fail.
            let _ = if terminal {
                writeln!(text, "\x1b[30;107m{line}\x1b[0m")
            } else {
                writeln!(text, "{}", line.trim_end())
            };
        }
        text
    }

    /// A drawing of its own size, which a page can scale.
    pub(crate) fn to_svg(&self) -> String {
        let width = self.width;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {width}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{width}\" height=\"{width}\" fill=\"#fff\"/><path d=\""
        );
        for y in 0..width {
            let mut x = 0;
            while x < width {
                let run = (x..width).take_while(|&x| self.is_dark(x, y)).count();
                if run > 0 {
                    let _ = write!(svg, "M{x} {y}h{run}v1h-{run}z");
                }
                x += run.max(1);
            }
        }
        svg + "\" fill=\"#000\"/></svg>"
    }
}

#[cfg(test)]
mod tests {
    use super::testing::read_text;
    use super::*;

    #[test]
    fn a_code_can_be_read_and_fits_a_terminal() {
        let longest = "VAULT-KIT:12/12:0123abcd:".to_owned() + &"Ab1/".repeat(75);

        let text = Code::new(&longest).unwrap().to_text(false);

        assert_eq!(read_text(&text), longest);
        assert!(text.lines().all(|line| line.chars().count() <= 79));
    }

    #[test]
    fn a_terminal_is_told_the_colours() {
        let text = Code::new("x").unwrap().to_text(true);

        assert!(text.lines().all(|line| line.starts_with("\x1b[30;107m") && line.ends_with("\x1b[0m")));
    }

    #[test]
    fn a_drawing_covers_the_same_modules() {
        let code = Code::new("x").unwrap();
        let covered: usize =
            code.to_svg().split('h').filter_map(|part| part.split_once("v1")?.0.parse::<usize>().ok()).sum();

        assert_eq!(covered, code.dark.iter().filter(|dark| **dark).count());
    }
}
