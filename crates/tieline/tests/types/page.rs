//! The tables of `docs/types.md`, as data.

use std::path::PathBuf;

/// A cell of a table of vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The direction does not apply.
    Nothing,
    Null,
    /// What an earlier cell of the line has.
    Same,
    Bytes(Vec<u8>),
}

impl Cell {
    /// The value, `same` being that of another cell; `None` for none at all.
    pub fn value(&self, same: &Cell) -> Option<Option<Vec<u8>>> {
        match self {
            Cell::Nothing => None,
            Cell::Null => Some(None),
            Cell::Bytes(bytes) => Some(Some(bytes.clone())),
            Cell::Same => same.value(&Cell::Nothing),
        }
    }
}

/// The lines of the table below a heading, without its head; each a list of cells.
pub fn table(heading: &str) -> Vec<Vec<String>> {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/types.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(cells).collect()
}

/// No cell has a bar in it.
fn cells(line: &str) -> Vec<String> {
    let inner =
        line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_else(|| panic!("{line:?}"));
    inner.split('|').map(|cell| cell.trim_matches(' ').to_owned()).collect()
}

/// What stands between backticks.
pub fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'))
        .unwrap_or_else(|| panic!("no code: {cell:?}"))
}

/// Reads a cell of a table of vectors.
pub fn cell(text: &str) -> Cell {
    match text {
        "—" => Cell::Nothing,
        "∅" => Cell::Null,
        "same" => Cell::Same,
        // An empty value can't be written between single backticks.
        "``" => Cell::Bytes(Vec::new()),
        _ => match text.strip_prefix("h:") {
            Some(hex) => Cell::Bytes(bytes(hex)),
            None => Cell::Bytes(code(text).into()),
        },
    }
}

/// Hex digits in pairs, with or without spaces between.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
