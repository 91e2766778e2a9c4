//! Messages of the replication stream, each with its length in front, put together as they come.
#![no_main]

use bytes::Bytes;
use change::{Lsn, Xid};
use libfuzzer_sys::fuzz_target;
use postgres::assemble::{Assembler, History};

fuzz_target!(|data: &[u8]| {
    let mut assembler = Assembler::new(History::default());
    assembler.restart(Xid(1 << 32), Xid(0));
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first() {
        let (message, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        if assembler.message(Bytes::copy_from_slice(message)).is_err() {
            assembler.restart(Xid(1 << 32), Xid(0));
        }
        assembler.reached(Lsn(data.len() as u64));
        rest = tail;
    }
});
