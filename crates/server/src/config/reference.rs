//! The settings as documentation: the text behind `--help` and the page `docs/reference.md`.

use std::fmt::Write as _;

use super::setting;

/// For a terminal: name, default, and a line about each.
#[must_use]
pub fn help() -> String {
    let mut out = String::from("Settings (environment variables; empty means unset):\n");
    for (title, rows) in sections() {
        let _ = write!(out, "\n{title}\n");
        for (name, default, doc) in rows {
            let _ = writeln!(out, "  {name} [{}]\n      {}", plain(default), plain(doc));
        }
    }
    out
}

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Settings\n\nAll settings are environment variables. Unset, empty and blank all mean unset. Every variable is checked when the \
         service starts, and everything that is wrong is reported together. Booleans are `true false 1 0 yes no on off t f y n` in any \
         case; durations are decimal numbers with `ms s m h d` (no unit: seconds); sizes are decimal numbers of bytes with `k K m M g G`.\n\n\
         This page is made from the program: `tieline reference > docs/reference.md`.\n",
    );
    for (title, rows) in sections() {
        let _ = write!(out, "\n## {title}\n\n| Variable | Default | What it does |\n| --- | --- | --- |\n");
        for (name, default, doc) in rows {
            let _ = writeln!(out, "| `{name}` | {} | {} |", cell(default), cell(doc));
        }
    }
    out
}

type Row = (&'static str, &'static str, &'static str);

/// Headings with their settings, those of authentication first.
fn sections() -> Vec<(&'static str, Vec<Row>)> {
    let mut sections =
        vec![("Authentication", auth::SETTINGS.iter().map(|s| (s.name, s.default, s.doc)).collect())];
    let groups = [
        setting::DATABASE,
        setting::NETWORK,
        setting::PROXY,
        setting::STREAM,
        setting::SHAPES,
        setting::PROCESS,
    ];
    for group in groups {
        sections.push((group.title, group.settings.iter().map(|s| (s.name, s.default, s.doc)).collect()));
    }
    sections
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_there_once() {
        let page = markdown();
        for (_, rows) in sections() {
            for (name, ..) in rows {
                assert_eq!(page.matches(&format!("| `{name}` |")).count(), 1, "{name}");
                assert!(help().contains(name));
            }
        }
    }

    #[test]
    fn the_page_in_the_repository_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md");
        let page = std::fs::read_to_string(path).expect("docs/reference.md exists");
        assert!(page == markdown(), "run: cargo run -p tieline -- reference > docs/reference.md");
    }
}
