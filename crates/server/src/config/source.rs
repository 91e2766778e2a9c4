//! The environment, read in one place.

use std::ffi::OsString;

use super::{Setting, parse::Parsed};

/// Looks up a variable; the process environment in the service, a table in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads settings and collects everything that is wrong with them, so that it can be reported together.
pub struct Source<'a> {
    lookup: Lookup<'a>,
    faults: Vec<String>,
    notices: Vec<Notice>,
}

/// Something to be said once at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Good to know.
    Info(String),
    /// Probably not what was meant.
    Warning(String),
}

impl<'a> Source<'a> {
    /// Reads through `lookup`.
    #[must_use]
    pub fn new(lookup: Lookup<'a>) -> Source<'a> {
        Source { lookup, faults: Vec::new(), notices: Vec::new() }
    }

    /// The text of a variable; unset, empty and blank all mean unset.
    pub fn text(&mut self, setting: Setting) -> Option<String> {
        let value = (self.lookup)(setting.name)?;
        match value.into_string() {
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(text),
            Err(_) => {
                self.fault(setting, "is not valid UTF-8");
                None
            }
        }
    }

    /// The parsed value of a variable. A faulty one is noted and counts as unset.
    pub fn read<T>(&mut self, setting: Setting, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(setting)?;
        parse(&text).map_err(|fault| self.fault(setting, &fault)).ok()
    }

    /// Notes a fault: a text that follows the variable's name.
    pub fn fault(&mut self, setting: Setting, fault: &str) {
        self.faults.push(format!("{} {fault}", setting.name));
    }

    /// Notes faults that name their variables themselves.
    pub fn faults(&mut self, faults: impl IntoIterator<Item = String>) {
        self.faults.extend(faults);
    }

    /// Notes something to be said at the start.
    pub fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Everything that was noted.
    #[must_use]
    pub fn finish(self) -> (Vec<String>, Vec<Notice>) {
        (self.faults, self.notices)
    }
}
