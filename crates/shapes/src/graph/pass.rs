//! A step of a graph, as its driver sees it: reads that are wanted, rows that are handed in, and what came of it.

use std::collections::BTreeSet;

use hashbrown::{HashMap, hash_map::Entry};

use crate::{Direction, Key, Values};

use super::{
    Delta, Graph, Moved, Purpose, Taken, Want, WantedRows,
    layout::Out,
    names::{NULL, Name, Names},
    rows::{Rows, Slot},
};

/// A step of a graph: from nothing to the rows there are ([`Graph::fill`]), or over one transaction ([`Graph::apply`]). Rows that are
/// neither known nor in the transaction have to be read; the step asks for them, and goes on when it has them.
#[derive(Debug)]
pub struct Pass {
    pub(super) is_fill: bool,
    /// Whether the root's rows have to be asked for yet.
    root_is_due: bool,
    /// Rows of a transaction, and rows that entered or left a layer, by table. Not kept while filling.
    pub(super) touched: HashMap<(usize, Slot), Touched>,
    /// Join values that gained their first parent and have to be looked into yet.
    pub(super) rises: Vec<Rise>,
    /// For each port: values whose rows have to be asked for yet.
    due: Vec<Due>,
    /// Join values, by port, that gained their first parent or lost their last: whether all their rows are known, because
    /// they had a parent before or have been asked for since. Not kept while filling.
    pub(super) is_known: HashMap<(usize, Name), bool>,
    /// Join values, by port, that rows had before the transaction and gave up, other than by their primary key: a row that the
    /// transaction inserts may find others hanging on its value.
    pub(super) given_up: BTreeSet<(usize, Key)>,
    has_additional: bool,
}

/// What is remembered of a row for the length of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touched {
    /// Whether it was in the shape.
    pub(super) was: bool,
    pub(super) nature: Nature,
}

/// What the transaction did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Unchanged,
    Inserted,
    Changed,
}

/// A join value has its first parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise {
    pub(super) port: usize,
    pub(super) value: Name,
    /// What the parent belongs to the pass for, and so do known rows that hang on it.
    pub(super) purpose: Purpose,
    /// What unknown rows are read for; `None` if there can't be any.
    pub(super) read: Option<Purpose>,
}

/// Values to ask for.
#[derive(Clone, Debug, Default)]
struct Due {
    /// For the transaction itself; these come first.
    bring: Vec<Name>,
    /// For all else.
    later: Vec<Name>,
}

impl Pass {
    pub(super) fn new(graph: &Graph, is_fill: bool) -> Pass {
        Pass {
            is_fill,
            root_is_due: is_fill && !graph.layout.layers.is_empty(),
            touched: HashMap::new(),
            rises: Vec::new(),
            due: vec![Due::default(); graph.layout.ports.len()],
            is_known: HashMap::new(),
            given_up: BTreeSet::new(),
            has_additional: false,
        }
    }

    pub(super) fn filling(graph: &Graph) -> Pass {
        Pass::new(graph, true)
    }

    /// The next read that is needed; `None` once there is nothing more to ask for.
    ///
    /// Before this is called again, all rows of the read have to be handed in. A read may be split by its values. No value
    /// of a link is asked for twice in a pass, nor one whose rows are known.
    pub fn next(&mut self, graph: &mut Graph) -> Option<Want> {
        if std::mem::take(&mut self.root_is_due) {
            return Some(Want { layer: 0, rows: WantedRows::All, purpose: Purpose::Fill });
        }
        loop {
            while let Some(rise) = self.rises.pop() {
                self.spread(graph, rise);
            }
            let (port, purpose, names) = self.take_due(&graph.layout.order)?;
            let mut values = Vec::new();
            for name in names {
                // The row may be known by another layer, or may have come in since.
                if graph.layout.ports[port].is_unique && self.adopt(graph, port, name, purpose) {
                    continue;
                }
                values.push(graph.names.key(name).clone());
            }
            if values.is_empty() {
                continue;
            }
            self.has_additional |= purpose == Purpose::Additional;
            let port = &graph.layout.ports[port];
            let columns = graph.layout.tables[graph.layout.layers[port.layer].table].ties[port.tie].clone();
            return Some(Want { layer: port.layer, rows: WantedRows::With { columns, values }, purpose });
        }
    }

    /// Values of one port to ask for, parents' layers first, so that as much as possible goes into one read.
    fn take_due(&mut self, order: &[usize]) -> Option<(usize, Purpose, Vec<Name>)> {
        let later = if self.is_fill { Purpose::Fill } else { Purpose::Additional };
        let bring = order.iter().find(|port| !self.due[**port].bring.is_empty());
        if let Some(port) = bring {
            return Some((*port, Purpose::Bring, std::mem::take(&mut self.due[*port].bring)));
        }
        let port = order.iter().find(|port| !self.due[**port].later.is_empty())?;
        Some((*port, later, std::mem::take(&mut self.due[*port].later)))
    }

    /// Puts a value on the list of those to ask for.
    pub(super) fn ask_for(&mut self, port: usize, value: Name, purpose: Purpose) {
        let due = &mut self.due[port];
        match purpose {
            Purpose::Bring => due.bring.push(value),
            Purpose::Fill | Purpose::Additional => due.later.push(value),
        }
    }

    /// A row that the read `want` returned.
    ///
    /// Rows that the layer does not have, or has already, are fine; what is handed in of rows that are known is not looked at.
    pub fn take<V: Values + ?Sized>(&mut self, graph: &mut Graph, want: &Want, row: &V) -> Taken {
        let Graph { plan, layout, names, tables, supports, scratch } = &mut *graph;
        let Some(layer) = layout.layers.get(want.layer) else { return Taken::Out };
        let port = match &want.rows {
            WantedRows::All if want.layer == 0 => None,
            WantedRows::All => return Taken::Out,
            WantedRows::With { columns, .. } => match layout.port_by(want.layer, columns) {
                Some(port) => Some(port),
                None => return Taken::Out,
            },
        };
        let (table, rows) = (&layout.tables[layer.table], &mut tables[layer.table]);
        if !table.write_key(row, &mut scratch.key) {
            return Taken::Out;
        }
        if let Some(slot) = names.find(&scratch.key).and_then(|name| rows.find(name)) {
            if rows.is_in(slot, layer.bit) {
                return Taken::Known;
            }
            let is_held = |port: usize| supports[port].is_held(rows.value(slot, layout.ports[port].tie));
            if !rows.passes(slot, layer.bit) || !port.is_none_or(is_held) {
                return Taken::Out;
            }
            self.enter(graph, want.layer, slot, want.purpose);
            return Taken::Known;
        }
        table.passes(plan, row, &mut scratch.passes);
        if !scratch.passes.contains(layer.bit) {
            return Taken::Out;
        }
        if let (Some(port), WantedRows::With { columns, .. }) = (port, &want.rows) {
            let mut value = Vec::new();
            let is_held = Key::write(row, columns, &mut value)
                && names.find(&value).is_some_and(|value| supports[port].is_held(value));
            if !is_held {
                return Taken::Out;
            }
        }
        let slot = rows.add(names.hold(&scratch.key));
        rows.set_passes(slot, &scratch.passes);
        for (tie, columns) in table.ties.iter().enumerate().skip(1) {
            if Key::write(row, columns, &mut scratch.key) {
                rows.set_value(slot, tie, names.hold(&scratch.key));
            }
        }
        self.enter(graph, want.layer, slot, want.purpose);
        Taken::New
    }

    /// Ends the pass, after [`Pass::next`] has returned `None`: the graph is at the new position.
    ///
    /// After [`Graph::fill`] the delta is empty: the graph's members are what has come in.
    #[must_use]
    pub fn finish(self, graph: &mut Graph) -> Delta {
        let mut moved = Vec::new();
        for ((table, slot), touched) in self.touched {
            let now = graph.tables[table].is_in_any(slot);
            if touched.was != now || now && touched.nature != Nature::Unchanged {
                let key = graph.names.key(graph.tables[table].value(slot, 0)).clone();
                let relation = graph.layout.tables[table].relation;
                moved.push(Moved { relation, key, was: touched.was, now });
            }
            if !now {
                graph.forget(table, slot);
            }
        }
        moved.sort_unstable_by(|a, b| (a.relation, &a.key).cmp(&(b.relation, &b.key)));
        graph.names.sweep();
        if self.is_fill || graph.names.is_roomy() {
            graph.names.shrink();
        }
        graph.tables.iter_mut().filter(|rows| self.is_fill || rows.is_roomy()).for_each(Rows::shrink);
        Delta { rows: moved, has_additional: self.has_additional }
    }

    /// Remembers a row as it is before it first enters or leaves a layer.
    pub(super) fn touch(&mut self, table: usize, slot: Slot, rows: &Rows) -> &mut Touched {
        self.touched
            .entry((table, slot))
            .or_insert_with(|| Touched { was: rows.is_in_any(slot), nature: Nature::Unchanged })
    }

    /// Notes that a join value gained its first parent or lost its last.
    pub(super) fn note_turn(&mut self, port: usize, value: Name, was_held: bool) {
        if !self.is_fill
            && let Entry::Vacant(entry) = self.is_known.entry((port, value))
        {
            entry.insert(was_held);
        }
    }

    /// Notes that a row that belongs to the pass for a purpose is the first parent of a value.
    pub(super) fn note_rise(
        &mut self,
        names: &Names,
        out: &Out,
        value: Name,
        nature: Nature,
        purpose: Purpose,
    ) {
        self.note_turn(out.port, value, false);
        // A row of the transaction belongs into it by whatever way it became visible.
        let purpose = if nature == Nature::Unchanged { purpose } else { Purpose::Bring };
        let read = match (purpose, out.direction) {
            (Purpose::Fill, _) => Some(Purpose::Fill),
            (_, Direction::ManyToOne) => Some(purpose),
            // What refers to a row that did not exist has been written together with it or is yet to come.
            (_, Direction::OneToMany) if nature == Nature::Inserted => {
                let is_taken_over = !self.given_up.is_empty()
                    && self.given_up.contains(&(out.port, names.key(value).clone()));
                is_taken_over.then_some(Purpose::Additional)
            }
            (_, Direction::OneToMany) => Some(Purpose::Additional),
        };
        self.rises.push(Rise { port: out.port, value, purpose, read });
    }
}

impl Graph {
    /// Drops a row that is in no layer.
    fn forget(&mut self, table: usize, slot: Slot) {
        let rows = &mut self.tables[table];
        for tie in 1..self.layout.tables[table].ties.len() {
            self.names.release(rows.set_value(slot, tie, NULL));
        }
        rows.remove(slot);
        self.names.release(rows.value(slot, 0));
    }
}
