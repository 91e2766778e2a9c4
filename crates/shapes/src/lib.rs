//! Shape definitions and membership: which rows a client is to have.
