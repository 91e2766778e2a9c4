//! stub
pub(super) enum Match {
    Yes,
    No,
    Raises,
}
pub(super) fn matches(_: &str, _: &str) -> Match {
    Match::No
}
