//! `tieline rejected` where there is nothing to decide.

use testkit::Database;

use super::command::tieline;

#[test]
fn it_says_what_is_missing() {
    let done = tieline(&["rejected", "list"], &[]);
    assert_eq!(done.status, 1);
    assert!(done.out.contains("DATABASE_URL not set") && !done.out.contains("AUTH"), "{}", done.out);

    let settings = [("DATABASE_URL", "postgresql://u@127.0.0.1:1/db"), ("DATABASE_REQUIRE_SSL", "false")];
    let done = tieline(&["rejected", "list"], &settings);
    assert_eq!(done.status, 1);
    assert!(done.err.starts_with("tieline: Postgres can't be reached"), "{}", done.err);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(Database::create());
    let settings = [("DATABASE_URL", database.url.as_str()), ("DATABASE_REQUIRE_SSL", "false")];
    for arguments in [&["list"][..], &["show", "1"], &["retry", "1"], &["discard", "1", "--json"]] {
        let arguments: Vec<&str> = ["rejected"].into_iter().chain(arguments.iter().copied()).collect();
        let done = tieline(&arguments, &settings);
        assert_eq!(done.status, 1, "{arguments:?}");
        assert!(done.err.contains("has this release of the service ever run on it?"), "{}", done.err);
    }
}
