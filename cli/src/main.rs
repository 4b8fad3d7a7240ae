//! The paripassu command.

fn main() {}
