//! The SQL, in the order in which it runs.

macro_rules! script {
    ($folder:literal, $name:literal) => {
        include_str!(concat!("../../sql/", $folder, "/", $name, ".sql"))
    };
}

/// Opens the installation: one at a time, under a search path where nobody's objects can get in between.
pub(super) const BEGIN: &str = include_str!("../../sql/begin.sql");

/// Run once each: version, name, text.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (20_260_701_000_000, "foundation", script!("migrations", "20260701000000_foundation")),
    (20_260_701_000_100, "legacy", script!("migrations", "20260701000100_legacy")),
    (20_260_715_000_000, "observed", script!("migrations", "20260715000000_observed")),
    (20_261_122_000_000, "guard", script!("migrations", "20261122000000_guard")),
    (20_261_122_000_100, "removal", script!("migrations", "20261122000100_removal")),
    (20_261_122_000_200, "rejected", script!("migrations", "20261122000200_rejected")),
];

/// Run at every start: name, text.
pub(super) const ROUTINES: &[(&str, &str)] = &[
    ("identity", script!("routines", "010_identity")),
    ("versions", script!("routines", "020_versions")),
    ("frameworks", script!("routines", "021_frameworks")),
    ("types", script!("routines", "025_types")),
    ("checks", script!("routines", "030_checks")),
    ("snapshot", script!("routines", "040_snapshot")),
    ("shadow", script!("routines", "050_shadow")),
    ("native writes", script!("routines", "060_native_writes")),
    ("capture", script!("routines", "070_capture")),
    ("removal", script!("routines", "071_removal")),
    ("guard state", script!("routines", "072_guard_state")),
    ("changes", script!("routines", "073_changes")),
    ("guard", script!("routines", "074_guard")),
    ("event triggers", script!("routines", "076_event_triggers")),
    ("electrify", script!("routines", "080_electrify")),
    ("refresh", script!("routines", "085_refresh")),
    ("drift", script!("routines", "088_drift")),
    ("interface", script!("routines", "090_interface")),
    ("disable", script!("routines", "095_disable")),
    ("proxy", script!("routines", "100_proxy")),
];
