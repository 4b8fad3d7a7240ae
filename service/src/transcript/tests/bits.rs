//! Who is asked to countersign, and when the gate opens: data parties for a bit, all members for anything else.

use super::{
    witnessing::{Node, id, job, settle},
    *,
};
use crate::transport::{JobCore, Witnesses};

/// A bank whose channel waits at a gate, with its partner and the helper.
struct Three {
    core: Arc<JobCore>,
    bank: Node,
    partner: Node,
    helper: Node,
}

fn addressed<'a>(to: &'a str) -> impl Fn(&&pb::Envelope) -> bool + 'a {
    move |letter| letter.to == to
}

impl Three {
    /// After the beginning of the job, which all have countersigned.
    async fn begun(world: &World) -> Self {
        let members = vec![
            (Role::Party(0), id("bank")),
            (Role::Party(1), id("partner")),
            (Role::Helper, id("helper")),
        ];
        let peers = members[1..].iter().cloned();
        let core = Arc::new(JobCore::unconnected(
            job(),
            id("bank"),
            Role::Party(0),
            peers,
        ));
        let node = |who: &str, role, core: Option<&Arc<JobCore>>| {
            let seat = Seat {
                job: job(),
                contract: [7; 32],
                role: Some(role),
                members: members.clone(),
                coordinator: None,
                spare: 0,
                patience: Duration::ZERO,
                core: core.cloned(),
            };
            Node::start(world, &world.enrol(who), seat)
        };
        let three = Self {
            bank: node("party/bank", Role::Party(0), Some(&core)),
            partner: node("party/partner", Role::Party(1), None),
            helper: node("helper/helper", Role::Helper, None),
            core,
        };
        three.asks(Witnesses::Members);
        let mut told = three.partner.out.take(2).await;
        told.extend(three.helper.out.take(2).await);
        for known in told.iter().filter(addressed("bank")) {
            three.bank.exchange.message(known.clone());
        }
        let all = three.bank.out.take(4).await;
        let heads = three.heads(&all);
        assert_eq!(
            heads,
            ["helper", "partner"],
            "all are asked at the beginning"
        );
        three.deliver(&all, "partner").await;
        assert!(!three.core.gate().is_open());
        three.deliver(&all, "helper").await;
        assert!(three.core.gate().is_open());
        three
    }

    /// Writes something down that these have to countersign before the bank goes on.
    fn asks(&self, by: Witnesses) {
        self.bank
            .transcript
            .write(job().as_str(), something())
            .unwrap();
        self.core.gate().shut(by);
        self.bank.exchange.ask(&job());
    }

    /// Who is shown a head by these letters.
    fn heads(&self, letters: &[pb::Envelope]) -> Vec<String> {
        let heads = letters
            .iter()
            .filter(|l| matches!(body(l), message::Body::Head(_)));
        let mut to: Vec<String> = heads.map(|l| l.to.clone()).collect();
        to.sort();
        to
    }

    /// Gives one node its letters, and the bank what it answers.
    async fn deliver(&self, letters: &[pb::Envelope], to: &str) {
        let node = if to == "helper" {
            &self.helper
        } else {
            &self.partner
        };
        node.out.take(0).await;
        for letter in letters.iter().filter(addressed(to)) {
            node.exchange.message(letter.clone());
        }
        for answer in node.out.take(1).await.iter().filter(addressed("bank")) {
            self.bank.exchange.message(answer.clone());
        }
        settle().await;
    }
}

#[tokio::test]
async fn a_bit_waits_for_data_parties_alone_and_nothing_else_does() {
    let world = World::new();
    let three = Three::begun(&world).await;
    let gate = three.core.gate();

    three.asks(Witnesses::Parties);
    let of_bit = three.bank.out.take(1).await;
    settle().await;
    assert_eq!(three.heads(&of_bit), ["partner"]);
    assert!(!gate.is_open());
    assert_eq!(gate.waiting_for(), Some(Role::Party(1)));
    three.deliver(&of_bit, "partner").await;
    assert!(gate.is_open() && three.bank.out.take(0).await.is_empty());

    // a bit behind something else does not open the gate before that is countersigned
    three.asks(Witnesses::Members);
    let opening = three.bank.out.take(2).await;
    assert_eq!(three.heads(&opening), ["helper", "partner"]);
    three.asks(Witnesses::Parties);
    let of_bit = three.bank.out.take(1).await;
    assert_eq!(three.heads(&of_bit), ["partner"]);
    three.deliver(&opening, "partner").await;
    three.deliver(&of_bit, "partner").await;
    assert!(!gate.is_open());
    assert_eq!(gate.waiting_for(), Some(Role::Helper));
    three.deliver(&opening, "helper").await;
    assert!(gate.is_open());

    // nor something else behind a bit
    three.asks(Witnesses::Parties);
    let of_bit = three.bank.out.take(1).await;
    three.asks(Witnesses::Members);
    let opening = three.bank.out.take(2).await;
    assert_eq!(three.heads(&opening), ["helper", "partner"]);
    three.deliver(&of_bit, "partner").await;
    three.deliver(&opening, "partner").await;
    assert!(!gate.is_open());
    three.deliver(&opening, "helper").await;
    assert!(gate.is_open());
}

#[tokio::test]
async fn the_helper_sees_one_head_of_sixteen_bits_and_the_last() {
    let world = World::new();
    let three = Three::begun(&world).await;
    for bit in 1..=33 {
        three.asks(Witnesses::Parties);
        let shown = bit % 16 == 0;
        let letters = three.bank.out.take(if shown { 2 } else { 1 }).await;
        let both = ["helper", "partner"];
        let to = if shown { &both[..] } else { &both[1..] };
        assert_eq!(three.heads(&letters), to, "bit {bit}");
        three.deliver(&letters, "partner").await;
        // nobody waits for the helper
        assert!(three.core.gate().is_open(), "bit {bit}");
        if shown {
            three.deliver(&letters, "helper").await;
        }
    }
    three.asks(Witnesses::Parties);
    three.bank.out.take(1).await;
    let end = three.bank.transcript.write(job().as_str(), something());
    end.unwrap();
    three.bank.exchange.finish_soon(&job());
    let last = three.bank.out.take(2).await;
    assert_eq!(three.heads(&last), ["helper", "partner"]);
    assert!(three.helper.witnessed().len() >= 2);
}
