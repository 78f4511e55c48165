//! A reader of QR codes, to test what is drawn.
//!
//! It knows nothing of how a code was made: it looks at the characters as a camera would.

use super::QUIET;

/// What a reader of codes sees in a text made by [`super::Code::to_text`] for paper.
pub(crate) fn read_text(text: &str) -> String {
    let rows: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0) + QUIET;
    let dark = |x: usize, y: usize| {
        let c = rows.get(y / 2).and_then(|row| row.get(x)).copied().unwrap_or(' ');
        c == '█' || c == if y.is_multiple_of(2) { '▀' } else { '▄' }
    };
    // A few pixels for each module, as a camera has.
    let (scale, height) = (3, 2 * rows.len());
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(scale * width, scale * height, |x, y| {
        dark(x / scale, y / scale)
    });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}
