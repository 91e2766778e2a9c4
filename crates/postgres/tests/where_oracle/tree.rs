//! Random clauses, and what they are by the rule of errors, from what Postgres says of their atoms.

use super::{Random, atoms::atom};

/// The structure of a clause.
pub enum Tree {
    Atom(String),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Is(&'static str, Box<Tree>),
}

/// What a condition is of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    True,
    False,
    Null,
    Raised,
}

impl Tree {
    /// A clause of so many levels at most.
    pub fn random(random: &mut Random, depth: usize) -> Tree {
        if depth == 0 || random.one_in(2) {
            return Tree::Atom(atom(random));
        }
        match random.below(8) {
            0..=2 => Tree::And(Tree::some(random, depth - 1)),
            3..=5 => Tree::Or(Tree::some(random, depth - 1)),
            6 => Tree::Not(Box::new(Tree::random(random, depth - 1))),
            _ => {
                let test = random.pick(&["TRUE", "FALSE", "UNKNOWN", "NOT TRUE", "NOT FALSE", "NOT UNKNOWN"]);
                Tree::Is(test, Box::new(Tree::random(random, depth - 1)))
            }
        }
    }

    fn some(random: &mut Random, depth: usize) -> Vec<Tree> {
        (0..2 + random.below(2)).map(|_| Tree::random(random, depth)).collect()
    }

    /// As a client writes it.
    pub fn text(&self) -> String {
        let joined = |all: &[Tree], with: &str| {
            all.iter().map(|t| format!("({})", t.text())).collect::<Vec<_>>().join(with)
        };
        match self {
            Tree::Atom(text) => text.clone(),
            Tree::And(all) => joined(all, " AND "),
            Tree::Or(all) => joined(all, " OR "),
            Tree::Not(inner) => format!("NOT ({})", inner.text()),
            Tree::Is(test, inner) => format!("({}) IS {test}", inner.text()),
        }
    }

    /// Its atoms, from left to right.
    pub fn atoms<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Tree::Atom(text) => into.push(text),
            Tree::And(all) | Tree::Or(all) => all.iter().for_each(|t| t.atoms(into)),
            Tree::Not(inner) | Tree::Is(_, inner) => inner.atoms(into),
        }
    }

    /// What it is, given what its atoms are, in their order.
    pub fn outcome(&self, atoms: &mut impl Iterator<Item = Outcome>) -> Outcome {
        use Outcome::{False, Null, Raised, True};
        let decided = |outcomes: Vec<Outcome>, decisive, otherwise| {
            let of = |wanted| outcomes.contains(&wanted);
            [decisive, Raised, Null].into_iter().find(|o| of(*o)).unwrap_or(otherwise)
        };
        match self {
            Tree::Atom(_) => atoms.next().unwrap(),
            Tree::And(all) => decided(all.iter().map(|t| t.outcome(atoms)).collect(), False, True),
            Tree::Or(all) => decided(all.iter().map(|t| t.outcome(atoms)).collect(), True, False),
            Tree::Not(inner) => match inner.outcome(atoms) {
                True => False,
                False => True,
                other => other,
            },
            Tree::Is(test, inner) => match (inner.outcome(atoms), *test) {
                (Raised, _) => Raised,
                (True, "TRUE" | "NOT FALSE" | "NOT UNKNOWN")
                | (False, "FALSE" | "NOT TRUE" | "NOT UNKNOWN")
                | (Null, "UNKNOWN" | "NOT TRUE" | "NOT FALSE") => True,
                _ => False,
            },
        }
    }
}
