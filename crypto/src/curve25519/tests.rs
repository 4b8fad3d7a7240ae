//! Both backends against each other, over ordinary and awkward points.

use curve25519_dalek::MontgomeryPoint;
use rand::RngExt;

use super::*;

fn available() -> Vec<Backend> {
    let all = [Backend::Portable, Backend::Ifma];
    all.into_iter().filter(|b| b.is_available()).collect()
}

fn unhex(s: &str) -> [u8; 32] {
    let bytes: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// Points whose arithmetic meets zeros, wrap-arounds and second encodings.
fn awkward() -> Vec<[u8; 32]> {
    let mut points = Vec::new();
    for low in 0..=12u8 {
        let mut u = [0; 32];
        u[0] = low;
        points.push(u);
    }
    for low in 0xda..=0xffu8 {
        let mut u = [0xff; 32];
        (u[0], u[31]) = (low, 0x7f);
        points.push(u); // around p, up to 2^255 - 1
        u[31] = 0xff;
        points.push(u); // bit 255 is ignored
    }
    points.push(unhex(
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    ));
    points.push(unhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ));
    for bit in 0..=255 {
        let mut u = [0u8; 32];
        u[bit / 8] = 1 << (bit % 8);
        points.push(u);
    }
    points
}

#[test]
fn backends_give_the_same_bytes() {
    let mut rng = rand::rng();
    let mut points = awkward();
    points.extend((0..600).map(|_| rng.random::<[u8; 32]>()));
    let keys = [[0; 32], rng.random()];
    for key in keys {
        let want: Vec<_> = points
            .iter()
            .map(|p| MontgomeryPoint(*p).mul_clamped(key).to_bytes())
            .collect();
        for backend in available() {
            // lengths that fill groups and vectors in part
            for length in [0, 1, 7, 8, 9, 255, 256, 257, points.len()] {
                let mut got = vec![[0; 32]; length];
                backend.multiply(&key, &points[..length], &mut got);
                assert!(got == want[..length], "{backend:?}, {length} points");
            }
        }
    }
}

#[test]
fn backends_hash_to_the_same_points() {
    let hash = FieldHash::new(b"a test".to_vec()).unwrap();
    let key: [u8; 32] = rand::random();
    let messages: Vec<String> = (0..1_000).map(|i| format!("customer {i}")).collect();
    let want: Vec<_> = messages
        .iter()
        .map(|m| {
            let encoded = portable::encode(&hash, m.as_bytes()).to_montgomery();
            encoded.mul_clamped(key).to_bytes()
        })
        .collect();
    for backend in available() {
        let mut got = vec![[0; 32]; messages.len()];
        backend.encode_and_multiply(&key, &hash, &messages, &mut got);
        assert!(got == want, "{backend:?}");
    }
}

/// RFC 7748, section 5.2: the iterated test, 1 and 1,000 times, and the vectors, the second with
/// the unused bit set.
#[test]
fn backends_multiply_as_rfc_7748() {
    for backend in available() {
        let one = |k: &[u8; 32], u: [u8; 32]| {
            let mut out = [[0; 32]];
            backend.multiply(k, &[u], &mut out);
            out[0]
        };
        for (k, u, want) in [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ] {
            assert_eq!(one(&unhex(k), unhex(u)), unhex(want), "{backend:?}");
        }
        let mut k = [0; 32];
        k[0] = 9;
        let mut u = k;
        for i in 1..=1_000 {
            (u, k) = (k, one(&k, u));
            if i == 1 {
                let want = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                assert_eq!(k, unhex(want), "{backend:?}");
            }
        }
        let want = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
        assert_eq!(k, unhex(want), "{backend:?}");
    }
}
