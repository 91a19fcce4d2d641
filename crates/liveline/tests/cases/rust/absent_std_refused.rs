//# opt: 0,2
//# mangling: legacy,v0
//# without-std
//# refused: which the running program does not contain
// The linker leaves out what nothing uses of the standard library.
pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    #[cfg(v2)]
    return format!("{}", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    #[cfg(not(v2))]
    "1".into()
}
