//! A whole job on real data past a coordinator that records every frame: it finds nothing of what was
//! planted in both parties' tables, and what it carries looks like noise.
#![allow(clippy::unwrap_used, reason = "a test: a failure is a failed test")]

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use paripassu_e2e::{Consortium, JOB, state};
use paripassu_proto::{control::v1::JobState, exchange::v1::Frame};
use paripassu_service::transport::Tap;
use sha2::{Digest, Sha256};

/// Chunks of frames, in order.
#[derive(Default)]
struct Recorder(Mutex<Vec<Vec<u8>>>);

impl Tap for Recorder {
    fn relay(&self, frame: Frame) -> Vec<Frame> {
        self.0.lock().unwrap().push(frame.chunk.to_vec());
        vec![frame]
    }
}

const PLANTED: f64 = 7_654_321.125;
const ID: &str = "planted-customer-";

fn tables(rows: usize) -> (String, String) {
    let mut s = 12345u64;
    let mut uniform = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut bank, mut partner) = (String::from("id,a,y\n"), String::from("id,b,colour\n"));
    for i in 0..rows {
        let (a, b) = (uniform(), uniform());
        let y = u8::from(uniform() < 0.2 + 0.5 * a * b);
        let a = if i % 50 == 0 { PLANTED } else { a * 1e6 };
        writeln!(bank, "{ID}{i},{a},{y}").unwrap();
        writeln!(partner, "{ID}{i},{},secret-level-{}", b * PLANTED, i % 3).unwrap();
    }
    (bank, partner)
}

fn encodings() -> Vec<Vec<u8>> {
    let fixed = (PLANTED * 65_536.0) as i64;
    vec![
        ID.as_bytes().to_vec(),
        b"secret-level".to_vec(),
        b"7654321.125".to_vec(),
        PLANTED.to_le_bytes().to_vec(),
        PLANTED.to_be_bytes().to_vec(),
        (PLANTED as f32).to_le_bytes().to_vec(),
        fixed.to_le_bytes().to_vec(),
        fixed.to_be_bytes().to_vec(),
        (PLANTED as u64).to_le_bytes().to_vec(),
        b"\"auc\"".to_vec(),
    ]
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_coordinator_finds_nothing_of_a_whole_job() {
    let recorder = Arc::new(Recorder::default());
    let mut c = Consortium::new(Some(recorder.clone())).await;
    let (bank, partner) = tables(1500);
    // the search itself works
    assert!(holds(bank.as_bytes(), ID.as_bytes()) && holds(bank.as_bytes(), b"7654321.125"));
    fs::write(c.path("bank.csv"), bank).unwrap();
    fs::write(c.path("partner.csv"), partner).unwrap();
    let (b, p) = (c.path("bank.csv"), c.path("partner.csv"));
    c.party(
        "bank",
        &b,
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"a\"]\n",
    );
    c.party(
        "partner",
        &p,
        "id = \"id\"\nnumeric = [\"b\"]\ncategorical = [\"colour\"]\n",
    );
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    assert!(c.results("bank", job).join("model.json").is_file());

    let frames = recorder.0.lock().unwrap().clone();
    let (mut counts, mut total) = ([0u64; 256], 0u64);
    for chunk in &frames {
        for e in encodings() {
            assert!(
                !holds(chunk, &e),
                "found {e:02x?} in a frame of {} bytes",
                chunk.len()
            );
        }
        chunk.iter().for_each(|x| counts[usize::from(*x)] += 1);
        total += chunk.len() as u64;
    }
    assert!(total > 1_000_000, "only {total} bytes were carried");
    let mean = total as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|n| (*n as f64 - mean).powi(2) / mean)
        .sum();
    // 255 degrees of freedom: p > 1e-6 is below 380
    assert!(
        chi2 < 380.0,
        "chi-squared {chi2} over {total} bytes: frames do not look like noise"
    );
    c.stop().await;
}

/// A person as all parties know them: surname and birth date, a phone, a mail address and a postcode.
fn person(i: u32) -> [String; 5] {
    [
        format!("canaryname{i:05}"),
        format!("8819{i:06}77"),
        format!("canaryphone{i:05}"),
        format!("canarymail{i:05}"),
        format!("9917{i:06}66"),
    ]
}

/// The first bytes of whatever may not get out: each cell, each key, and their plain hashes in bytes; more of these in
/// digits, of which many stand in a node's records.
struct Marks {
    bytes: HashSet<[u8; 8]>,
    digits: HashSet<[u8; 16]>,
}

impl Marks {
    fn of(people: u32) -> Self {
        let (mut bytes, mut digits) = (HashSet::new(), HashSet::new());
        for i in 0..people {
            let [name, born, phone, mail, code] = person(i);
            let keys = [format!("{name}|{born}"), format!("{mail}|{code}")];
            for text in [name, born, phone, mail, code].iter().chain(&keys) {
                let hashes: [[u8; 32]; 2] = [
                    Sha256::digest(text).into(),
                    *blake3::hash(text.as_bytes()).as_bytes(),
                ];
                for hash in hashes {
                    bytes.insert(<[u8; 8]>::try_from(&hash[..8]).unwrap());
                    let hex: String = hash[..8].iter().map(|b| format!("{b:02x}")).collect();
                    digits.insert(<[u8; 16]>::try_from(hex.as_bytes()).unwrap());
                    let hex = hex.to_uppercase();
                    digits.insert(<[u8; 16]>::try_from(hex.as_bytes()).unwrap());
                }
                for text in [text.clone(), text.to_uppercase()] {
                    bytes.insert(<[u8; 8]>::try_from(&text.as_bytes()[..8]).unwrap());
                }
            }
        }
        Self { bytes, digits }
    }

    fn stand_in(&self, text: &[u8]) -> bool {
        text.windows(8).any(|w| self.bytes.contains(w))
            || text.windows(16).any(|w| self.digits.contains(w))
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

/// Ids of two columns and further keys of one and two, by every way of matching: a coordinator that records all it
/// relays finds no cell, no key and no plain hash of one, and no node keeps one but in its own list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_composite_ids_and_further_keys_is_carried_or_kept() {
    const PEOPLE: u32 = 400;
    const NODES: [&str; 3] = ["bank", "partner", "insurer"];
    let marks = Marks::of(PEOPLE);
    // the search finds what it looks for
    let hash = Sha256::digest("canaryname00007|881900000777");
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let texts = [&b"..canaryname00007|"[..], b"CANARYPHONE00011"];
    for planted in texts.iter().chain(&[&hash[..], hex.as_bytes()]) {
        assert!(marks.stand_in(planted), "{planted:02x?}");
    }
    assert!(!marks.stand_in(&Sha256::digest("somebody else")));
    for (method, of, parties) in [
        ("curve", "all", 2),
        ("vole", "all", 2),
        ("vole", "all", 3),
        ("curve", "any", 3),
    ] {
        let recorder = Arc::new(Recorder::default());
        let mut c = Consortium::new(Some(recorder.clone())).await;
        for (party, node) in (0_u32..).zip(&NODES[..parties]) {
            let mut table = String::from("surname,born,phone,mail,code\n");
            for i in 50 * party..PEOPLE - 30 * party {
                let [name, mut born, mut phone, mail, code] = person(i);
                // some match by all, some by phone and mail, some by mail alone
                if i % 3 > 0 && party > 0 {
                    born = format!("1{party}{i}");
                }
                if i % 3 > 1 && party > 0 {
                    phone = String::new();
                }
                writeln!(table, " {name},{born},{phone},{mail},{code}").unwrap();
            }
            let file = c.path(&format!("{node}.csv"));
            fs::write(&file, table).unwrap();
            c.party(
                node,
                &file,
                "id = \"surname\"\nid_more = [{ column = \"born\" }]\n\
                 fallback = [{ key = \"phone\", columns = [\"phone\"] }, \
                 { key = \"mail\", columns = [\"mail\", \"code\"] }]\n",
            );
        }
        let members: String = NODES[..parties]
            .iter()
            .map(|p| format!("[[party]]\nid = \"{p}\"\nrole = \"member\"\ndataset = \"table\"\n"))
            .collect();
        let text = format!(
            "name = \"keys\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{members}\
             [helper]\nid = \"hub\"\n[overlap]\nof = \"{of}\"\n\
             [align]\nmethod = \"{method}\"\nmin_matched = 10\n\
             id_rules = [\"trim\", \"lower_case\"]\nid_more_rules = [[\"digits_only\"]]\n\
             fallback = [\"phone\", \"mail\"]\n\
             fallback_rules = [[[\"trim\"]], [[\"lower_case\"], [\"digits_only\"]]]\n"
        );
        let (status, job) = c.run(&text).await;
        let what = format!("{method}, {of} of {parties}");
        assert_eq!(state(&status), JobState::Released, "{what}: {status:?}");
        let list = fs::read_to_string(c.results("bank", job).join("members.csv")).unwrap();
        for key in ["id", "phone", "mail"] {
            assert!(
                list.matches(&format!(",{key}")).count() > 10,
                "{what}: {list}"
            );
        }
        assert!(marks.stand_in(list.as_bytes()));
        let frames = recorder.0.lock().unwrap().clone();
        let total: usize = frames.iter().map(Vec::len).sum();
        assert!(total > 100_000, "{what}: only {total} bytes were carried");
        for chunk in &frames {
            assert!(
                !marks.stand_in(chunk),
                "{what}: in a frame of {} bytes",
                chunk.len()
            );
        }
        let mut files = 0;
        for node in NODES[..parties].iter().chain(&["hub"]) {
            for path in files_below(&c.path(&format!("{node}-state"))) {
                let bytes = fs::read(&path).unwrap();
                assert!(!marks.stand_in(&bytes), "{what}: {}", path.display());
                files += 1;
            }
        }
        assert!(files > 10, "{what}: {files} files");
        c.stop().await;
    }
}
