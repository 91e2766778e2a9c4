//! Waking the thread that writes.

use std::{
    sync::atomic::{AtomicBool, Ordering, fence},
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

/// What somebody wishes of the thread that writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Make everything durable now.
    pub(crate) flush: bool,
    /// The same, so that memory can be given back.
    pub(crate) press: bool,
    /// The segment is damaged: begin another.
    pub(crate) leave: bool,
    /// The write-ahead log goes on in this timeline.
    pub(crate) timeline: Option<u32>,
    /// Make everything durable, and end.
    pub(crate) stop: bool,
}

/// One waits, any number ring.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    wish: Mutex<Wish>,
    condition: Condvar,
    /// Nothing is to be done: the next thing to do has to ring.
    idle: AtomicBool,
    /// Memory is wanted, and that was said.
    pressed: AtomicBool,
}

impl Bell {
    /// There is something to write. Costs nothing if the thread is busy: it looks again by itself.
    pub(crate) fn ring(&self) {
        // What there is to do was made visible before this; see `wait`.
        fence(Ordering::SeqCst);
        if self.idle.load(Ordering::Relaxed) {
            let _wish = self.wish.lock();
            self.condition.notify_one();
        }
    }

    /// Memory is wanted. Said once, until [`Bell::relieve`].
    pub(crate) fn press(&self) {
        if !self.pressed.swap(true, Ordering::Relaxed) {
            self.ask(|wish| wish.press = true);
        }
    }

    /// Memory was given back.
    pub(crate) fn relieve(&self) {
        self.pressed.store(false, Ordering::Relaxed);
    }

    /// Wishes something.
    pub(crate) fn ask(&self, wish: impl FnOnce(&mut Wish)) {
        wish(&mut self.wish.lock());
        self.condition.notify_one();
    }

    /// Waits for a wish, or until a moment; without one, until there is work.
    pub(crate) fn wait(&self, until: Option<Instant>, has_work: impl Fn() -> bool) -> Wish {
        let mut wish = self.wish.lock();
        loop {
            if *wish != Wish::default() {
                return std::mem::take(&mut wish);
            }
            match until {
                Some(until) => {
                    if self.condition.wait_until(&mut wish, until).timed_out() {
                        return std::mem::take(&mut wish);
                    }
                }
                None => {
                    // Either this sees the work, or whoever made it sees that this is idle and rings; it gets the lock
                    // only when this waits.
                    self.idle.store(true, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    let work = has_work();
                    if !work {
                        self.condition.wait(&mut wish);
                    }
                    self.idle.store(false, Ordering::Relaxed);
                    if work || has_work() {
                        return std::mem::take(&mut wish);
                    }
                }
            }
        }
    }
}
