//! Tokens to the tree of a clause, by operator precedence (spec 06 §3.1–3.3).
//!
//! `sqlparser`'s own expression parser can't be used: its trees don't say where operators stand, which the messages name, and its
//! grammar is wider than Postgres' (`a = b = c` is no error there). This is Postgres' table of precedences and nothing else.

use super::{
    ClauseError, Truth,
    keyword::{begins_clause, begins_query},
    precedence::{Grammar, Infix, Level, is_match},
    syntax::{Form, MAX_HEIGHT, Node, too_high},
    token::{Kind, Token, tokens},
};

/// Reads a whole clause.
///
/// # Errors
/// It is not one expression, or uses grammar that clauses don't have.
pub(super) fn parse(text: &str) -> Result<Node, ClauseError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let node = parser.expression(Level::Or, Grammar::Full)?;
    let after = parser.peek();
    match after.word() {
        _ if after.kind == Kind::End => Ok(node),
        _ if after.is_symbol(";") => Err(ClauseError("unescaped \";\" causing statement split".into())),
        Some(word) if begins_clause(word) => {
            Err(ClauseError("malformed query ending with SQL clauses".into()))
        }
        _ => Err(parser.unexpected()),
    }
}

/// A place among the tokens of a clause.
pub(super) struct Parser<'a> {
    /// The last is [`Kind::End`], beyond which `next` never goes.
    tokens: Vec<Token<'a>>,
    next: usize,
    /// Calls of `expression` that have not returned.
    depth: usize,
}

/// What is looked at beyond the end.
static END: Token<'static> = Token { at: 0, source: "", kind: Kind::End };

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> &Token<'a> {
        self.ahead(0)
    }

    /// The token `count` places after the next one.
    pub(super) fn ahead(&self, count: usize) -> &Token<'a> {
        let place = self.next + count;
        self.tokens.get(place).or_else(|| self.tokens.last()).unwrap_or(&END)
    }

    /// Goes on by one token, and says where that was.
    pub(super) fn advance(&mut self) -> usize {
        let at = self.peek().at;
        self.next = (self.next + 1).min(self.tokens.len().saturating_sub(1));
        at
    }

    /// The place, to come back to.
    pub(super) fn mark(&self) -> usize {
        self.next
    }

    pub(super) fn return_to(&mut self, mark: usize) {
        self.next = mark;
    }

    pub(super) fn unexpected(&self) -> ClauseError {
        let token = self.peek();
        ClauseError::syntax(token.at, token.source)
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek().is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), ClauseError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes the words if all are next, in this order.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(i, word)| self.ahead(i).is_word(word));
        if found {
            words.iter().for_each(|_| _ = self.advance());
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), ClauseError> {
        if self.take_words(&[word]) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// An expression whose operators outside parentheses bind at least so tightly.
    pub(super) fn expression(&mut self, least: Level, grammar: Grammar) -> Result<Node, ClauseError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_high(self.peek().at));
        }
        self.depth += 1;
        let mut node = self.operand(grammar);
        while let Ok(left) = node {
            let Some(infix) = self.infix(grammar).filter(|i| i.level() >= least) else {
                node = Ok(left);
                break;
            };
            node = self.go_on(left, &infix, grammar);
        }
        self.depth -= 1;
        node
    }

    fn infix(&self, grammar: Grammar) -> Option<Infix> {
        let token = self.peek();
        let infix = match &token.kind {
            Kind::Operator(operator) => Infix::Operator(operator.clone()),
            Kind::Symbol if token.source == "::" => Infix::Cast,
            Kind::Symbol if token.source == "[" => Infix::Subscript,
            Kind::Word(_) if grammar == Grammar::Bound => return None,
            Kind::Word(word) => match &**word {
                "or" => Infix::Or,
                "and" => Infix::And,
                "is" | "isnull" | "notnull" => Infix::Is,
                "not" if self.ahead(1).word().is_some_and(is_match) => Infix::Match,
                word if is_match(word) => Infix::Match,
                "at" if self.ahead(1).is_word("time") => Infix::TimeZone,
                "collate" => Infix::Collation,
                _ => return None,
            },
            _ => return None,
        };
        Some(infix)
    }

    /// Takes an operator and what is to the right of it.
    fn go_on(&mut self, left: Node, infix: &Infix, grammar: Grammar) -> Result<Node, ClauseError> {
        match infix {
            Infix::Or => Node::new(self.peek().at, Form::Or(self.chain(left, "or", Level::And)?)),
            Infix::And => Node::new(self.peek().at, Form::And(self.chain(left, "and", Level::Not)?)),
            Infix::Is => self.test(left),
            Infix::Match => self.matched(left),
            Infix::Operator(operator) => self.operation(left, operator, infix.level(), grammar),
            Infix::TimeZone => self.at_time_zone(left, grammar),
            Infix::Cast => self.cast_to(left),
            Infix::Collation => Err(ClauseError::unsupported(self.peek().at, "CollateClause")),
            Infix::Subscript => Err(ClauseError::unsupported(self.peek().at, "A_Indirection")),
        }
    }

    fn operation(
        &mut self,
        left: Node,
        operator: &str,
        level: Level,
        grammar: Grammar,
    ) -> Result<Node, ClauseError> {
        let at = self.advance();
        self.refuse_quantifier(at, operator)?;
        let right = self.right(level, grammar)?;
        Node::new(at, Form::Operation(operator.into(), vec![left, right]))
    }

    /// `AT TIME ZONE` is a function.
    fn at_time_zone(&mut self, left: Node, grammar: Grammar) -> Result<Node, ClauseError> {
        let at = self.advance();
        self.expect_word("time")?;
        self.expect_word("zone")?;
        let zone = self.right(Level::TimeZone, grammar)?;
        Node::new(at, Form::Call("timezone".into(), vec![zone, left]))
    }

    /// `::`
    fn cast_to(&mut self, left: Node) -> Result<Node, ClauseError> {
        let at = self.advance();
        let target = self.type_name()?;
        Node::new(at, Form::Cast(Box::new(left), Box::new(target)))
    }

    /// All operands of AND or OR.
    fn chain(&mut self, first: Node, word: &str, least: Level) -> Result<Vec<Node>, ClauseError> {
        let mut operands = vec![first];
        while self.take_words(&[word]) {
            operands.push(self.expression(least, Grammar::Full)?);
        }
        Ok(operands)
    }

    /// The operand to the right of an operator of this level.
    fn right(&mut self, level: Level, grammar: Grammar) -> Result<Node, ClauseError> {
        let node = self.expression(level.tighter(), grammar)?;
        match self.infix(grammar) {
            Some(infix) if level.is_single() && infix.level() == level => Err(self.unexpected()),
            _ => Ok(node),
        }
    }

    /// `IS …`, `ISNULL`, `NOTNULL`.
    fn test(&mut self, operand: Node) -> Result<Node, ClauseError> {
        let (at, word) = (self.peek().at, self.peek().word().unwrap_or_default().to_owned());
        self.advance();
        if word != "is" {
            return Node::new(at, Form::IsNull(Box::new(operand)))?.negated_if(word == "notnull");
        }
        let negated = self.take_words(&["not"]);
        if self.take_words(&["null"]) {
            return Node::new(at, Form::IsNull(Box::new(operand)))?.negated_if(negated);
        }
        if self.take_words(&["distinct"]) {
            self.expect_word("from")?;
            let right = self.right(Level::Is, Grammar::Full)?;
            return Node::new(at, Form::Distinct(Box::new([operand, right])))?.negated_if(negated);
        }
        let truth = match self.peek().word() {
            Some("true") => Truth::True,
            Some("false") => Truth::False,
            Some("unknown") => Truth::Unknown,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Node::new(at, Form::Is(truth, negated, Box::new(operand)))
    }

    /// `[NOT] IN`, `LIKE`, `ILIKE`, `BETWEEN`.
    fn matched(&mut self, operand: Node) -> Result<Node, ClauseError> {
        let at = self.peek().at;
        let negated = self.take_words(&["not"]);
        let form = if self.take_words(&["in"]) {
            Form::In(Box::new(operand), self.list(at)?)
        } else if self.take_words(&["between"]) {
            Form::Between(self.range(at, operand)?)
        } else if self.take_words(&["like"]) {
            Form::Operation("~~".into(), self.pattern(at, "~~", operand)?)
        } else if self.take_words(&["ilike"]) {
            Form::Operation("~~*".into(), self.pattern(at, "~~*", operand)?)
        } else {
            return Err(not_supported(at, "SIMILAR TO"));
        };
        Node::new(at, form)?.negated_if(negated)
    }

    /// What follows BETWEEN.
    fn range(&mut self, at: usize, operand: Node) -> Result<Box<[Node; 3]>, ClauseError> {
        if self.peek().is_word("symmetric") {
            return Err(not_supported(at, "BETWEEN SYMMETRIC"));
        }
        _ = self.take_words(&["asymmetric"]);
        let low = self.expression(Level::Comparison, Grammar::Bound)?;
        self.expect_word("and")?;
        let high = self.right(Level::Match, Grammar::Full)?;
        Ok(Box::new([operand, low, high]))
    }

    /// What follows LIKE.
    fn pattern(&mut self, at: usize, operator: &str, operand: Node) -> Result<Vec<Node>, ClauseError> {
        self.refuse_quantifier(at, operator)?;
        let pattern = self.right(Level::Match, Grammar::Full)?;
        if self.peek().is_word("escape") {
            return Err(ClauseError::at(self.peek().at, "unknown or unsupported function like_escape/2"));
        }
        Ok(vec![operand, pattern])
    }

    /// The list after IN.
    fn list(&mut self, at: usize) -> Result<Vec<Node>, ClauseError> {
        self.expect_symbol("(")?;
        if self.at_query() {
            return Err(ClauseError::at(at, "subqueries are not supported"));
        }
        let mut list = vec![self.expression(Level::Or, Grammar::Full)?];
        while self.take_symbol(",") {
            list.push(self.expression(Level::Or, Grammar::Full)?);
        }
        self.expect_symbol(")")?;
        Ok(list)
    }

    /// `= ANY (…)` and the like.
    fn refuse_quantifier(&self, at: usize, operator: &str) -> Result<(), ClauseError> {
        if !matches!(self.peek().word(), Some("any" | "all" | "some")) {
            return Ok(());
        }
        if self.ahead(1).is_symbol("(") && self.ahead(2).word().is_some_and(begins_query) {
            return Err(ClauseError::at(at, "subqueries are not supported"));
        }
        Err(not_supported(at, operator))
    }
}

/// Most calls of [`Parser::expression`] within each other. A pair of parentheses takes one, and one more for each operator that
/// waits for it to be closed.
const MAX_DEPTH: usize = 2 * MAX_HEIGHT;

fn not_supported(at: usize, expression: &str) -> ClauseError {
    ClauseError::at(at, format!("expression \"{expression}\" is not currently supported"))
}
