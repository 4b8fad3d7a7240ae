//! Every number that planning and checking rest on, in one place, so that they can be recalibrated.
//!
//! Byte counts follow from the protocols and change only with them. Rates and memory are measured on
//! two shared virtual cores and are meant to be on the careful side; nothing depends on them but the
//! estimates that `job plan` prints.

use std::ops::RangeInclusive;

use crate::decimal::Decimal;

// ---- what a specification may say ------------------------------------------------------------

/// Most data parties whose customers a job matches.
pub const MAX_MATCHED_PARTIES: usize = 5;
/// What a row may weigh at most, class weight and column together.
pub const MAX_ROW_WEIGHT: f64 = 64.0;
/// Fewest banks in a horizontal job.
pub const MIN_BANKS: usize = 3;
/// Most banks in a horizontal job.
pub const MAX_BANKS: usize = 200;
/// Most levels of one category that a horizontal job may list.
pub const MAX_LEVELS: usize = 1_024;
/// Most columns one party may list.
pub const MAX_COLUMNS: usize = 1_024;
/// Longest column name, in bytes.
pub const MAX_COLUMN_NAME: usize = 128;
/// Longest canonical contract, in bytes.
pub const MAX_CONTRACT_BYTES: usize = 1 << 20;
/// Longest `job.toml`, in bytes.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// Allowed `align.min_matched`, in rows.
pub const MIN_MATCHED: RangeInclusive<u64> = 10..=1_000_000_000;
/// Allowed `align.size_step`: a power of two.
pub const SIZE_STEP: RangeInclusive<u64> = 256..=ALIGN_FRAME_ITEMS;
/// Allowed `split.test_tenths`.
pub const TEST_TENTHS: RangeInclusive<u64> = 1..=9;
/// Allowed `design.rare_level_rows`.
pub const RARE_LEVEL_ROWS: RangeInclusive<u64> = 1..=1_000_000;
/// Allowed `binning.fine_bins`.
pub const FINE_BINS: RangeInclusive<u64> = 2..=100;
/// Allowed `binning.max_bins`.
pub const MAX_BINS: RangeInclusive<u64> = 2..=50;
/// Allowed `binning.min_share`.
pub const MIN_BIN_SHARE: RangeInclusive<f64> = 0.0..=0.5;
/// Allowed `binning.min_class`.
pub const MIN_BIN_CLASS: RangeInclusive<u64> = 0..=10_000;
/// Allowed `binning.min_iv`.
pub const MIN_IV: RangeInclusive<f64> = 0.0..=10.0;
/// Largest `binning.noise_rows`.
pub const MAX_BIN_NOISE: u64 = 1_000;
/// Most special values of a column.
pub const MAX_SPECIAL_VALUES: usize = 16;
/// Most edges of a column.
pub const MAX_EDGES: usize = 99;
/// Columns of fine bins, of so many rows, that are counted together: their words are at most this many.
pub const BIN_BLOCK_WORDS: u64 = 1 << 24;
/// Largest `binning.max_vif`, which leaves out nothing.
pub const MAX_VIF: f64 = 1_000_000.0;
/// Chi-square below which neighbours are merged: the 95 % point with one degree of freedom.
pub const CHI_STOP: f64 = 3.841;
/// Share of the information value there is that another cut of a tree must add.
pub const TREE_STOP: f64 = 0.1;
/// Fine bins hold at least this part of `binning.min_share`.
pub const FINE_SHARE: f64 = 0.25;
/// Allowed `selection.max_correlation`.
pub const SELECTION_CORRELATION: RangeInclusive<f64> = 0.1..=0.999;
/// Allowed `selection.max_vif`.
pub const SELECTION_VIF: RangeInclusive<f64> = 1.1..=1_000.0;
/// Most design columns of all parties that are selected from.
pub const SELECTION_COLUMNS: u32 = 512;
/// Words of other parties' columns that are correlated with a party's at a time.
pub const SELECTION_BLOCK_WORDS: u64 = 1 << 22;
/// The least eigenvalue of what is inverted for variance inflation, as a power of two below one.
pub const SELECTION_LEAST_LOG2: u32 = 14;
/// Allowed `model.l2`. A category gives one column per level, so the columns of one category add up to
/// a constant: without a penalty the coefficients are not determined.
pub const L2: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// Allowed `model.l1`.
pub const L1: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// Allowed `solver.max_passes`.
pub const MAX_PASSES: RangeInclusive<u64> = 1..=60;
/// The same of accelerated steps.
pub const MAX_ACCELERATED_PASSES: RangeInclusive<u64> = 1..=1_000;
/// Allowed `solver.tolerance`, on standardised coefficients.
pub const TOLERANCE: RangeInclusive<f64> = 1e-7..=0.1;
/// The same of accelerated steps: what they move by is compared at 2^-28.
pub const ACCELERATED_TOLERANCE: RangeInclusive<f64> = 1e-6..=0.1;
/// Allowed `solver.epochs`.
pub const EPOCHS: RangeInclusive<u64> = 2..=1_000;
/// Allowed `solver.link.mbit_per_s`.
pub const LINK_MBIT_PER_S: RangeInclusive<u64> = 1..=100_000;
/// Allowed `solver.link.round_trip_ms`.
pub const LINK_ROUND_TRIP_MS: RangeInclusive<u64> = 0..=2_000;
/// Allowed `solver.batch`.
pub const BATCH: RangeInclusive<u64> = 64..=65_536;
/// Allowed `solver.rate`.
pub const BATCH_RATE: RangeInclusive<f64> = 0.01..=2.0;
/// Allowed `solver.momentum`.
pub const BATCH_MOMENTUM: RangeInclusive<f64> = 0.0..=0.95;
/// Allowed `solver.seed`.
pub const BATCH_SEED: RangeInclusive<u64> = 0..=1 << 53;
/// Allowed `solver.range` of mini-batches.
pub const BATCH_RANGES: [u32; 5] = [8, 12, 16, 24, 32];
/// Allowed `solver.range`, the half width R of the sigmoid series.
pub const RANGES: [u32; 4] = [8, 16, 32, 64];
/// Allowed `solver.terms`.
pub const TERMS: RangeInclusive<u64> = 4..=96;
/// Allowed `solver.hessian_rows`.
pub const HESSIAN_ROWS: RangeInclusive<u64> = 256..=HESSIAN_MAX_ROWS;
/// Allowed `outputs.scores.step`, a power of two, on the log-odds scale.
pub const SCORE_STEP: RangeInclusive<f64> = 0.000_015_258_789_062_5..=1.0;
/// Allowed `limits.message_deadline_s`.
pub const MESSAGE_DEADLINE_S: RangeInclusive<u64> = 1..=3_600;
/// Allowed `outputs.scores.max_rows`.
pub const SCORED_ROWS: RangeInclusive<u64> = 1..=1_000_000_000;
/// Allowed `retention.results_days`.
pub const RESULTS_DAYS: RangeInclusive<u64> = 1..=3_650;
/// Allowed `limits.job_deadline_s`.
pub const JOB_DEADLINE_S: RangeInclusive<u64> = 10..=604_800;

// ---- defaults ---------------------------------------------------------------------------------

/// Most keys of `align.fallback`.
pub const MAX_FALLBACK_KEYS: usize = 4;
/// Default of `align.min_matched`.
pub const DEFAULT_MIN_MATCHED: u64 = 100;
/// Default of `horizontal.min_rows`.
pub const DEFAULT_MIN_ROWS: u64 = 100;
/// Default of `split.test_tenths`.
pub const DEFAULT_TEST_TENTHS: u64 = 3;
/// Default of `design.rare_level_rows`.
pub const DEFAULT_RARE_LEVEL_ROWS: u64 = 20;
/// Default of `model.l2`.
pub const DEFAULT_L2: Decimal = Decimal::literal(1.0);
/// Default of `solver.max_passes`.
pub const DEFAULT_MAX_PASSES: u64 = 20;
/// The same of accelerated steps.
pub const DEFAULT_MAX_ACCELERATED_PASSES: u64 = 600;
/// Default of `solver.tolerance`.
pub const DEFAULT_TOLERANCE: Decimal = Decimal::literal(2e-5);
/// Default of `outputs.scores.step`: 2^-10 of log-odds.
pub const DEFAULT_SCORE_STEP: Decimal = Decimal::literal(0.000_976_562_5);
/// Default of `limits.message_deadline_s`.
pub const DEFAULT_MESSAGE_DEADLINE_S: u64 = 60;
/// Default of `limits.job_deadline_s`.
pub const DEFAULT_JOB_DEADLINE_S: u64 = 3_600;

// ---- the sigmoid series and the solver --------------------------------------------------------

/// Half widths R of the sigmoid series that `auto` tries, in this order.
pub const AUTO_RANGES: [u32; 3] = [16, 32, 64];
/// The same of mini-batches.
pub const AUTO_BATCH_RANGES: [u32; 2] = [16, 32];
/// Terms of the series of mini-batches: three quarters of R make it exact to 4e-4.
pub fn batch_terms(range: u32) -> u32 {
    3 * range / 4
}
/// Rows of the scores that mini-batches look at in the end: a 16th, at least 8,192.
pub fn looked_at_of_batches(rows: u64) -> u64 {
    rows.div_ceil(16).max(8_192).min(rows)
}
/// Most rows, and most columns of all batches, of all passes by mini-batches whose masks are made together.
pub const BATCH_AHEAD: u64 = 1 << 22;
/// Most columns of all batches of a pass.
pub const MOST_BATCH_COLUMNS: u64 = 1 << 26;
/// Steps below which a plan says that mini-batches end further from the optimum.
pub const FEW_BATCHES: u64 = 80;
/// Terms K of the series by half width R: five quarters of R make it exact to 3e-6; at R = 8 its own
/// end, where sigma is not yet 1, limits it to 5e-5.
pub const TERMS_BY_RANGE: [(u32, u32); 4] = [(8, 12), (16, 20), (32, 40), (64, 80)];
/// Least terms while steps are large, where three quarters of K are taken.
pub const COARSE_MIN_TERMS: u32 = 6;
/// Least rows of the Hessian's subsample.
pub const HESSIAN_MIN_ROWS: u64 = 32_768;
/// Most rows of a Hessian.
pub const HESSIAN_MAX_ROWS: u64 = 1 << 17;
/// Most bits of headroom for a Hessian of a sample.
pub const HESSIAN_MAX_HEADROOM: u32 = 4;
/// Most bits of headroom for weights of rows.
pub const ROW_WEIGHT_MAX_HEADROOM: f64 = 4.0;
/// Least rows of the Hessian's subsample per design column.
pub const HESSIAN_ROWS_PER_COLUMN: u64 = 64;
/// Passes at full precision that share a Hessian.
pub const FINE_PASSES_PER_HESSIAN: u64 = 4;
/// Passes that share a Hessian while steps are large, where it is made of a sample; else each has its own.
pub const COARSE_PASSES_PER_SAMPLED_HESSIAN: u64 = 3;
/// The inverse is begun at a multiple of the identity and reaches eigenvalues of two to minus this, less a
/// bit for each of the Hessian's headroom.
pub const INVERSE_LEAST_LOG2: u32 = 13;
/// Iterations of a pass for an L1 penalty and signs.
pub const PROXIMAL_STEPS: u64 = 24;
/// Passes that Newton usually needs while steps are large.
pub const USUAL_COARSE_PASSES: u64 = 7;
/// Passes that Newton usually needs at full precision; where their number is fixed, exactly so many.
pub const FINE_PASSES: u64 = 3;
/// Accelerated passes after which a bit says whether training has settled.
pub const ACCELERATED_PASSES_PER_BIT: u64 = 4;
/// Of a fixed number of accelerated passes, the last part that is at full precision.
pub const ACCELERATED_FINE_PART: u64 = 4;
/// Mbit/s of the link that is assumed where the job names none.
pub const COMPARED_MBIT_PER_S: f64 = 1_000.0;
/// Its round trip, in milliseconds.
pub const COMPARED_RTT_MS: f64 = 1.0;
/// First passes of a fit that begins at the label party's own, after which it is not asked whether training has settled.
pub const UNASKED_PASSES: u64 = 2;
/// Projections of `I - H Y` by which an inverse on shares is judged.
pub const INVERSE_PROJECTIONS: u64 = 64;
/// Passes that a second fit usually needs, begun where one without declined applicants has ended: while steps are large, and at
/// full precision.
pub const USUAL_SECOND_PASSES: (u64, u64) = (4, 2);
/// Passes that accelerated steps are expected to need at most, if columns have no long tails, on so many design columns: while steps are large, and at full precision.
pub fn usual_accelerated_passes(columns: u64) -> (u64, u64) {
    let all = (40 + columns / 2).min(400).next_multiple_of(8);
    (all / 2, all / 2)
}
/// Passes that Newton usually needs.
pub const USUAL_PASSES: u64 = USUAL_COARSE_PASSES + FINE_PASSES;
/// Most passes whose masks the helper makes together.
pub const MAX_PASSES_AHEAD: u64 = 4;
/// Most rows of all passes whose masks the helper makes together.
pub const MAX_ROWS_AHEAD: u64 = 1 << 22;
/// Points that a federated Newton fit usually looks at.
pub const NEWTON_SUMS: u64 = 10;

/// The same where it begins at the mean of the banks' own models.
pub const NEWTON_SUMS_FROM_MODELS: u64 = 7;
/// Sums on the way to a median: 64 bits, six at a time.
pub const QUANTILE_SUMS: u32 = 11;
/// Most design columns of one party, the intercept included.
pub const MAX_DESIGN_COLUMNS: u64 = 4_096;
/// Most training rows: with more, residuals do not fit their fixed point.
pub const MAX_TRAIN_ROWS: u64 = 1 << 25;

/// Terms of the series of a network's hidden layers, and of its output.
pub const NETWORK_HIDDEN_TERMS: u64 = 6;
/// See [`NETWORK_HIDDEN_TERMS`].
pub const NETWORK_OUTPUT_TERMS: u64 = 40;
/// Bytes of correlations that a rectifier takes for a value.
pub const RELU_BYTES: u64 = 160;
/// Rows of a network at a time that are looked at only: watched or scored.
pub const LOOKED_AT_ROWS: u64 = 2_048;
/// Words in a message of masked features.
pub const FEATURE_CHUNK: u64 = 1 << 16;

/// The number of terms K for a half width R.
pub fn terms_for_range(range: u32) -> u32 {
    let [.., (_, most)] = TERMS_BY_RANGE;
    TERMS_BY_RANGE
        .iter()
        .find(|(limit, _)| range <= *limit)
        .map_or(most, |(_, terms)| *terms)
}

/// The number of terms while steps are large, for K terms at the end.
pub fn coarse_terms(terms: u32) -> u32 {
    (terms * 3 / 4).max(COARSE_MIN_TERMS).min(terms)
}

/// Rows of the Hessian's subsample for this many training rows and design columns, in the first range
/// tried; the others take all training rows.
pub fn hessian_rows(train_rows: u64, columns: u64) -> u64 {
    HESSIAN_MIN_ROWS
        .max(HESSIAN_ROWS_PER_COLUMN.saturating_mul(columns))
        .min(HESSIAN_MAX_ROWS)
        .min(train_rows)
}

/// Rows of Hessians while steps are large: half of a sample or 64 for each column, if that is more, else all.
pub fn coarse_hessian_rows(hessian_rows: u64, train_rows: u64, columns: u64) -> u64 {
    match hessian_rows < train_rows {
        true => hessian_rows.min((hessian_rows / 2).max(HESSIAN_ROWS_PER_COLUMN * columns)),
        false => train_rows,
    }
}

/// Passes whose masks the helper makes together, for so many training rows.
pub fn passes_ahead(train_rows: u64) -> u64 {
    (MAX_ROWS_AHEAD / train_rows.max(1)).clamp(1, MAX_PASSES_AHEAD)
}

// ---- bytes ------------------------------------------------------------------------------------

/// A ring word.
pub const WORD: u64 = 8;
/// Items in a frame of the alignment, and the step in which sizes of sets are told: default of `align.size_step`.
pub const ALIGN_FRAME_ITEMS: u64 = 16_384;
/// Random items among a party's own, at least.
pub const ALIGN_MIN_PADDING: u64 = 64;
/// A masked id on its way out.
pub const ALIGN_ITEM: u64 = 32;
/// A doubly masked id on its way back.
pub const ALIGN_RETURN: u64 = 16;
/// Agreement before the alignment and comparison after it.
pub const ALIGN_FIXED: u64 = 218;
/// Bytes with which a party announces its frames to the helper.
pub const ALIGN_ANNOUNCED: u64 = 4;
/// Bytes at most with which a party tells another what it holds of an aborted job's match.
pub const ALIGN_HELD: u64 = 16 * 36;
/// A digest, or a seed.
pub const DIGEST: u64 = 32;
/// Epochs or passes at most of a training on shares that a party holds, and tells the others of.
pub const POINTS_HELD: u64 = 3;
/// Agreement before an alignment by vector-OLE and comparison after it: versions, steps, least number,
/// session and commitment; a nonce; a size; three digests and a number.
pub const ALIGN_VOLE_FIXED: u64 = (16 + 2 * 32) + 32 + 4 + (3 * 32 + 8);
/// A nonce, a commitment or a digest of one bucket of it.
pub const ALIGN_VOLE_HASH: u64 = 32;
/// A word about rows in training by mini-batches, modulo 2^40.
pub const NARROW_WORD: u64 = 5;
/// Of these, words of a matrix in one message.
pub const NARROW_CHUNK: u64 = 209_712;
/// The phase of a masked score.
pub const PHASE: u64 = 4;
/// Words of a dealt sine and cosine, per row and term.
pub const SERIES_WORDS: u64 = 2;
/// Rows of the sigmoid series per message.
pub const SERIES_ROWS: u64 = 32_768;
/// A request to the helper.
pub const REQUEST: u64 = 40;
/// One party's part of one test score.
pub const SCORE: u64 = 8;
/// What two parties besides the label party exchange to mask their parts.
pub const SCORE_SEED: u64 = 32;
/// A summary of metrics, about.
pub const METRICS: u64 = 930;

// ---- rounds: a message to wait for before the next can be sent ---------------------------------

/// Alignment: agree, masked ids, doubly masked ids, compare; frames do not wait for one another.
pub const ALIGN_ROUNDS: u64 = 4;
/// Alignment by vector-OLE: commit, toss, sizes; base transfers and columns with their check (4); seed
/// with its check (2); trees, challenge, proof, table, outputs, what was found; compare. Buckets travel
/// one behind the other.
pub const ALIGN_VOLE_ROUNDS: u64 = 16;

// ---- rates of one node, per second: helper and parties work largely in turn --------------------

/// Cores of a node that times are estimated for.
pub const CORES: f64 = 2.0;
/// Ids masked, own or the other's, per core with AVX-512 IFMA and all else an alignment does; a core
/// without it masks about 18,000.
pub const ALIGN_MASKS_PER_S: f64 = 130_000.0;
/// Items of either set in an alignment by vector-OLE, per core.
pub const ALIGN_VOLE_ITEMS_PER_S: f64 = 900_000.0;
/// Multiply-adds in the ring.
pub const RING_MACS_PER_S: f64 = 1.5e9;
/// Terms of the sigmoid series.
pub const SERIES_TERMS_PER_S: f64 = 5.0e7;
/// Terms of mini-batches, made and dealt.
pub const BATCH_TERMS_PER_S: f64 = 1.0e8;
/// Multiply-adds of mini-batches, in words of 40 bits.
pub const NARROW_MACS_PER_S: f64 = 3.0e9;
/// Bytes of expanded seeds.
pub const PRG_BYTES_PER_S: f64 = 1.5e9;
/// What the first step of a job takes before its first frame, in seconds: the job's keys, reading the data set, and the
/// beginning countersigned by all.
pub const BEGIN_S: f64 = 0.25;
/// What a round takes beside the network: sealing, relaying, waking up, in seconds.
pub const ROUND_S: f64 = 0.000_5;
/// What an opening takes beside the network: every member writes it down to disk and countersigns, in seconds.
pub const COUNTERSIGN_S: f64 = 0.04;
/// Share of a link's bandwidth left after TLS, framing and sealing.
pub const LINK_EFFICIENCY: f64 = 0.8;

// ---- memory -----------------------------------------------------------------------------------

/// A node without a job, in bytes.
pub const NODE_MEMORY: u64 = 36 << 20;
/// What any job adds: its keys, tasks, ledger and transcript, in bytes.
pub const JOB_MEMORY: u64 = 8 << 20;
/// Most frames in flight, in bytes.
pub const FRAMES_MEMORY: u64 = 32 << 20;
/// An own id before it is sent, its tag, and a peer's tag, while aligning, in bytes.
pub const ALIGN_MEMORY: [u64; 3] = [52, 20, 16];
/// Most of each of these in memory; the rest goes to a temporary file.
pub const ALIGN_MEMORY_BUDGET: [u64; 3] = [128 << 20, 64 << 20, 64 << 20];
/// By vector-OLE: an own id's hash with room to grow, in bytes.
pub const ALIGN_VOLE_MEMORY: u64 = 40;
/// Most of these in memory; the rest goes to a temporary file.
pub const ALIGN_VOLE_MEMORY_BUDGET: u64 = 128 << 20;
/// An item of a bucket in flight: table, trees and outputs, in bytes.
pub const ALIGN_VOLE_BUCKET_ITEM: u64 = 200;
/// Most buckets in flight of it, in bytes.
pub const ALIGN_VOLE_BUCKETS_MEMORY: u64 = 96 << 20;
/// A common row while aligning, in bytes.
pub const ALIGN_MEMORY_PER_MATCH: u64 = 4;
/// A feature as its owner multiplies it, in fixed point.
pub const STORED_FEATURE: u64 = 4;
/// Words of work space per training row, at every role.
pub const WORK_WORDS_PER_ROW: u64 = 12;

/// Share of rows to approve in an evaluation, by default.
pub const DEFAULT_APPROVE: Decimal = Decimal::literal(0.8);
/// Resamples of bootstrap intervals, by default.
pub const DEFAULT_RESAMPLES: u64 = 1000;
/// Least rows of a group in a fairness table, by default.
pub const DEFAULT_FAIRNESS_ROWS: u64 = 100;
/// Least ratio of approval rates in a fairness table, by default.
pub const DEFAULT_LEAST_RATIO: Decimal = Decimal::literal(0.8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_has_its_terms() {
        assert_eq!(RANGES.map(terms_for_range), [12, 20, 40, 80]);
        assert_eq!(
            [4, 6, 10, 12, 20, 40, 80].map(coarse_terms),
            [4, 6, 7, 9, 15, 30, 60]
        );
        assert!(AUTO_RANGES.iter().all(|range| RANGES.contains(range)));
    }

    #[test]
    fn hessian_subsample_is_bounded_by_the_data() {
        assert_eq!(hessian_rows(700, 50), 700);
        assert_eq!(hessian_rows(100_000, 100), 32_768);
        assert_eq!(hessian_rows(100_000, 1_200), 76_800);
        assert_eq!(coarse_hessian_rows(32_768, 100_000, 100), 16_384);
        assert_eq!(coarse_hessian_rows(32_768, 100_000, 300), 19_200);
        assert_eq!(coarse_hessian_rows(700, 700, 20), 700);
        assert_eq!([700, 1 << 21, 1 << 25].map(passes_ahead), [4, 2, 1]);
    }
}
