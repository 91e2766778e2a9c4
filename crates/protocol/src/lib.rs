//! The Satellite protocol: messages, frames, the row codec and stream positions.
