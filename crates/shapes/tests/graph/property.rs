//! Whatever the plan, the database and the transactions: the graph holds what is in the shape.

use proptest::test_runner::{Config, TestRunner};

use super::{cases, driver::Followed};

/// How many cases are tried; `GRAPH_CASES` in the environment is for long runs.
fn cases() -> u32 {
    std::env::var("GRAPH_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5000)
}

#[test]
fn a_graph_holds_exactly_what_is_in_the_shape() {
    let config =
        Config { cases: cases(), max_shrink_iters: 200_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&cases::case(), |case| {
            follow(&case);
            Ok(())
        })
        .unwrap();
}

fn follow(case: &cases::Case) {
    let plan = case.plan();
    let (mut followed, _) = Followed::begin(plan.clone(), case.initial(), case.whim);
    for (db, changes) in case.transactions(&plan) {
        followed.commit(db, changes);
    }
}
