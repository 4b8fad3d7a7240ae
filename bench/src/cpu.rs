//! Processor time and peak memory of this process.
#![allow(unsafe_code)] // one system call that fills a plain structure

/// Processor seconds (user and system) of all threads so far, and peak resident memory in bytes.
pub(crate) fn used() -> (f64, u64) {
    // SAFETY: getrusage writes the structure it is given and keeps no reference to it; an all-zero
    // rusage is a valid value.
    let r = unsafe {
        let mut r: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut r);
        r
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    let peak = own_peak().unwrap_or(r.ru_maxrss as u64 * 1024);
    (seconds(r.ru_utime) + seconds(r.ru_stime), peak)
}

/// Peak resident memory of this program alone: a process also inherits, in `ru_maxrss`, that of the one
/// that started it.
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
