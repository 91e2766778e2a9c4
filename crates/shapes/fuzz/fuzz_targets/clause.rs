//! A where-clause, and rows to judge by it.
#![no_main]

#[path = "../../tests/clauses/fuzzed.rs"]
mod fuzzed;
#[path = "../../tests/clauses/table.rs"]
mod table;

use table::everything;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::clause(bytes));
