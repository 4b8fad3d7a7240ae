use ndarray::Array2;

use super::*;

fn rows(n: usize, d: usize) -> (Array2<f64>, Vec<u8>) {
    let mut draw = test_draws(5);
    let mut unit = move || (draw() >> 11) as f64 * 2f64.powi(-52) - 1.0;
    let x = Array2::from_shape_fn((n, d), |_| 2.0 * unit());
    let bad = |i: usize| u8::from(x[[i, 0]] * x[[i, 1]] + 0.3 * x[[i, 2]] > 0.2);
    let y = (0..n).map(bad).collect();
    (x, y)
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (x, y) = rows(17, 4);
    for hidden in [&[][..], &[5], &[6, 3]] {
        let network = Network::new(4, hidden);
        let params = network.initial(&mut test_draws(2));
        assert_eq!(params.len(), network.parameters());
        let mut gradient = vec![0.0; params.len()];
        network
            .gradient(&params, x.view(), &y, &mut gradient)
            .unwrap();
        let mut spare = gradient.clone();
        for j in 0..params.len() {
            let mut at = |shift: f64| {
                let mut moved = params.clone();
                moved[j] += shift;
                network.gradient(&moved, x.view(), &y, &mut spare).unwrap()
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((slope - gradient[j]).abs() < 1e-5, "{hidden:?}, {j}");
        }
    }
}

#[test]
fn clipped_sums_are_those_of_single_gradients_and_bounded() {
    let (x, y) = rows(300, 4);
    let network = Network::new(4, &[6, 3]);
    let params = network.initial(&mut test_draws(2));
    let all: Vec<usize> = (0..300).collect();
    let (clip, units) = (1.2, 1 << 16);
    let got = clipped_sum(&network, &params, &x, &y, &all, clip, units).unwrap();
    let mut want = vec![0.0; params.len()];
    let (mut over, mut single) = (0, vec![0.0; params.len()]);
    for row in 0..300 {
        let part = x.select(Axis(0), &[row]);
        network
            .gradient(&params, part.view(), &y[row..=row], &mut single)
            .unwrap();
        let norm = single.iter().map(|g| g * g).sum::<f64>().sqrt();
        over += usize::from(norm > clip);
        let scale = (clip / norm).min(1.0);
        want.iter_mut()
            .zip(&single)
            .for_each(|(w, g)| *w += scale * g);
        // one row alone is never longer than the bound
        let one = clipped_sum(&network, &params, &x, &y, &[row], clip, units).unwrap();
        let square: i64 = one.sum.iter().map(|v| v * v).sum();
        assert!(square as f64 <= (f64::from(units)).powi(2));
    }
    assert_eq!(got.clipped, over);
    assert!(over > 20 && over < 300, "{over}");
    for (g, w) in got.sum.iter().zip(&want) {
        let real = *g as f64 * clip / f64::from(units);
        assert!(
            (real - w).abs() < 300.0 * clip / f64::from(units),
            "{real} {w}"
        );
    }
}

#[test]
fn a_network_learns_what_a_line_cannot() {
    let (x, y) = rows(1500, 4);
    let loss = |hidden: &[usize]| {
        let network = Network::new(4, hidden);
        let mut draw = test_draws(3);
        let mut params = network.initial(&mut draw);
        let mut local = Local::new(Optimiser::Adam, params.len());
        let step = Step {
            epochs: 30,
            batch: 32,
            rate: 5e-3,
            ..Step::default()
        };
        local
            .train(&network, &mut params, &x, &y, &step, &mut draw)
            .unwrap()
    };
    assert!(loss(&[]) > 0.55, "{}", loss(&[]));
    assert!(loss(&[16]) < 0.2, "{}", loss(&[16]));
}

#[test]
fn a_proximal_term_keeps_the_model_near_and_wrong_shapes_are_refused() {
    let (x, y) = rows(200, 4);
    let network = Network::new(4, &[8]);
    let moved = |proximal: f64| {
        let mut draw = test_draws(3);
        let start = network.initial(&mut draw);
        let mut params = start.clone();
        let step = Step {
            epochs: 20,
            batch: 20,
            rate: 0.05,
            proximal,
            ..Step::default()
        };
        let mut local = Local::new(Optimiser::Sgd, params.len());
        local
            .train(&network, &mut params, &x, &y, &step, &mut draw)
            .unwrap();
        let far: f64 = params
            .iter()
            .zip(&start)
            .map(|(a, b)| (a - b).powi(2))
            .sum();
        far.sqrt()
    };
    assert!(moved(5.0) < 0.5 * moved(0.0));
    assert!(network.log_odds(&[0.0; 3], &x).is_err());
    let other = Network::new(5, &[]);
    assert!(other.log_odds(&vec![0.0; other.parameters()], &x).is_err());
    let parts = network.unflatten(&network.initial(&mut test_draws(1)));
    assert_eq!(
        (parts[0].0.len(), parts[0].1.len(), parts[1].0.len()),
        (4, 8, 8)
    );
}
