//! How rows come in: what hangs on a row that has entered a layer, and so on, until nothing new is found.

use super::{
    Graph, Purpose,
    names::{NULL, Name},
    pass::{Nature, Pass, Rise},
    rows::Slot,
};

impl Pass {
    /// Puts a row into a layer that it is not in, and counts it as a parent of whatever hangs on it there.
    pub(super) fn enter(&mut self, graph: &mut Graph, layer: usize, slot: Slot, purpose: Purpose) {
        let Graph { layout, names, tables, supports, .. } = graph;
        let layer = &layout.layers[layer];
        let rows = &mut tables[layer.table];
        let nature =
            if self.is_fill { Nature::Unchanged } else { self.touch(layer.table, slot, rows).nature };
        rows.set_in(slot, layer.bit, true);
        for out in &layer.outs {
            let value = rows.value(slot, out.tie);
            if value != NULL && supports[out.port].add(value, out.is_inner) {
                self.note_rise(names, out, value, nature, purpose);
            }
        }
    }

    /// Lets in the known rows that have a value whose first parent has come, and asks for those that are not known.
    pub(super) fn spread(&mut self, graph: &mut Graph, rise: Rise) {
        let Rise { port, value, purpose, read } = rise;
        if !graph.supports[port].is_held(value) {
            return;
        }
        self.adopt(graph, port, value, purpose);
        let Some(read) = read else { return };
        if graph.layout.ports[port].is_complete {
            return;
        }
        if !self.is_fill && self.is_known.insert((port, value), true) == Some(true) {
            return;
        }
        self.ask_for(port, value, read);
    }

    /// Lets in the known rows that have a value. Whether there are any that have it, let in or not.
    pub(super) fn adopt(&mut self, graph: &mut Graph, port: usize, value: Name, purpose: Purpose) -> bool {
        let (layer, tie) = (graph.layout.ports[port].layer, graph.layout.ports[port].tie);
        let (table, bit) = (graph.layout.layers[layer].table, graph.layout.layers[layer].bit);
        let first = graph.tables[table].first(tie, value);
        let mut at = first;
        while let Some(slot) = at {
            let rows = &graph.tables[table];
            at = rows.next(tie, slot);
            if rows.passes(slot, bit) && !rows.is_in(slot, bit) {
                self.enter(graph, layer, slot, purpose);
            }
        }
        first.is_some()
    }
}
