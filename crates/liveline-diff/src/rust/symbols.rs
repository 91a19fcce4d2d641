//! Symbols as rustc and LLVM make them.

/// What a symbol means: without the number that LLVM gives to a local that another codegen unit uses.
pub(crate) fn meaning(name: &str) -> &str {
    match name.rfind(".llvm.") {
        Some(at) if at > 0 && is_number(&name[at + 6..]) => &name[..at],
        _ => name,
    }
}

/// The variable that a symbol is, or is a part of: LLVM splits a static of which it sees all uses into its fields,
/// `NAME.0` and `NAME.1`.
pub(crate) fn variable(name: &str) -> &str {
    match meaning(name).rsplit_once('.') {
        Some((whole, part)) if is_number(part) => whole,
        _ => meaning(name),
    }
}

/// Whether a symbol is one of Rust's, of either mangling: then it means the same thing wherever it stands.
pub(crate) fn is_rust(name: &str) -> bool {
    let name = meaning(name);
    if let Some(rest) = name.strip_prefix("_R") {
        return rest.starts_with(|first: char| first.is_ascii_uppercase());
    }
    let hash = name.strip_prefix("_ZN").and_then(|rest| rest.strip_suffix('E')).and_then(|rest| {
        let at = rest.len().checked_sub(19)?;
        rest.get(at..)?.strip_prefix("17h")
    });
    hash.is_some_and(is_hex)
}

/// Constants without a name, numbered anew by each compilation: `anon.HASH.3`, `alloc_HASH`, `vtable.2`.
pub(crate) fn is_anonymous(name: &str) -> bool {
    let name = meaning(name);
    let numbered = |rest: &str| {
        rest.split_once('.')
            .is_some_and(|(hash, number)| hash.len() == 32 && is_hex(hash) && is_number(number))
    };
    name.strip_prefix("anon.").is_some_and(numbered)
        || name.strip_prefix("alloc_").is_some_and(|hash| hash.len() == 32 && is_hex(hash))
        || name.strip_prefix("vtable.").is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A symbol as the source has it.
pub(crate) fn readable(name: &str) -> String {
    liveline_elf::demangle::name(meaning(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manglings() {
        assert!(is_rust("_ZN1t6answer17hd2383831eb9c47f6E"));
        assert!(is_rust("_ZN1t6answer17hd2383831eb9c47f6E.llvm.7183252761824690799"));
        assert!(is_rust("_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc"));
        assert!(!is_rust("_ZN3foo3barEv"));
        assert!(!is_rust("_ZN3fooE"));
        assert!(!is_rust("_Read"));
        assert!(!is_rust("main"));
        assert_eq!(meaning("f.llvm.12"), "f");
        assert_eq!(meaning("f.llvm.x"), "f.llvm.x");
        assert_eq!(variable("_ZN1t1TE.0.llvm.7"), "_ZN1t1TE");
        assert_eq!(variable("_ZN1t1TE"), "_ZN1t1TE");
        assert_eq!(readable("_ZN1t6answer17hd2383831eb9c47f6E.llvm.7"), "t::answer");
    }

    #[test]
    fn numbered_constants() {
        assert!(is_anonymous("anon.577a16514abeebece42d0bac3d38c44c.2.llvm.11228747807954460219"));
        assert!(is_anonymous("anon.577a16514abeebece42d0bac3d38c44c.10"));
        assert!(is_anonymous("alloc_577a16514abeebece42d0bac3d38c44c"));
        assert!(is_anonymous("vtable.3"));
        assert!(!is_anonymous("vtable.of.mine"));
        assert!(!is_anonymous("alloc_table"));
        assert!(!is_anonymous("anon.x"));
    }
}
