//! Fixed-size records sorted by their bytes, in memory up to a budget and in a file beyond.
//!
//! Records are pseudo-random, so their first byte splits them evenly into 256 parts. Below the
//! budget all parts lie in one vector. Beyond it, the vector is appended to an unnamed temporary
//! file (no name, mode 0600, gone with its handle even if the process is killed), part by part;
//! each part is then read back and sorted by itself.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rayon::slice::ParallelSliceMut;

pub(super) fn private_file(dir: &Path) -> io::Result<File> {
    let file = tempfile::tempfile_in(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Records of `W` bytes on their way in.
#[derive(Debug)]
pub(super) struct Spill<const W: usize> {
    held: Vec<[u8; W]>,
    most: usize,
    counts: Box<[u64; 256]>,
    dir: PathBuf,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    file: File,
    end: u64,
    /// For each part, where its runs lie: offset and number of records.
    runs: Vec<Vec<(u64, usize)>>,
}

fn first<const W: usize>(record: &[u8; W]) -> u8 {
    record.first().copied().unwrap_or_default()
}

impl<const W: usize> Spill<W> {
    /// Holds at most `budget` bytes in memory (but at least one record), the rest in `dir`.
    pub(super) fn new(budget: u64, dir: Option<PathBuf>) -> Self {
        let most = usize::try_from(budget).unwrap_or(usize::MAX) / W;
        Self {
            held: Vec::new(),
            most: most.max(1),
            counts: Box::new([0; 256]),
            dir: dir.unwrap_or_else(std::env::temp_dir),
            disk: None,
        }
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: [u8; W]) -> io::Result<()> {
        if self.held.len() == self.most {
            self.flush()?;
        }
        if self.held.len() == self.held.capacity() {
            // Doubling, but never past the budget.
            let more = self.held.len().clamp(256, 1 << 24);
            self.held
                .reserve_exact(more.min(self.most - self.held.len()));
        }
        self.held.push(record);
        if let Some(n) = self.counts.get_mut(usize::from(first(&record))) {
            *n += 1;
        }
        Ok(())
    }

    /// Records in the fullest of the 256 parts.
    pub(super) fn fullest(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    fn flush(&mut self) -> io::Result<()> {
        let disk = match &mut self.disk {
            Some(d) => d,
            None => self.disk.insert(Disk {
                file: private_file(&self.dir)?,
                end: 0,
                runs: vec![Vec::new(); 256],
            }),
        };
        self.held.par_sort_unstable();
        disk.file.seek(SeekFrom::Start(disk.end))?;
        for run in self.held.chunk_by(|a, b| first(a) == first(b)) {
            let bytes = run.as_flattened();
            disk.file.write_all(bytes)?;
            let part = run.first().map(first).unwrap_or_default();
            if let Some(runs) = disk.runs.get_mut(usize::from(part)) {
                runs.push((disk.end, run.len()));
            }
            disk.end += bytes.len() as u64;
        }
        self.held.clear();
        Ok(())
    }

    /// Ends the input.
    pub(super) fn finish(mut self) -> io::Result<Sorted<W>> {
        if self.disk.is_some() {
            self.flush()?;
            self.held = Vec::new();
        } else {
            self.held.par_sort_unstable();
        }
        Ok(Sorted {
            held: self.held,
            disk: self.disk,
        })
    }
}

/// Records in order, part by part.
#[derive(Debug)]
pub(super) struct Sorted<const W: usize> {
    held: Vec<[u8; W]>,
    disk: Option<Disk>,
}

impl<const W: usize> Sorted<W> {
    /// The records whose first byte is `part`, in ascending order.
    pub(super) fn part(&mut self, part: u8) -> io::Result<Cow<'_, [[u8; W]]>> {
        let Some(disk) = &mut self.disk else {
            let from = self.held.partition_point(|r| first(r) < part);
            let to = self.held.partition_point(|r| first(r) <= part);
            return Ok(self.held.get(from..to).unwrap_or_default().into());
        };
        let mut records = Vec::new();
        for (offset, n) in disk.runs.get(usize::from(part)).into_iter().flatten() {
            let old = records.len();
            records.resize(old + n, [0; W]);
            disk.file.seek(SeekFrom::Start(*offset))?;
            let new = records.get_mut(old..).unwrap_or_default();
            disk.file.read_exact(new.as_flattened_mut())?;
        }
        records.sort_unstable();
        Ok(records.into())
    }

    #[cfg(test)]
    pub(super) fn on_disk(&self) -> Option<&File> {
        self.disk.as_ref().map(|d| &d.file)
    }
}

/// Takes sorted records from the first to the last, a number at a time.
#[derive(Debug)]
pub(super) struct Drain<const W: usize> {
    from: Sorted<W>,
    next: Option<u8>,
    part: std::vec::IntoIter<[u8; W]>,
}

impl<const W: usize> Drain<W> {
    pub(super) fn new(from: Sorted<W>) -> Self {
        Self {
            from,
            next: Some(0),
            part: Vec::new().into_iter(),
        }
    }

    /// The next `n` records, fewer at the end.
    pub(super) fn take(&mut self, n: usize) -> io::Result<Vec<[u8; W]>> {
        let mut out = Vec::with_capacity(n);
        while out.len() < n {
            match self.part.next() {
                Some(r) => out.push(r),
                None => match self.next {
                    Some(p) => {
                        self.part = self.from.part(p)?.into_owned().into_iter();
                        self.next = p.checked_add(1);
                    }
                    None => break,
                },
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn records(n: usize) -> Vec<[u8; 20]> {
        let mut rng = rand::rng();
        (0..n).map(|_| rng.random()).collect()
    }

    fn sorted(records: &[[u8; 20]], budget: u64) -> Sorted<20> {
        let mut s = Spill::new(budget, None);
        for r in records {
            s.push(*r).unwrap();
        }
        s.finish().unwrap()
    }

    #[test]
    fn sorts_the_same_in_memory_and_through_a_file() {
        let mut want = records(5_000);
        for (budget, on_disk) in [(1 << 20, false), (30_000, true), (1, true)] {
            let got = sorted(&want, budget);
            assert_eq!(got.on_disk().is_some(), on_disk);
            let mut drain = Drain::new(got);
            let mut all = Vec::new();
            loop {
                let some = drain.take(777).unwrap();
                all.extend_from_slice(&some);
                if some.len() < 777 {
                    break;
                }
            }
            want.sort_unstable();
            assert!(all == want, "budget {budget}");
            if budget == 30_000 {
                want.reverse(); // another order in, the same order out
            }
        }
    }

    #[test]
    fn memory_stays_within_the_budget() {
        let mut s = Spill::<20>::new(40_000, None);
        for r in records(10_000) {
            s.push(r).unwrap();
            assert!(s.held.capacity() * 20 <= 40_000);
        }
        assert!(s.fullest() >= 10_000 / 256);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_file_has_no_name_and_is_private() {
        use std::os::unix::fs::MetadataExt;
        let s = sorted(&records(100), 40);
        let meta = s.on_disk().unwrap().metadata().unwrap();
        assert_eq!((meta.nlink(), meta.mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn an_unusable_directory_is_an_error() {
        let mut s = Spill::<20>::new(40, Some("/nonexistent-paripassu".into()));
        let failed = records(3).into_iter().try_for_each(|r| s.push(r));
        assert!(failed.is_err());
    }
}
