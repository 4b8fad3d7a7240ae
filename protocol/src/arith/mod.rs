//! Gates over shares: the one place where values are multiplied, cut, compared and opened.
//!
//! Every gate is written once, for any number of parties, over a
//! [`CorrelationSource`](crate::correlation::CorrelationSource). Adversary: all parties and the
//! source passive; up to all but one party may pool what they see, if the source joins none of
//! them. What a party sees of a gate is uniformly random: every word that is sent is masked with a
//! word used once.

mod ahead;
mod descent;
mod engine;
mod entrywise;
pub(crate) mod inverse;
mod lift;
mod matmul;
mod open;
mod owner;
pub(crate) mod positive;
mod refresh;
pub(crate) mod sign;
mod sine;
mod truncate;
mod weighted;

pub use ahead::Ahead;
pub(crate) use descent::CHUNK as NARROW_CHUNK;
pub use descent::{Batch, Entries, NarrowMatrix, Passes, Updates};
pub use engine::Engine;
pub use inverse::Inverted;
pub use open::{Opening, Openings, Receivers};
pub use owner::{Operand, OwnerMatrix};
pub use sine::{Precision, SigmoidSpec};
pub use weighted::WeightedRows;

#[cfg(test)]
mod tests;
