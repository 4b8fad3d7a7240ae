//! What the fit holds between two points, and how it is kept.

use paripassu_model::logistic::Parts;
use zeroize::Zeroizing;

use super::At;
use crate::{
    abort::Abort,
    horizontal::{
        course::{Reader, State, Writer},
        secagg::MAX_CLIENTS,
    },
};

/// Where the fit is.
pub(super) struct Walk {
    /// The point to be looked at.
    pub(super) params: Vec<f64>,
    /// This bank's own intercept, where it has one.
    pub(super) home: f64,
    /// The last point that was lower than the one before it, the step from there and its length.
    pub(super) before: Option<(At, Vec<f64>, f64)>,
    /// Banks in the sums: fewest of any pass.
    pub(super) fewest: usize,
}

impl Walk {
    // not at the share of bads: where few rows are bad, weights are small there, and steps far too long
    pub(super) fn from_zero(width: usize, clients: usize) -> Self {
        Self {
            params: vec![0.0; width],
            home: 0.0,
            before: None,
            fewest: clients,
        }
    }

    /// After so many points.
    pub(super) fn state(&self, round: u32) -> State {
        let mut joint = Writer::default();
        joint.count(self.fewest as u64).numbers(&self.params);
        joint.count(u64::from(self.before.is_some()));
        if let Some((at, step, length)) = &self.before {
            joint
                .counts(
                    at.members
                        .iter()
                        .map(|bank| bank as u64)
                        .collect::<Vec<_>>()
                        .into_iter(),
                )
                .numbers(&at.params)
                .number(at.objective)
                .number(at.parts.loss)
                .numbers(&at.parts.gradient)
                .numbers(&at.parts.hessian)
                .numbers(step)
                .number(*length);
        }
        State {
            round,
            joint: joint.bytes(),
            own: Zeroizing::new(Writer::default().number(self.home).bytes()),
        }
    }

    /// Of a model of this width.
    ///
    /// # Errors
    /// A state of another kind of fit or of another width.
    pub(super) fn read(state: &State, width: usize) -> Result<Self, Abort> {
        let mut joint = Reader::of(&state.joint);
        let fewest = joint.small()?;
        let params = joint.numbers(width)?;
        let before = match joint.count()? {
            0 => None,
            _ => {
                let members = joint.counts()?.into_iter();
                let members = members.map(|bank| bank.try_into().unwrap_or(usize::MAX));
                let at = At {
                    members: members.filter(|bank| *bank < MAX_CLIENTS).collect(),
                    params: joint.numbers(width)?,
                    objective: joint.number()?,
                    parts: Parts {
                        loss: joint.number()?,
                        gradient: joint.numbers(width)?,
                        hessian: joint.numbers(width * (width + 1) / 2)?,
                    },
                };
                Some((at, joint.numbers(width)?, joint.number()?))
            }
        };
        joint.end()?;
        let mut own = Reader::of(&state.own);
        let home = own.number()?;
        own.end()?;
        Ok(Self {
            params,
            home,
            before,
            fewest,
        })
    }
}
