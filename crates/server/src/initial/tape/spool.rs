//! Frames in a file that has no name: it is gone when nobody has it open any more, whatever happens.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use bytes::{Buf, Bytes};

use super::Frame;

/// Bytes read at a time, unless one frame is larger.
const PIECE: usize = 64 * 1024;

/// A file of frames, one after the other.
#[derive(Debug)]
pub(super) struct Spool(File);

impl Spool {
    /// A new file. Blocks.
    ///
    /// # Errors
    /// If it can't be made there.
    pub(super) fn create(directory: &Path) -> io::Result<Spool> {
        tempfile::tempfile_in(directory).map(Spool)
    }

    /// Writes frames at a position. Blocks.
    ///
    /// # Errors
    /// If there is no room.
    pub(super) fn write(&self, at: u64, frames: &[Frame]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(Frame::len).sum());
        for Frame { read, message } in frames {
            // There are never so many reads; a message is far below 4 GiB.
            bytes.extend_from_slice(&(*read as u32).to_be_bytes());
            bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
            bytes.extend_from_slice(message);
        }
        self.0.write_all_at(&bytes, at)
    }

    /// Reads the frame at `at`, and those after it that are at hand. The file has been written up to `end`. Blocks.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) fn read(&self, at: u64, end: u64) -> io::Result<Chunk> {
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(PIECE)];
        self.0.read_exact_at(&mut bytes, at)?;
        let mut chunk = Chunk(bytes.into());
        if let Some(whole) = chunk.first_len().filter(|whole| *whole > chunk.0.len()) {
            let mut bytes = vec![0; whole.min(left)];
            self.0.read_exact_at(&mut bytes, at)?;
            chunk = Chunk(bytes.into());
        }
        match chunk.first_len() {
            Some(len) if len <= chunk.0.len() => Ok(chunk),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Frames that were read, perhaps cut off in the midst of one.
#[derive(Debug, Default)]
pub(super) struct Chunk(Bytes);

impl Chunk {
    /// What the first frame takes; `None` if not even its head is there.
    fn first_len(&self) -> Option<usize> {
        let (head, _) = self.0.split_first_chunk::<{ Frame::HEAD }>()?;
        let [.., a, b, c, d] = *head;
        (u32::from_be_bytes([a, b, c, d]) as usize).checked_add(Frame::HEAD)
    }

    /// Takes the first frame off, if it is there whole.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let len = self.first_len().filter(|len| *len <= self.0.len())?;
        let mut frame = self.0.split_to(len);
        let read = frame.get_u32() as usize;
        frame.advance(4);
        Some(Frame { read, message: frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_size_come_back() {
        let spool = Spool::create(&std::env::temp_dir()).unwrap();
        let sizes = [0, 1, 100, PIECE - 8, PIECE, 3 * PIECE, 5, 70_000, 0];
        let frame = |(read, size): (usize, &usize)| Frame { read, message: vec![read as u8; *size].into() };
        let frames: Vec<Frame> = sizes.iter().enumerate().map(frame).collect();
        let end = frames.iter().map(|frame| frame.len() as u64).sum();
        let (first, rest) = frames.split_at(4);
        let middle: u64 = first.iter().map(|frame| frame.len() as u64).sum();
        spool.write(0, first).unwrap();
        spool.write(middle, rest).unwrap();
        let (mut at, mut found) = (0, Vec::new());
        while at < end {
            let mut chunk = spool.read(at, end).unwrap();
            let before = at;
            while let Some(frame) = chunk.next() {
                at += frame.len() as u64;
                found.push(frame);
            }
            assert!(at > before);
        }
        assert_eq!(found, frames);
        assert!(spool.read(end, end).is_err() && spool.read(end + 1, end + 9).is_err());
    }
}
