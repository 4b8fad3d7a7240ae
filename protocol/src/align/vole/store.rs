//! Own items by bucket, in memory up to a budget and in an encrypted file beyond.
//!
//! Items are pseudo-random, so their first byte splits them into 256 even parts. Beyond the budget
//! all parts are appended to an unnamed temporary file, encrypted under a key that is only in
//! memory, and read back part by part.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use paripassu_crypto::{
    okvs::Buckets,
    prg::{Label, Prg},
};
use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};
use zeroize::{Zeroize, ZeroizeOnDrop};

const PARTS: usize = 256;
/// Bytes of an item and its row.
const RECORD: u64 = 20;

/// Items with their row numbers.
#[derive(Default, ZeroizeOnDrop)]
pub(super) struct Items {
    pub(super) items: Vec<u128>,
    pub(super) rows: Vec<u32>,
}

impl Items {
    fn push(&mut self, item: u128, row: u32) {
        self.items.push(item);
        self.rows.push(row);
    }
}

/// Items on their way in.
pub(super) struct Store {
    parts: Vec<Items>,
    held: u64,
    budget: u64,
    dir: PathBuf,
    disk: Option<Disk>,
}

/// Runs of items as words: two an item, then half a word a row.
struct Disk {
    file: File,
    key: Prg,
    /// End of the file, in words.
    end: u64,
    /// For each part, where its runs lie and how many items they have.
    runs: Vec<Vec<(u64, usize)>>,
}

/// The one stream that covers the file.
const STREAM: u32 = 0;

impl Disk {
    fn new(dir: &Path) -> io::Result<Self> {
        let mut secret = [0; 32];
        UnwrapErr(SysRng).fill_bytes(&mut secret);
        let key = Prg::new(&secret);
        secret.zeroize();
        Ok(Self {
            file: crate::align::spill::private_file(dir)?,
            key,
            end: 0,
            runs: vec![Vec::new(); PARTS],
        })
    }

    fn cover(&self, words: &mut [u64], at: u64) {
        let mut stream = vec![0; words.len()];
        self.key.fill(Label::request(STREAM, 0), at, &mut stream);
        for (w, s) in words.iter_mut().zip(stream) {
            *w ^= s;
        }
    }

    fn append(&mut self, part: usize, run: &Items) -> io::Result<()> {
        let mut words = Vec::with_capacity(run.items.len() * 5 / 2 + 1);
        for item in &run.items {
            words.extend([*item as u64, (*item >> 64) as u64]);
        }
        for rows in run.rows.chunks(2) {
            let word = rows.iter().rev();
            words.push(word.fold(0, |w, row| w << 32 | u64::from(*row)));
        }
        self.cover(&mut words, self.end);
        self.file.seek(SeekFrom::Start(self.end * 8))?;
        self.file.write_all(bytemuck::cast_slice(&words))?;
        if let Some(runs) = self.runs.get_mut(part) {
            runs.push((self.end, run.items.len()));
        }
        self.end += words.len() as u64;
        Ok(())
    }

    fn read(&mut self, part: usize, into: &mut Items) -> io::Result<()> {
        for (at, n) in self.runs.get(part).into_iter().flatten() {
            let mut words = vec![0; 2 * n + n.div_ceil(2)];
            self.file.seek(SeekFrom::Start(at * 8))?;
            self.file.read_exact(bytemuck::cast_slice_mut(&mut words))?;
            self.cover(&mut words, *at);
            let (items, rows) = words.split_at(2 * n);
            let items = items.as_chunks::<2>().0.iter();
            into.items
                .extend(items.map(|[low, high]| u128::from(*low) | u128::from(*high) << 64));
            let rows = rows.iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]);
            into.rows.extend(rows.take(*n));
        }
        Ok(())
    }
}

impl Store {
    /// Holds at most `budget` bytes of items in memory, the rest in `dir`.
    pub(super) fn new(budget: u64, dir: Option<PathBuf>) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Items::default()).collect(),
            held: 0,
            // a vector may have twice the room that it needs
            budget: (budget / (2 * RECORD)).max(1),
            dir: dir.unwrap_or_else(std::env::temp_dir),
            disk: None,
        }
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: u128, row: u32) -> io::Result<()> {
        if self.held == self.budget {
            self.flush()?;
        }
        // the first byte is below the number of parts
        if let Some(part) = self.parts.get_mut((item >> 120) as usize) {
            part.push(item, row);
        }
        self.held += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut disk = match self.disk.take() {
            Some(disk) => disk,
            None => Disk::new(&self.dir)?,
        };
        for (i, part) in self.parts.iter_mut().enumerate() {
            disk.append(i, part)?;
            part.items.clear();
            part.rows.clear();
        }
        self.held = 0;
        self.disk = Some(disk);
        Ok(())
    }

    /// The items of one part, which are forgotten unless they are on the disk.
    fn part(&mut self, part: usize) -> io::Result<Items> {
        let mut items = self
            .parts
            .get_mut(part)
            .map(std::mem::take)
            .unwrap_or_default();
        if let Some(disk) = &mut self.disk {
            disk.read(part, &mut items)?;
        }
        Ok(items)
    }

    /// Rows whose item an earlier row has: how many, and the first of them with the row it repeats.
    pub(super) fn repeats(&mut self) -> io::Result<(u64, Option<(u32, u32)>)> {
        let (mut count, mut first) = (0, None::<(u32, u32)>);
        // places are found by the items' own bits; zero is free
        let mut table: Vec<u32> = Vec::new();
        for i in 0..PARTS {
            let part = self.part(i)?;
            let bits = (part.items.len() * 2)
                .next_power_of_two()
                .max(2)
                .trailing_zeros();
            table.clear();
            table.resize(1 << bits, 0);
            for (at, item) in (1_u32..).zip(&part.items) {
                // the low bits are as random as the high ones
                let mut place = *item as usize & ((1 << bits) - 1);
                while let Some(entry) = table.get_mut(place) {
                    if *entry == 0 {
                        *entry = at;
                        break;
                    }
                    let other = *entry as usize - 1;
                    if part.items.get(other) == Some(item) {
                        count += 1;
                        let row = |i: usize| part.rows.get(i).copied().unwrap_or_default();
                        let (a, b) = (row(other), row(at as usize - 1));
                        let pair = (a.max(b), a.min(b));
                        first = Some(first.map_or(pair, |f| f.min(pair)));
                        break;
                    }
                    place = (place + 1) & ((1 << bits) - 1);
                }
            }
            if self.disk.is_none()
                && let Some(slot) = self.parts.get_mut(i)
            {
                *slot = part;
            }
        }
        Ok((count, first))
    }

    /// Ends the input: what is held in memory goes to the file, if there is one.
    pub(super) fn finish(mut self) -> io::Result<Self> {
        if self.disk.is_some() {
            self.flush()?;
            self.parts.iter_mut().for_each(|p| *p = Items::default());
        }
        Ok(self)
    }

    /// Gives the items bucket by bucket.
    pub(super) fn drain(self, buckets: Buckets) -> Drain {
        Drain {
            store: self,
            buckets,
            bucket: 0,
            part: 0,
            pending: Items::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> Option<&File> {
        self.disk.as_ref().map(|d| &d.file)
    }
}

/// Takes items out, one bucket after another.
pub(super) struct Drain {
    store: Store,
    buckets: Buckets,
    bucket: usize,
    part: usize,
    /// Items of parts already read and of buckets not yet given.
    pending: Items,
}

impl Drain {
    /// The next bucket's items.
    pub(super) fn next_bucket(&mut self) -> io::Result<Items> {
        let end = self.buckets.end(self.bucket);
        while self.part < PARTS && ((self.part as u128) << 56) < end {
            let mut part = self.store.part(self.part)?;
            self.pending.items.append(&mut part.items);
            self.pending.rows.append(&mut part.rows);
            self.part += 1;
        }
        let (mut now, mut later) = (Items::default(), Items::default());
        now.items.reserve(self.pending.items.len());
        now.rows.reserve(self.pending.items.len());
        for (item, row) in self.pending.items.iter().zip(&self.pending.rows) {
            match self.buckets.of(*item) == self.bucket {
                true => now.push(*item, *row),
                false => later.push(*item, *row),
            }
        }
        self.pending = later;
        self.bucket += 1;
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn filled(items: &[u128], budget: u64) -> Store {
        let mut store = Store::new(budget, None);
        for (row, item) in (0..).zip(items) {
            store.push(*item, row).unwrap();
        }
        store.finish().unwrap()
    }

    #[test]
    fn every_item_comes_once_in_its_bucket() {
        let mut rng = rand::rng();
        let items: Vec<u128> = (0..9_001).map(|_| rng.random()).collect();
        for (budget, on_disk) in [(1 << 20, false), (40_000, true), (1, true)] {
            let items = if budget == 1 { &items[..500] } else { &items };
            for sets in [1, 3 << 17, 300 << 17] {
                let store = filled(items, budget);
                assert_eq!(store.file().is_some(), on_disk);
                let buckets = Buckets::new(sets, 0).unwrap();
                let mut drain = store.drain(buckets);
                let mut seen = vec![false; items.len()];
                for j in 0..buckets.count() {
                    let got = drain.next_bucket().unwrap();
                    for (item, row) in got.items.iter().zip(&got.rows) {
                        assert_eq!((*item, j), (items[*row as usize], buckets.of(*item)));
                        assert!(!std::mem::replace(&mut seen[*row as usize], true));
                    }
                }
                assert!(seen.into_iter().all(|s| s));
            }
        }
    }

    #[test]
    fn finds_the_first_repeated_row() {
        let mut items: Vec<u128> = (0..2_000).map(|_| rand::rng().random()).collect();
        assert_eq!(filled(&items, 1 << 20).repeats().unwrap(), (0, None));
        (items[1_500], items[700], items[1_999]) = (items[3], items[600], items[3]);
        for budget in [1 << 20, 2_000] {
            let mut store = filled(&items, budget);
            assert_eq!(store.repeats().unwrap(), (3, Some((700, 600))));
            // and all items are still there
            assert_eq!(
                store
                    .drain(Buckets::new(1, 1).unwrap())
                    .next_bucket()
                    .unwrap()
                    .rows
                    .len(),
                2_000
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_file_is_private_and_holds_no_item() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let items: Vec<u128> = (0..100).map(|_| rand::rng().random()).collect();
        let store = filled(&items, 40);
        let file = store.file().unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!((meta.nlink(), meta.mode() & 0o777), (0, 0o600));
        let mut bytes = vec![0; meta.len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for item in items {
            let item = item.to_le_bytes();
            assert!(!bytes.windows(8).any(|w| w == &item[..8] || w == &item[8..]));
        }
    }
}
