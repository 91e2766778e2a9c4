//! Reads settings through the injected lookup and collects what is wrong with them.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::ConfigError;

/// Looks up an environment variable: the process environment in the service, a table in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

pub(super) struct Reader<'a> {
    lookup: Lookup<'a>,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: Lookup<'a>) -> Reader<'a> {
        Reader { lookup, errors: Vec::new(), warnings: Vec::new() }
    }

    /// The value byte for byte. Unset, empty and blank all mean unset.
    pub(super) fn bytes(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let value = Zeroizing::new((self.lookup)(name)?.into_encoded_bytes());
        (!is_blank(&value)).then_some(value)
    }

    /// The value as text in which bytes that are no UTF-8 are replaced, so that no rule accepts it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// The value as text, for variables that may hold any text; noted as an error if it is no UTF-8.
    pub(super) fn exact_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.bytes(name)?;
        match std::str::from_utf8(&value) {
            Ok(text) => Some(text.to_owned()),
            Err(_) => {
                self.error(ConfigError::invalid(
                    name,
                    &String::from_utf8_lossy(&value),
                    "Must be valid UTF-8",
                ));
                None
            }
        }
    }

    /// The parsed value; noted as an error if it can't be parsed.
    pub(super) fn parse<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: &str,
    ) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.error(ConfigError::invalid(name, &value, allowed));
        }
        parsed
    }

    pub(super) fn error(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The outcome with the warnings, unless there is none or anything was wrong on the way.
    pub(super) fn finish<T>(self, outcome: Option<T>) -> Result<(T, Vec<String>), Vec<ConfigError>> {
        match outcome {
            Some(outcome) if self.errors.is_empty() => Ok((outcome, self.warnings)),
            _ => Err(self.errors),
        }
    }
}

/// Nothing but white space.
pub(super) fn is_blank(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.trim().is_empty())
}
