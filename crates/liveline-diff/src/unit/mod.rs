//! One relocatable object, taken apart into pieces: functions, data objects, strings, constants.

mod decode;
pub(crate) use decode::{instructions, is_near_branch};
mod read;
mod split;

use object::LittleEndian as LE;
use object::read::elf::ElfFile64;

/// How sections begin that say what is caught and cleaned up where.
pub(crate) const TABLE: &str = ".gcc_except_table";

/// One relocatable object.
#[derive(Debug)]
pub(crate) struct Unit<'d> {
    /// Name for people: the path as given.
    pub(crate) name: &'d str,
    /// Source file as `STT_FILE` names it.
    pub(crate) source: Option<&'d str>,
    /// All pieces.
    pub(crate) pieces: Vec<Piece<'d>>,
    /// Symbols that are defined elsewhere.
    pub(crate) externs: Vec<Extern<'d>>,
    /// Has `.debug_info`.
    pub(crate) debug: bool,
    /// The object as read, for `.debug_line` and `.eh_frame`.
    pub(crate) file: ElfFile64<'d, LE>,
    /// Another object of the same sources, compiled for its debug information: there, things lie elsewhere.
    pub(crate) described: Option<ElfFile64<'d, LE>>,
    /// Where section offsets lie: per section, `(start, end, piece)` by start.
    pub(crate) layout: Vec<Vec<(u64, u64, usize)>>,
}

/// A piece of a section that is compared, proved and carried as one.
#[derive(Clone, Debug)]
pub(crate) struct Piece<'d> {
    /// Section name.
    pub(crate) section: &'d str,
    /// Section index; `usize::MAX` for common symbols.
    pub(crate) section_index: usize,
    pub(crate) kind: Kind,
    /// Offset in the section.
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
    /// Contents; empty where the section has none.
    pub(crate) bytes: &'d [u8],
    /// Names of and in the piece, the main one first; none for constants without a name.
    pub(crate) names: Vec<Name<'d>>,
    /// Relocations, by offset.
    pub(crate) relocs: Vec<Reloc>,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Code,
    /// Read-only data, including what is read-only once relocated.
    Const,
    /// Data that may be written.
    Data,
    /// Zeroed data that may be written.
    Bss,
    /// Thread-local.
    Tls,
}

/// A symbol in a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'d> {
    pub(crate) name: &'d str,
    /// From the start of the piece.
    pub(crate) offset: u64,
    /// Source file, as the `STT_FILE` before the symbol has it.
    pub(crate) source: Option<&'d str>,
    pub(crate) local: bool,
    pub(crate) weak: bool,
    /// `STV_HIDDEN`, `STV_INTERNAL` or `STV_PROTECTED`: cannot be interposed.
    pub(crate) hidden: bool,
}

/// A symbol defined elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extern<'d> {
    pub(crate) name: &'d str,
    pub(crate) weak: bool,
    pub(crate) hidden: bool,
}

/// A relocation of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// From the start of the piece.
    pub(crate) offset: u64,
    /// `R_X86_64_*`.
    pub(crate) kind: u32,
    /// Relative to the target piece or symbol.
    pub(crate) addend: i64,
    /// From the field to the end of the instruction (or, in data, 0).
    pub(crate) tail: i64,
    pub(crate) to: To,
    /// The assembler had already filled it in: the field lies in plain bytes.
    pub(crate) made: bool,
}

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Start of a piece of the same unit.
    Piece(usize),
    /// A symbol of another.
    Extern(usize),
    /// A place that could not be told.
    Nowhere,
}

impl<'d> Unit<'d> {
    /// Where the types are told, and what things are called.
    pub(crate) fn debug_file(&self) -> &ElfFile64<'d, LE> {
        self.described.as_ref().unwrap_or(&self.file)
    }
}

impl Reloc {
    /// Bytes of the field.
    pub(crate) fn width(&self) -> u64 {
        use object::elf::*;
        match object::elf::RelocationType(self.kind) {
            R_X86_64_64 | R_X86_64_PC64 | R_X86_64_GOT64 | R_X86_64_GOTOFF64 | R_X86_64_GOTPC64
            | R_X86_64_GOTPCREL64 | R_X86_64_DTPOFF64 | R_X86_64_TPOFF64 | R_X86_64_SIZE64 => 8,
            R_X86_64_8 | R_X86_64_PC8 => 1,
            R_X86_64_16 | R_X86_64_PC16 => 2,
            R_X86_64_NONE | R_X86_64_TLSDESC_CALL => 0,
            _ => 4,
        }
    }

    /// Whether the place of the field is subtracted.
    pub(crate) fn is_relative(&self) -> bool {
        is_relative(self.kind)
    }

    /// Offset in the target that the instruction or pointer really means.
    pub(crate) fn effective(&self) -> i64 {
        if self.is_relative() { self.addend.wrapping_add(self.tail) } else { self.addend }
    }
}

/// Whether a relocation of this kind subtracts its own place.
pub(crate) fn is_relative(kind: u32) -> bool {
    use object::elf::*;
    matches!(
        object::elf::RelocationType(kind),
        R_X86_64_PC32
            | R_X86_64_PLT32
            | R_X86_64_PC64
            | R_X86_64_PC16
            | R_X86_64_PC8
            | R_X86_64_GOTPCREL
            | R_X86_64_GOTPCRELX
            | R_X86_64_REX_GOTPCRELX
            | R_X86_64_CODE_4_GOTPCRELX
            | R_X86_64_GOTTPOFF
            | R_X86_64_CODE_4_GOTTPOFF
            | R_X86_64_TLSGD
            | R_X86_64_TLSLD
            | R_X86_64_GOTPC32_TLSDESC
            | R_X86_64_CODE_4_GOTPC32_TLSDESC
            | R_X86_64_GOTPC32
            | R_X86_64_GOTPC64
            | R_X86_64_GOTPCREL64
    )
}

impl Piece<'_> {
    /// Whether it has a name that means something in the source.
    pub(crate) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    /// Name for people.
    pub(crate) fn label(&self) -> &str {
        self.names.first().map_or(self.section, |name| name.name)
    }

    /// The global name at an offset (the start if the offset is 0).
    pub(crate) fn global_name(&self) -> Option<&Name<'_>> {
        self.names.iter().find(|name| !name.local && name.offset == 0)
    }
}

impl<'d> Unit<'d> {
    /// The piece a section offset lies in.
    pub(crate) fn locate(&self, section: usize, offset: i64) -> Option<usize> {
        locate(self.layout.get(section)?, offset)
    }

    /// What a relocation refers to, for people.
    pub(crate) fn target_name(&self, reloc: &Reloc) -> &str {
        match reloc.to {
            To::Piece(piece) => self.pieces[piece].label(),
            To::Extern(symbol) => self.externs[symbol].name,
            To::Nowhere => "an unknown place",
        }
    }
}

/// The piece an offset lies in. In a section of a single piece every offset means that piece: code may point
/// before or behind an array it indexes.
pub(crate) fn locate(layout: &[(u64, u64, usize)], offset: i64) -> Option<usize> {
    if let [(_, _, only)] = layout {
        return Some(*only);
    }
    let offset = u64::try_from(offset).ok()?;
    let after = layout.partition_point(|(start, _, _)| *start <= offset);
    let (start, end, piece) = *layout.get(after.checked_sub(1)?)?;
    // One past the end, where nothing follows directly, still means the piece before.
    (offset <= end || start == offset).then_some(piece)
}

/// Whether a relocation is that of a direct call or jump.
pub(crate) fn is_near_branch_kind(reloc: &Reloc) -> bool {
    reloc.kind == object::elf::R_X86_64_PLT32.0 && reloc.tail == 4
}

/// Fields of the code of a piece that refer to its own first byte by a memory operand: offset and distance to
/// the end of the instruction.
pub(crate) fn self_references(piece: &Piece) -> Vec<(u64, i64)> {
    let mut out = Vec::new();
    decode::instructions(piece.bytes, piece.start, |decoder, instruction| {
        if let Some(field) = decode::inner(decoder, instruction)
            && !field.branch
            && field.target == piece.start
        {
            out.push((field.field - piece.start, field.tail as i64));
        }
    });
    out
}

/// The instruction that holds the byte at an offset of a piece; its addresses are offsets in the piece.
pub(crate) fn find_instruction(piece: &Piece, offset: u64) -> Option<iced_x86::Instruction> {
    let mut found = None;
    decode::instructions(piece.bytes, 0, |_, instruction| {
        if (instruction.ip()..instruction.next_ip()).contains(&offset) {
            found = Some(*instruction);
        }
    });
    found
}
