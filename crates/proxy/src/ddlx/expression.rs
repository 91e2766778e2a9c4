//! The expressions in DDLX statements. They are checked for their form only.

use super::parser::{Misfit, Parser};

/// What an opening parenthesis was for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Group,
    Call,
}

/// Takes `"(" expr ")"` in the parser (spec 04 §3.2). Nesting costs memory in proportion to the text, and no stack.
pub fn parenthesised(parser: &mut Parser<'_>) -> Result<(), Misfit> {
    parser.expect_mark(b'(')?;
    let mut open = vec![Opened::Group];
    loop {
        // An operand is wanted.
        if parser.mark(b'(') {
            open.push(Opened::Group);
            continue;
        }
        if !(parser.number() || parser.string().is_some() || parser.word("null")) {
            parser.name()?;
            if parser.mark(b'(') && !parser.mark(b')') {
                open.push(Opened::Call);
                continue;
            }
        }
        // What may follow one: the ends of groups and calls, and then something that wants another.
        loop {
            if parser.mark(b')') {
                open.pop();
                if open.is_empty() {
                    return Ok(());
                }
            } else if (open.last() == Some(&Opened::Call) && parser.mark(b',')) || operator(parser) {
                break;
            } else {
                return Err(parser.misfit());
            }
        }
    }
}

fn operator(parser: &mut Parser<'_>) -> bool {
    ["and", "or", "not", "is"].iter().any(|word| parser.word(word))
        || [&b"<="[..], b"<>", b"<", b">=", b">", b"!=", b"=", b"*", b"+", b"-", b"/"]
            .iter()
            .any(|marks| parser.marks(marks))
}
