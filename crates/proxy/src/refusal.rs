//! What the proxy itself has to say to a client: errors that end the session.

use std::borrow::Cow;

use bytes::{BufMut as _, BytesMut};

use crate::Frame;

/// A fatal error, as Postgres would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: &'static str,
    /// The primary message.
    pub message: Cow<'static, str>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
}

impl Refusal {
    /// The service stops.
    pub const SHUTDOWN: Refusal =
        Refusal::new("57P01", "terminating connection due to administrator command");

    /// A message can't be held as a whole.
    pub const TOO_LONG: Refusal = Refusal {
        code: "54000",
        message: Cow::Borrowed("the statement is too long for the migrations proxy"),
        hint: Some(Cow::Borrowed("Statements may have 256 MB. Connect to Postgres itself for longer ones.")),
    };

    /// An error without a hint.
    #[must_use]
    pub const fn new(code: &'static str, message: &'static str) -> Refusal {
        Refusal { code, message: Cow::Borrowed(message), hint: None }
    }

    /// A password was wrong, or not even one. Says the same whatever was wrong with it.
    #[must_use]
    pub fn password(user: &[u8]) -> Refusal {
        let user = String::from_utf8_lossy(user);
        Refusal {
            code: "28P01",
            message: Cow::Owned(format!("Password authentication failed for user \"{user}\"")),
            hint: None,
        }
    }

    /// As an ErrorResponse.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let mut body = BytesMut::new();
        let fields = [
            (b'S', Some("FATAL")),
            (b'V', Some("FATAL")),
            (b'C', Some(self.code)),
            (b'M', Some(self.message.as_ref())),
            (b'H', self.hint.as_deref()),
        ];
        for (kind, text) in fields {
            let Some(text) = text else { continue };
            body.put_u8(kind);
            body.put_slice(text.replace('\0', "").as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        Frame::new(b'E', &body)
    }
}
