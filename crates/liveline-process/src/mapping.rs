//! The mappings of a process, as /proc/PID/maps lists them, and the files behind them.

/// One line of /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// PROT_READ.
    pub read: bool,
    /// PROT_WRITE.
    pub write: bool,
    /// PROT_EXEC.
    pub exec: bool,
    /// MAP_SHARED.
    pub shared: bool,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Device of the file, as `st_dev` packs it; 0 if there is none.
    pub dev: u64,
    /// Inode of the file; 0 if there is none.
    pub inode: u64,
    /// The file's path, or a name in brackets such as `[stack]` or `[vdso]`.
    pub path: Option<String>,
    /// The file has been removed or replaced since it was mapped.
    pub deleted: bool,
}

impl Mapping {
    /// Whether the address lies in it.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Reads one line of /proc/PID/maps.
    pub fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut field = || {
            let trimmed = rest.trim_start_matches(' ');
            let (head, tail) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
            rest = tail;
            head
        };
        let (start, end) = field().split_once('-')?;
        let mode = field().as_bytes();
        let offset = field();
        let (major, minor) = field().split_once(':')?;
        let inode = field();
        let &[r, w, x, s, ..] = mode else { return None };
        let hex = |s: &str| u64::from_str_radix(s, 16).ok();
        let name = rest.trim_start_matches(' ');
        // A newline in a path is printed as \012; the file is found by device and inode, so it may stay.
        let (name, deleted) = match name.strip_suffix(" (deleted)") {
            Some(name) => (name, true),
            None => (name, false),
        };
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            read: r == b'r',
            write: w == b'w',
            exec: x == b'x',
            shared: s == b's',
            offset: hex(offset)?,
            dev: libc::makedev(hex(major)? as u32, hex(minor)? as u32),
            inode: inode.parse().ok()?,
            path: (!name.is_empty()).then(|| name.to_owned()),
            deleted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_deleted_path_with_spaces() {
        let m = Mapping::parse("55d0-55e0 r-xp 00001000 fe:01 42                         /a b (deleted)");
        let m = m.expect("a good line");
        assert_eq!((m.start, m.end, m.offset, m.inode), (0x55d0, 0x55e0, 0x1000, 42));
        assert_eq!(m.path.as_deref(), Some("/a b"));
        assert!(m.deleted && m.read && m.exec && !m.write && !m.shared);
        assert_eq!(m.dev, libc::makedev(0xfe, 1));
    }

    #[test]
    fn anonymous_and_bad_lines() {
        let m = Mapping::parse("7f00-7f10 rw-s 00000000 00:00 0 ").expect("a good line");
        assert!(m.path.is_none() && m.shared && m.inode == 0);
        assert!(Mapping::parse("").is_none());
        assert!(Mapping::parse("zz-1 rw-p 0 0:0 0").is_none());
    }
}
