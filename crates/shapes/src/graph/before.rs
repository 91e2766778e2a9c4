//! What was in the shape before a pass, while it is under way.

use change::RelationId;

use crate::Key;

use super::{Graph, pass::Pass, rows::Slot};

impl Pass {
    /// Whether a row was in the shape before the pass. What [`Graph::holds`] says is neither here nor there while one is under way.
    #[must_use]
    pub fn held(&self, graph: &Graph, relation: RelationId, key: &Key) -> bool {
        let slot = || {
            let table = graph.layout.table(relation)?;
            let slot = graph.tables[table].find(graph.names.find(key.as_bytes())?)?;
            self.was_in(graph, table, slot).then_some(())
        };
        slot().is_some()
    }

    /// All rows that were in the shape before the pass, each once, in no order.
    pub fn members<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = (RelationId, &'a Key)> {
        graph.layout.tables.iter().enumerate().zip(&graph.tables).flat_map(move |((at, table), rows)| {
            let members = rows.slots().filter(move |slot| self.was_in(graph, at, *slot));
            members.map(|slot| (table.relation, graph.names.key(rows.value(slot, 0))))
        })
    }

    /// A row stays known until the pass is finished, so whatever was in the shape has a slot.
    fn was_in(&self, graph: &Graph, table: usize, slot: Slot) -> bool {
        if self.is_fill {
            return false;
        }
        match self.touched.get(&(table, slot)) {
            Some(touched) => touched.was,
            None => graph.tables[table].is_in_any(slot),
        }
    }
}
