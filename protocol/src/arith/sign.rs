//! Comparison: are all of many shared values negative? One bit is opened, nothing else.
//!
//! For x in lanes of w bits and a mask rho with dealt bits, c = x + rho is opened. The sign of
//! x = c - rho is `top(c) ^ top(rho) ^ borrow`, with borrow = (c's low bits < rho's low bits).
//! The comparison of public c with shared rho is a parallel-prefix tree over bit pairs
//! (lt, eq): `lt = lt_hi ^ (eq_hi & lt_lo)`, `eq = eq_hi & eq_lo`, log2(w) levels, all lanes of
//! all words at once, also of lanes of several widths; then an AND tree over all lanes. Every opening is masked
//! by dealt bits. All correlations of a comparison are asked for at its beginning: a level is one round.
//! Source: the prefix comparison of Damgård et al. (TCC 2006, section 6) on bits dealt as in
//! ePrint 2020/338 (extended doubly-authenticated bits), without the authentication.

use paripassu_crypto::share::Shares;
use zeroize::Zeroizing;

use super::{engine::Engine, open::Opening};
use crate::{
    abort::Abort,
    channel::Channel,
    codec,
    correlation::{CorrelationSource, Request},
};

/// Words of lanes of 16, 32 or 64 bits that are compared with zero.
struct Lanes {
    words: Vec<u64>,
    bits: u32,
}

impl Lanes {
    fn whole(values: &Shares) -> Self {
        Self {
            words: values.words().to_vec(),
            bits: 64,
        }
    }

    /// Values below 2^31 units, two in a word.
    fn halves(values: &Shares) -> Self {
        let word = |pair: &[u64]| {
            let [low, high] = [0, 1].map(|i| pair.get(i).copied().unwrap_or(0));
            high << 32 | low & u64::from(u32::MAX)
        };
        Self {
            words: values.words().chunks(2).map(word).collect(),
            bits: 32,
        }
    }

    /// Each value's top bits less `limit`, and those of its negative, at the party that comes `first`.
    fn within(values: &Shares, limit: u16, first: bool) -> Self {
        Self::each_within(values.words().iter().map(|w| (*w, limit)), first)
    }

    /// The same of values with a limit each.
    fn each_within(values: impl Iterator<Item = (u64, u16)>, first: bool) -> Self {
        let mut lanes: Vec<u16> = Vec::with_capacity(2 * values.size_hint().0);
        for (w, limit) in values {
            let limit = if first { limit } else { 0 };
            let v = (w >> 48) as u16;
            lanes.push(v.wrapping_sub(limit));
            lanes.push(v.wrapping_neg().wrapping_sub(limit));
        }
        // lanes that only fill up the last word are -1: negative
        let filler = if first { u16::MAX } else { 0 };
        lanes.resize(lanes.len().next_multiple_of(4), filler);
        let words = lanes
            .chunks_exact(4)
            .map(|l| l.iter().rev().fold(0, |w, x| w << 16 | u64::from(*x)))
            .collect();
        Self { words, bits: 16 }
    }
}

/// Words of all conjunctions that make one bit of the top bits of all lanes, of `bits` bits at least.
fn joined(mut words: usize, bits: u32) -> Vec<usize> {
    let mut all = Vec::new();
    while words > 1 {
        all.push(words / 2);
        words = words.div_ceil(2);
    }
    all.extend((bits.ilog2()..6).map(|_| 1));
    all
}

/// Words that each level of a comparison concerns: those of lanes wider than its shift, the first ones.
fn levels(lanes: &[Lanes]) -> Vec<usize> {
    (0..6)
        .map(|level| {
            let wider = lanes.iter().take_while(|l| l.bits > 1 << level);
            wider.map(|l| l.words.len()).sum()
        })
        .take_while(|words| *words > 0)
        .collect()
}

/// Lane-wise sum of two words of lanes of 16, 32 or 64 bits.
pub(crate) fn add_lanes(a: u64, b: u64, lane: u32) -> u64 {
    if lane == 64 {
        return a.wrapping_add(b);
    }
    let top = top_mask(lane);
    // add without the top bits so that nothing carries out of a lane, then put them back
    ((a & !top).wrapping_add(b & !top)) ^ ((a ^ b) & top)
}

fn top_mask(lane: u32) -> u64 {
    match lane {
        64 => 1 << 63,
        32 => 0x8000_0000_8000_0000,
        _ => 0x8000_8000_8000_8000,
    }
}

/// The top bits of the lanes of each word.
fn tops(lanes: &[Lanes]) -> impl Iterator<Item = u64> {
    let words = |l: &Lanes| std::iter::repeat_n(top_mask(l.bits), l.words.len());
    lanes.iter().flat_map(words)
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Whether all `values` are negative (as signed ring elements), known to all parties.
    ///
    /// # Leakage
    /// The bit, declared as `opening`.
    ///
    /// # Errors
    /// The channel's, the source's, or the ledger's.
    pub async fn all_negative(&mut self, values: &Shares, opening: Opening) -> Result<bool, Abort> {
        let all = self.lanes_negative(vec![Lanes::whole(values)]).await?;
        self.open_bit(all, opening).await
    }

    /// Whether all `values` lie in (-bound, bound), bound = `2^48 * limit` units: the top 16 bits
    /// of each are compared, so the answer is exact to `parties + 1` times 2^48 units.
    ///
    /// # Leakage
    /// The bit, declared as `opening`.
    ///
    /// # Errors
    /// The channel's, the source's, or the ledger's.
    pub async fn all_within(
        &mut self,
        values: &Shares,
        limit: u16,
        opening: Opening,
    ) -> Result<bool, Abort> {
        let lanes = Lanes::within(values, limit, self.me() == 0);
        let all = self.lanes_negative(vec![lanes]).await?;
        self.open_bit(all, opening).await
    }

    /// As [`Engine::all_within`], of groups of values with a limit each: one bit for all of them.
    ///
    /// # Leakage
    /// The bit, declared as `opening`.
    ///
    /// # Errors
    /// The channel's, the source's, or the ledger's.
    pub async fn all_within_each(
        &mut self,
        groups: &[(Shares, u16)],
        opening: Opening,
    ) -> Result<bool, Abort> {
        let each = |(values, limit): &(Shares, u16)| {
            let limit = *limit;
            let words = values.words().iter().map(move |w| (*w, limit));
            words.collect::<Vec<_>>()
        };
        let values: Vec<(u64, u16)> = groups.iter().flat_map(each).collect();
        let lanes = Lanes::each_within(values.into_iter(), self.me() == 0);
        let all = self.lanes_negative(vec![lanes]).await?;
        self.open_bit(all, opening).await
    }

    /// Exclusive-or share of what [`Engine::all_within`] opens.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn within(&mut self, values: &Shares, limit: u16) -> Result<bool, Abort> {
        let lanes = Lanes::within(values, limit, self.me() == 0);
        self.lanes_negative(vec![lanes]).await
    }

    /// Whether both [`Engine::all_negative`] holds for `values` and [`Engine::all_within`] for
    /// `others`: one bit for both.
    ///
    /// # Leakage
    /// The bit, declared as `opening`.
    ///
    /// # Errors
    /// The channel's, the source's, or the ledger's.
    pub async fn all_negative_and_within(
        &mut self,
        values: &Shares,
        others: &Shares,
        limit: u16,
        opening: Opening,
    ) -> Result<bool, Abort> {
        let others = Lanes::within(others, limit, self.me() == 0);
        let all = self.lanes_negative(vec![Lanes::whole(values), others]);
        let all = all.await?;
        self.open_bit(all, opening).await
    }

    /// For each pair of `a` and `b`, whether neither is negative, known to all parties.
    ///
    /// # Leakage
    /// One bit a pair, declared as `opening`.
    ///
    /// # Errors
    /// The channel's, the source's, or the ledger's; or if there are not as many of both.
    pub async fn both_not_negative(
        &mut self,
        a: &Shares,
        b: &Shares,
        opening: Opening,
    ) -> Result<Vec<bool>, Abort> {
        if a.len() != b.len() {
            return Err(Abort::Input("values that are compared in pairs".into()));
        }
        if a.is_empty() {
            return Ok(Vec::new());
        }
        let top = top_mask(64);
        let first = if self.me() == 0 { top } else { 0 };
        let mut both = Lanes::whole(a);
        both.words.extend_from_slice(b.words());
        let mut signs = self.signs(&[both], &[a.len()]).await?;
        // not negative: the sign turned over
        signs.iter_mut().for_each(|s| *s = (*s & top) ^ first);
        let of_b = signs.split_off(a.len());
        let (both, _) = self.and(&signs, &of_b, &[]).await?;
        let bits: Vec<u64> = both.iter().map(|w| w >> 63).collect();
        self.open_bits(bits, opening).await
    }

    /// For each group of so many of `values`, one after another: exclusive-or shares, in the last bit of a word, of
    /// whether none of them is negative.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if there is another number of values.
    pub(crate) async fn none_negative(
        &mut self,
        values: Vec<u64>,
        groups: &[usize],
    ) -> Result<Vec<u64>, Abort> {
        if values.len() != groups.iter().sum::<usize>() || groups.contains(&0) {
            return Err(Abort::Input("values that are compared in groups".into()));
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let first = u64::from(self.me() == 0);
        let lanes = Lanes {
            words: values,
            bits: 64,
        };
        let signs = self.signs(&[lanes], &[]).await?;
        let mut bits = signs.iter().map(|s| (s >> 63) ^ first);
        let mut groups: Vec<Vec<u64>> = groups
            .iter()
            .map(|n| bits.by_ref().take(*n).collect())
            .collect();
        while groups.iter().any(|g| g.len() > 1) {
            let pairs = groups.iter().flat_map(|g| g.chunks_exact(2));
            let (a, b): (Vec<u64>, Vec<u64>) = pairs.map(|p| (p[0], p[1])).unzip();
            let mut both = self.and(&a, &b, &[]).await?.0.into_iter();
            for g in &mut groups {
                let odd = (g.len() % 2 == 1).then(|| g.pop()).flatten();
                let half = g.len() / 2;
                g.clear();
                g.extend(both.by_ref().take(half));
                g.extend(odd);
            }
        }
        Ok(groups.into_iter().flatten().collect())
    }

    /// Of bits in words of their own, exclusive-or shares: whether either of two is 1.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn either(&mut self, a: &[u64], b: &[u64]) -> Result<Vec<u64>, Abort> {
        let (both, _) = self.and(a, b, &[]).await?;
        let one = a.iter().zip(b).zip(both);
        Ok(one.map(|((a, b), both)| a ^ b ^ both).collect())
    }

    /// Exclusive-or shares of the lanes of `values` where the same lane of `words`, a sum of the parties' shares
    /// as a signed number, is negative, and of 0 elsewhere. `values` are exclusive-or shares.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if the lengths differ.
    pub(crate) async fn where_negative(
        &mut self,
        words: Vec<u64>,
        lane: u32,
        values: &[u64],
    ) -> Result<Vec<u64>, Abort> {
        if words.len() != values.len() {
            return Err(Abort::Input(format!(
                "{} words to choose by and {} to choose from",
                words.len(),
                values.len()
            )));
        }
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let count = words.len();
        let signs = self.signs(&[Lanes { words, bits: lane }], &[count]).await?;
        // a lane's sign in each of its bits: a share of 1 becomes a share of all ones
        let all = match lane {
            64 => u64::MAX,
            _ => (1 << lane) - 1,
        };
        let chosen: Vec<u64> = signs
            .iter()
            .map(|s| (s >> (lane - 1)).wrapping_mul(all))
            .collect();
        Ok(self.and(&chosen, values, &[]).await?.0)
    }

    /// This end's exclusive-or share of whether all lanes are negative; wider lanes come first.
    async fn lanes_negative(&mut self, mut lanes: Vec<Lanes>) -> Result<bool, Abort> {
        let first = self.me() == 0;
        lanes.retain(|l| !l.words.is_empty());
        let Some(least) = lanes.iter().map(|l| l.bits).min() else {
            return Ok(first);
        };
        let count = lanes.iter().map(|l| l.words.len()).sum();
        let signs = self.signs(&lanes, &joined(count, least)).await?;
        // all other bits are set, so that whole words can be combined
        let mut words: Vec<u64> = signs
            .iter()
            .zip(tops(&lanes))
            .map(|(s, top)| s & top | if first { !top } else { 0 })
            .collect();
        while words.len() > 1 {
            let half = words.len() / 2;
            let odd = words.split_off(2 * half);
            let b = words.split_off(half);
            let (mut both, _) = self.and(&words, &b, &[]).await?;
            both.extend(odd);
            words = both;
        }
        let mut shift = least;
        while shift < 64 {
            let b: Vec<u64> = words.iter().map(|w| w >> shift).collect();
            (words, _) = self.and(&words, &b, &[]).await?;
            shift *= 2;
        }
        Ok(words.iter().any(|w| w >> (least - 1) & 1 == 1))
    }

    /// Exclusive-or shares of each lane's sign, at the lane's top bit; other bits are zero. Wider lanes come
    /// first; `then` are the words of the conjunctions that follow, for which correlations are asked as well.
    async fn signs(&mut self, lanes: &[Lanes], then: &[usize]) -> Result<Vec<u64>, Abort> {
        let levels = levels(lanes);
        let bits = lanes.iter().map(|l| Request::Bits {
            words: l.words.len() as u64,
            lane: l.bits,
        });
        let ands = levels.iter().chain(then).map(|words| Request::And {
            words: *words as u64,
        });
        let requests: Vec<Request> = bits.chain(ands).collect();
        self.source.prefetch(&requests).await?;
        self.compared(lanes, &levels).await
    }

    /// As [`Self::signs`] of whole words, for which correlations were asked before.
    pub(super) async fn signs_asked(&mut self, values: &Shares) -> Result<Vec<u64>, Abort> {
        let lanes = [Lanes::whole(values)];
        self.compared(&lanes, &levels(&lanes)).await
    }

    /// Exclusive-or shares, in the last bit of a word each, of which values below 2^31 units are negative; `asked`:
    /// their correlations were asked for before.
    pub(super) async fn half_signs(
        &mut self,
        values: &Shares,
        asked: bool,
    ) -> Result<Vec<u64>, Abort> {
        let lanes = [Lanes::halves(values)];
        let signs = match asked {
            true => self.compared(&lanes, &levels(&lanes)).await?,
            false => self.signs(&lanes, &[]).await?,
        };
        let bits = signs.iter().flat_map(|s| [s >> 31 & 1, s >> 63]);
        Ok(bits.take(values.len()).collect())
    }

    async fn compared(&mut self, lanes: &[Lanes], levels: &[usize]) -> Result<Vec<u64>, Abort> {
        let first = self.me() == 0;
        let (mut c, mut rho) = (Vec::new(), Zeroizing::new(Vec::new()));
        for l in lanes {
            let dealt = self.source.bits(l.words.len(), l.bits).await?;
            let masked = l.words.iter().zip(dealt.mask.iter());
            c.extend(masked.map(|(x, t)| add_lanes(*x, *t, l.bits)));
            rho.extend_from_slice(&dealt.bits);
        }
        let widths = || lanes.iter().flat_map(|l| l.words.iter().map(|_| l.bits));
        for (from, body) in self.broadcast("compare", codec::put_words(&c)).await? {
            let theirs = codec::take_words(&body, c.len(), from, self.path())?;
            for ((a, b), bits) in c.iter_mut().zip(theirs).zip(widths()) {
                *a = add_lanes(*a, b, bits);
            }
        }
        let public = |x: u64| if first { x } else { 0 };
        // per bit: lt = rho & !c, eq = !(rho ^ c); the top bit of a lane counts as equal
        let (mut lt, mut eq): (Vec<u64>, Vec<u64>) = rho
            .iter()
            .zip(&c)
            .zip(tops(lanes))
            .map(|((r, c), top)| (r & !c & !top, (r ^ public(!c)) & !top | public(top)))
            .unzip();
        for (level, words) in levels.iter().enumerate() {
            let shift = 1 << level;
            let (lt, eq) = (&mut lt[..*words], &mut eq[..*words]);
            let hi: Vec<u64> = eq.iter().map(|e| e >> shift).collect();
            let (a, b) = self.and(&hi, lt, eq).await?;
            lt.iter_mut()
                .zip(a)
                .for_each(|(l, a)| *l = (*l >> shift) ^ a);
            eq.copy_from_slice(&b);
        }
        let parts = lt.iter().zip(rho.iter().zip(&c)).zip(widths());
        Ok(parts
            .map(|((borrow, (r, c)), bits)| {
                let top = top_mask(bits);
                let bottom = top >> (bits - 1);
                ((borrow & bottom) << (bits - 1)) ^ (r & top) ^ public(c & top)
            })
            .collect())
    }

    /// `a & b` and `a & d`, word by word, on exclusive-or shares; `d` may be empty. One round.
    async fn and(
        &mut self,
        a: &[u64],
        b: &[u64],
        d: &[u64],
    ) -> Result<(Vec<u64>, Vec<u64>), Abort> {
        let first = self.me() == 0;
        let n = a.len();
        let t = self.source.and(n).await?;
        let xor = |x: &[u64], y: &[u64]| x.iter().zip(y).map(|(x, y)| x ^ y).collect::<Vec<_>>();
        let mut opened = xor(a, &t.a);
        opened.extend(xor(b, &t.b));
        opened.extend(xor(d, &t.d));
        for (from, body) in self.broadcast("and", codec::put_words(&opened)).await? {
            let theirs = codec::take_words(&body, opened.len(), from, self.path())?;
            opened.iter_mut().zip(theirs).for_each(|(a, b)| *a ^= b);
        }
        let (e, rest) = opened.split_at(n);
        let (f, g) = rest.split_at(n);
        // a b = (e ^ A)(f ^ B) = e f ^ e B ^ A f ^ C
        let product = |f: &[u64], mask: &[u64], c: &[u64]| -> Vec<u64> {
            (0..f.len())
                .map(|i| {
                    let public = if first { e[i] & f[i] } else { 0 };
                    public ^ (e[i] & mask[i]) ^ (t.a[i] & f[i]) ^ c[i]
                })
                .collect()
        };
        Ok((product(f, &t.b, &t.c), product(g, &t.d, &t.e)))
    }
}
