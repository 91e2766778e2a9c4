//! Conflict resolution: tags, observed-remove rows, last-writer-wins columns.
