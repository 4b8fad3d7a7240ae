//! Signed notes, checkpoints, cosignatures and proof files (C2SP text formats).
