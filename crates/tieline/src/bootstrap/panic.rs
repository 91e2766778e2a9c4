//! What is said when a task panics. The task ends, the service goes on.

/// Has panics logged. Only texts fixed at compile time are shown: others may hold somebody's values.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic
            .payload()
            .downcast_ref::<&'static str>()
            .copied()
            .unwrap_or("(not shown: it may hold values)");
        match panic.location() {
            Some(place) => tracing::error!(%place, "a task panicked: {what}"),
            None => tracing::error!("a task panicked: {what}"),
        }
    }));
}
