"""A silo as a process of its own: it owns model, data and ledger, and listens on a Unix socket."""
