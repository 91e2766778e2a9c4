//! The names of types, as they stand after `::` and before literals (spec 06 §3.3).

use super::{ClauseError, Type, error::excerpt, parse::Parser, syntax::TypeName, token::Kind};

/// Digits of a second's fraction that a value has at most: asking for as many changes nothing.
const MAX_PRECISION: u8 = 6;

impl Parser<'_> {
    /// A type's name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn type_name(&mut self) -> Result<TypeName, ClauseError> {
        let at = self.peek().at;
        let quoted = matches!(self.peek().kind, Kind::Quoted(_));
        let mut name = self.name().ok_or_else(|| self.unexpected())?;
        while self.take_symbol(".") {
            let inner = self.name().ok_or_else(|| self.unexpected())?;
            name = if &*name == "pg_catalog" { inner } else { format!("{name}.{inner}").into() };
        }
        if !quoted {
            name = self.rest_of_name(name);
        }
        let mut modifiers = self.modifiers()?;
        if !quoted && matches!(&*name, "time" | "timestamp") {
            if self.take_words(&["with", "time", "zone"]) {
                name = format!("{name}tz").into();
            } else {
                _ = self.take_words(&["without", "time", "zone"]);
            }
        }
        if !quoted && &*name == "float" {
            name = float(&mut modifiers);
        }
        let array = self.arrays()?;
        Ok(TypeName { at, name, modifiers, array })
    }

    /// The catalogue's name for one of the grammar's own, some of which are of several words.
    fn rest_of_name(&mut self, name: Box<str>) -> Box<str> {
        let known = match &*name {
            "int" | "integer" => "int4",
            "smallint" => "int2",
            "bigint" => "int8",
            "real" => "float4",
            "boolean" => "bool",
            "dec" | "decimal" => "numeric",
            "double" if self.take_words(&["precision"]) => "float8",
            "bit" if self.take_words(&["varying"]) => "varbit",
            "character" | "char" | "nchar" if self.take_words(&["varying"]) => "varchar",
            "character" | "char" | "nchar" => "bpchar",
            _ => return name,
        };
        known.into()
    }

    /// Numbers in parentheses.
    fn modifiers(&mut self) -> Result<Vec<Box<str>>, ClauseError> {
        let mut modifiers = Vec::new();
        if self.take_symbol("(") {
            loop {
                let Kind::Number(number) = &self.peek().kind else { return Err(self.unexpected()) };
                modifiers.push(number.clone());
                self.advance();
                if !self.take_symbol(",") {
                    break;
                }
            }
            self.expect_symbol(")")?;
        }
        Ok(modifiers)
    }

    fn arrays(&mut self) -> Result<bool, ClauseError> {
        let mut array = self.take_words(&["array"]);
        while self.take_symbol("[") {
            array = true;
            if matches!(self.peek().kind, Kind::Number(_)) {
                self.advance();
            }
            self.expect_symbol("]")?;
        }
        Ok(array)
    }
}

/// `float(n)` counts binary digits.
fn float(modifiers: &mut Vec<Box<str>>) -> Box<str> {
    let digits = match &modifiers[..] {
        [digits] => digits.parse::<u8>().ok(),
        _ => None,
    };
    let name = match digits {
        Some(1..=24) => "float4",
        Some(25..=53) => "float8",
        _ => return "float8".into(),
    };
    modifiers.clear();
    name.into()
}

impl TypeName {
    /// The type that is meant.
    ///
    /// # Errors
    /// Clauses don't have it.
    pub(super) fn resolve(&self) -> Result<Type, ClauseError> {
        if self.array {
            return Err(ClauseError::at(self.at, "Electric currently doesn't support array types"));
        }
        let ty = match &*self.name {
            "bool" => Type::Bool,
            "int2" => Type::Int2,
            "int4" => Type::Int4,
            "int8" => Type::Int8,
            "numeric" => Type::Numeric,
            "float4" => Type::Float4,
            "float8" => Type::Float8,
            "text" => Type::Text,
            "varchar" => Type::Varchar,
            "date" => Type::Date,
            "time" => Type::Time,
            "timestamp" => Type::Timestamp,
            "timestamptz" => Type::Timestamptz,
            "interval" => Type::Interval,
            "uuid" => Type::Uuid,
            "bytea" => Type::Bytea,
            "jsonb" => Type::Jsonb,
            unknown => {
                return Err(ClauseError::at(self.at, format!("unsupported type {}", excerpt(unknown))));
            }
        };
        if self.modifiers.is_empty() || self.keeps_all(&ty) {
            return Ok(ty);
        }
        let (name, modifiers) = (&self.name, excerpt(&self.modifiers.join(",")));
        let message =
            format!("type modifiers are not supported, write {name} instead of {name}({modifiers})");
        Err(ClauseError::at(self.at, message))
    }

    /// Whether the modifiers take nothing from any value.
    fn keeps_all(&self, ty: &Type) -> bool {
        let timed = matches!(ty, Type::Time | Type::Timestamp | Type::Timestamptz | Type::Interval);
        timed
            && matches!(&self.modifiers[..], [digits] if digits.parse::<u8>().is_ok_and(|d| d >= MAX_PRECISION))
    }
}
