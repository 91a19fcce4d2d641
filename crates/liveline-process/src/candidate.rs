//! Which thread is asked to make calls for us.

use crate::process::Process;
use crate::restart::RESTART_SYSCALL;
use crate::task::{Activity, Stat};

/// Threads among which the best is good enough.
const ENOUGH: usize = 24;

impl Process {
    /// The threads that may make the calls, best first; the others with the reason. Unless `all` are wanted the
    /// first that is as good as can be, or the best of a few, is enough: asking every one of hundreds takes
    /// milliseconds.
    pub(crate) fn candidates(
        &self,
        all: bool,
        refused: &mut Vec<(i32, String)>,
    ) -> std::io::Result<Vec<i32>> {
        let mut ranked = Vec::new();
        for tid in self.threads()? {
            let dir = self.task_path(tid);
            let Ok(stat) = Stat::read(&dir) else { continue };
            if stat.is_worker() || stat.is_dead() {
                continue;
            }
            match stat.state {
                'R' | 'S' => {
                    let rank = Activity::read(&dir).ok().flatten().map_or(9, rank);
                    if rank == 0 && !all {
                        return Ok(vec![tid]);
                    }
                    ranked.push((rank, tid));
                    if ranked.len() >= ENOUGH && !all {
                        break;
                    }
                }
                state => refused.push((tid, format!("is in state {state}"))),
            }
        }
        ranked.sort_unstable();
        Ok(ranked.into_iter().map(|(_, tid)| tid).collect())
    }
}

/// How well a thread that does this can be borrowed; the lowest is best.
fn rank(activity: Activity) -> u8 {
    let Activity::Call { number, args } = activity else {
        return if activity == Activity::Running { 1 } else { 6 };
    };
    let endless = |timeout: u64| if (timeout as i32) < 0 { 0 } else { 2 };
    let unset = |timeout: u64| if timeout == 0 { 0 } else { 2 };
    match number as i64 {
        libc::SYS_futex => {
            if args[3] == 0 {
                0
            } else {
                4
            }
        }
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => endless(args[3]),
        libc::SYS_poll => endless(args[2]),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => unset(args[2]),
        libc::SYS_epoll_pwait2 => unset(args[3]),
        libc::SYS_select | libc::SYS_pselect6 => unset(args[4]),
        libc::SYS_accept | libc::SYS_accept4 | libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom => 0,
        libc::SYS_recvmsg
        | libc::SYS_pause
        | libc::SYS_rt_sigsuspend
        | libc::SYS_wait4
        | libc::SYS_waitid => 0,
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => 4,
        n if n == RESTART_SYSCALL as i64 => 5,
        _ => 3,
    }
}
