//! Plans select what the definition of a shape says (spec 06 §2.5–2.7), on schemas, requests and rows of all kinds: what the
//! plan leaves out or puts together changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use change::{RelationId, Row};
use proptest::{collection::vec, prelude::*};
use schema::{ForeignKey, Schema, Table};
use shapes::{Plan, RelationDef, SelectDef, Values};

use crate::support::{over, refer, refer_to_itself, schema, select, shape, table};

const TABLES: u32 = 3;
const USER: &str = "1";

/// All rows of each table.
type Data = BTreeMap<RelationId, Vec<Row>>;
/// Rows by table and place.
type Rows = BTreeSet<(RelationId, usize)>;

/// (from, to, form): foreign keys of one or two columns, to the primary key or others, also the same twice.
fn schemas() -> impl Strategy<Value = Schema> {
    let keys = vec((1..=TABLES, 1..=TABLES, 0..5usize), 0..9);
    (keys, vec(any::<bool>(), TABLES as usize)).prop_map(|(keys, owned)| {
        let mut tables: Vec<Table> = (1..=TABLES)
            .zip(owned)
            .map(|(id, owned)| {
                let last = if owned { "electric_user_id" } else { "c" };
                table(id, &format!("t{id}"), &["id", "a", "b", last])
            })
            .collect();
        for (from, to, form) in keys {
            let (columns, referenced): (&[&str], &[&str]) = [
                (&["a"][..], &["id"][..]),
                (&["b"], &["id"]),
                (&["a", "b"], &["id", "a"]),
                (&["b", "a"], &["a", "id"]),
                (&["b"], &["a"]),
            ][form];
            let to = tables[to as usize - 1].clone();
            let from = &mut tables[from as usize - 1];
            *from = if from.id == to.id {
                refer_to_itself(from.clone(), columns, referenced)
            } else {
                refer(from.clone(), columns, &to, referenced)
            };
        }
        schema(tables)
    })
}

/// What is referred to, `id` and `a`, is unique.
fn rows() -> impl Strategy<Value = Data> {
    let value =
        || prop_oneof![5 => prop::sample::select(vec!["1", "2", "3", "4"]).prop_map(Some), 1 => Just(None)];
    let unique = |column: usize, rows: Vec<Row>| -> Vec<Row> {
        let mut seen = BTreeSet::new();
        let is_new = |row: &Row| row.get(column).is_none_or(|value| seen.insert(value.to_vec()));
        rows.into_iter().filter(is_new).collect()
    };
    let row = vec(value(), 4).prop_map(|values| crate::support::row(&values));
    vec(vec(row, 0..9), TABLES as usize).prop_map(move |tables| {
        let tables = tables.into_iter().map(|rows| unique(1, unique(0, rows)));
        (1..).map(RelationId).zip(tables).collect()
    })
}

/// A request that can be made of the schema: each choice takes the next number.
fn request(
    schema: &Schema,
    choices: &mut impl Iterator<Item = u8>,
    table: &Table,
    depth: usize,
) -> SelectDef {
    let mut include = Vec::new();
    if depth > 0 {
        let mut seen = BTreeSet::new();
        for other in schema.tables() {
            let keys =
                other.foreign_keys.iter().filter(|fk| fk.references == table.id).map(|fk| (fk, &**other));
            let own = table.foreign_keys.iter().filter(|fk| fk.references == other.id).map(|fk| (fk, table));
            for (fk, of) in keys.chain(own) {
                let names = names(of, fk);
                if choices.next().is_some_and(|n| n % 3 == 0)
                    && seen.insert((other.id, pairs(of, fk, other, table)))
                {
                    let mut child = request(schema, choices, other, depth - 1);
                    if relation(table, other, &names).0 && choices.next().is_some_and(|n| n % 2 == 0) {
                        child.where_clause = "this.a = '1'".into();
                    }
                    include.push(over(&names.iter().map(String::as_str).collect::<Vec<_>>(), child));
                }
            }
        }
    }
    select(&table.name, include)
}

/// Two keys that pair the same columns are one relation.
fn pairs(of: &Table, fk: &ForeignKey, other: &Table, table: &Table) -> BTreeSet<(String, String)> {
    let resolved = relation(table, other, &names(of, fk));
    let mut pairs: BTreeSet<(String, String)> =
        names(of, &resolved.1).into_iter().zip(resolved.1.referenced_columns).collect();
    pairs.insert((String::new(), resolved.0.to_string()));
    pairs
}

fn names(of: &Table, fk: &ForeignKey) -> Vec<String> {
    fk.columns.iter().map(|c| of.columns[*c].name.clone()).collect()
}

/// Whether it is one-to-many, and the key (spec 06 §2.5).
fn relation(parent: &Table, child: &Table, key: &[String]) -> (bool, ForeignKey) {
    let find = |from: &Table, to: &Table| {
        from.foreign_keys.iter().find(|fk| fk.references == to.id && names(from, fk) == key).cloned()
    };
    match find(child, parent) {
        Some(fk) => (true, fk),
        None => (false, find(parent, child).unwrap()),
    }
}

/// Whether a row refers to another by a key.
fn refers(fk: &ForeignKey, row: &Row, referenced: &Table, other: &Row) -> bool {
    fk.columns.iter().zip(&fk.referenced_columns).all(|(own, name)| {
        let value = row.get(*own);
        value.is_some() && value == other.get(referenced.column_index(name).unwrap())
    })
}

/// Why a row is visible: asked for by a select, come to by this include; or because another refers to it.
#[derive(Clone, Copy)]
enum Layer<'a> {
    Asked(&'a SelectDef, Option<(&'a Table, &'a RelationDef)>),
    Implied,
}

/// The definition, walked row by row; layers of the referential closure are not put together, and nothing is left out but what
/// the definition leaves out.
struct Walk<'a> {
    schema: &'a Schema,
    data: &'a Data,
    seen: BTreeSet<(usize, RelationId, usize)>,
    pending: Vec<(Layer<'a>, &'a Table, usize)>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, layer: Layer<'a>, table: &'a Table, at: usize) {
        let row = &self.data[&table.id][at];
        let owner = table.owner_column().and_then(|column| row.get(column));
        let asks = match layer {
            Layer::Asked(select, _) => select.where_clause.is_empty() || row.get(1) == Some(b"1"),
            Layer::Implied => true,
        };
        let name = match layer {
            Layer::Asked(select, _) => std::ptr::from_ref(select).addr(),
            Layer::Implied => 0,
        };
        if asks
            && owner.is_none_or(|owner| owner == USER.as_bytes())
            && self.seen.insert((name, table.id, at))
        {
            self.pending.push((layer, table, at));
        }
    }

    fn follow(&mut self, layer: Layer<'a>, table: &'a Table, at: usize) {
        let data = self.data;
        let row = &data[&table.id][at];
        let mut skipped: Vec<(RelationId, ForeignKey)> = Vec::new();
        if let Layer::Asked(select, from) = layer {
            if let Some((parent, include)) = from {
                let (is_many, fk) = relation(parent, table, &include.foreign_key);
                skipped.extend(is_many.then_some((parent.id, fk)));
            }
            for include in &select.include {
                let child_select = include.select.as_ref().unwrap();
                let child: &Table = self.schema.table_named(&child_select.table).unwrap();
                let (is_many, fk) = relation(table, child, &include.foreign_key);
                for (other, image) in data[&child.id].iter().enumerate() {
                    let tied =
                        if is_many { refers(&fk, image, table, row) } else { refers(&fk, row, child, image) };
                    if tied {
                        self.visit(Layer::Asked(child_select, Some((table, include))), child, other);
                    }
                }
                skipped.extend((!is_many).then_some((child.id, fk)));
            }
        }
        for fk in table.foreign_keys.iter().filter(|fk| !skipped.contains(&(fk.references, (*fk).clone()))) {
            let target: &Table = self.schema.table(fk.references).unwrap();
            for (other, image) in data[&target.id].iter().enumerate() {
                if refers(fk, row, target, image) {
                    self.visit(Layer::Implied, target, other);
                }
            }
        }
    }
}

fn by_definition(schema: &Schema, data: &Data, select: &SelectDef) -> Rows {
    let mut walk = Walk { schema, data, seen: BTreeSet::new(), pending: Vec::new() };
    let root = schema.table_named(&select.table).unwrap();
    for at in 0..data[&root.id].len() {
        walk.visit(Layer::Asked(select, None), root, at);
    }
    while let Some((layer, table, at)) = walk.pending.pop() {
        walk.follow(layer, table, at);
    }
    walk.seen.into_iter().map(|(_, relation, at)| (relation, at)).collect()
}

fn by_plan(plan: &Plan, data: &Data) -> Rows {
    let mut members: BTreeSet<(usize, usize)> = BTreeSet::new();
    loop {
        let before = members.len();
        for (number, layer) in plan.layers.iter().enumerate() {
            for (at, row) in data[&layer.table.id].iter().enumerate() {
                let is_linked = |link: &shapes::Link| {
                    let parent = &plan.layers[link.parent];
                    data[&parent.table.id].iter().enumerate().any(|(other, image)| {
                        members.contains(&(link.parent, other))
                            && link.parent_columns.iter().zip(&link.own_columns).all(|(theirs, own)| {
                                row.value(*own).is_some() && row.value(*own) == image.value(*theirs)
                            })
                    })
                };
                if layer.filter.matches(row) && (number == 0 || layer.links.iter().any(is_linked)) {
                    members.insert((number, at));
                }
            }
        }
        if members.len() == before {
            return members.into_iter().map(|(layer, at)| (plan.layers[layer].table.id, at)).collect();
        }
    }
}

fn reversed(select: &SelectDef) -> SelectDef {
    let include = select.include.iter().rev();
    let include = include.map(|relation| RelationDef {
        foreign_key: relation.foreign_key.clone(),
        select: relation.select.as_ref().map(reversed),
    });
    SelectDef { include: include.collect(), ..select.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn plans_select_what_the_definition_says(
        schema in schemas(),
        data in rows(),
        root in 1..=TABLES,
        is_filtered: bool,
        choices in vec(any::<u8>(), 0..60),
    ) {
        let root = schema.table(RelationId(root)).unwrap().clone();
        let mut select = request(&schema, &mut choices.into_iter(), &root, 3);
        if is_filtered {
            select.where_clause = "this.a = '1'".into();
        }
        let plan = shape(&select, &schema, USER).unwrap().plan;
        prop_assert_eq!(by_plan(&plan, &data), by_definition(&schema, &data, &select));

        prop_assert_eq!(&shape(&reversed(&select), &schema, USER).unwrap().plan, &plan);
        for (at, layer) in plan.layers.iter().enumerate() {
            prop_assert_eq!(layer.links.is_empty(), at == 0);
            let earlier = layer.links.iter().all(|link| link.parent < at);
            prop_assert!(layer.is_closure || at == 0 || (layer.links.len() == 1 && earlier));
        }
    }
}
