//! What this party holds of a training on shares after its last epochs or passes: its shares, sealed like all checkpoints.

use std::{fs, io};

use paripassu_protocol::vertical::course::State;
use zeroize::Zeroizing;

use super::Checkpoints;

/// How many of a job's last points are kept. An exchange with all parties comes before each: none is further on than one.
const KEPT: usize = 3;

/// One point's state.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Digest of this party's common rows, in the order in which they are trained on.
    pub(crate) data: [u8; 32],
    /// Digest of what was made of them: design columns, labels, weights.
    pub(crate) design: [u8; 32],
    pub(crate) state: State,
}

fn name(point: u32) -> String {
    format!("{point:010}.point")
}

fn header(job: &str, point: u32) -> Vec<u8> {
    format!("paripassu/v1 shares of {job} after {point}").into_bytes()
}

impl Checkpoints {
    /// Keeps the state at a point, all or nothing, and lets go of points past.
    ///
    /// # Errors
    /// Those of the disk; no randomness.
    pub(crate) fn keep_point(&self, job: &str, point: &Point) -> io::Result<()> {
        let number = point.state.point;
        let mut text = Zeroizing::new(Vec::with_capacity(96 + point.state.own.len()));
        for part in [&point.data[..], &point.design, &point.state.name] {
            text.extend_from_slice(part);
        }
        text.extend_from_slice(&point.state.own);
        self.put(job, &name(number), &header(job, number), &text)?;
        let numbers = self.points_of(job)?;
        let past = numbers.len().saturating_sub(KEPT);
        for old in &numbers[..past] {
            fs::remove_file(self.folder.join(job).join(name(*old)))?;
        }
        Ok(())
    }

    /// Points that are kept of a job, the latest last. What cannot be read is not there.
    pub(crate) fn points(&self, job: &str) -> Vec<Point> {
        let numbers = self.points_of(job).unwrap_or_default();
        let read = |number: &u32| self.point(job, *number);
        numbers.iter().filter_map(read).collect()
    }

    fn point(&self, job: &str, number: u32) -> Option<Point> {
        let text = self.get(job, &name(number), &header(job, number))?;
        let (data, rest) = text.split_first_chunk::<32>()?;
        let (design, rest) = rest.split_first_chunk::<32>()?;
        let (named, own) = rest.split_first_chunk::<32>()?;
        Some(Point {
            data: *data,
            design: *design,
            state: State {
                point: number,
                name: *named,
                own: Zeroizing::new(own.to_vec()),
            },
        })
    }

    fn points_of(&self, job: &str) -> io::Result<Vec<u32>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.folder.join(job))? {
            let file = entry?.file_name();
            let number = file.to_str().and_then(|name| name.strip_suffix(".point"));
            all.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        all.sort_unstable();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoints::tests::checkpoints;

    fn at(point: u32) -> Point {
        Point {
            data: [1; 32],
            design: [2; 32],
            state: State {
                point,
                name: [point as u8; 32],
                own: Zeroizing::new(b"this party's shares".repeat(9)),
            },
        }
    }

    #[test]
    fn the_last_points_shares_are_kept_sealed_and_are_gone_when_erased() {
        let dir = tempfile::tempdir().unwrap();
        let kept = checkpoints(dir.path(), 1);
        assert!(kept.points("job").is_empty());
        for point in 7..=11 {
            kept.keep_point("job", &at(point)).unwrap();
        }
        let held = kept.points("job");
        let numbers: Vec<u32> = held.iter().map(|e| e.state.point).collect();
        assert_eq!(numbers, [9, 10, 11]);
        assert_eq!(held[2].state, at(11).state);
        assert_eq!((held[2].data, held[2].design), ([1; 32], [2; 32]));
        for entry in fs::read_dir(dir.path().join("job")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(10).any(|w| w == b"this party"));
        }
        // another node's key, another job's or point's file, an altered one: not there
        assert!(checkpoints(dir.path(), 2).points("job").is_empty());
        let of = |job: &str, point| dir.path().join(job).join(name(point));
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::copy(of("job", 11), of("other", 11)).unwrap();
        fs::copy(of("job", 11), of("job", 10)).unwrap();
        let mut bytes = fs::read(of("job", 9)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(of("job", 9), bytes).unwrap();
        assert!(kept.points("other").is_empty());
        assert_eq!(kept.points("job").len(), 1);
        // rounds of a horizontal training and parts of a match are something else
        assert!(kept.held("job").is_empty());
        assert_eq!((kept.erase("job"), kept.points("job").len()), (3, 0));
    }
}
