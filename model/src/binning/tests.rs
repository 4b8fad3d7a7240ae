use super::*;
use crate::table::Column;

fn c(good: u64, bad: u64) -> Counts {
    Counts { good, bad }
}

fn edges(of: &[f64]) -> Vec<Edge> {
    of.iter().map(|e| Edge::new(*e).unwrap()).collect()
}

fn options(cut: Cut) -> CutOptions {
    CutOptions {
        cut,
        special: edges(&[-999.0]),
        rare_level_rows: 2,
        min_rows: 0,
    }
}

fn table(column: Column) -> Table {
    let rows = match column.data() {
        ColumnData::Numeric(v) => v.len(),
        ColumnData::Categorical { codes, .. } => codes.len(),
    };
    let ids = (0..rows).map(|i| i.to_string()).collect();
    Table::new(ids, None, vec![column]).unwrap()
}

fn numbers(values: &[f64]) -> Table {
    table(Column::numeric("x", values.to_vec()))
}

fn limits(max_bins: usize) -> Limits {
    Limits {
        max_bins,
        min_share: 0.0,
        min_class: 0,
    }
}

#[test]
fn ranges_are_closed_on_the_left_and_what_stands_apart_comes_last() {
    let values = [1.0, 2.0, 2.0, 3.0, f64::NAN, -999.0, 10.0, -5.0];
    let t = numbers(&values);
    let rows: Vec<usize> = (0..8).collect();
    let cut = Cut::Edges(edges(&[2.0, 3.0]));
    let b = prebin(&t, &rows, "x", &options(cut)).unwrap();
    let labels: Vec<String> = b.bins.iter().map(Bin::label).collect();
    assert_eq!(
        labels,
        ["(-inf, 2)", "[2, 3)", "[3, inf)", "missing", "= -999"]
    );
    let at = b.assign(&t, &rows).unwrap();
    let want = [0, 1, 1, 2, 3, 4, 2, 0].map(Some);
    assert_eq!(at, want);
    let text = serde_json::to_string(&b).unwrap();
    assert_eq!(serde_json::from_str::<Binning>(&text).unwrap(), b);
    assert!(
        text.contains(r#"{"range":{"low":"2","high":"3"}}"#),
        "{text}"
    );
}

#[test]
fn a_value_that_training_did_not_have_is_in_no_bin() {
    let seen = prebin(
        &numbers(&[1.0, 2.0, 3.0]),
        &[0, 1, 2],
        "x",
        &options(Cut::Quantile(2)),
    );
    let seen = seen.unwrap();
    let t = numbers(&[f64::NAN, 1e9, f64::INFINITY]);
    assert_eq!(
        seen.assign(&t, &[0, 1, 2]).unwrap(),
        [None, Some(1), Some(1)]
    );
    let t = table(Column::categorical(
        "x",
        ["a", "a", "b", "b", "c"]
            .map(Some)
            .into_iter()
            .chain([None]),
    ));
    let b = prebin(&t, &[0, 1, 2, 3], "x", &options(Cut::Quantile(9))).unwrap();
    assert_eq!(
        b.assign(&t, &[0, 2, 4, 5]).unwrap(),
        [Some(0), Some(1), None, None]
    );
    let b = prebin(&t, &[0, 1, 2, 3, 4, 5], "x", &options(Cut::Quantile(9))).unwrap();
    let labels: Vec<String> = b.bins.iter().map(Bin::label).collect();
    // one row of c is rare, and so is the one missing
    assert_eq!(labels, ["a", "b", "all others, missing"]);
}

#[test]
fn quantiles_are_interpolated_and_equal_edges_are_one() {
    // numpy.quantile([0, 1, 2, 3, 4, 5], [1/4, 1/2, 3/4]) = 1.25, 2.5, 3.75
    let t = numbers(&[5.0, 3.0, 0.0, 1.0, 4.0, 2.0]);
    let rows = [0, 1, 2, 3, 4, 5];
    let b = prebin(&t, &rows, "x", &options(Cut::Quantile(4))).unwrap();
    let lows: Vec<f64> = b.bins[1..]
        .iter()
        .map(|b| b.range.unwrap().low.unwrap().value())
        .collect();
    assert_eq!(lows, [1.25, 2.5, 3.75]);
    let t = numbers(&[7.0, 7.0, 7.0, 7.0, 7.0, 9.0]);
    let b = prebin(&t, &rows, "x", &options(Cut::Quantile(10))).unwrap();
    assert_eq!(b.bins.len(), 2);
    let one = prebin(
        &numbers(&[7.0; 6]),
        &rows,
        "x",
        &options(Cut::EqualRange(5)),
    )
    .unwrap();
    assert_eq!(one.bins.len(), 1);
    assert_eq!(one.bins[0].label(), "(-inf, inf)");
}

#[test]
fn bins_with_few_rows_join_a_neighbour() {
    let values: Vec<f64> = (0..100).map(f64::from).chain([f64::NAN]).collect();
    let t = numbers(&values);
    let rows: Vec<usize> = (0..101).collect();
    let all = CutOptions {
        min_rows: 10,
        ..options(Cut::Edges(edges(&[3.0, 50.0, 95.0])))
    };
    let b = prebin(&t, &rows, "x", &all).unwrap();
    let labels: Vec<String> = b.bins.iter().map(Bin::label).collect();
    assert_eq!(labels, ["(-inf, 50), missing", "[50, inf)"]);
}

#[test]
fn weights_are_those_of_the_formula() {
    // by hand: G = 100, B = 50
    let counts = [c(60, 10), c(40, 30), c(0, 10)];
    let w = weight_of_evidence(&counts, WoeSign::GoodBad, Smoothing::ZeroCells).unwrap();
    let want = [
        (0.6f64 / 0.2).ln(),
        (0.4f64 / 0.6).ln(),
        ((0.5f64 / 100.0) / (10.5 / 50.0)).ln(),
    ];
    for (b, want) in w.bins.iter().zip(want) {
        assert!((b.woe - want).abs() < 1e-12, "{} {want}", b.woe);
    }
    assert_eq!(
        w.bins.iter().map(|b| b.smoothed).collect::<Vec<_>>(),
        [false, false, true]
    );
    let iv = 0.4 * want[0] - 0.2 * want[1] - 0.2 * want[2];
    assert!((w.iv - iv).abs() < 1e-12);
    let other = weight_of_evidence(&counts, WoeSign::BadGood, Smoothing::ZeroCells).unwrap();
    assert_eq!(other.iv, w.iv);
    assert_eq!(other.bins[0].woe, -w.bins[0].woe);
    let all = weight_of_evidence(&counts, WoeSign::GoodBad, Smoothing::AllCells).unwrap();
    assert!((all.bins[0].woe - ((60.5f64 / 100.0) / (10.5 / 50.0)).ln()).abs() < 1e-12);
    assert!(weight_of_evidence(&[c(5, 0)], WoeSign::GoodBad, Smoothing::AllCells).is_err());
    assert_eq!(Strength::of(0.02), Strength::Weak);
    assert_eq!(Strength::of(0.51), Strength::Suspect);
}

#[test]
fn chi_merge_joins_the_most_similar_neighbours() {
    // 2x2 table (10, 20; 30, 20): 80 (10*20 - 20*30)^2 / (30 * 50 * 40 * 40) = 5.3333
    assert!((chi::chi_square(c(10, 20), c(30, 20)) - 16.0 / 3.0).abs() < 1e-12);
    let counts = [c(90, 10), c(88, 12), c(50, 50), c(51, 49), c(5, 5)];
    let chi = Method::Chi { stop: 3.841 };
    let merged = merge(&counts, 4, Order::Ascending, chi, &limits(8));
    assert_eq!(merged, [0, 0, 1, 1, 2]);
    let one = merge(&counts, 4, Order::Ascending, chi, &limits(1));
    assert_eq!(one, [0, 0, 0, 0, 1]);
    // with too few of a class, what stands apart joins the bin that is most like it
    let strict = Limits {
        min_class: 6,
        ..limits(8)
    };
    assert_eq!(
        merge(&counts, 4, Order::Ascending, chi, &strict),
        [0, 0, 1, 1, 1]
    );
    // levels are put in order first
    let levels = [c(90, 10), c(50, 50), c(88, 12), c(51, 49)];
    assert_eq!(
        merge(&levels, 4, Order::Nominal, chi, &limits(8)),
        [0, 1, 0, 1]
    );
}

#[test]
fn small_bins_join_the_neighbour_that_is_most_like_them() {
    let counts = [c(80, 20), c(9, 1), c(95, 5), c(100, 0)];
    let keep = Limits {
        max_bins: 9,
        min_share: 0.05,
        min_class: 3,
    };
    // ten rows are below 5 % of 310 and chi-square 0.59 from the first, 0.44 from the third; the last has no bad
    assert_eq!(
        merge(&counts, 4, Order::Ascending, Method::Keep, &keep),
        [0, 1, 1, 1]
    );
}

#[test]
fn a_tree_cuts_where_most_is_won() {
    let counts = [c(90, 10), c(90, 10), c(50, 50), c(50, 50), c(52, 48)];
    let tree = Method::Tree { stop: 0.1 };
    assert_eq!(
        merge(&counts, 5, Order::Ascending, tree, &limits(8)),
        [0, 0, 1, 1, 1]
    );
    let all = Method::Tree { stop: 0.0 };
    assert_eq!(
        merge(&counts, 5, Order::Ascending, all, &limits(8)),
        [0, 0, 1, 1, 2]
    );
}

/// All ways to join neighbours, judged one by one.
fn by_trial(units: &[Counts], trend: Trend, most: &Limits) -> Option<f64> {
    let all: u64 = units.iter().map(|u| u.rows()).sum();
    let mut best: Option<f64> = None;
    for cuts in 0u32..1 << (units.len() - 1) {
        let mut bins = vec![units[0]];
        for (k, u) in units.iter().enumerate().skip(1) {
            match cuts >> (k - 1) & 1 {
                1 => bins.push(*u),
                _ => *bins.last_mut().unwrap() = *bins.last().unwrap() + *u,
            }
        }
        let rates: Vec<f64> = bins.iter().map(|b| b.bad_rate()).collect();
        let rises = rates.windows(2).all(|w| w[0] <= w[1]);
        let falls = rates.windows(2).all(|w| w[0] >= w[1]);
        let bent = |sign: f64| {
            (0..rates.len()).any(|turn| {
                rates[..=turn]
                    .windows(2)
                    .all(|w| sign * (w[1] - w[0]) >= 0.0)
                    && rates[turn..]
                        .windows(2)
                        .all(|w| sign * (w[1] - w[0]) <= 0.0)
            })
        };
        let ok = match trend {
            Trend::Increasing => rises,
            Trend::Decreasing => falls,
            Trend::U => bent(-1.0),
            Trend::InvertedU => bent(1.0),
            Trend::Auto => unreachable!(),
        };
        if ok && bins.len() <= most.max_bins && bins.iter().all(|b| most.allow(*b, all)) {
            let w = weight_of_evidence(&bins, WoeSign::GoodBad, Smoothing::ZeroCells).unwrap();
            best = Some(best.map_or(w.iv, |b| b.max(w.iv)));
        }
    }
    best
}

#[test]
fn monotone_bins_are_the_best_of_all_ways() {
    let mut seed = 7u64;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    let most = Limits {
        max_bins: 4,
        min_share: 0.05,
        min_class: 2,
    };
    let mut bent = 0;
    for _ in 0..60 {
        let units: Vec<Counts> = (0..9).map(|_| c(20 + next(60), next(40))).collect();
        for trend in [
            Trend::Increasing,
            Trend::Decreasing,
            Trend::U,
            Trend::InvertedU,
        ] {
            let groups = merge(&units, 9, Order::Ascending, Method::Monotone(trend), &most);
            let mut bins = vec![Counts::default(); groups.iter().max().unwrap() + 1];
            for (u, g) in units.iter().zip(&groups) {
                bins[*g] = bins[*g] + *u;
            }
            let w = weight_of_evidence(&bins, WoeSign::GoodBad, Smoothing::ZeroCells).unwrap();
            let best = by_trial(&units, trend, &most).unwrap();
            assert!((w.iv - best).abs() < 1e-9, "{trend:?}: {} but {best}", w.iv);
            bent += usize::from(trend == Trend::U && bins.len() > 2);
        }
    }
    assert!(bent > 10);
}

#[test]
fn auto_bends_only_for_much() {
    let straight = [c(95, 5), c(90, 10), c(80, 20), c(60, 40)];
    let auto = Method::Monotone(Trend::Auto);
    assert_eq!(
        merge(&straight, 4, Order::Ascending, auto, &limits(8)),
        [0, 1, 2, 3]
    );
    let u = [c(60, 40), c(95, 5), c(95, 5), c(60, 40)];
    assert_eq!(
        merge(&u, 4, Order::Ascending, auto, &limits(8)),
        [0, 1, 1, 2]
    );
    // more units than are searched one by one
    let many: Vec<Counts> = (0..200).map(|i| c(1000 - i, 100 + i)).collect();
    let groups = merge(&many, 200, Order::Ascending, auto, &limits(5));
    assert_eq!(groups.iter().max(), Some(&4));
    assert!(groups.windows(2).all(|w| w[0] <= w[1]));
}

#[test]
fn merged_bins_are_unions() {
    let t = numbers(&[1.0, 2.0, 3.0, f64::NAN, -999.0]);
    let rows = [0, 1, 2, 3, 4];
    let b = prebin(&t, &rows, "x", &options(Cut::Edges(edges(&[2.0, 3.0])))).unwrap();
    let m = b.merged(&[0, 0, 1, 1, 2]).unwrap();
    assert_eq!(
        m.bins.iter().map(Bin::label).collect::<Vec<_>>(),
        ["(-inf, 3)", "[3, inf), missing", "= -999"]
    );
    assert_eq!(m.assign(&t, &rows).unwrap(), [0, 0, 1, 1, 2].map(Some));
    assert!(
        b.merged(&[0, 1, 0, 2, 3]).is_err(),
        "ranges that are no neighbours"
    );
    assert!(b.merged(&[0, 0, 2, 2, 3]).is_err(), "a gap");
    let counted = counts(&m.assign(&t, &rows).unwrap(), &[0, 1, 1, 0, 1], 3).unwrap();
    assert_eq!(counted, [c(1, 1), c(1, 1), c(0, 1)]);
}

#[test]
fn edges_are_read_back_exactly() {
    for v in [0.1, -1e-9, 1e300, 5e-324, 123_456_789.123_456_78, -0.0] {
        let e = Edge::new(v).unwrap();
        assert_eq!(e.to_string().parse::<Edge>().unwrap(), e);
        assert_eq!(e.value(), v);
    }
    assert!("nan".parse::<Edge>().is_err() && "inf".parse::<Edge>().is_err());
}

#[test]
fn bins_without_enough_of_a_class_join_one_that_has() {
    let rows = [10, 20, 30, 40, 5];
    let joined = |enough: [bool; 5], order| join_small(&enough, &rows, 4, order);
    let (t, f) = (true, false);
    // between two at the same distance the smaller; what stands apart the largest
    assert_eq!(joined([t, f, t, t, f], Order::Ascending), [0, 0, 1, 2, 2]);
    assert_eq!(joined([f, f, t, t, t], Order::Ascending), [0, 0, 0, 1, 2]);
    assert_eq!(joined([f, t, t, t, f], Order::Nominal), [0, 0, 1, 2, 2]);
    assert_eq!(joined([f, f, f, f, t], Order::Ascending), [0; 5]);
    assert_eq!(joined([f, f, f, f, f], Order::Ascending), [0; 5]);
}

#[test]
fn a_column_is_binned_by_its_owner_alone() {
    let n = 600;
    let values: Vec<f64> = (0..n)
        .map(|i| if i % 50 == 0 { f64::NAN } else { f64::from(i) })
        .collect();
    let t = numbers(&values);
    let rows: Vec<usize> = (0..600).collect();
    // bad more and more often, none below 60
    let labels: Vec<u8> = (0..n)
        .map(|i| u8::from(i >= 60 && (i * 37) % 600 < i))
        .collect();
    let recipe = Recipe {
        cut: CutOptions {
            cut: Cut::Quantile(20),
            special: Vec::new(),
            rare_level_rows: 20,
            min_rows: 5,
        },
        method: Method::Monotone(Trend::Auto),
        limits: Limits {
            max_bins: 5,
            min_share: 0.05,
            min_class: 3,
        },
        sign: WoeSign::GoodBad,
        smoothing: Smoothing::ZeroCells,
    };
    let (binned, woe) = bin(&t, &rows, &labels, "x", &recipe).unwrap();
    assert!(binned.binning.bins.last().unwrap().missing);
    let ranges = binned.binning.bins.len() - 1;
    assert!(ranges <= 5);
    assert!(
        woe.bins
            .iter()
            .all(|b| b.counts.good >= 3 && b.counts.bad >= 3 && !b.smoothed)
    );
    assert!(
        binned.woe[..ranges].windows(2).all(|w| w[0] >= w[1]),
        "{:?}",
        binned.woe
    );
    assert!(binned.iv > 0.3 && binned.iv == woe.iv);
}
