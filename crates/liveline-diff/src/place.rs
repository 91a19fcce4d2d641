//! Putting a patch together: sections, symbols, GOT words and stubs.

use std::collections::HashMap;

use liveline_patch::{Place, Relocation, RelocationKind, Section, SectionKind, Symbol};

/// What a symbol of the patch stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A piece of a new object (pair, piece) that comes along.
    Here(usize, usize),
    /// An address of the target.
    Target(u64),
    /// A symbol of another module.
    Import(String),
    /// A number.
    Absolute(u64),
    /// The contents of a word of the target.
    Word(u64),
}

/// A patch being put together.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
    index: HashMap<Key, usize>,
    words: HashMap<(Key, i64), u64>,
    stubs: HashMap<Key, usize>,
    got: Option<(usize, usize)>,
}

impl Maker {
    /// Adds a symbol once.
    pub(crate) fn symbol(&mut self, key: Key, name: &str, place: impl FnOnce() -> Place) -> usize {
        if let Some(index) = self.index.get(&key) {
            return *index;
        }
        let index = self.push(name, place());
        self.index.insert(key, index);
        index
    }

    /// A symbol for an address of the target.
    pub(crate) fn target(&mut self, address: u64, name: &str) -> usize {
        self.symbol(Key::Target(address), name, || Place::Target { address })
    }

    /// The symbol that was added for a key.
    pub(crate) fn known(&self, key: &Key) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// Adds a symbol.
    pub(crate) fn push(&mut self, name: &str, place: Place) -> usize {
        self.symbols.push(Symbol { name: name.to_owned(), place });
        self.symbols.len() - 1
    }

    /// Offset in [`Self::got`] of a word that holds `symbol + addend`.
    pub(crate) fn word(&mut self, key: Key, symbol: usize, addend: i64) -> u64 {
        let (section, _) = self.got_section();
        if let Some(offset) = self.words.get(&(key.clone(), addend)) {
            return *offset;
        }
        let offset = self.raw_words(&[(Some(symbol), addend)]);
        debug_assert_eq!(self.sections[section].size, offset + 8);
        self.words.insert((key, addend), offset);
        offset
    }

    /// Adds words side by side: each a symbol plus an addend, or a plain number.
    pub(crate) fn raw_words(&mut self, words: &[(Option<usize>, i64)]) -> u64 {
        let (section, _) = self.got_section();
        let section = &mut self.sections[section];
        let start = section.size;
        for (symbol, addend) in words {
            let offset = section.size;
            match symbol {
                Some(symbol) => {
                    section.bytes.extend([0; 8]);
                    section.relocations.push(Relocation {
                        offset,
                        kind: RelocationKind::Abs64,
                        symbol: *symbol,
                        addend: *addend,
                    });
                }
                None => section.bytes.extend(addend.to_le_bytes()),
            }
            section.size += 8;
        }
        start
    }

    /// The symbol at the start of the words.
    pub(crate) fn got(&mut self) -> usize {
        self.got_section().1
    }

    fn got_section(&mut self) -> (usize, usize) {
        if let Some(got) = self.got {
            return got;
        }
        let section = self.sections.len();
        self.sections.push(Section {
            name: ".liveline.got".into(),
            kind: SectionKind::Rodata,
            align: 16,
            bytes: Vec::new(),
            size: 0,
            relocations: Vec::new(),
        });
        let place = Place::Here { section, offset: 0, size: 0, function: false };
        let symbol = self.push(".liveline.got", place);
        self.got = Some((section, symbol));
        (section, symbol)
    }

    /// The symbol of `jmp *word(%rip)`, where the word is `symbol + addend`.
    pub(crate) fn stub(&mut self, key: Key, name: &str, symbol: usize, addend: i64) -> usize {
        if let Some(stub) = self.stubs.get(&key) {
            return *stub;
        }
        let section = self.sections.len();
        self.sections.push(Section {
            name: format!(".text.liveline.stub.{name}"),
            kind: SectionKind::Text,
            align: 8,
            bytes: vec![0xff, 0x25, 0, 0, 0, 0],
            size: 6,
            relocations: vec![Relocation {
                offset: 2,
                kind: RelocationKind::Pc32,
                symbol,
                addend: addend - 4,
            }],
        });
        let place = Place::Here { section, offset: 0, size: 6, function: true };
        let stub = self.push(&format!("{name}@liveline"), place);
        self.stubs.insert(key, stub);
        stub
    }
}
