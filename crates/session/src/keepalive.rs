//! Whether the peer is still there (spec 02 §2.4).

use crate::Millis;

/// Looks once per interval whether anything arrived; pings if not, gives up if twice not. What is sent to the peer is no
/// sign that it lives, so a stream in one direction only does not stop the pings.
#[derive(Debug)]
pub(crate) struct Keepalive {
    next: Millis,
    heard: bool,
    pinged: bool,
}

/// What to do about the peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    Ping,
    Dead,
}

impl Keepalive {
    pub(crate) fn new(now: Millis, interval: Millis) -> Keepalive {
        Keepalive { next: now.saturating_add(interval), heard: false, pinged: false }
    }

    /// Anything arrived.
    pub(crate) fn heard(&mut self) {
        self.heard = true;
        self.pinged = false;
    }

    /// When to look next.
    pub(crate) fn deadline(&self) -> Millis {
        self.next
    }

    pub(crate) fn look(&mut self, now: Millis, interval: Millis) -> Verdict {
        if now < self.next {
            return Verdict::Alive;
        }
        self.next = now.saturating_add(interval.max(1));
        match (std::mem::take(&mut self.heard), self.pinged) {
            (true, _) => Verdict::Alive,
            (false, false) => {
                self.pinged = true;
                Verdict::Ping
            }
            (false, true) => Verdict::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_pinged_then_given_up_and_any_sign_of_life_starts_over() {
        let mut peer = Keepalive::new(0, 20);
        assert_eq!(peer.look(19, 20), Verdict::Alive);
        assert_eq!(peer.look(20, 20), Verdict::Ping);
        peer.heard();
        assert_eq!(peer.look(40, 20), Verdict::Alive);
        assert_eq!(peer.look(60, 20), Verdict::Ping);
        assert_eq!(peer.look(79, 20), Verdict::Alive, "not before a whole interval has passed");
        assert_eq!(peer.look(80, 20), Verdict::Dead);
    }
}
