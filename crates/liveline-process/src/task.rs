//! What /proc says about one task: its state, flags, tracer and system call.

use std::path::Path;
use std::{fs, io};

/// Kernel thread (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;
/// io_uring worker.
const PF_IO_WORKER: u32 = 0x10;
/// Other kernel worker on behalf of a user process (vhost).
const PF_USER_WORKER: u32 = 0x4000;

/// The fields of /proc/PID/stat (proc_pid_stat(5)) that matter here.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) flags: u32,
    pub(crate) start_time: u64,
}

impl Stat {
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let text = fs::read(dir.join("stat"))?;
        Self::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::Error::other("odd stat line"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses: it ends at the last one.
        let tail = text.rfind(')')?;
        let fields: Vec<&str> = text.get(tail + 1..)?.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            flags: fields.get(6)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Never runs user code.
    pub(crate) fn is_worker(&self) -> bool {
        self.flags & (PF_IO_WORKER | PF_USER_WORKER | PF_KTHREAD) != 0
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// One field of a /proc/PID/status file, without its name and blanks.
pub(crate) fn status_field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The whole /proc/PID/status file.
pub(crate) fn status(dir: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(dir.join("status"))?).into_owned())
}

/// The tracer's pid, 0 if there is none.
pub(crate) fn tracer(status: &str) -> i32 {
    status_field(status, "TracerPid").and_then(|p| p.parse().ok()).unwrap_or(0)
}

/// The name of any process, for messages.
pub(crate) fn name_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|n| n.trim_end().to_owned()).unwrap_or_default()
}

/// What /proc/PID/syscall says of a thread that nobody stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Running,
    /// Blocked, but not in a system call (a page fault, say).
    Blocked,
    Call {
        number: u64,
        args: [u64; 6],
    },
}

impl Activity {
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        Ok(Self::parse(&fs::read_to_string(dir.join("syscall"))?))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        match fields.next()? {
            "running" => Some(Self::Running),
            "-1" => Some(Self::Blocked),
            number => {
                let mut args = [0; 6];
                for arg in &mut args {
                    *arg = u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()?;
                }
                Some(Self::Call { number: number.parse().ok()?, args })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses() {
        let tail = "1 2 3 4 5 4194368 7 8 9 10 11 12 13 14 15 16 17 18 987 20";
        let s = Stat::parse(&format!("77 (a) b (c)) S {tail}")).expect("a good line");
        assert_eq!((s.state, s.flags, s.start_time), ('S', 4_194_368, 987));
    }

    #[test]
    fn system_call_lines() {
        let call = Activity::parse("202 0x7f 0x80 0x0 0x0 0x0 0x1 0x7ffd 0x7f00\n");
        assert_eq!(call, Some(Activity::Call { number: 202, args: [0x7f, 0x80, 0, 0, 0, 1] }));
        assert_eq!(Activity::parse("running\n"), Some(Activity::Running));
        assert_eq!(Activity::parse("-1 0x7ffd 0x7f00\n"), Some(Activity::Blocked));
    }
}
