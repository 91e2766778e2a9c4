//! Tokens, keys and claims: who a client is.
