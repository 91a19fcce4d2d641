//! Which object belongs to which crate.

/// The crate that a codegen unit's object is of, by the object's name: `deps/name-1f2e.name.3c4d-cgu.0.rcgu.o`,
/// and incrementally `deps/name-1f2e.UNIT.SESSION.rcgu.o`, are of `deps/name-1f2e`.
pub(crate) fn crate_of(path: &str) -> Option<&str> {
    let name = path.strip_suffix(".rcgu.o")?;
    let folder = name.rfind('/').map_or(0, |slash| slash + 1);
    let mut end = folder;
    let mut before = folder;
    for part in name[folder..].split('.') {
        if end > folder {
            if part.strip_suffix("-cgu").is_some_and(|id| id.len() == 16) {
                return name.get(..before.saturating_sub(1)).filter(|rest| rest.len() > folder);
            }
            if is_unit(part) {
                return name.get(..end - 1);
            }
        }
        before = end;
        end += part.len() + 1;
    }
    name.rsplit_once('.').map(|(rest, _)| rest)
}

/// A codegen unit's name without `-C codegen-units`: 128 bits to the base of 36.
fn is_unit(part: &str) -> bool {
    (20..=26).contains(&part.len()) && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
}

/// The crate that an object, an archive of its objects, or a member of one is of, with the hash cargo puts behind its
/// name: `deps/libname-1f2e.rlib`, `libname-1f2e.rlib(name-1f2e.name.3c4d-cgu.0.rcgu.o)`.
pub fn crate_of_object(path: &str) -> Option<&str> {
    let inner = match path.strip_suffix(')').and_then(|path| path.rsplit_once('(')) {
        Some((_, member)) => member,
        None => path.rsplit_once('/').map_or(path, |(_, name)| name),
    };
    let inner = inner
        .strip_suffix(".rlib.a")
        .or_else(|| inner.strip_suffix(".rlib"))
        .map_or(inner, |name| name.strip_prefix("lib").unwrap_or(name));
    let whole = crate_of(inner).unwrap_or(inner);
    // With link-time optimisation: the program, and the crate in it.
    whole.rsplit('.').next().filter(|name| !name.is_empty())
}

/// A path without the hashes that cargo puts behind the names of crates: `libname-0123456789abcdef.rlib`.
pub(crate) fn without_identity(path: &str) -> String {
    let mut parts = path.split('-');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..16) {
            Some(hash) if hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => {
                out.push_str(&part[16..]);
            }
            _ => {
                out.push('-');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_crates() {
        assert_eq!(
            without_identity("d/liba-b-6fe9cbf63017663e.rlib(a-b-6fe9cbf63017663e)"),
            "d/liba-b.rlib(a-b)"
        );
        assert_eq!(without_identity("a-6fe9cbf6301766"), "a-6fe9cbf6301766");
    }

    #[test]
    fn crates_of_objects() {
        let found =
            ["d/libab-6fe9cbf63017663e.rlib.a", "d/libab-6fe9cbf63017663e.rlib.a(ab-6fe9cbf63017663e)"];
        for path in found {
            assert_eq!(crate_of_object(path), Some("ab-6fe9cbf63017663e"), "{path}");
        }
        assert_eq!(crate_of_object("d/libab-12.rlib"), Some("ab-12"));
        assert_eq!(crate_of_object("d/ab-12.ab.4c326391e5c9970c-cgu.0.rcgu.o"), Some("ab-12"));
        assert_eq!(crate_of_object("d/ab-12.053iq6hrsywihei43b1ea1wub.0znt3jv.rcgu.o"), Some("ab-12"));
        assert_eq!(crate_of_object("d/bin-12.ab-34.ab.4c326391e5c9970c-cgu.0.rcgu.o"), Some("ab-34"));
        assert_eq!(crate_of_object("d/bin-12.ab-34"), Some("ab-34"));
        assert_eq!(crate_of_object("d/plugin"), Some("plugin"));
    }

    #[test]
    fn crates_by_object_name() {
        assert_eq!(crate_of("deps/a-12.a.4c326391e5c9970c-cgu.0.rcgu.o"), Some("deps/a-12"));
        assert_eq!(crate_of("a.4c326391e5c9970c-cgu.0.rcgu.o"), None);
        assert_eq!(crate_of("deps/a-12.053iq6hrsywihei43b1ea1wub.0znt3jv.rcgu.o"), Some("deps/a-12"));
        assert_eq!(crate_of("d.e/a.e06mqxweteqvw0khys9b0vrxk.rcgu.o"), Some("d.e/a"));
        assert_eq!(crate_of("my.prog.prog.4c326391e5c9970c-cgu.15.rcgu.o"), Some("my.prog"));
        assert_eq!(crate_of("deps/a-12.o"), None);
        assert_eq!(crate_of("rcgu.o"), None);
    }
}
