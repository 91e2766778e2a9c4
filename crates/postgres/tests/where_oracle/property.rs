//! Whatever the clause and the row, memory says what Postgres says.

use shapes::Clause;

use super::{
    Random,
    judge::Judge,
    setting,
    tree::{Outcome, Tree},
};

const ROWS: usize = 20;
const BATCH: usize = 100;

/// What was tried, so that a test can't pass by trying nothing.
#[derive(Default, Debug)]
struct Tally {
    cases: u64,
    true_of: u64,
    raised: u64,
    /// Clauses that are refused here, and by Postgres.
    refused: u64,
    foreign: u64,
    /// Clauses with a condition for Postgres, and rows that it left out.
    conditions: u64,
    left_out: u64,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_agrees_with_postgres() {
    let seed = setting("WHERE_ORACLE_SEED", 1);
    let wanted = setting("WHERE_ORACLE_CASES", 8_000);
    let mut random = Random::new(seed);
    let mut judge = Judge::new(&mut random, ROWS).await;
    let mut tally = Tally::default();
    let mut batches = 0;
    while tally.cases < wanted {
        batches += 1;
        if batches % 50 == 0 {
            judge = Judge::new(&mut random, ROWS).await;
        }
        let trees: Vec<_> = (0..BATCH).map(|_| Tree::random(&mut random, 3)).collect();
        let parsed: Vec<_> =
            trees.into_iter().map(|tree| (Clause::parse(&tree.text(), &judge.table), tree)).collect();
        for (refused, tree) in parsed.iter().filter_map(|(clause, tree)| Some((clause.as_ref().err()?, tree)))
        {
            tally.refused += 1;
            if std::env::var_os("WHERE_ORACLE_REFUSED").is_some() {
                println!("refused: {}\n    {refused}", tree.text());
            }
        }
        let clauses: Vec<_> =
            parsed.into_iter().filter_map(|(clause, tree)| Some((clause.ok()?, tree))).collect();
        check_membership(&judge, &clauses, &mut tally).await;
        check_conditions(&judge, &clauses, &mut tally).await;
        let shortest = tally.wrong.iter().min_by_key(|wrong| wrong.len());
        if let Some(shortest) = shortest {
            panic!("seed {seed}: {} wrong in the batch, this one among them:\n{shortest}", tally.wrong.len());
        }
    }
    println!("seed {seed}: {tally:?}");
    let clauses = tally.cases / ROWS as u64;
    assert!(tally.refused < clauses && tally.foreign * 10 < clauses, "too few clauses were taken: {tally:?}");
    assert!(
        tally.true_of * 20 > tally.cases && tally.raised * 200 > tally.cases,
        "too little was tried: {tally:?}"
    );
    assert!(tally.left_out * 20 > tally.cases, "conditions left nothing out: {tally:?}");
}

async fn check_membership(judge: &Judge, clauses: &[(Clause, Tree)], tally: &mut Tally) {
    let texts: Vec<_> = clauses.iter().map(|(_, tree)| tree.text()).collect();
    let outcomes = judge.outcomes(&texts).await;
    for (((clause, tree), text), outcomes) in clauses.iter().zip(&texts).zip(outcomes) {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(message) => {
                tally.foreign += 1;
                if std::env::var_os("WHERE_ORACLE_REFUSED").is_some() {
                    println!("foreign: {text}\n    {message}");
                }
                continue;
            }
        };
        let by_rule =
            if outcomes.contains(&Outcome::Raised) { by_rule(judge, tree).await } else { outcomes.clone() };
        for ((row, outcome), by_rule) in judge.rows.iter().zip(&outcomes).zip(by_rule) {
            tally.cases += 1;
            tally.true_of += u64::from(*outcome == Outcome::True);
            tally.raised += u64::from(*outcome == Outcome::Raised);
            let expected = if *outcome == Outcome::Raised { by_rule } else { *outcome };
            let found = clause.matches(row);
            if found == (expected == Outcome::True) {
                continue;
            }
            tally.wrong.push(format!(
                "{text}\nis {outcome:?} in Postgres, by rule {expected:?}, but in memory it matches: {found}\nof {}\n{:?}",
                judge.show(row, clause),
                clause.expr()
            ));
        }
    }
}

/// What a clause is where Postgres raises: by its atoms.
async fn by_rule(judge: &Judge, tree: &Tree) -> Vec<Outcome> {
    let mut atoms = Vec::new();
    tree.atoms(&mut atoms);
    let texts: Vec<_> = atoms.iter().map(ToString::to_string).collect();
    let outcomes: Vec<Vec<_>> = judge.outcomes(&texts).await.into_iter().map(Result::unwrap).collect();
    (0..judge.rows.len()).map(|row| tree.outcome(&mut outcomes.iter().map(|of_atom| of_atom[row]))).collect()
}

async fn check_conditions(judge: &Judge, clauses: &[(Clause, Tree)], tally: &mut Tally) {
    let with_condition: Vec<_> = clauses
        .iter()
        .filter_map(|(clause, tree)| Some((clause, tree, clause.sql(&judge.table, "m")?)))
        .collect();
    let conditions: Vec<_> = with_condition.iter().map(|(_, _, condition)| condition.clone()).collect();
    for ((clause, tree, condition), kept) in with_condition.iter().zip(judge.kept(&conditions).await) {
        let kept = match kept {
            Ok(kept) => kept,
            Err(raised) => {
                tally.wrong.push(format!("{condition}\nof {}\n{raised}", tree.text()));
                continue;
            }
        };
        tally.conditions += 1;
        tally.left_out += (judge.rows.len() - kept.len()) as u64;
        for (id, row) in judge.rows.iter().enumerate() {
            let lost = clause.matches(row) && !kept.contains(&id);
            assert!(
                !lost,
                "{condition}\nleaves out what {} selects: {}",
                tree.text(),
                judge.show(row, clause)
            );
        }
    }
}
