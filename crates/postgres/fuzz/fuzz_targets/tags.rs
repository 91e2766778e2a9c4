//! Tags as text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postgres::tag_text::{parse_tag, parse_tags, timestamp_ms};

fuzz_target!(|data: &[u8]| {
    let _ = parse_tags(data);
    let _ = parse_tag(data);
    let _ = timestamp_ms(data);
});
