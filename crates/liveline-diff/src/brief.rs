//! Lists for people.

use std::fmt::Display;

/// The first few names of a list, and how many more there are.
pub fn list_in_brief(names: impl IntoIterator<Item = impl Display>, shown: usize) -> String {
    let all: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match all.len().saturating_sub(shown) {
        0 => all.join(", "),
        more => format!("{} and {more} more", all[..shown].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::list_in_brief;

    #[test]
    fn only_the_first_few_are_named() {
        assert_eq!(list_in_brief(["a", "b"], 2), "a, b");
        assert_eq!(list_in_brief([1, 2, 3, 4], 2), "1, 2 and 2 more");
        assert_eq!(list_in_brief([""; 0], 2), "");
    }
}
