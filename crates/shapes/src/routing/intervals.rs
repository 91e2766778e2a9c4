//! Ranges, found by a value that lies in them.

use std::{
    cmp::Ordering,
    hash::{BuildHasher, RandomState},
};

use super::{
    bounds::{High, Low},
    members::Members,
};
use crate::clause::Value;

/// An interval tree: a binary search tree ordered by lower, then upper end, in which each node knows the greatest upper end below it.
/// It is kept balanced as a treap. Finding the k ranges around a value takes O(log n + k log n), adding and removing one O(log n).
pub(super) struct Intervals<T> {
    root: Tree<T>,
    priorities: Priorities,
}

type Tree<T> = Option<Box<Node<T>>>;

struct Node<T> {
    low: Low,
    high: High,
    members: Members<T>,
    /// Of this node and all below it.
    highest: High,
    /// Not less than that of any node below.
    priority: u64,
    left: Tree<T>,
    right: Tree<T>,
}

/// Numbers that nobody can foresee, so that nobody can unbalance the tree.
#[derive(Default)]
struct Priorities {
    state: RandomState,
    drawn: u64,
}

impl Priorities {
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.state.hash_one(self.drawn)
    }
}

impl<T> Default for Intervals<T> {
    fn default() -> Intervals<T> {
        Intervals { root: None, priorities: Priorities::default() }
    }
}

impl<T: Ord> Intervals<T> {
    pub fn insert(&mut self, low: Low, high: High, who: T) {
        let priority = self.priorities.draw();
        self.root = Some(insert(self.root.take(), low, high, who, priority));
    }

    pub fn remove(&mut self, low: &Low, high: &High, who: &T) {
        self.root = remove(self.root.take(), low, high, who);
    }

    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Everyone whose range the value lies in.
    pub fn around(&self, value: &Value, found: &mut impl FnMut(&T)) {
        around(&self.root, value, found);
    }
}

impl<T> Node<T> {
    fn order(&self, low: &Low, high: &High) -> Ordering {
        low.cmp(&self.low).then_with(|| high.cmp(&self.high))
    }

    /// To be called when what is below has changed.
    fn update(&mut self) {
        let below = [&self.left, &self.right].into_iter().flatten().map(|node| &node.highest);
        let highest = below.fold(&self.high, Ord::max).clone();
        self.highest = highest;
    }
}

fn insert<T: Ord>(tree: Tree<T>, low: Low, high: High, who: T, priority: u64) -> Box<Node<T>> {
    let Some(mut node) = tree else {
        let mut members = Members::default();
        members.insert(who);
        let highest = high.clone();
        return Box::new(Node { low, high, members, highest, priority, left: None, right: None });
    };
    match node.order(&low, &high) {
        Ordering::Equal => node.members.insert(who),
        Ordering::Less => {
            let child = insert(node.left.take(), low, high, who, priority);
            let rises = child.priority > node.priority;
            node.left = Some(child);
            if rises {
                return turn_right(node);
            }
        }
        Ordering::Greater => {
            let child = insert(node.right.take(), low, high, who, priority);
            let rises = child.priority > node.priority;
            node.right = Some(child);
            if rises {
                return turn_left(node);
            }
        }
    }
    node.update();
    node
}

/// The left child comes to stand above its parent.
fn turn_right<T>(mut node: Box<Node<T>>) -> Box<Node<T>> {
    if let Some(mut child) = node.left.take() {
        node.left = child.right.take();
        node.update();
        child.right = Some(node);
        child.update();
        return child;
    }
    node.update();
    node
}

/// The right child comes to stand above its parent.
fn turn_left<T>(mut node: Box<Node<T>>) -> Box<Node<T>> {
    if let Some(mut child) = node.right.take() {
        node.right = child.left.take();
        node.update();
        child.left = Some(node);
        child.update();
        return child;
    }
    node.update();
    node
}

fn remove<T: Ord>(tree: Tree<T>, low: &Low, high: &High, who: &T) -> Tree<T> {
    let mut node = tree?;
    match node.order(low, high) {
        Ordering::Equal => {
            node.members.remove(who);
            if node.members.is_empty() {
                return join(node.left.take(), node.right.take());
            }
        }
        Ordering::Less => node.left = remove(node.left.take(), low, high, who),
        Ordering::Greater => node.right = remove(node.right.take(), low, high, who),
    }
    node.update();
    Some(node)
}

/// One tree of two, all of the first before all of the second.
fn join<T>(left: Tree<T>, right: Tree<T>) -> Tree<T> {
    match (left, right) {
        (Some(mut left), Some(right)) if left.priority >= right.priority => {
            left.right = join(left.right.take(), Some(right));
            left.update();
            Some(left)
        }
        (left @ Some(_), Some(mut right)) => {
            right.left = join(left, right.left.take());
            right.update();
            Some(right)
        }
        (one, other) => one.or(other),
    }
}

fn around<T: Ord>(tree: &Tree<T>, value: &Value, found: &mut impl FnMut(&T)) {
    let Some(node) = tree else { return };
    if !node.highest.admits(value) {
        return;
    }
    around(&node.left, value, found);
    if node.low.admits(value) {
        if node.high.admits(value) {
            node.members.each(found);
        }
        around(&node.right, value, found);
    }
}
