//! What a network holds after an epoch, kept and gone on from ([`course`](super::super::course)).

use paripassu_crypto::share::Shares;

use super::{points, run::Run};
use crate::{
    abort::Abort,
    arith::Engine,
    channel::Channel,
    vertical::course::{self, Course, Of, take, wrong},
};

/// Least loss on the watched rows so far, and the weights that had it.
pub(super) type Best = Option<(Shares, Vec<Shares>)>;

impl Run {
    /// Agrees on the point that an epoch's end is, and keeps the state there.
    pub(super) async fn keep<C: Channel, S>(
        &mut self,
        engine: &mut Engine<C, S>,
        course: &mut dyn Course,
        best: &Best,
    ) -> Result<(), Abort> {
        let (epoch, best_epoch, steps) = self.made();
        let public = [best_epoch, best.is_some().into()];
        let mut shares: Vec<&Shares> = self.layers_mut().course().map(|s| &*s).collect();
        if let Some((loss, weights)) = best {
            shares.push(loss);
            shares.extend(weights);
        }
        course::keep(engine, course, (Of::Epoch, epoch, steps), &public, &shares).await
    }

    /// Goes on from the latest state of the aborted job that all parties hold alike, on new shares; best weights so far.
    pub(super) async fn go_on<C: Channel, S>(
        &mut self,
        engine: &mut Engine<C, S>,
        course: &mut dyn Course,
    ) -> Result<Best, Abort> {
        let Some(point) = course::latest::<2, _, _>(engine, course, Of::Epoch).await? else {
            return Ok(None);
        };
        let (epoch, [best_epoch, has_best]) = (point.number, point.public);
        if best_epoch > u64::from(epoch) || has_best > 1 {
            return Err(wrong());
        }
        let mut rest = point.shares();
        for of in self.layers_mut().course() {
            take(of, &mut rest)?;
        }
        let mut best = None;
        if has_best == 1 {
            let mut loss = Shares::zeros(1, 2 * points::DELTA);
            take(&mut loss, &mut rest)?;
            let mut weights = self.layers_mut().kept();
            weights.iter_mut().try_for_each(|of| take(of, &mut rest))?;
            best = Some((loss, weights));
        }
        if !rest.is_empty() || !self.goes_on_after(epoch, best_epoch) {
            return Err(wrong());
        }
        self.keep(engine, course, &best).await?;
        Ok(best)
    }
}
