//! The fields of errors and notices.

use crate::Frame;

/// `C`: the SQLSTATE.
pub const CODE: u8 = b'C';
/// `M`: the message.
pub const MESSAGE: u8 = b'M';
/// `D`: the detail.
pub const DETAIL: u8 = b'D';
/// `H`: the hint.
pub const HINT: u8 = b'H';
/// `P`: where in the client's string it is, in characters from 1.
pub const POSITION: u8 = b'P';
/// `p`: where in the internal query.
pub const INTERNAL_POSITION: u8 = b'p';
/// `q`: a statement that isn't the client's string.
pub const INTERNAL_QUERY: u8 = b'q';
/// `W`: the functions it came up in.
pub const CONTEXT: u8 = b'W';

/// An ErrorResponse or a NoticeResponse, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    tag: u8,
    fields: Vec<(u8, Vec<u8>)>,
}

impl Fields {
    /// Takes a message apart. What has no end is cut.
    #[must_use]
    pub fn of(frame: &Frame) -> Fields {
        let fields = frame
            .body()
            .split(|byte| *byte == 0)
            .filter_map(|field| field.split_first().map(|(kind, value)| (*kind, value.to_vec())))
            .collect();
        Fields { tag: frame.tag(), fields }
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        self.fields.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.as_slice())
    }

    /// The value of a field that is a number.
    #[must_use]
    pub fn number(&self, kind: u8) -> Option<usize> {
        std::str::from_utf8(self.get(kind)?).ok()?.parse().ok()
    }

    /// Sets a field. There can be no zero byte in a value; a value ends before one.
    pub fn set(&mut self, kind: u8, value: &[u8]) {
        let value = value.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        match self.fields.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => *known = value,
            None => self.fields.push((kind, value)),
        }
    }

    /// Leaves a field out.
    pub fn remove(&mut self, kind: u8) {
        self.fields.retain(|(known, _)| *known != kind);
    }

    /// The message again.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let mut body = Vec::new();
        for (kind, value) in &self.fields {
            body.push(*kind);
            body.extend_from_slice(value);
            body.push(0);
        }
        body.push(0);
        Frame::new(self.tag, &body)
    }
}
