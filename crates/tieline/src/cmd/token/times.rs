//! Times in words.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A NumericDate as a date and its distance from now, both in seconds since the epoch.
pub fn in_words(date: f64, now: f64) -> String {
    let shown =
        OffsetDateTime::from_unix_timestamp(date as i64).ok().and_then(|date| date.format(&Rfc3339).ok());
    let shown = shown.unwrap_or_else(|| format!("{date} seconds after 1970, in a year beyond 9999"));
    let distance = span((date - now).abs());
    match date - now {
        0.0 => format!("{shown}, now"),
        ahead if ahead > 0.0 => format!("{shown}, in {distance}"),
        _ => format!("{shown}, {distance} ago"),
    }
}

/// A span in its largest unit.
fn span(seconds: f64) -> String {
    const UNITS: [(&str, f64); 5] =
        [("year", 31_557_600.0), ("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0)];
    let (name, size) = UNITS.into_iter().find(|(_, size)| seconds >= *size).unwrap_or(("second", 1.0));
    let count = (seconds / size).floor();
    format!("{count} {name}{}", if count == 1.0 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_readable() {
        let now = 1_684_750_000.0;
        for (date, words) in [
            (1_684_759_213.0, "2023-05-22T12:40:13Z, in 2 hours"),
            (1_684_750_000.0, "2023-05-22T10:06:40Z, now"),
            (1_684_749_999.0, "2023-05-22T10:06:39Z, 1 second ago"),
            (1_684_749_999.5, "2023-05-22T10:06:39Z, 0 seconds ago"),
            (1_684_660_000.0, "2023-05-21T09:06:40Z, 1 day ago"),
            (0.0, "1970-01-01T00:00:00Z, 53 years ago"),
        ] {
            assert_eq!(in_words(date, now), words);
        }
        assert!(in_words(9_007_199_254_740_991.0, now).starts_with("9007199254740991 seconds after 1970"));
    }
}
