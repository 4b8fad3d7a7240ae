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

/// Processor time of the calling thread, in nanoseconds.
pub(crate) fn of_thread() -> u64 {
    // SAFETY: clock_gettime writes the structure it is given and keeps no reference to it; an all-zero timespec is a
    // valid value.
    let t = unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t);
        t
    };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// What threads that only compute are called: those of the pool for loops over rows.
const POOL: &str = "compute-";

/// Makes the pool for loops over rows, with threads of a name that [`computing`] knows.
pub(crate) fn name_pool() {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|i| format!("{POOL}{i}"));
    // where there is a pool already, its time counts as the process's other time
    let _ = pool.build_global();
    paripassu_protocol::compute::meter(of_thread);
}

/// Processor seconds that protocols have computed so far in this process: work that leaves the reactor, and the pool.
pub(crate) fn computing() -> f64 {
    let mut ns = paripassu_protocol::compute::metered();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").starts_with(POOL) {
            let spent = read("schedstat");
            ns += spent
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    ns as f64 * 1e-9
}

/// Peak resident memory of this program alone: a process also inherits, in `ru_maxrss`, that of the one
/// that started it.
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
