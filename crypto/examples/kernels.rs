//! Words multiplied and expanded a second, each kernel by itself on this machine's cores.
use std::{hint::black_box, time::Instant};

use paripassu_crypto::{
    prg::{Label, Prg},
    ring64,
};

fn rate(what: &str, unit: &str, work: f64, mut f: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("{what:<44} {:>8.2} {unit}", work / best / 1e9);
}

fn main() {
    let (m, d, k) = (32_768usize, 51usize, 50usize);
    let wide: Vec<u64> = (0..m * d)
        .map(|i| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .collect();
    let narrow: Vec<i32> = wide.iter().map(|w| *w as i32).collect();
    let v: Vec<u64> = (0..m * k)
        .map(|i| (i as u64).wrapping_mul(0xD134_2543_DE82_EF95))
        .collect();
    let macs = (m * d * k) as f64;
    let mut g = vec![0; d * k];
    rate(
        "XᵀV, 32,768 x 51 by 50, 32-bit X",
        "G products/s",
        macs,
        || ring64::mat_t_mat(&narrow, d, &v, k, &mut g),
    );
    rate("XᵀV, the same, full words", "G products/s", macs, || {
        ring64::mat_t_mat(&wide, d, &v, k, &mut g)
    });
    let n = 101;
    let mut y = vec![0; n * n];
    rate(
        "XV, 101 x 101 by 101, full words",
        "G products/s",
        (n * n * n) as f64,
        || {
            ring64::mat_mat(&wide[..n * n], n, &v[..n * n], n, &mut y);
        },
    );
    let mut z = vec![0; m];
    rate(
        "Xv, 32,768 x 51, 32-bit X",
        "G products/s",
        (m * d) as f64,
        || ring64::mat_vec(&narrow, &v[..d], &mut z),
    );
    rate(
        "Xv, the same, full words",
        "G products/s",
        (m * d) as f64,
        || ring64::mat_vec(&wide, &v[..d], &mut z),
    );
    let mut h = vec![0; d];
    rate(
        "Xᵀv, 32,768 x 51, 32-bit X",
        "G products/s",
        (m * d) as f64,
        || ring64::mat_t_vec(&narrow, &z, &mut h),
    );
    rate(
        "Xᵀv, the same, full words",
        "G products/s",
        (m * d) as f64,
        || ring64::mat_t_vec(&wide, &z, &mut h),
    );
    let prg = Prg::new(&[1; 32]);
    let mut out = vec![0u64; 1 << 20];
    rate("random words", "GB/s", (8 << 20) as f64, || {
        prg.fill(Label::matrix(1), 0, &mut out)
    });
    black_box((&g, &y, &z, &h, &out));
}
