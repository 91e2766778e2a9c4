//! How a transaction's net changes are taken in, and how rows go that they leave without a parent.

use change::{Row, RowChange, Transaction};

use crate::{Direction, Key};

use super::{
    Graph, Purpose,
    layout::{Layout, Port},
    names::{NULL, Name},
    pass::{Nature, Pass},
    rows::Slot,
};

/// Rows that may have lost their last parent: layer and slot.
type Doubts = Vec<(usize, Slot)>;

impl Pass {
    /// Takes in a transaction's own rows, without any other.
    pub(super) fn over(graph: &mut Graph, transaction: &Transaction) -> Pass {
        let mut pass = Pass::new(graph, false);
        let (mut doubts, mut changed) = (Vec::new(), Vec::new());
        for change in &transaction.changes {
            let Some(table) = graph.layout.table(change.relation) else { continue };
            if let Some(old) = change.row.before() {
                pass.note_given_up(&graph.layout, table, old, change.row.after());
            }
            let slot = match &change.row {
                RowChange::Insert { new, .. } => pass.put(graph, table, new, Nature::Inserted, &mut doubts),
                RowChange::Update { old, new, .. } => {
                    let key = &graph.layout.tables[table].ties[0];
                    if key.iter().any(|column| old.get(*column) != new.get(*column)) {
                        pass.drop(graph, table, old, &mut doubts);
                    }
                    pass.put(graph, table, new, Nature::Changed, &mut doubts)
                }
                RowChange::Delete { old } => {
                    pass.drop(graph, table, old, &mut doubts);
                    None
                }
            };
            changed.extend(slot.map(|slot| (table, slot)));
        }
        let fallen = pass.settle(graph, doubts);
        pass.restore(graph, &fallen);
        for (table, slot) in changed {
            for bit in 0..graph.layout.tables[table].layers.len() {
                let layer = graph.layout.tables[table].layers[bit];
                pass.enter_if_held(graph, layer, slot);
            }
        }
        pass
    }

    /// Join values that rows no longer have may be inherited by rows with another key.
    fn note_given_up(&mut self, layout: &Layout, table: usize, old: &Row, new: Option<&Row>) {
        let table = &layout.tables[table];
        for out in table.layers.iter().flat_map(|layer| &layout.layers[*layer].outs) {
            // By its primary key a row is the same row.
            if out.direction == Direction::ManyToOne || out.tie == 0 {
                continue;
            }
            let columns = &table.ties[out.tie];
            if let Some(value) = Key::of(old, columns)
                && new.and_then(|new| Key::of(new, columns)).as_ref() != Some(&value)
            {
                self.given_up.insert((out.port, value));
            }
        }
    }

    /// Takes in a row as it is after the transaction. It leaves the layers whose filter it no longer passes, and enters none yet.
    /// Returns its slot, unless it can't be in any layer and nothing refers to it.
    fn put(
        &mut self,
        graph: &mut Graph,
        table: usize,
        row: &Row,
        nature: Nature,
        doubts: &mut Doubts,
    ) -> Option<Slot> {
        let Graph { plan, layout, names, tables, scratch, .. } = &mut *graph;
        let (own, rows) = (&layout.tables[table], &mut tables[table]);
        if !own.write_key(row, &mut scratch.key) {
            return None;
        }
        own.passes(plan, row, &mut scratch.passes);
        let known = names.find(&scratch.key).and_then(|name| rows.find(name));
        if known.is_none() && scratch.passes.is_empty() && !own.is_target {
            return None;
        }
        let slot = known.unwrap_or_else(|| rows.add(names.hold(&scratch.key)));
        self.touch(table, slot, rows).nature = nature;
        rows.set_passes(slot, &scratch.passes);
        for bit in 0..graph.layout.tables[table].layers.len() {
            let layer = graph.layout.tables[table].layers[bit];
            if graph.tables[table].is_in(slot, bit) && !graph.tables[table].passes(slot, bit) {
                self.leave(graph, layer, slot, doubts);
            }
        }
        for tie in 1..graph.layout.tables[table].ties.len() {
            let Graph { layout, names, scratch, .. } = &mut *graph;
            let columns = &layout.tables[table].ties[tie];
            let is_value = Key::write(row, columns, &mut scratch.key);
            let value = if is_value { names.hold(&scratch.key) } else { NULL };
            self.retie(graph, table, slot, tie, value, doubts);
        }
        Some(slot)
    }

    /// Takes a deleted row out of all layers.
    fn drop(&mut self, graph: &mut Graph, table: usize, row: &Row, doubts: &mut Doubts) {
        let Graph { layout, names, tables, scratch, .. } = &mut *graph;
        if !layout.tables[table].write_key(row, &mut scratch.key) {
            return;
        }
        let rows = &mut tables[table];
        let Some(slot) = names.find(&scratch.key).and_then(|name| rows.find(name)) else { return };
        self.touch(table, slot, rows).nature = Nature::Changed;
        scratch.passes.clear(layout.tables[table].layers.len());
        rows.set_passes(slot, &scratch.passes);
        for bit in 0..graph.layout.tables[table].layers.len() {
            let layer = graph.layout.tables[table].layers[bit];
            if graph.tables[table].is_in(slot, bit) {
                self.leave(graph, layer, slot, doubts);
            }
        }
        for tie in 1..graph.layout.tables[table].ties.len() {
            self.retie(graph, table, slot, tie, NULL, doubts);
        }
    }

    /// Gives a row another value, which is held for it already, in all layers that it is in.
    fn retie(
        &mut self,
        graph: &mut Graph,
        table: usize,
        slot: Slot,
        tie: usize,
        value: Name,
        doubts: &mut Doubts,
    ) {
        let old = graph.tables[table].set_value(slot, tie, value);
        if old != value {
            for bit in 0..graph.layout.tables[table].layers.len() {
                if graph.tables[table].is_in(slot, bit) {
                    let layer = graph.layout.tables[table].layers[bit];
                    self.move_supports(graph, layer, slot, tie, old, value, doubts);
                }
            }
        }
        graph.names.release(old);
    }

    /// What hung on a row of a layer by its old value now hangs on it by its new one. It itself may hang in the air.
    #[expect(clippy::too_many_arguments, reason = "a row's place in the graph takes that many")]
    fn move_supports(
        &mut self,
        graph: &mut Graph,
        layer: usize,
        slot: Slot,
        tie: usize,
        old: Name,
        new: Name,
        doubts: &mut Doubts,
    ) {
        for out in 0..graph.layout.layers[layer].outs.len() {
            let Graph { layout, names, supports, .. } = &mut *graph;
            let out = &layout.layers[layer].outs[out];
            if out.tie != tie {
                continue;
            }
            let (port, is_inner) = (out.port, out.is_inner);
            if new != NULL && supports[port].add(new, is_inner) {
                self.note_rise(names, out, new, Nature::Changed, Purpose::Bring);
            }
            self.withdraw(graph, port, old, is_inner, doubts);
        }
        let layout = &graph.layout;
        if layout.layers[layer].ports.iter().any(|port| layout.ports[*port].tie == tie) {
            doubts.push((layer, slot));
        }
    }

    /// Takes a row out of a layer.
    fn leave(&mut self, graph: &mut Graph, layer: usize, slot: Slot, doubts: &mut Doubts) {
        let (table, bit) = (graph.layout.layers[layer].table, graph.layout.layers[layer].bit);
        self.touch(table, slot, &graph.tables[table]);
        graph.tables[table].set_in(slot, bit, false);
        for out in 0..graph.layout.layers[layer].outs.len() {
            let out = &graph.layout.layers[layer].outs[out];
            let value = graph.tables[table].value(slot, out.tie);
            self.withdraw(graph, out.port, value, out.is_inner, doubts);
        }
    }

    /// A join value loses a parent. Rows that it may no longer keep are doubted.
    fn withdraw(&mut self, graph: &mut Graph, port: usize, value: Name, is_inner: bool, doubts: &mut Doubts) {
        if value == NULL {
            return;
        }
        let Graph { layout, tables, supports, .. } = graph;
        supports[port].remove(value, is_inner);
        let is_held = supports[port].is_held(value);
        if !is_held {
            self.note_turn(port, value, true);
        }
        let Port { layer, tie, .. } = layout.ports[port];
        let layer_of = &layout.layers[layer];
        let is_safe = if layer_of.is_cyclic { supports[port].is_anchored(value) } else { is_held };
        if is_safe {
            return;
        }
        let rows = &tables[layer_of.table];
        let mut at = rows.first(tie, value);
        while let Some(slot) = at {
            if rows.is_in(slot, layer_of.bit) {
                doubts.push((layer, slot));
            }
            at = rows.next(tie, slot);
        }
    }

    /// Takes out all doubted rows that have no parent left, and so on. In a cycle, rows go that only rows of the cycle keep: they
    /// are returned, as they may prove to hang on one that stays.
    fn settle(&mut self, graph: &mut Graph, mut doubts: Doubts) -> Doubts {
        let mut fallen = Vec::new();
        while let Some((layer, slot)) = doubts.pop() {
            let Graph { layout, tables, supports, .. } = &*graph;
            let (at, rows) = (&layout.layers[layer], &tables[layout.layers[layer].table]);
            let is_kept = at.ports.iter().any(|port| {
                let value = rows.value(slot, layout.ports[*port].tie);
                if at.is_cyclic { supports[*port].is_anchored(value) } else { supports[*port].is_held(value) }
            });
            if is_kept || !rows.is_in(slot, at.bit) {
                continue;
            }
            if at.is_cyclic {
                fallen.push((layer, slot));
            }
            self.leave(graph, layer, slot, &mut doubts);
        }
        fallen
    }

    /// Lets rows of cycles in again that have a parent after all. What hangs on them follows.
    fn restore(&mut self, graph: &mut Graph, fallen: &Doubts) {
        for (layer, slot) in fallen {
            self.enter_if_held(graph, *layer, *slot);
        }
    }

    /// Lets a known row in where it belongs: the root takes what passes, other layers what has a parent, too.
    fn enter_if_held(&mut self, graph: &mut Graph, layer: usize, slot: Slot) {
        let Graph { layout, tables, supports, .. } = &*graph;
        let (at, rows) = (&layout.layers[layer], &tables[layout.layers[layer].table]);
        let is_held = |port: &usize| supports[*port].is_held(rows.value(slot, layout.ports[*port].tie));
        let belongs = rows.passes(slot, at.bit) && (layer == 0 || at.ports.iter().any(is_held));
        if belongs && !rows.is_in(slot, at.bit) {
            self.enter(graph, layer, slot, Purpose::Bring);
        }
    }
}
