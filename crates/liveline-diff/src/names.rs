//! What compilers make of names: clone suffixes, numbered statics, parts.

/// The name without the numbers that compilers give out: `x.12` → `x`, `f.constprop.0.cold` →
/// `f.constprop.cold`, clang's `f.x.3` → `f.x`.
pub(crate) fn stem(name: &str) -> String {
    let mut parts = name.split('.');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !number {
            out.push('.');
            out.push_str(part);
        }
    }
    out
}

/// For the cold part of a function, the function's name.
pub(crate) fn part_of(name: &str) -> Option<&str> {
    let at = name.find(".cold")?;
    let rest = &name[at + 5..];
    (rest.is_empty() || rest.starts_with('.')).then(|| &name[..at])
}

/// Labels the compiler made for itself (`.LC0`, `.L.str.3`): they name nothing for a person.
pub(crate) fn is_private(name: &str) -> bool {
    name.is_empty()
        || name.starts_with(".L")
        || name.starts_with("GCC_except_table")
        || crate::rust::is_anonymous(name)
}

/// Splits `name@VERSION` and `name@@VERSION`.
pub(crate) fn versioned(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((base, version)) if !base.is_empty() => (base, Some(version.trim_start_matches('@'))),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        assert_eq!(stem("x.12"), "x");
        assert_eq!(stem("f.constprop.0.isra.1.cold"), "f.constprop.isra.cold");
        assert_eq!(stem("f.x.3"), "f.x");
        assert_eq!(stem("plain"), "plain");
        assert_eq!(part_of("f.cold"), Some("f"));
        assert_eq!(part_of("f.part.0.cold.3"), Some("f.part.0"));
        assert_eq!(part_of("f.colder"), None);
        assert_eq!(versioned("stdout@@GLIBC_2.2.5"), ("stdout", Some("GLIBC_2.2.5")));
    }
}
