//! Timelines: Postgres begins another one whenever a standby is promoted or a backup is recovered to a moment of its past.
//! Positions of the log mean the same on both only up to where the older one was left.

use change::Lsn;

/// The timeline that a server is on, and those that it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timelines {
    /// The present one.
    pub present: u32,
    /// Earlier ones, each with the position where it was left.
    past: Vec<(u32, Lsn)>,
}

impl Timelines {
    /// The first timeline of a cluster, or one of whose past nothing is known.
    #[must_use]
    pub fn without_past(present: u32) -> Timelines {
        Timelines { present, past: Vec::new() }
    }

    /// Reads what `TIMELINE_HISTORY` answers: a line for each earlier timeline, with its number, the position where it was left, and
    /// the reason. Lines of another form are passed over.
    #[must_use]
    pub fn parse(present: u32, history: &str) -> Timelines {
        let line = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        Timelines { present, past: history.lines().filter_map(line).collect() }
    }

    /// Up to where a timeline's log is part of the present one's; `None` if it is not an ancestor.
    #[must_use]
    pub fn shared_with(&self, timeline: u32) -> Option<Lsn> {
        if timeline == self.present {
            return Some(Lsn(u64::MAX));
        }
        self.past.iter().find(|(ancestor, _)| *ancestor == timeline).map(|(_, left_at)| *left_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_history_file_says_where_each_timeline_was_left() {
        let text = "1\t0/A000060\tno recovery target specified\n# a note\n\n2\t1/B000000\tbefore 2026-11-22 10:00:00\n";
        let timelines = Timelines::parse(3, text);
        assert_eq!(timelines.shared_with(1), Some(Lsn(0x0A00_0060)));
        assert_eq!(timelines.shared_with(2), Some(Lsn(0x0001_0B00_0000)));
        assert_eq!(timelines.shared_with(3), Some(Lsn(u64::MAX)));
        assert_eq!(timelines.shared_with(4), None);
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in "\\PC*", timeline: u32) {
            let _ = Timelines::parse(7, &text).shared_with(timeline);
        }
    }
}
