//! The entries of the catalogue: their signatures, and where their bodies are.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    Type, Value,
    function::{Cast, Function, Raised, Signature},
    math,
    temporal::arithmetic as time,
    text,
    value::View,
};

/// What an entry does. It is called with as many views, of those types, as its signature says.
pub(super) type Body = fn(&[View<'_>]) -> Result<Value, Raised>;

/// An operator, a function or a cast.
pub(super) struct Entry {
    pub(super) signature: Signature,
    pub(super) body: Body,
    /// Set if it compares.
    pub(super) comparison: Option<Comparison>,
    /// How it is written in SQL, if Postgres gives exactly the same and never raises.
    pub(super) sql: Option<Form>,
}

/// The comparisons.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How a call is written in SQL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `(a <op> b)`
    Operator,
    /// `(a <op> b)`, in the order of bytes.
    Ordered,
    /// `(a <op> b)`, if `b` is a constant pattern.
    Pattern,
    /// `(a)::type`
    Cast,
}

impl Comparison {
    /// Whether it holds of operands in this order.
    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Unequal => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

const COMPARISONS: [(&str, Comparison, Body); 6] = [
    ("=", Comparison::Equal, |a| compare(a, Comparison::Equal)),
    ("<>", Comparison::Unequal, |a| compare(a, Comparison::Unequal)),
    ("<", Comparison::Less, |a| compare(a, Comparison::Less)),
    ("<=", Comparison::LessOrEqual, |a| compare(a, Comparison::LessOrEqual)),
    (">", Comparison::Greater, |a| compare(a, Comparison::Greater)),
    (">=", Comparison::GreaterOrEqual, |a| compare(a, Comparison::GreaterOrEqual)),
];

fn compare(arguments: &[View<'_>], comparison: Comparison) -> Result<Value, Raised> {
    let [a, b] = arguments else { return Err(Raised) };
    Ok(Value::Bool(comparison.holds(a.order(*b))))
}

/// All entries, and by what they are found.
pub(super) struct Catalogue {
    entries: Vec<Entry>,
    operators: HashMap<&'static str, [Vec<Function>; 2]>,
    functions: HashMap<&'static str, [Vec<Function>; 2]>,
    implicit: HashMap<(Type, Type), Cast>,
    explicit: HashMap<(Type, Type), Cast>,
}

/// The one catalogue of this process.
pub(super) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::new);

/// An entry by the name it has outside.
pub(super) fn entry(function: Function) -> &'static Entry {
    &CATALOGUE.entries[usize::from(function.0)]
}

impl Catalogue {
    pub(super) fn operators(&self, name: &str, arity: usize) -> &[Function] {
        found(&self.operators, name, arity)
    }

    pub(super) fn functions(&self, name: &str, arity: usize) -> &[Function] {
        found(&self.functions, name, arity)
    }

    pub(super) fn implicit_cast(&self, from: &Type, to: &Type) -> Option<Cast> {
        self.implicit.get(&(from.clone(), to.clone())).copied()
    }

    pub(super) fn explicit_cast(&self, from: &Type, to: &Type) -> Option<Cast> {
        self.explicit.get(&(from.clone(), to.clone())).copied()
    }

    fn new() -> Catalogue {
        let mut catalogue = Catalogue {
            entries: Vec::new(),
            operators: HashMap::new(),
            functions: HashMap::new(),
            implicit: HashMap::new(),
            explicit: HashMap::new(),
        };
        catalogue.add_comparisons();
        catalogue.add_integers();
        catalogue.add_numbers();
        catalogue.add_texts();
        catalogue.add_times();
        catalogue.add_implicit_casts();
        catalogue.add_conversions();
        catalogue
    }

    fn add(&mut self, name: &'static str, arguments: &[&Type], result: &Type, body: Body) -> Function {
        let id = Function(u16::try_from(self.entries.len()).unwrap_or(u16::MAX));
        let arguments = arguments.iter().map(|&ty| ty.clone()).collect::<Vec<_>>().leak();
        let signature = Signature { name, arguments, result: result.clone() };
        self.entries.push(Entry { signature, body, comparison: None, sql: None });
        id
    }

    fn operator(&mut self, name: &'static str, arguments: &[&Type], result: &Type, body: Body) -> Function {
        let id = self.add(name, arguments, result, body);
        self.operators.entry(name).or_default()[arguments.len() - 1].push(id);
        id
    }

    fn function(&mut self, name: &'static str, arguments: &[&Type], result: &Type, body: Body) -> Function {
        let id = self.add(name, arguments, result, body);
        self.functions.entry(name).or_default()[arguments.len() - 1].push(id);
        id
    }

    fn commutative(&mut self, name: &'static str, [a, b]: [&Type; 2], result: &Type, bodies: [Body; 2]) {
        let [body, exchanged] = bodies;
        self.operator(name, &[a, b], result, body);
        self.operator(name, &[b, a], result, exchanged);
    }

    fn last_sql(&mut self, form: Form) {
        if let Some(entry) = self.entries.last_mut() {
            entry.sql = Some(form);
        }
    }

    fn add_comparisons(&mut self) {
        use Type::{
            Bool, Bpchar, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Text, Time, Timestamp,
            Timestamptz, Uuid,
        };
        let same = [
            Int2,
            Int4,
            Int8,
            Numeric,
            Float4,
            Float8,
            Text,
            Bpchar,
            Uuid,
            Date,
            Time,
            Timestamp,
            Timestamptz,
            Bool,
            Interval,
        ];
        let mixed = [
            (Int2, Int4),
            (Int2, Int8),
            (Int4, Int2),
            (Int4, Int8),
            (Int8, Int2),
            (Int8, Int4),
            (Float4, Float8),
            (Float8, Float4),
            (Date, Timestamp),
            (Timestamp, Date),
        ];
        for (a, b) in same.into_iter().map(|ty| (ty.clone(), ty)).chain(mixed) {
            let only_equal = matches!(a, Bool | Interval);
            for (name, comparison, body) in COMPARISONS.into_iter().take(if only_equal { 2 } else { 6 }) {
                self.operator(name, &[&a, &b], &Bool, body);
                let ordered = matches!(a, Text | Bpchar)
                    && !matches!(comparison, Comparison::Equal | Comparison::Unequal);
                self.last_sql(if ordered { Form::Ordered } else { Form::Operator });
                if let Some(entry) = self.entries.last_mut() {
                    entry.comparison = Some(comparison);
                }
            }
        }
    }

    fn add_integers(&mut self) {
        use Type::{Int2, Int4, Int8};
        for (a, b) in [(Int2, Int2), (Int2, Int4), (Int4, Int2), (Int4, Int4)].into_iter().chain([
            (Int2, Int8),
            (Int4, Int8),
            (Int8, Int2),
            (Int8, Int4),
            (Int8, Int8),
        ]) {
            let result = a.clone().max(b.clone());
            let bodies: [(&str, Body); 4] = match result {
                Int2 => math::integer::operators::<i16>(),
                Int4 => math::integer::operators::<i32>(),
                _ => math::integer::operators::<i64>(),
            };
            for (name, body) in bodies {
                self.operator(name, &[&a, &b], &result, body);
            }
        }
        for ty in [Int2, Int4, Int8] {
            let (binary, negate, abs): ([(&str, Body); 4], Body, Body) = match ty {
                Int2 => {
                    (math::integer::bits::<i16>(), math::integer::negate::<i16>, math::integer::abs::<i16>)
                }
                Int4 => {
                    (math::integer::bits::<i32>(), math::integer::negate::<i32>, math::integer::abs::<i32>)
                }
                _ => (math::integer::bits::<i64>(), math::integer::negate::<i64>, math::integer::abs::<i64>),
            };
            for (name, body) in binary {
                self.operator(name, &[&ty, &ty], &ty, body);
            }
            self.operator("-", &[&ty], &ty, negate);
            self.operator("+", &[&ty], &ty, math::same);
            self.operator("@", &[&ty], &ty, abs);
        }
    }

    fn add_numbers(&mut self) {
        use Type::{Float4, Float8, Numeric};
        let mixed = [(Float4, Float4), (Float4, Float8), (Float8, Float4), (Float8, Float8)];
        for (a, b) in mixed {
            let result = a.clone().max(b.clone());
            let single = result == Float4;
            for (name, body) in if single { math::float::single() } else { math::float::double() } {
                self.operator(name, &[&a, &b], &result, body);
            }
        }
        for (name, body) in math::numeric::operators() {
            self.operator(name, &[&Numeric, &Numeric], &Numeric, body);
        }
        self.operator("^", &[&Float8, &Float8], &Float8, math::float::power);
        self.operator("|/", &[&Float8], &Float8, math::float::square_root);
        for (ty, negate, abs) in [
            (Float4, math::float::negate as Body, math::float::abs as Body),
            (Float8, math::float::negate, math::float::abs),
            (Numeric, math::numeric::negate, math::numeric::abs),
        ] {
            self.operator("-", &[&ty], &ty, negate);
            self.operator("+", &[&ty], &ty, math::same);
            self.operator("@", &[&ty], &ty, abs);
        }
    }

    fn add_texts(&mut self) {
        use Type::{Bool, Text};
        self.operator("||", &[&Text, &Text], &Text, text::concatenate);
        self.function("lower", &[&Text], &Text, text::lower);
        self.function("upper", &[&Text], &Text, text::upper);
        self.operator("~~", &[&Text, &Text], &Bool, text::like);
        self.last_sql(Form::Pattern);
        self.operator("!~~", &[&Text, &Text], &Bool, text::not_like);
        self.last_sql(Form::Pattern);
        self.operator("~~*", &[&Text, &Text], &Bool, text::ilike);
        self.operator("!~~*", &[&Text, &Text], &Bool, text::not_ilike);
    }

    fn add_times(&mut self) {
        use Type::{Date, Float8, Int2, Int4, Int8, Interval, Text, Time, Timestamp, Timestamptz};
        for int in [Int2, Int4, Int8] {
            self.commutative("+", [&Date, &int], &Date, [time::date_plus_days, time::days_plus_date]);
            self.operator("-", &[&Date, &int], &Date, time::date_minus_days);
        }
        self.operator("-", &[&Date, &Date], &Int4, time::date_minus_date);
        self.commutative("+", [&Date, &Time], &Timestamp, [time::date_plus_time, time::time_plus_date]);
        for ty in [Date, Timestamp, Timestamptz, Time] {
            let result = if ty == Date { Timestamp } else { ty.clone() };
            let bodies = [time::plus_interval as Body, time::interval_plus];
            self.commutative("+", [&ty, &Interval], &result, bodies);
            self.operator("-", &[&ty, &Interval], &result, time::minus_interval);
        }
        for ty in [Timestamp, Timestamptz, Time] {
            self.operator("-", &[&ty, &ty], &Interval, time::difference);
        }
        self.operator("+", &[&Interval, &Interval], &Interval, time::interval_plus_interval);
        self.operator("-", &[&Interval, &Interval], &Interval, time::interval_minus_interval);
        self.commutative("*", [&Interval, &Float8], &Interval, [time::interval_times, time::times_interval]);
        self.function("justify_days", &[&Interval], &Interval, time::justify_days);
        self.function("justify_hours", &[&Interval], &Interval, time::justify_hours);
        self.function("justify_interval", &[&Interval], &Interval, time::justify_interval);
        self.function("timezone", &[&Text, &Timestamp], &Timestamptz, time::local_to_instant);
        self.function("timezone", &[&Text, &Timestamptz], &Timestamp, time::instant_to_local);
        // Postgres would rather make an instant of a date than a local time; its midnight is that of the session's zone.
        self.function("timezone", &[&Text, &Date], &Timestamp, time::date_to_local);
    }

    fn add_implicit_casts(&mut self) {
        use Type::{
            Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Text, Time, Timestamp, Varchar,
        };
        let lossless: [(Type, Type, Body); 13] = [
            (Int2, Int4, math::same),
            (Int2, Int8, math::same),
            (Int4, Int8, math::same),
            (Int2, Float4, math::float::from_integer_single),
            (Int2, Float8, math::float::from_integer),
            (Int4, Float4, math::float::from_integer_single),
            (Int4, Float8, math::float::from_integer),
            (Int8, Float4, math::float::from_integer_single),
            (Int8, Float8, math::float::from_integer),
            (Int2, Numeric, math::numeric::from_integer),
            (Int4, Numeric, math::numeric::from_integer),
            (Int8, Numeric, math::numeric::from_integer),
            (Float4, Float8, math::same),
        ];
        for (from, to, body) in lossless {
            let name = conversion_name(&to);
            self.implicit_function(name, from, to, body);
            self.last_sql(Form::Cast);
        }
        self.implicit_function("float4", Numeric, Float4, math::float::from_numeric_single);
        self.implicit_function("float8", Numeric, Float8, math::float::from_numeric);
        self.implicit_function("timestamp", Date, Timestamp, time::date_to_timestamp);
        self.implicit_function("interval", Time, Interval, time::time_to_interval);
        self.implicit.insert((Text, Varchar), Cast::Relabel);
        self.implicit.insert((Varchar, Text), Cast::Relabel);
    }

    fn implicit_function(&mut self, name: &'static str, from: Type, to: Type, body: Body) {
        let id = self.add(name, &[&from], &to, body);
        self.implicit.insert((from, to), Cast::By(id));
    }

    /// The input and output functions of types, which are explicit casts from and to text as well.
    fn add_conversions(&mut self) {
        use Type::{Bool, Int4, Text};
        for (ty, input, output) in text::conversions() {
            let name = conversion_name(&ty);
            let id = self.function(name, &[&Text], &ty, input);
            self.explicit.insert((Text, ty.clone()), Cast::By(id));
            for name in text::output_names(&ty) {
                let id = self.function(name, &[&ty], &Text, output);
                self.explicit.insert((ty.clone(), Text), Cast::By(id));
            }
        }
        // `boolout` prints a letter, the cast a word.
        let id = self.add("text", &[&Bool], &Text, text::bool_to_text);
        self.explicit.insert((Bool, Text), Cast::By(id));
        let id = self.add("int4", &[&Bool], &Int4, math::integer::from_bool);
        self.explicit.insert((Bool, Int4), Cast::By(id));
        let id = self.add("bool", &[&Int4], &Bool, math::integer::to_bool);
        self.explicit.insert((Int4, Bool), Cast::By(id));
    }
}

fn found<'a>(
    index: &'a HashMap<&'static str, [Vec<Function>; 2]>,
    name: &str,
    arity: usize,
) -> &'a [Function] {
    let slot = index.get(name).zip(arity.checked_sub(1));
    slot.and_then(|(by_arity, arity)| by_arity.get(arity)).map_or(&[], Vec::as_slice)
}

/// The name of the functions that make values of a type.
fn conversion_name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int2 => "int2",
        Type::Int4 => "int4",
        Type::Int8 => "int8",
        Type::Numeric => "numeric",
        Type::Float4 => "float4",
        Type::Float8 => "float8",
        Type::Date => "date",
        Type::Time => "time",
        Type::Timestamp => "timestamp",
        Type::Timestamptz => "timestamptz",
        Type::Interval => "interval",
        Type::Uuid => "uuid",
        Type::Text
        | Type::Varchar
        | Type::Bpchar
        | Type::Bytea
        | Type::Jsonb
        | Type::Enum(_)
        | Type::Other(_) => "text",
    }
}
