//! Any bytes as a token. The property test `any_text_is_judged_without_panic` is the stable twin of this target: both ask
//! the same oracle.
#![no_main]

#[path = "../../tests/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
