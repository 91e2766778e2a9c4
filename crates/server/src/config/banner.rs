//! What is printed when the service can't start (spec 07 §5.1).

use std::{
    fmt::{self, Write as _},
    io::{IsTerminal as _, Write as _},
};

/// Where all settings are explained.
pub const REFERENCE: &str = "docs/reference.md (or run: tieline serve --help)";

/// A reason not to start: a title and paragraphs, shown in a frame on standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    title: &'static str,
    paragraphs: Vec<String>,
}

impl Banner {
    /// A banner; a paragraph may have several lines.
    #[must_use]
    pub fn new(title: &'static str, paragraphs: Vec<String>) -> Banner {
        Banner { title, paragraphs }
    }

    /// All faults of the configuration at once.
    #[must_use]
    pub fn configuration(faults: &[String]) -> Banner {
        let opening =
            "The following required configuration options have invalid or missing values:".to_owned();
        let items = faults.iter().map(|fault| format!("  * {}", fault.replace('\n', "\n    ")));
        let closing = format!(
            "Please review the official configuration reference at\n{REFERENCE}\nand double-check your values."
        );
        Banner::new(
            "CONFIGURATION ERROR",
            std::iter::once(opening).chain(items).chain(std::iter::once(closing)).collect(),
        )
    }

    /// `HTTP_PORT` is taken, or can't be had for another reason.
    #[must_use]
    pub fn http_port(port: u16, error: &std::io::Error) -> Banner {
        Banner::port("INITIALISATION ERROR", "HTTP/WebSocket", port, error)
    }

    /// `PG_PROXY_PORT` is taken, or can't be had for another reason.
    #[must_use]
    pub fn proxy_port(port: u16, error: &std::io::Error) -> Banner {
        Banner::port("CONNECTION ERROR", "TCP", port, error)
    }

    fn port(title: &'static str, connections: &str, port: u16, error: &std::io::Error) -> Banner {
        let reason = if error.kind() == std::io::ErrorKind::AddrInUse {
            "Another instance of Electric or a different application is already listening on the same port."
                .to_owned()
        } else {
            format!("The system says: {error}.")
        };
        let what = format!("Failed to open a socket to listen for {connections} connections on port {port}.");
        Banner::new(title, vec![what, reason])
    }

    /// The paragraphs, for a log line.
    #[must_use]
    pub fn text(&self) -> String {
        self.paragraphs.join(" ").replace('\n', " ")
    }

    /// Prints it, in red on a terminal.
    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        let text = if out.is_terminal() { format!("\x1b[31m{self}\x1b[0m") } else { self.to_string() };
        // Nobody is left to tell when standard output is gone.
        let _ = writeln!(out, "{text}\n••• Shutting down •••").and_then(|()| out.flush());
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.title.chars().count() + 4;
        writeln!(f, "▓ ┌{}┐", "─".repeat(width))?;
        writeln!(f, "▓ │  {}  │", self.title)?;
        writeln!(f, "▓ ┕{}┙", "━".repeat(width))?;
        for paragraph in &self.paragraphs {
            f.write_str("▓ \n")?;
            for line in paragraph.lines() {
                writeln!(f, "▓ {line}")?;
            }
        }
        f.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_as_it_always_did() {
        let banner = Banner::configuration(&[
            "DATABASE_URL not set".to_owned(),
            "AUTH_JWT_KEY not set\nand more".to_owned(),
        ]);
        let expected = format!(
            "▓ ┌───────────────────────┐
▓ │  CONFIGURATION ERROR  │
▓ ┕━━━━━━━━━━━━━━━━━━━━━━━┙
▓ 
▓ The following required configuration options have invalid or missing values:
▓ 
▓   * DATABASE_URL not set
▓ 
▓   * AUTH_JWT_KEY not set
▓     and more
▓ 
▓ Please review the official configuration reference at
▓ {REFERENCE}
▓ and double-check your values.

"
        );
        assert_eq!(banner.to_string(), expected);
    }
}
