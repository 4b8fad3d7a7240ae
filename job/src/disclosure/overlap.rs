//! What a job of matching alone opens.

use super::{Audience, Disclosure, DisclosureId, Shape, sizes};
use crate::spec::{Overlap, OverlapOf, Spec};

/// Everything that such a job opens, in the order in which it happens.
pub(super) fn disclosures(spec: &Spec, overlap: &Overlap) -> Vec<Disclosure> {
    let seats = spec.seats();
    let parties: Vec<_> = seats
        .iter()
        .map(|party| Audience::Party(party.id.clone()))
        .collect();
    let helper = Audience::Helper(spec.helper.id.clone());
    let opening = |id, what: String, shape, to: &[Audience], at_most| Disclosure {
        id,
        what,
        shape,
        to: to.to_vec(),
        at_most,
    };
    let with_relay: Vec<_> = parties.iter().chain([&Audience::Relay]).cloned().collect();
    let count = u32::try_from(parties.len()).unwrap_or(u32::MAX);
    let first = seats.first().map(|party| party.id.to_string());
    let first = first.unwrap_or_default();
    let members = match (overlap.of, parties.len()) {
        (OverlapOf::All, parties) => super::members(parties).to_owned(),
        (OverlapOf::Any, _) => format!(
            "To {first}: which of its own customers each single other party has, so also who is common to \
                several. To every other party: which of its own customers {first} has. Parties other than \
                {first} learn nothing of one another's customers"
        ),
    };
    let mut list = vec![opening(
            DisclosureId::RelayTraffic,
            "Which node sends how many sealed bytes to which other and when, and each node's phase and rate of \
                progress; never what the bytes say."
                .into(),
            Shape::Traffic,
            &[Audience::Relay],
            1,
        )];
    if spec.sizes_only() {
        let least = crate::plan::count(spec.align.min_matched);
        let all: Vec<_> = with_relay.iter().chain([&helper]).cloned().collect();
        list.extend([
            opening(
                DisclosureId::AlignSizes,
                sizes(spec),
                Shape::Count,
                &all,
                count,
            ),
            opening(
                DisclosureId::AlignMatched,
                "How many customers are common, exactly; not which. It counts equal values that both parties masked, and \
                    can undo no mask, alone or with one of the parties."
                    .into(),
                Shape::Count,
                &[helper],
                1,
            ),
            opening(
                DisclosureId::AlignSizeBucket,
                format!(
                    "Within which bucket the number of common customers is: below {least}, or between two steps of 1, 2, \
                        5, 10, 20 ... at least {least} apart; not which they are. Who brings ids that it chose learns \
                        whether {least} of them are the other's."
                ),
                Shape::Summary,
                &parties,
                1,
            ),
        ]);
        return list;
    }
    list.extend(held(spec, &parties));
    list.extend([
        opening(
            DisclosureId::AlignSizes,
            sizes(spec),
            Shape::Count,
            &with_relay,
            count,
        ),
        opening(
            DisclosureId::AlignMembers,
            format!(
                "{members}{}; also where the job then ends because they are too few.",
                super::by_keys(spec)
            ),
            Shape::Membership,
            &parties,
            super::matches(spec),
        ),
        opening(
            DisclosureId::AlignMatched,
            format!(
                "How many customers are common, also where the job ends because they are too few.{}",
                super::told_by_length(spec)
            ),
            Shape::Count,
            &[helper, Audience::Relay],
            1,
        ),
    ]);
    list
}

/// What parties tell one another of the match of an aborted job.
pub(super) fn held(spec: &Spec, parties: &[Audience]) -> Option<Disclosure> {
    let job = spec.align.resume.as_ref()?;
    Some(Disclosure {
        id: DisclosureId::AlignHeld,
        what: format!(
            "Which finished parts of the match of the aborted job {job} each party still holds, by number and a digest \
                that all know. These are not matched again; of the others a party learns, over both jobs together, what \
                one would tell it."
        ),
        shape: Shape::Summary,
        to: parties.to_vec(),
        at_most: 1,
    })
}

/// What parties tell one another of the training of an aborted job, where states of it are kept.
pub(super) fn held_points(spec: &Spec, parties: &[Audience]) -> Option<Disclosure> {
    let (job, points) = (spec.align.resume.as_ref()?, spec.kept_points()?);
    Some(Disclosure {
        id: DisclosureId::TrainHeld,
        what: format!(
            "Which of the last {} of the training of the aborted job {job} each party still holds shares of, by number and a \
                digest that all know. Training goes on after the last that all hold alike, on shares made anew; if there is \
                none, it begins anew.",
            points.several()
        ),
        shape: Shape::Summary,
        to: parties.to_vec(),
        at_most: 1,
    })
}
