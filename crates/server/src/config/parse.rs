//! Values of settings (spec 07 §0). A fault is a text that follows the variable's name in a sentence.

use std::{path::PathBuf, time::Duration};

/// A parsed value, or what is wrong with the text.
pub type Parsed<T> = Result<T, String>;

fn invalid(value: &str, allowed: &str) -> String {
    format!("has invalid value: {value:?}. {allowed}")
}

/// `true false 1 0 yes no on off t f y n` in any case.
pub fn boolean(value: &str) -> Parsed<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(invalid(value, "Must be true or false (or 1, 0, yes, no, on, off)")),
    }
}

/// Digits only, within `range`.
pub fn integer(value: &str, range: std::ops::RangeInclusive<u64>) -> Parsed<u64> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ => {
            Err(invalid(value, &format!("Must be a whole number from {} to {}", range.start(), range.end())))
        }
    }
}

/// A TCP port.
pub fn port(value: &str) -> Parsed<u16> {
    integer(value, 1..=65535).map(|port| port as u16)
}

/// `PG_PROXY_PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyPort {
    /// The proxy's own port.
    pub port: u16,
    /// Whether it is to be reached through `HTTP_PORT` as well.
    pub tunnel: bool,
}

impl Default for ProxyPort {
    fn default() -> ProxyPort {
        ProxyPort { port: 65432, tunnel: false }
    }
}

/// `N`, `http` or `http:N` (spec 07 §1.4, 04 §9.8).
pub fn proxy_port(value: &str) -> Parsed<ProxyPort> {
    let prefix = value.get(..4).filter(|p| p.eq_ignore_ascii_case("http"));
    match (prefix, value.get(4..)) {
        (Some(_), Some("")) => Ok(ProxyPort { tunnel: true, ..ProxyPort::default() }),
        (Some(_), Some(rest)) if rest.starts_with(':') => {
            port(&rest[1..]).map(|port| ProxyPort { port, tunnel: true })
        }
        _ => port(value).map(|port| ProxyPort { port, tunnel: false }),
    }
}

/// A decimal number with `ms s m h d`; seconds without a unit. Zero is allowed.
pub fn duration(value: &str) -> Parsed<Duration> {
    let split = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => f64::NAN,
    };
    let total = number.parse::<f64>().unwrap_or(f64::NAN) * seconds;
    // Ten years: beyond that it is a mistake, and timers would overflow.
    if (0.0..=315_360_000.0).contains(&total) {
        Ok(Duration::from_secs_f64(total))
    } else {
        Err(invalid(value, "Must be a duration such as 500ms, 2s, 5m, 1h or 7d"))
    }
}

/// A decimal number of bytes above zero with `k` 10³, `K` 2¹⁰, `m` 10⁶, `M` 2²⁰, `g` 10⁹, `G` 2³⁰, after optional spaces.
pub fn size(value: &str) -> Parsed<u64> {
    let split = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, suffix) = value.split_at(split);
    let factor = match suffix.trim_start_matches(' ') {
        "" if suffix.is_empty() => 1.0,
        "k" => 1e3,
        "K" => 1024.0,
        "m" => 1e6,
        "M" => 1_048_576.0,
        "g" => 1e9,
        "G" => 1_073_741_824.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().unwrap_or(f64::NAN) * factor;
    if (1.0..9.0e15).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(format!("has invalid value: {value:?}"))
    }
}

/// A size within `range`, whose ends are shown as `shown`.
pub fn size_within(value: &str, range: std::ops::RangeInclusive<u64>, shown: &str) -> Parsed<usize> {
    match size(value)? {
        bytes if range.contains(&bytes) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        _ => Err(invalid(value, &format!("Must be {shown}"))),
    }
}

/// A duration of at least `least`, which is shown as `shown`.
pub fn duration_from(value: &str, least: Duration, shown: &str) -> Parsed<Duration> {
    match duration(value)? {
        time if time >= least => Ok(time),
        _ => Err(invalid(value, &format!("Must be at least {shown}"))),
    }
}

/// A directory in which files can be made, as is tried.
pub fn directory(value: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(value);
    match tempfile::tempfile_in(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let advice = "Must be an existing directory that the service may write to";
            Err(invalid(value, &format!("{advice}. The system says: {}", error.kind())))
        }
    }
}

/// One of a few words, exactly.
pub fn word<T: Copy>(value: &str, words: &[(&str, T)], shown: &[&str]) -> Parsed<T> {
    let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| invalid(value, &format!("Must be one of {shown:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for yes in ["true", "TRUE", "1", "yes", "On", "t", "Y"] {
            assert_eq!(boolean(yes), Ok(true), "{yes}");
        }
        for no in ["false", "False", "0", "no", "OFF", "f", "n"] {
            assert_eq!(boolean(no), Ok(false), "{no}");
        }
        for bad in ["maybe", "2", "tru", "true ", "-1"] {
            assert!(boolean(bad).unwrap_err().starts_with(&format!("has invalid value: {bad:?}")), "{bad}");
        }
    }

    #[test]
    fn integers_are_digits_in_range() {
        assert_eq!(port("5133"), Ok(5133));
        for bad in ["0", "65536", "5133abc", "-1", "+1", "", "1.0", "99999999999999999999"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn proxy_ports() {
        assert_eq!(proxy_port("5432"), Ok(ProxyPort { port: 5432, tunnel: false }));
        assert_eq!(proxy_port("http"), Ok(ProxyPort { port: 65432, tunnel: true }));
        assert_eq!(proxy_port("HTTP:80"), Ok(ProxyPort { port: 80, tunnel: true }));
        for (bad, quoted) in
            [("https:443", "https:443"), ("http:x", "x"), ("http:", ""), ("0", "0"), ("é", "é")]
        {
            let fault = proxy_port(bad).unwrap_err();
            assert!(fault.starts_with(&format!("has invalid value: {quoted:?}")), "{bad}: {fault}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("500ms", 500), ("2s", 2000), ("2", 2000), ("1.5m", 90_000), ("1h", 3_600_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "-1s", "1w", "1 s", "1e3", "nan", "99999999d", "1..2"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("1", 1),
            ("1k", 1000),
            ("1K", 1024),
            ("1.5 M", 1_572_864),
            ("2G", 2_147_483_648),
            ("3g", 3_000_000_000),
            ("1.9", 1),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "-1", "1kb", "K", "1 ", "1e9", "inf", "0.5"] {
            assert_eq!(size(bad), Err(format!("has invalid value: {bad:?}")), "{bad}");
        }
    }

    #[test]
    fn bounds_are_told() {
        assert_eq!(size_within("64K", 0x1_0000..=0x4000_0000, "between 64K and 1G"), Ok(65536));
        let fault = size_within("63K", 0x1_0000..=0x4000_0000, "between 64K and 1G").unwrap_err();
        assert_eq!(fault, "has invalid value: \"63K\". Must be between 64K and 1G");
        let second = Duration::from_secs(1);
        assert_eq!(duration_from("1s", second, "1s"), Ok(second));
        let fault = duration_from("999ms", second, "1s").unwrap_err();
        assert_eq!(fault, "has invalid value: \"999ms\". Must be at least 1s");
    }

    #[test]
    fn directories_can_be_written_to() {
        let directory_of_tests = std::env::temp_dir();
        let name = directory_of_tests.to_str().expect("a name in UTF-8");
        assert_eq!(directory(name), Ok(directory_of_tests.clone()));
        let program = std::env::current_exe().expect("the test's own program");
        for bad in ["/nowhere/to/be/found", program.to_str().expect("a name in UTF-8")] {
            let fault = directory(bad).unwrap_err();
            let advice = "Must be an existing directory that the service may write to. The system says: ";
            assert!(fault.starts_with(&format!("has invalid value: {bad:?}. {advice}")), "{fault}");
        }
    }
}
