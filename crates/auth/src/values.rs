//! Values of settings (spec 07 §0 "Values").

use std::time::Duration;

/// `true false 1 0 yes no on off t f y n` in any case.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// A decimal number with `ms s m h d`, seconds without a unit; from zero to a hundred years. `None` for anything else.
#[must_use]
pub fn duration(value: &str) -> Option<Duration> {
    let (number, unit) = decimal(value)?;
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Some(number * seconds).filter(|total| *total <= 3_155_760_000.0).map(Duration::from_secs_f64)
}

/// A decimal number of bytes with `k` 10³, `K` 2¹⁰, `m` 10⁶, `M` 2²⁰, `g` 10⁹, `G` 2³⁰ after optional blanks, cut to a
/// whole number (spec 07 §1.1).
pub(crate) fn size(value: &str) -> Option<usize> {
    let (number, suffix) = decimal(value)?;
    let factor = match suffix.trim_start_matches(' ') {
        "" if suffix.is_empty() => 1.0,
        "k" => 1e3,
        "K" => 1024.0,
        "m" => 1e6,
        "M" => 1_048_576.0,
        "g" => 1e9,
        "G" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number * factor).filter(|bytes| (1.0..4e9).contains(bytes)).map(|bytes| bytes as usize)
}

/// A number of digits with at most one point between them, and what follows it.
fn decimal(value: &str) -> Option<(f64, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, rest) = value.split_at(end);
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    number.parse().ok().map(|number| (number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for (text, value) in
            [("true", true), ("T", true), ("Yes", true), ("on", true), ("1", true), ("y", true)]
        {
            assert_eq!(boolean(text), Some(value), "{text}");
        }
        for text in ["false", "F", "No", "OFF", "0", "n"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["", "maybe", " true", "2", "truE!"] {
            assert_eq!(boolean(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("2", 2000),
            ("2s", 2000),
            ("500ms", 500),
            ("1.5m", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "2 s", "2S", "1w", "1e3", "1.", ".5", "1.2.3", "inf", "nan", "99999999d"]
        {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("16384", 16384), ("16K", 16384), ("16 k", 16000), ("0.5M", 524_288), ("1.9", 1)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "0", "0.5", "K", "1KB", "1 ", "1e3", "-1"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }
}
