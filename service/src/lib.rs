//! Shared by the nodes: TLS, identity, transport, stores.
