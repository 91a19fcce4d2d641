//! PDF documents of which it is known what is to be read in them.

use liveline_demo::load::{Dice, Fault};

use crate::python::Connection;

/// A document, and what the service must say of it.
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) seen: String,
}

/// A page: a word on it, and how many annotations it has.
struct Page {
    word: String,
    annotations: usize,
}

impl Document {
    /// A document of some pages, now and then one that is cut off.
    pub(super) fn any(dice: &mut Dice) -> Self {
        let pages: Vec<_> = (0..1 + dice.below(5))
            .map(|_| Page { word: dice.text(12), annotations: dice.below(20) as usize })
            .collect();
        if dice.below(10) == 0 {
            let mut bytes = write(&pages);
            // Not even the catalog is left.
            bytes.truncate(20);
            return Document { bytes, seen: "no document".into() };
        }
        let lines: Vec<_> = pages
            .iter()
            .enumerate()
            .map(|(at, page)| format!("{}: {} {} annotations", at + 1, page.word, page.annotations))
            .collect();
        Document { bytes: write(&pages), seen: lines.join("\n") }
    }
}

/// A page with more annotations than the fixed code takes for well-meant.
pub(super) fn crowded() -> Vec<u8> {
    write(&[Page { word: "crowded".into(), annotations: 10_001 }])
}

/// The file: catalog, list of pages, font, one annotation for all, and for each page itself and its content.
fn write(pages: &[Page]) -> Vec<u8> {
    let first = 5;
    let kids: Vec<_> = (0..pages.len()).map(|at| format!("{} 0 R", first + 2 * at)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Count {} /Kids [{}] >>", pages.len(), kids.join(" ")),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Annot /Subtype /Square /Rect [10 10 20 20] >>".to_owned(),
    ];
    for (at, page) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Resources << /Font << /F 3 0 R >> >> \
             /Contents {} 0 R /Annots [{}] >>",
            first + 2 * at + 1,
            "4 0 R ".repeat(page.annotations)
        ));
        let content = format!("BT /F 12 Tf 20 100 Td ({}) Tj ET", page.word);
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let mut out = "%PDF-1.7\n".to_owned();
    let mut places = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        places.push(out.len());
        out += &format!("{} 0 obj\n{object}\nendobj\n", at + 1);
    }
    let table = out.len();
    out += &format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        out += &format!("{place:010} 00000 n \n");
    }
    out += &format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1);
    out.into_bytes()
}

/// One request of a client.
pub(super) fn request(connection: &mut Connection, dice: &mut Dice) -> Result<(), Fault> {
    let document = Document::any(dice);
    let answer = connection.ask(&document.bytes.len().to_string(), &document.bytes)?;
    if answer == document.seen {
        return Ok(());
    }
    Err(Fault(format!("a document of {} bytes: {answer:?}, not {:?}", document.bytes.len(), document.seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_begins_where_the_table_says() {
        let pages =
            [Page { word: "one".into(), annotations: 2 }, Page { word: "two".into(), annotations: 0 }];
        let text = String::from_utf8(write(&pages)).expect("text");
        let table = text.split("xref\n0 9\n").nth(1).expect("a table of nine");
        for (number, line) in table.lines().take(9).enumerate().skip(1) {
            let place: usize = line[..10].parse().expect("a place");
            assert!(text[place..].starts_with(&format!("{number} 0 obj\n")), "object {number} at {place}");
        }
    }
}
