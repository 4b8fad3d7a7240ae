//! What a logistic regression holds after a pass, kept and gone on from ([`course`](super::course)).
//!
//! Kept are the weights and their short copies, of accelerated steps also the point reached before, which momentum follows from, and
//! where a penalty or signs hold coefficients the split; and what is public: the range, passes in it, and whether they are at full
//! precision. Hessian and inverse are not kept: the first pass of the job that goes on makes them of its own slopes, as a pass does
//! whose Hessian is too old, and so each is made under the correlations of the job that uses it. Newton's steps keep every
//! pass but the last; accelerated ones every fourth, after which it is asked whether training has settled: momentum looks no further
//! back than the point before, and that question begins anew.

use paripassu_crypto::share::Shares;

use super::{
    course::{self, Course, Of, take, wrong},
    logistic::{Method, Progress},
    pass::joined,
    points,
    proximal::Split,
    run::{Run, Start},
};
use crate::{abort::Abort, arith::Engine, channel::Channel};

/// Who is told of passes, and what keeps their states, where something does.
pub(super) struct Along<'a> {
    pub(super) progress: &'a mut dyn Progress,
    pub(super) course: Option<&'a mut dyn Course>,
}

impl<'a> Along<'a> {
    /// Passes of which no state is kept.
    pub(super) fn unkept(progress: &'a mut dyn Progress) -> Self {
        Self {
            progress,
            course: None,
        }
    }
}

/// Where a training goes on.
pub(super) struct Behind {
    /// The last pass, of all ranges together.
    pub(super) pass: u32,
    /// Passes of this range.
    pub(super) made: u32,
    /// Whether the next pass is at full precision.
    pub(super) fine: bool,
    /// The point that accelerated steps had reached.
    pub(super) reached: Option<Shares>,
}

/// What there is after a pass.
pub(super) struct After<'a> {
    /// This pass, of all ranges together and of this one.
    pub(super) pass: (u32, u32),
    pub(super) range_log2: u32,
    pub(super) fine: bool,
    /// Weights and their short copies.
    pub(super) weights: (&'a [Shares], &'a [Shares]),
    pub(super) reached: Option<&'a Shares>,
    pub(super) split: Option<&'a Split>,
}

/// Words that are public of a pass.
const PUBLIC: usize = 4;

fn kind(method: Method) -> u64 {
    match method {
        Method::Newton => 0,
        Method::Accelerated => 1,
    }
}

impl Run {
    /// Agrees on the point after a pass, and keeps the state there, where states are kept.
    pub(super) async fn keep<C: Channel, S>(
        &self,
        engine: &mut Engine<C, S>,
        course: Option<&mut (dyn Course + '_)>,
        after: After<'_>,
    ) -> Result<(), Abort> {
        let Some(course) = course else { return Ok(()) };
        let (pass, made) = after.pass;
        let at = (Of::Pass, pass, u64::from(made));
        let public: [u64; PUBLIC] = [
            kind(self.spec.method),
            made.into(),
            after.range_log2.into(),
            after.fine.into(),
        ];
        let (weights, short) = after.weights;
        let mut shares: Vec<&Shares> = weights.iter().chain(short).collect();
        shares.extend(after.reached);
        shares.extend(after.split.iter().flat_map(|split| split.parts()));
        course::keep(engine, course, at, &public, &shares).await
    }

    /// The latest state of the aborted job that all parties hold alike, on new shares; none where training begins.
    pub(super) async fn go_on<C: Channel, S>(
        &mut self,
        engine: &mut Engine<C, S>,
        course: &mut dyn Course,
    ) -> Result<Option<Start>, Abort> {
        let point = course::latest::<PUBLIC, _, _>(engine, course, Of::Pass).await?;
        let Some(point) = point else { return Ok(None) };
        let [of, made, range_log2, fine] = point.public;
        let pass = point.number;
        let made = u32::try_from(made)
            .ok()
            .filter(|made| (1..=pass).contains(made));
        let ranges = self.spec.ranges();
        let range_log2 = ranges.into_iter().find(|r| u64::from(*r) == range_log2);
        let (Some(made), Some(range_log2)) = (made, range_log2) else {
            return Err(wrong());
        };
        if of != kind(self.spec.method) || fine > 1 {
            return Err(wrong());
        }
        let mut rest = point.shares();
        let zeros = |frac: u32| -> Vec<Shares> {
            let of = |d: &usize| Shares::zeros(*d, frac);
            self.widths.iter().map(of).collect()
        };
        let mut weights = zeros(points::weight(range_log2 + 2));
        let mut short = zeros(points::SHORT);
        for of in weights.iter_mut().chain(&mut short) {
            take(of, &mut rest)?;
        }
        let mut reached = None;
        if self.spec.method == Method::Accelerated {
            let mut of = joined(zeros(points::weight(range_log2 + 2)));
            take(&mut of, &mut rest)?;
            reached = Some(of);
        }
        let mut split = None;
        if self.proximal.is_some() {
            let mut of = Split::zeros(self.width().saturating_sub(1));
            for part in of.parts_mut() {
                take(part, &mut rest)?;
            }
            split = Some(of);
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
        let fine = fine == 1;
        let after = After {
            pass: (pass, made),
            range_log2,
            fine,
            weights: (&weights, &short),
            reached: reached.as_ref(),
            split: split.as_ref(),
        };
        self.keep(engine, Some(course), after).await?;
        Ok(Some(Start {
            range_log2,
            weights,
            short,
            split,
            near: false,
            behind: Some(Behind {
                pass,
                made,
                fine,
                reached,
            }),
        }))
    }
}
