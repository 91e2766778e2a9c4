//! What a session is for, as its user and database names say (spec 04 §9.3), and the [`Intercept`] that goes with it.

use crate::{Ddlx, Exchange, Frame, Guarding, Intercept, introspection::Introspection};

/// Databases whose names begin so are Prisma Migrate's throw-away ones.
const SHADOW_PREFIX: &[u8] = b"prisma_migrate_shadow_db";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Prisma Migrate's shadow database, which has no schema `electric` (spec 04 §9.6). The only mode in which the client
    /// chooses the database.
    Shadow,
    /// Prisma's `db pull`, which is to see synced tables only (spec 04 §9.7).
    Introspection,
    /// Byte for byte, for debugging.
    Transparent,
    /// DDLX is understood, everything else passes (spec 04 §9.4, §9.5).
    Electric,
}

impl Mode {
    /// The mode of a session; the first rule that applies wins.
    #[must_use]
    pub fn of(user: &[u8], database: &[u8]) -> Mode {
        match user {
            _ if database.starts_with(SHADOW_PREFIX) => Mode::Shadow,
            b"prisma" => Mode::Introspection,
            b"transparent" => Mode::Transparent,
            _ => Mode::Electric,
        }
    }

    /// Settings for Postgres to begin a session with, beside the client's own.
    #[must_use]
    pub fn parameters(self) -> &'static [(&'static [u8], &'static [u8])] {
        match self {
            Mode::Introspection => &[(b"default_transaction_read_only", b"on")],
            Mode::Shadow | Mode::Transparent | Mode::Electric => &[],
        }
    }

    /// The state machine for a session of this mode. `reported` is what Postgres said of the session's settings before it
    /// was ready; changes arrive as ParameterStatus messages, for which the machine may ask.
    #[must_use]
    pub fn intercept(self, reported: &Reported, guarding: &Guarding) -> Box<dyn Intercept> {
        match self {
            Mode::Electric => Box::new(Ddlx::electric(reported, guarding.clone())),
            Mode::Shadow => Box::new(Ddlx::shadow(reported)),
            Mode::Introspection => Box::new(Introspection::new()),
            Mode::Transparent => Box::new(PassThrough),
        }
    }
}

/// The settings of a session that Postgres reports by itself: `server_version`, `standard_conforming_strings`,
/// `client_encoding` and others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported(Vec<(String, String)>);

impl Reported {
    /// The value of a setting, if Postgres has reported it. Names are compared as they are.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Takes in a ParameterStatus message; anything else is left aside.
    pub fn note(&mut self, frame: &Frame) {
        let mut texts = frame.body().split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let (b'S', Some(name), Some(value)) = (frame.tag(), texts.next(), texts.next()) else { return };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into_owned(),
            None => self.0.push((name.into_owned(), value.into_owned())),
        }
    }
}

/// Minds nothing.
#[derive(Clone, Copy, Debug)]
pub struct PassThrough;

impl Intercept for PassThrough {
    fn from_client(&mut self, frame: Frame, out: &mut Exchange) {
        out.server(&frame);
    }

    fn from_server(&mut self, frame: Frame, out: &mut Exchange) {
        out.client(&frame);
    }

    fn minds_client(&self, _tag: u8) -> bool {
        false
    }

    fn minds_server(&self, _tag: u8) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_the_mode() {
        for (user, database, mode) in [
            ("postgres", "app", Mode::Electric),
            ("prisma", "app", Mode::Introspection),
            ("transparent", "app", Mode::Transparent),
            ("prisma", "prisma_migrate_shadow_db_0c8f", Mode::Shadow),
            ("postgres", "prisma_migrate_shadow_db", Mode::Shadow),
            ("Prisma", "PRISMA_MIGRATE_SHADOW_DB", Mode::Electric),
            ("", "", Mode::Electric),
        ] {
            assert_eq!(Mode::of(user.as_bytes(), database.as_bytes()), mode, "{user} {database}");
        }
    }

    #[test]
    fn remembers_the_last_report_of_a_setting() {
        let mut reported = Reported::default();
        reported.note(&Frame::new(b'S', b"standard_conforming_strings\0on\0"));
        reported.note(&Frame::new(b'S', b"standard_conforming_strings\0off\0"));
        reported.note(&Frame::new(b'S', b"cut"));
        reported.note(&Frame::new(b'N', b"client_encoding\0UTF8\0"));
        assert_eq!(reported.get("standard_conforming_strings"), Some("off"));
        assert_eq!((reported.get("client_encoding"), reported.get("cut")), (None, None));
    }
}
