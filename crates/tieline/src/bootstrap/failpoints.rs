//! Named failpoints, as `FAILPOINTS` says; for tests, whose build alone has any.

/// Sets them.
pub fn failpoints() {
    if fail::has_failpoints() {
        // They are taken back when this is dropped.
        std::mem::forget(fail::FailScenario::setup());
    }
}
