//! Modules that do not describe themselves as they were built.

/// What becomes of words in a description.
pub(crate) enum Edit<'e> {
    /// Others of the same length stand there.
    To(&'e str),
    /// The digit behind them is another.
    FirstDigit,
    /// The last digit of their line is another.
    LastDigit,
}

/// The same module as another build of its own.
pub(crate) fn other_build(file: &[u8], number: usize) -> Vec<u8> {
    let description = liveline_control::image::description(file).unwrap();
    let build = description.lines().find(|line| line.starts_with("build ")).unwrap().to_owned();
    let other = format!("{}{number:02}", &build[..build.len() - 2]);
    edited(file, &build, Edit::To(&other))
}

/// The file with an edited description.
pub(crate) fn edited(file: &[u8], from: &str, edit: Edit<'_>) -> Vec<u8> {
    let mut file = file.to_vec();
    let description = liveline_control::image::description(&file).unwrap();
    let line = description.find(from).expect("the words");
    let start = description.as_ptr() as usize - file.as_ptr() as usize + line;
    let end = start + description[line..].find('\n').unwrap();
    let digit = match edit {
        Edit::To(words) => {
            file[start..start + words.len()].copy_from_slice(words.as_bytes());
            return file;
        }
        Edit::FirstDigit => start + from.len(),
        Edit::LastDigit => end - 1,
    };
    file[digit] = if file[digit] == b'0' { b'1' } else { b'0' };
    file
}
