//! The one place where a shared value becomes known: [`Engine::open`] and [`Engine::open_bit`].
//!
//! Every opening is named by an [`Opening`] and asked of the job's ledger first; what the job did
//! not declare is not opened.

use std::fmt;

use paripassu_crypto::{ring64, share::Shares};

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec,
};

/// Everything that this crate ever opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// One bit: whether the last step of a pass was below the tolerance.
    Converged {
        /// The pass, from 1.
        pass: u32,
    },
    /// One bit: whether the loss on the validation rows is below the least so far.
    Improved {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// One bit: whether any training row's score lies outside the range of the sigmoid; of a network with rectifiers,
    /// whether anything of the test rows does.
    RangeExceeded,
    /// One bit: whether a network's weights, and what was looked at of an epoch's last batch, lie within their range.
    WithinRange {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// The coefficients of one party's columns, to that party.
    Coefficients {
        /// Position of the party.
        party: u8,
    },
    /// The standard errors of the coefficients of one party's columns, to that party.
    StandardErrors {
        /// Position of the party.
        party: u8,
    },
    /// One bit a bin of one party's columns: whether it has enough rows of both labels.
    BinsEnough {
        /// Position of the party.
        party: u8,
    },
    /// Bad rows of each bin of one party's columns, to the label holder.
    BinBads {
        /// Position of the party.
        party: u8,
    },
    /// The information value of each of one party's columns, whose counts stay shared, to the label holder.
    Information {
        /// Position of the party.
        party: u8,
    },
    /// One bit for each of one party's columns of numbers: whether the share of bads never falls or never rises, to
    /// the label holder.
    Monotone {
        /// Position of the party.
        party: u8,
    },
    /// Two bits a pair of columns: whether they correlate too much and the first, or the second, tells more of the label.
    Correlated,
    /// One bit a column of those left: whether its variance inflation is the largest and above the limit; and one
    /// whether the inverse behind it is one.
    Inflated {
        /// The round, from 1.
        round: u32,
    },
    /// The variance inflation of each of one party's columns that stay, to that party.
    Inflation {
        /// Position of the party.
        party: u8,
    },
    /// The correlations of different parties' columns.
    Correlations,
    /// One bit a column of those left: whether it leaves the model.
    Leaving {
        /// The step, from 1.
        step: u32,
    },
    /// The sum of the probabilities of bad that declined applicants are given, to the label holder.
    InferredBads,
    /// The coefficients of one party's columns in the fit of accepted applicants alone, to that party.
    KnownCoefficients {
        /// Position of the party.
        party: u8,
    },
    /// Scores of rows by that fit, to the label holder.
    KnownScores,
    /// Good rows of each bin of one party's columns, where some rows are neither good nor bad, to the label holder.
    BinGoods {
        /// Position of the party.
        party: u8,
    },
    /// One bit a column that is not in the model: whether it enters.
    Entering {
        /// The step, from 1.
        step: u32,
    },
    /// Which epochs or passes of an aborted job's training each party still holds.
    HeldPoints,
    /// The loss of a trial on the rows that it left out.
    TrialLoss {
        /// The trial, from 0.
        trial: u32,
    },
    /// How many columns of all parties a trial's L1 penalty leaves in.
    TrialColumns {
        /// The trial, from 0.
        trial: u32,
    },
    /// Scores of rows, summed over the parties, to the label holder.
    Scores,
    /// Codes of the other party's reasons by row, to the label holder.
    Reasons,
    /// A sum over all banks of a horizontal job.
    Sum(crate::horizontal::SumOf),
}

/// Who learns an opened value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receivers {
    /// All data parties.
    All,
    /// The data party at this position.
    One(u8),
}

impl fmt::Display for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all data parties"),
            Self::One(p) => write!(f, "party-{p}"),
        }
    }
}

/// The ledger of declared openings: refuses what the job did not declare, records the rest.
pub trait Openings: Send {
    /// Records that `values` values are about to be opened.
    ///
    /// # Errors
    /// If the job does not declare it, or not as often or not to these receivers.
    fn record(
        &mut self,
        opening: Opening,
        receivers: Receivers,
        values: usize,
    ) -> Result<(), Abort>;

    /// Records an opening that is sure to come, so that others can countersign it in the meantime; it must be
    /// [recorded](Self::record) with the same words when it happens. By default nothing is recorded before then.
    ///
    /// # Errors
    /// As [`Self::record`].
    fn announce(&mut self, _: Opening, _: Receivers, _values: usize) -> Result<(), Abort> {
        Ok(())
    }

    /// Announces that bits of these kinds may be opened to all data parties, these first: others then countersign many
    /// at once, in the meantime. Each that is opened must be [recorded](Self::record) for itself. Nothing is done where
    /// such bits are announced already. By default nothing is recorded.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn foresee(&mut self, _next: &[Opening]) -> Result<(), Abort> {
        Ok(())
    }
}

impl<C: Channel, S> Engine<C, S> {
    /// Announces an opening to the ledger, before the work that comes before it.
    ///
    /// # Errors
    /// If the ledger refuses.
    pub(crate) fn announce(
        &mut self,
        opening: Opening,
        receivers: Receivers,
        values: usize,
    ) -> Result<(), Abort> {
        self.ledger().announce(opening, receivers, values)
    }

    /// Announces bits that may be opened, to the ledger.
    ///
    /// # Errors
    /// If the ledger cannot write.
    pub(crate) fn foresee(&mut self, next: &[Opening]) -> Result<(), Abort> {
        self.ledger().foresee(next)
    }

    /// Records something that this party itself tells the receivers.
    ///
    /// # Errors
    /// If the ledger refuses.
    pub(crate) fn told(&mut self, opening: Opening, receivers: Receivers) -> Result<(), Abort> {
        self.ledger().record(opening, receivers, 1)
    }

    /// Opens shared values to `receivers`. At a party that is no receiver the result is empty.
    ///
    /// # Leakage
    /// The values, to the receivers: declared as `opening`.
    ///
    /// # Errors
    /// If the ledger refuses, or the channel's.
    pub async fn open(
        &mut self,
        shares: Shares,
        opening: Opening,
        receivers: Receivers,
    ) -> Result<Vec<u64>, Abort> {
        self.ledger().record(opening, receivers, shares.len())?;
        let body = codec::put_words(shares.words());
        let got = match receivers {
            Receivers::All => self.broadcast("open", body).await?,
            Receivers::One(p) => {
                let name = self.name("open");
                let to = Role::Party(p);
                if usize::from(p) != self.me() {
                    self.at_step().send(to, &name, body).await?;
                    return Ok(Vec::new());
                }
                let peers: Vec<Role> = self.at_step().peers().collect();
                let got = self.at_step().swap(&name, Vec::new(), &peers).await?;
                peers.into_iter().zip(got).collect()
            }
        };
        let mut sum = shares.words().to_vec();
        for (from, body) in got {
            let theirs = codec::take_words(&body, sum.len(), from, self.path())?;
            ring64::add_assign(&mut sum, &theirs);
        }
        Ok(sum)
    }

    /// Opens bits, each held as exclusive-or shares in a word of its own, to all data parties.
    ///
    /// # Leakage
    /// The bits: declared as `opening`.
    ///
    /// # Errors
    /// If the ledger refuses, or the channel's.
    pub(crate) async fn open_bits(
        &mut self,
        mut bits: Vec<u64>,
        opening: Opening,
    ) -> Result<Vec<bool>, Abort> {
        self.ledger().record(opening, Receivers::All, bits.len())?;
        let got = self.broadcast("open-bits", codec::put_words(&bits)).await?;
        for (from, body) in got {
            let theirs = codec::take_words(&body, bits.len(), from, self.path())?;
            if theirs.iter().any(|b| *b > 1) {
                return Err(Abort::Malformed {
                    from,
                    step: self.path().to_owned(),
                    problem: "a bit's share is 0 or 1".into(),
                });
            }
            bits.iter_mut().zip(theirs).for_each(|(a, b)| *a ^= b);
        }
        Ok(bits.into_iter().map(|b| b == 1).collect())
    }

    /// Opens words that are held as exclusive-or shares to party 0; elsewhere the result is empty.
    ///
    /// # Leakage
    /// The words, to party 0: declared as `opening`.
    ///
    /// # Errors
    /// If the ledger refuses, or the channel's.
    pub(crate) async fn open_to_first(
        &mut self,
        mut words: Vec<u64>,
        opening: Opening,
    ) -> Result<Vec<u64>, Abort> {
        let to = Receivers::One(0);
        self.ledger().record(opening, to, words.len())?;
        let name = self.name("open-words");
        if self.me() != 0 {
            let body = codec::put_words(&words);
            self.at_step().send(Role::Party(0), &name, body).await?;
            return Ok(Vec::new());
        }
        let peers: Vec<Role> = self.at_step().peers().collect();
        let got = self.at_step().swap(&name, Vec::new(), &peers).await?;
        for (from, body) in peers.into_iter().zip(got) {
            let theirs = codec::take_words(&body, words.len(), from, self.path())?;
            words.iter_mut().zip(theirs).for_each(|(a, b)| *a ^= b);
        }
        Ok(words)
    }

    /// Opens one bit, held as exclusive-or shares, to all data parties.
    ///
    /// # Leakage
    /// The bit: declared as `opening`.
    ///
    /// # Errors
    /// If the ledger refuses, or the channel's.
    pub(super) async fn open_bit(&mut self, bit: bool, opening: Opening) -> Result<bool, Abort> {
        self.ledger().record(opening, Receivers::All, 1)?;
        let got = self
            .broadcast("open-bit", codec::put_words(&[bit.into()]))
            .await?;
        let mut sum = bit;
        for (from, body) in got {
            let theirs = codec::take_words(&body, 1, from, self.path())?;
            match theirs[..] {
                [b @ (0 | 1)] => sum ^= b == 1,
                _ => {
                    return Err(Abort::Malformed {
                        from,
                        step: self.path().to_owned(),
                        problem: "a bit's share is 0 or 1".into(),
                    });
                }
            }
        }
        Ok(sum)
    }
}
