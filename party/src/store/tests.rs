//! What the database keeps over restarts, and what it counts.

use super::*;

#[test]
fn privacy_is_spent_once_a_job_and_no_more_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let of = |steps| Spent::on_sums(0.1, 2.0, steps).unwrap();
    let cap = of(250).epsilon(1e-6);
    let within = |total: &Spent| total.epsilon(1e-6) <= cap + 1e-9;
    {
        let s = Store::open(dir.path()).unwrap();
        assert!(s.spend("j1", "loans", &of(100), 1, within).unwrap());
        assert!(
            s.spend("j1", "loans", &of(100), 1, within).unwrap(),
            "counted once"
        );
        assert!(s.spend("j2", "cards", &of(250), 2, within).unwrap());
    }
    // and a restart forgets none
    let s = Store::open(dir.path()).unwrap();
    assert!(!s.spend("j3", "loans", &of(151), 3, within).unwrap());
    assert!(s.spend("j4", "loans", &of(150), 4, within).unwrap());
    assert!(!s.spend("j5", "loans", &of(1), 5, within).unwrap());
    let total = s.spent("loans").unwrap().epsilon(1e-6);
    assert!((total - cap).abs() < 1e-9);
    assert_eq!(s.spent("other").unwrap(), Spent::default());
}

#[test]
fn an_end_is_final_and_a_restart_may_be_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let s = Store::open(dir.path()).unwrap();
    for id in ["a", "b"] {
        s.proposed(id, b"digest", b"contract", "user/m", 1).unwrap();
        assert!(!s.has_ended(id).unwrap());
    }
    let state = |id: &str| s.job(id).unwrap().unwrap().state;
    s.state("a", "released", "", "", 2).unwrap();
    assert!(s.has_ended("a").unwrap());
    s.state("a", "aborted", "p", "a lie", 3).unwrap();
    s.state("a", "proposed", "", "", 3).unwrap();
    assert_eq!(state("a"), "released");
    s.state("b", "training", "", "", 4).unwrap();
    assert_eq!(s.interrupted(5).unwrap(), 1);
    assert_eq!(s.unfinished().unwrap(), ["b"]);
    // its results are destroyed: it is not released here, whatever became of it elsewhere
    s.state("b", "released", "", "", 6).unwrap();
    assert_eq!(state("b"), "aborted");
    s.state("b", "aborted", "b", "gone", 6).unwrap();
    assert_eq!(s.job("b").unwrap().unwrap().reason, "gone");
    assert!(s.has_ended("b").unwrap() && s.unfinished().unwrap().is_empty());
}

#[test]
fn alignments_are_counted_by_counterpart_and_period() {
    let dir = tempfile::tempdir().unwrap();
    let (both, one) = (["p".to_owned(), "q".to_owned()], ["p".to_owned()]);
    {
        let s = Store::open(dir.path()).unwrap();
        let limit = Some((2, 0));
        assert_eq!(s.begin_alignment("j1", &one, 10, limit).unwrap(), None);
        assert_eq!(s.begin_alignment("j2", &both, 20, limit).unwrap(), None);
    }
    // and a restart forgets none
    let s = Store::open(dir.path()).unwrap();
    let other_order = ["q".to_owned(), "p".to_owned()];
    let refused = s
        .begin_alignment("j3", &other_order, 30, Some((2, 0)))
        .unwrap();
    assert_eq!(refused.as_deref(), Some("p"));
    assert_eq!(
        s.alignments("q", 0).unwrap(),
        1,
        "a refusal counts for nobody"
    );
    // the first has left the period
    assert_eq!(
        s.begin_alignment("j4", &both, 40, Some((2, 15))).unwrap(),
        None
    );
    assert_eq!(s.begin_alignment("j5", &one, 50, None).unwrap(), None);
    assert_eq!(s.alignments("p", 15).unwrap(), 3);
}

#[test]
fn jobs_that_began_are_counted_by_party_data_set_and_period() {
    let dir = tempfile::tempdir().unwrap();
    let s = Store::open(dir.path()).unwrap();
    let (one, both) = (["p".to_owned()], ["p".to_owned(), "q".to_owned()]);
    s.count_begun("j1", &one, "loans", 10).unwrap();
    s.count_begun("j2", &both, "cards", 20).unwrap();
    s.count_begun("j2", &both, "cards", 21).unwrap();
    let begun = |party, dataset, after| s.begun(party, dataset, after).unwrap();
    assert_eq!(begun(None, None, 0), 2);
    assert_eq!(begun(None, None, 10), 1);
    assert_eq!(
        (begun(Some("p"), None, 0), begun(Some("q"), None, 0)),
        (2, 1)
    );
    assert_eq!(begun(None, Some("loans"), 0), 1);
    assert_eq!(
        (s.judged("j1", 3).unwrap(), s.judged("j1", 4).unwrap()),
        (3, 3)
    );
}

#[test]
fn scores_are_counted_by_receiver_data_set_and_period_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    {
        let s = Store::open(dir.path()).unwrap();
        s.count_scores("j1", "p", "loans", 10, 6_000).unwrap();
        s.count_scores("j2", "q", "loans", 20, 500).unwrap();
        // what a job may open counts until it is known what it opens, and never less than that again
        assert_eq!(s.scores(Some("p"), None, 0).unwrap(), 6_000);
        s.scores_opened("j1", 5_800).unwrap();
        s.scores_opened("j1", 5_900).unwrap();
        // a job is counted once
        s.count_scores("j1", "p", "loans", 30, 9_000).unwrap();
    }
    let s = Store::open(dir.path()).unwrap();
    let scores = |receiver, dataset, after| s.scores(receiver, dataset, after).unwrap();
    assert_eq!(scores(Some("p"), None, 0), 5_800);
    assert_eq!(scores(None, Some("loans"), 0), 6_300);
    assert_eq!(
        (scores(None, None, 10), scores(Some("p"), None, 10)),
        (500, 0)
    );
    s.count_scores("j3", "p", "cards", 40, u64::MAX).unwrap();
    s.count_scores("j4", "p", "cards", 40, u64::MAX).unwrap();
    assert!(scores(Some("p"), None, 0) >= i64::MAX as u64);
}

#[test]
fn jobs_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let s = Store::open(dir.path()).unwrap();
        s.proposed("j1", &[1], b"{}", "user/m", 5).unwrap();
        s.proposed("j1", &[2], b"x", "user/other", 6).unwrap();
        s.decided("j1", "bank", true, "", 6).unwrap();
        s.decided("unknown", "bank", true, "", 6).unwrap();
        s.state("j1", "training", "", "", 7).unwrap();
    }
    let s = Store::open(dir.path()).unwrap();
    assert_eq!(s.job("j1").unwrap().unwrap().state, "training");
    assert!(!s.begin("j1", &[9]).unwrap(), "another contract");
    assert!(s.begin("j1", &[1]).unwrap());
    assert!(!s.begin("j1", &[1]).unwrap(), "a second start");
    assert_eq!(s.interrupted(9).unwrap(), 1);
    let j = s.job("j1").unwrap().unwrap();
    assert_eq!(
        (j.state.as_str(), j.reason.as_str()),
        ("aborted", "this node was restarted")
    );
    assert_eq!(s.job("j2").unwrap(), None);
}
