//! A plan as a graph works with it: tables, layers and links, each looked up once.

use change::RelationId;

use crate::{Direction, Key, Plan, Values};

use super::rows::Bits;

/// What is fixed about a graph.
pub(super) struct Layout {
    /// Sorted by relation.
    pub(super) tables: Vec<TableLayout>,
    /// As in the plan.
    pub(super) layers: Vec<LayerLayout>,
    /// All ways into layers.
    pub(super) ports: Vec<Port>,
    /// Indexes of `ports`: those of parent layers before those of the layers that they lead to, if no cycle forbids.
    pub(super) order: Vec<usize>,
}

/// A table that has layers.
pub(super) struct TableLayout {
    pub(super) relation: RelationId,
    /// Lists of columns by which rows are tied to others; the primary key first.
    pub(super) ties: Vec<Vec<usize>>,
    /// For each tie: whether rows are looked up by it.
    pub(super) is_indexed: Vec<bool>,
    /// Its layers; the place of each is its bit.
    pub(super) layers: Vec<usize>,
    /// Its layers' distinct filters: a layer that has it, and the bits of all that do.
    filters: Vec<(usize, Vec<usize>)>,
    /// Whether other rows refer to its rows.
    pub(super) is_target: bool,
}

/// A layer.
pub(super) struct LayerLayout {
    /// Index of the table.
    pub(super) table: usize,
    /// Its place among the table's layers.
    pub(super) bit: usize,
    /// Ways in.
    pub(super) ports: Vec<usize>,
    /// Links to the layers that hang on it.
    pub(super) outs: Vec<Out>,
    /// Whether it leads back to itself.
    pub(super) is_cyclic: bool,
}

/// A way into a layer: all its links with the same columns of its own table.
pub(super) struct Port {
    pub(super) layer: usize,
    /// Which columns, as a tie of the layer's table.
    pub(super) tie: usize,
    /// Whether at most one row has a value: the links are many-to-one.
    pub(super) is_unique: bool,
    /// Whether all rows that may come in are in the root, so that none has ever to be read.
    pub(super) is_complete: bool,
}

/// A link, seen from the parent layer.
pub(super) struct Out {
    /// Where it leads.
    pub(super) port: usize,
    /// The parent's columns, as a tie of its table.
    pub(super) tie: usize,
    pub(super) direction: Direction,
    /// Whether the port's layer leads back to the parent.
    pub(super) is_inner: bool,
}

impl Layout {
    /// A link to a layer that does not exist, or into the root, leads nowhere.
    pub(super) fn of(plan: &Plan) -> Layout {
        let tables = plan.relations().into_iter().map(TableLayout::new).collect();
        let mut layout = Layout { tables, layers: Vec::new(), ports: Vec::new(), order: Vec::new() };
        layout.add_layers(plan);
        layout.add_links(plan);
        layout
    }

    fn add_layers(&mut self, plan: &Plan) {
        for (at, layer) in plan.layers.iter().enumerate() {
            let Some(table) = self.table(layer.table.id) else { continue };
            let own = &mut self.tables[table];
            let bit = own.layers.len();
            own.layers.push(at);
            if own.ties.is_empty() {
                own.tie(&layer.table.primary_key);
            }
            match own.filters.iter_mut().find(|(other, _)| plan.layers[*other].filter == layer.filter) {
                Some((_, bits)) => bits.push(bit),
                None => own.filters.push((at, vec![bit])),
            }
            self.layers.push(LayerLayout {
                table,
                bit,
                ports: Vec::new(),
                outs: Vec::new(),
                is_cyclic: false,
            });
        }
    }

    fn add_links(&mut self, plan: &Plan) {
        let reach = reach(plan);
        for (at, layer) in plan.layers.iter().enumerate().skip(1) {
            self.layers[at].is_cyclic = reach[at][at];
            for link in &layer.links {
                if link.parent >= plan.layers.len() {
                    continue;
                }
                let port = self.port(plan, at, &link.own_columns, link.direction);
                let parent = self.layers[link.parent].table;
                let out = Out {
                    port,
                    tie: self.tables[parent].tie(&link.parent_columns),
                    direction: link.direction,
                    is_inner: reach[at][link.parent],
                };
                self.layers[link.parent].outs.push(out);
            }
        }
        // What leads to a layer leads to all that the layer leads to, and is one less, but in a cycle.
        let depth =
            |layer: usize| (0..reach.len()).filter(|from| *from == layer || reach[*from][layer]).count();
        self.order = (0..self.ports.len()).collect();
        self.order.sort_by_cached_key(|port| (depth(self.ports[*port].layer), *port));
    }

    fn port(&mut self, plan: &Plan, layer: usize, columns: &[usize], direction: Direction) -> usize {
        let table = &mut self.tables[self.layers[layer].table];
        let tie = table.tie(columns);
        table.is_indexed[tie] = true;
        table.is_target |= direction == Direction::ManyToOne;
        let is_unique = direction == Direction::ManyToOne;
        let known = self.layers[layer].ports.iter().copied().find(|port| {
            let port = &self.ports[*port];
            port.tie == tie && port.is_unique == is_unique
        });
        if let Some(port) = known {
            return port;
        }
        let (root, own) = (&plan.layers[0], &plan.layers[layer]);
        let is_complete =
            root.table.id == own.table.id && (root.filter.is_all() || root.filter == own.filter);
        self.ports.push(Port { layer, tie, is_unique, is_complete });
        self.layers[layer].ports.push(self.ports.len() - 1);
        self.ports.len() - 1
    }

    /// Index of a table.
    pub(super) fn table(&self, relation: RelationId) -> Option<usize> {
        self.tables.binary_search_by_key(&relation, |table| table.relation).ok()
    }

    /// The way into a layer by these columns of its table.
    pub(super) fn port_by(&self, layer: usize, columns: &[usize]) -> Option<usize> {
        let layer = self.layers.get(layer)?;
        let ties = &self.tables[layer.table].ties;
        layer.ports.iter().copied().find(|port| ties[self.ports[*port].tie] == columns)
    }
}

impl TableLayout {
    fn new(relation: RelationId) -> TableLayout {
        TableLayout {
            relation,
            ties: Vec::new(),
            is_indexed: Vec::new(),
            layers: Vec::new(),
            filters: Vec::new(),
            is_target: false,
        }
    }

    fn tie(&mut self, columns: &[usize]) -> usize {
        self.ties.iter().position(|tie| tie == columns).unwrap_or_else(|| {
            self.ties.push(columns.to_vec());
            self.is_indexed.push(false);
            self.ties.len() - 1
        })
    }

    /// The name-to-be of a row's key, into a buffer that is used again; whether it has one.
    pub(super) fn write_key<V: Values + ?Sized>(&self, row: &V, into: &mut Vec<u8>) -> bool {
        self.ties.first().is_some_and(|columns| Key::write(row, columns, into))
    }

    /// Of which of the table's layers a row passes the filter.
    pub(super) fn passes<V: Values + ?Sized>(&self, plan: &Plan, row: &V, into: &mut Bits) {
        into.clear(self.layers.len());
        for (layer, bits) in &self.filters {
            if plan.layers[*layer].filter.matches(row) {
                bits.iter().for_each(|bit| into.insert(*bit));
            }
        }
    }
}

/// `reach[a][b]`: whether rows of layer `a` bring rows into `b`, directly or through others.
fn reach(plan: &Plan) -> Vec<Vec<bool>> {
    let mut children = vec![Vec::new(); plan.layers.len()];
    for (at, layer) in plan.layers.iter().enumerate().skip(1) {
        for link in &layer.links {
            if let Some(of_parent) = children.get_mut(link.parent) {
                of_parent.push(at);
            }
        }
    }
    let from = |layer: usize| {
        let mut seen = vec![false; children.len()];
        let mut open = children[layer].clone();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(&children[at]);
            }
        }
        seen
    };
    (0..children.len()).map(from).collect()
}
