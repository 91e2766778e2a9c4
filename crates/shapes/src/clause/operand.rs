//! The operands of expressions: constants, references, calls, parentheses, prefix operators.

use super::{
    ClauseError,
    keyword::{Keyword, begins_query, keyword},
    parse::Parser,
    precedence::{Grammar, Level},
    syntax::{Form, Node},
    token::Kind,
};

impl Parser<'_> {
    /// Whether a query is next.
    pub(super) fn at_query(&self) -> bool {
        self.peek().word().is_some_and(begins_query)
    }

    /// An operand, with the prefix operators before it.
    pub(super) fn operand(&mut self, grammar: Grammar) -> Result<Node, ClauseError> {
        let token = self.peek();
        let at = token.at;
        match &token.kind {
            Kind::Number(number) => {
                let form = Form::Number(number.clone());
                self.advance();
                Node::new(at, form)
            }
            Kind::Text(text) => {
                let form = Form::Text(text.clone());
                self.advance();
                Node::new(at, form)
            }
            Kind::Operator(operator) => {
                let operator = operator.clone();
                self.prefixed(at, operator, grammar)
            }
            Kind::Word(word) => {
                let word = word.clone();
                self.word(at, &word, grammar)
            }
            Kind::Quoted(_) => self.named(at),
            Kind::Symbol if token.source == "(" => self.parenthesized(at),
            Kind::Bits => Err(ClauseError::at(at, "BitString values are not supported")),
            Kind::National => Err(ClauseError::at(at, "unsupported type bpchar")),
            Kind::Parameter => Err(ClauseError::unsupported(at, "ParamRef")),
            Kind::Symbol | Kind::End => Err(self.unexpected()),
        }
    }

    fn prefixed(&mut self, at: usize, operator: Box<str>, grammar: Grammar) -> Result<Node, ClauseError> {
        let least = match &*operator {
            "+" | "-" => Level::Sign,
            "=" | "<" | ">" | "<=" | ">=" | "<>" | "*" | "/" | "%" | "^" => return Err(self.unexpected()),
            _ => Level::Sum,
        };
        self.advance();
        let operand = self.expression(least, grammar)?;
        match operand.form {
            Form::Number(number) if &*operator == "-" => {
                let negative = number.strip_prefix('-').map_or_else(|| format!("-{number}"), str::to_owned);
                Node::new(at, Form::Number(negative.into()))
            }
            _ => Node::new(at, Form::Operation(operator, vec![operand])),
        }
    }

    fn parenthesized(&mut self, at: usize) -> Result<Node, ClauseError> {
        self.advance();
        if self.at_query() {
            return Err(ClauseError::at(at, "subqueries are not supported"));
        }
        let node = self.expression(Level::Or, Grammar::Full)?;
        if self.peek().is_symbol(",") {
            return Err(ClauseError::unsupported(at, "RowExpr"));
        }
        self.expect_symbol(")")?;
        if self.peek().is_symbol(".") {
            return Err(ClauseError::unsupported(self.peek().at, "A_Indirection"));
        }
        Ok(node)
    }

    fn word(&mut self, at: usize, word: &str, grammar: Grammar) -> Result<Node, ClauseError> {
        let form = match word {
            "null" => Form::Null,
            "true" | "false" => Form::Bool(word == "true"),
            "not" if grammar == Grammar::Full => {
                self.advance();
                let operand = self.expression(Level::Not, Grammar::Full)?;
                return Node::new(at, Form::Not(Box::new(operand)));
            }
            "cast" => return self.cast(at),
            "case" => return Err(ClauseError::unsupported(at, "CaseExpr")),
            "array" => {
                let query = self.ahead(1).is_symbol("(");
                return Err(if query {
                    ClauseError::at(at, "subqueries are not supported")
                } else {
                    ClauseError::unsupported(at, "A_ArrayExpr")
                });
            }
            "exists" if self.ahead(1).is_symbol("(") => {
                return Err(ClauseError::at(at, "subqueries are not supported"));
            }
            _ => {
                let called = self.ahead(1).is_symbol("(");
                return match keyword(word) {
                    Keyword::None => self.named(at),
                    Keyword::FunctionName if called => self.named(at),
                    Keyword::Unsupported(node) => Err(ClauseError::unsupported(at, node)),
                    Keyword::UnsupportedCall(node) if called => Err(ClauseError::unsupported(at, node)),
                    Keyword::UnsupportedCall(_) => self.named(at),
                    Keyword::FunctionName | Keyword::Reserved => Err(self.unexpected()),
                };
            }
        };
        self.advance();
        Node::new(at, form)
    }

    /// `CAST(a AS type)`.
    fn cast(&mut self, at: usize) -> Result<Node, ClauseError> {
        self.advance();
        self.expect_symbol("(")?;
        let operand = self.expression(Level::Or, Grammar::Full)?;
        self.expect_word("as")?;
        let target = self.type_name()?;
        self.expect_symbol(")")?;
        Node::new(at, Form::Cast(Box::new(operand), Box::new(target)))
    }

    /// What begins with a name: `type 'literal'`, a call, or a reference.
    fn named(&mut self, at: usize) -> Result<Node, ClauseError> {
        let mark = self.mark();
        if let Ok(target) = self.type_name()
            && let Kind::Text(text) = &self.peek().kind
        {
            let (literal_at, form) = (self.peek().at, Form::Text(text.clone()));
            self.advance();
            let literal = Node::new(literal_at, form)?;
            return Node::new(at, Form::Cast(Box::new(literal), Box::new(target)));
        }
        self.return_to(mark);
        let mut names = vec![self.name().ok_or_else(|| self.unexpected())?];
        while self.take_symbol(".") {
            names.push(self.name().ok_or_else(|| self.unexpected())?);
        }
        if self.peek().is_symbol("(") {
            return self.call(at, &names);
        }
        Node::new(at, Form::Reference(names))
    }

    /// Any word or quoted identifier.
    pub(super) fn name(&mut self) -> Option<Box<str>> {
        let name = match &self.peek().kind {
            Kind::Word(name) | Kind::Quoted(name) => name.clone(),
            _ => return None,
        };
        self.advance();
        Some(name)
    }

    fn call(&mut self, at: usize, names: &[Box<str>]) -> Result<Node, ClauseError> {
        let aggregation = || ClauseError::at(at, "aggregation is not supported in this context");
        let name = match names {
            [name] => name.clone(),
            [schema, name] if &**schema == "pg_catalog" => name.clone(),
            _ => names.join(".").into(),
        };
        self.advance();
        let star = matches!(&self.peek().kind, Kind::Operator(operator) if &**operator == "*");
        if star || matches!(self.peek().word(), Some("distinct" | "all")) {
            return Err(aggregation());
        }
        let mut arguments = Vec::new();
        if !self.take_symbol(")") {
            arguments.push(self.expression(Level::Or, Grammar::Full)?);
            while self.take_symbol(",") {
                arguments.push(self.expression(Level::Or, Grammar::Full)?);
            }
            if self.peek().is_word("order") {
                return Err(aggregation());
            }
            self.expect_symbol(")")?;
        }
        let after = self.peek().word();
        let windowed = match after {
            Some("over") => true,
            Some("filter") => self.ahead(1).is_symbol("("),
            Some("within") => self.ahead(1).is_word("group"),
            _ => false,
        };
        if windowed {
            return Err(aggregation());
        }
        Node::new(at, Form::Call(name, arguments))
    }
}
