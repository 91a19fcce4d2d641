//! A strict stack walker: it follows call frame information exactly, and says so where it can't.
//!
//! All sixteen registers are followed through every rule and expression of `.eh_frame` (DWARF 5, chapter 6.4;
//! System V ABI, x86-64 supplement). Nothing is guessed: no frame pointers, no scanning.

use gimli::{
    BaseAddresses, CfaRule, DW_EH_PE_omit, DW_EH_PE_udata4, DwEhPe, EhFrame, EhFrameHdr, Encoding,
    EndianSlice, Evaluation, EvaluationResult, Format, LittleEndian, Register, RegisterRule, UnwindContext,
    UnwindExpression, UnwindSection, UnwindTableRow, Value,
};
use object::elf::{FileHeader64, PT_GNU_EH_FRAME, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Object, ObjectSection, ObjectSegment};

use crate::mapping::Mapping;
use crate::process::{MemoryError, Process};
use crate::registers::Registers;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Row = UnwindTableRow<usize>;

const RSP: usize = 7;
const RETURN_ADDRESS: usize = 16;
const ENCODING: Encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 5 };
/// More unwind tables than this are not read (bytes); the largest browsers have a tenth of it.
const LARGEST_TABLE: u64 = 256 << 20;

/// Why the unwind tables of a module could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CfiError {
    /// Its memory could not be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// There is no ELF image at this address, or it is damaged.
    #[error("no ELF image at {0:#x}")]
    NotElf(u64),
    /// The image has no PT_GNU_EH_FRAME.
    #[error("the module at {0:#x} has no unwind tables")]
    NoTables(u64),
    /// The tables are damaged or of an unknown kind.
    #[error("the unwind tables at {0:#x} can't be read: {1}")]
    Damaged(u64, gimli::Error),
}

/// The call frame information of one module.
#[derive(Clone, Debug)]
pub struct ModuleCfi {
    /// First address of the module, and the first behind it.
    pub range: (u64, u64),
    eh_frame: (u64, Vec<u8>),
    search: Search,
}

/// How the entry for an address is found.
#[derive(Clone, Debug)]
enum Search {
    /// By the table of `.eh_frame_hdr`, which lies at this address.
    Header(u64, Vec<u8>),
    /// By a list of our own: first address, address behind, offset of the entry; sorted.
    List(Vec<(u64, u64, usize)>),
}

impl ModuleCfi {
    /// From an `.eh_frame` at hand, which lies, or will lie, at the given address.
    pub fn from_eh_frame(range: (u64, u64), address: u64, eh_frame: Vec<u8>) -> Result<Self, CfiError> {
        let damaged = |e| CfiError::Damaged(address, e);
        let section = EhFrame::new(&eh_frame, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(address);
        let mut list = Vec::new();
        let mut entries = section.entries(&bases);
        while let Some(entry) = entries.next().map_err(damaged)? {
            let gimli::CieOrFde::Fde(partial) = entry else { continue };
            let fde = partial.parse(EhFrame::cie_from_offset).map_err(damaged)?;
            list.push((fde.initial_address(), fde.end_address(), fde.offset()));
        }
        list.sort_unstable();
        Ok(Self { range, eh_frame: (address, eh_frame), search: Search::List(list) })
    }

    /// From the process's memory, given the address and size of the segment PT_GNU_EH_FRAME and the end of the
    /// loaded segment that holds `.eh_frame`.
    pub fn read(
        process: &Process,
        range: (u64, u64),
        (hdr_address, hdr_size): (u64, u64),
        segment_end: u64,
    ) -> Result<Self, CfiError> {
        let damaged = |e| CfiError::Damaged(hdr_address, e);
        let hdr = read_table(process, hdr_address, hdr_size)?;
        // Linkers count in 32 bits; gimli's arithmetic is at a loss with more.
        if let Some(&encoding) = hdr.get(2)
            && ![DW_EH_PE_udata4, DW_EH_PE_omit].contains(&DwEhPe(encoding))
        {
            return Err(damaged(gimli::Error::UnsupportedPointerEncoding(DwEhPe(encoding))));
        }
        let bases = BaseAddresses::default().set_eh_frame_hdr(hdr_address);
        let parsed = EhFrameHdr::new(&hdr, LittleEndian).parse(&bases, 8).map_err(damaged)?;
        let address = parsed.eh_frame_ptr().direct().map_err(damaged)?;
        let size =
            segment_end.checked_sub(address).ok_or_else(|| damaged(gimli::Error::OffsetOutOfBounds(0)))?;
        let eh_frame = read_table(process, address, size)?;
        Ok(Self { range, eh_frame: (address, eh_frame), search: Search::Header(hdr_address, hdr) })
    }

    /// From the ELF image mapped at `base` (the vdso too): headers and tables are taken from memory, so it does
    /// not matter what became of the file.
    pub fn of_image(process: &Process, base: u64) -> Result<Self, CfiError> {
        let mut head = vec![0u8; 4096];
        process.read(base, &mut head)?;
        let not_elf = |_| CfiError::NotElf(base);
        let header = FileHeader64::<object::LittleEndian>::parse(head.as_slice()).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        let segments = header.program_headers(endian, head.as_slice()).map_err(not_elf)?;
        let loads = || segments.iter().filter(|s| s.p_type(endian) == PT_LOAD);
        let end_of = |s: &object::elf::ProgramHeader64<_>| s.p_vaddr(endian).wrapping_add(s.p_memsz(endian));
        let first = loads().map(|s| s.p_vaddr(endian)).min().ok_or(CfiError::NotElf(base))?;
        let last = loads().map(end_of).max().ok_or(CfiError::NotElf(base))?;
        let bias = base.wrapping_sub(first & !0xfff);
        let table = segments.iter().find(|s| s.p_type(endian) == PT_GNU_EH_FRAME);
        let table = table.ok_or(CfiError::NoTables(base))?;
        let address = table.p_vaddr(endian);
        let segment = loads().find(|s| (s.p_vaddr(endian)..end_of(s)).contains(&address));
        let segment = segment.ok_or(CfiError::NoTables(base))?;
        Self::read(
            process,
            (first.wrapping_add(bias), last.wrapping_add(bias)),
            (address.wrapping_add(bias), table.p_memsz(endian)),
            end_of(segment).wrapping_add(bias),
        )
    }

    /// From the section headers of the file behind a mapping at offset 0, for programs that are linked without
    /// PT_GNU_EH_FRAME, as static ones are; the table itself is read from memory.
    pub fn of_file(process: &Process, first: &Mapping) -> Result<Self, CfiError> {
        let not_elf = CfiError::NotElf(first.start);
        let none = || CfiError::NoTables(first.start);
        let mut image = Vec::new();
        let file = process.module_file(first).map_err(|_| none())?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST_TABLE), &mut image)
            .map_err(|_| none())?;
        let Ok(file) = ElfFile64::<object::LittleEndian>::parse(image.as_slice()) else {
            return Err(not_elf);
        };
        let loads = || file.segments();
        let (from, to) = loads().fold((u64::MAX, 0), |(from, to), s| {
            let (address, size) = (s.address(), s.size());
            (from.min(address), to.max(address.saturating_add(size)))
        });
        let section = file.section_by_name(".eh_frame").ok_or_else(none)?;
        let (address, size) = (section.address(), section.size());
        let bias = first.start.wrapping_sub(from & !0xfff);
        let address = address.wrapping_add(bias);
        let eh_frame = read_table(process, address, size)?;
        Self::from_eh_frame((from.wrapping_add(bias), to.wrapping_add(bias)), address, eh_frame)
    }

    fn contains(&self, address: u64) -> bool {
        (self.range.0..self.range.1).contains(&address)
    }
}

fn read_table(process: &Process, address: u64, size: u64) -> Result<Vec<u8>, CfiError> {
    if size > LARGEST_TABLE {
        return Err(CfiError::NoTables(address));
    }
    let mut bytes = vec![0; size as usize];
    process.read(address, &mut bytes)?;
    Ok(bytes)
}

/// One frame of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where the frame is (first frame), or will go on.
    pub pc: u64,
    /// Canonical frame address: the stack pointer before the call that made it.
    pub cfa: u64,
    /// A signal trampoline: the next frame was interrupted at its pc, it did not call.
    pub is_signal_frame: bool,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the root, as its call frame information says (the return address is undefined).
    Complete,
    /// Somewhere else: there may be more frames.
    Unknown {
        /// What stood in the way.
        why: String,
    },
}

/// The frames of one stack, innermost first.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The frames found; they are right even where the end is unknown.
    pub frames: Vec<Frame>,
    /// How it ended.
    pub end: End,
}

/// Walks stacks with the unwind tables of some modules.
#[derive(Debug)]
pub struct Unwinder {
    modules: Vec<ModuleCfi>,
}

type Registry = [Option<u64>; 17];

impl Unwinder {
    /// From the tables of all modules that may be met; where ranges overlap the later one counts.
    pub fn new(modules: Vec<ModuleCfi>) -> Self {
        Self { modules }
    }

    /// From the tables of every ELF image that is mapped. Images without tables, or with damaged ones, are left
    /// out: a walk that meets them says so.
    pub fn of_process(process: &Process, mappings: &[Mapping]) -> Self {
        let starts = mappings.iter().enumerate().filter(|(i, m)| {
            let image = m.inode != 0 || m.path.as_deref() == Some("[vdso]");
            // The second part of a file that is mapped in pieces begins elsewhere in it.
            let again = i.checked_sub(1).and_then(|i| mappings.get(i)).is_some_and(|before| {
                before.end == m.start && (before.dev, before.inode, before.offset) == (m.dev, m.inode, 0)
            });
            image && m.read && m.offset == 0 && !again
        });
        let tables = |m: &Mapping| match ModuleCfi::of_image(process, m.start) {
            Err(CfiError::NoTables(_)) => ModuleCfi::of_file(process, m),
            other => other,
        };
        Self::new(starts.filter_map(|(_, m)| tables(m).ok()).collect())
    }

    /// Adds a module; it counts before the ones that are there.
    pub fn add(&mut self, module: ModuleCfi) {
        self.modules.push(module);
    }

    /// Walks at most `limit` frames, reading the stack through `read_word`.
    pub fn walk(&self, regs: &Registers, read_word: &dyn Fn(u64) -> Option<u64>, limit: usize) -> Walk {
        let mut registry: Registry = std::array::from_fn(|n| regs.dwarf(n as u16));
        let mut frames = Vec::new();
        let mut context = UnwindContext::new();
        let mut exact = true;
        let mut last_cfa = None;
        while frames.len() < limit {
            let Some(pc) = registry[RETURN_ADDRESS] else {
                return Walk { frames, end: unknown("the return address was lost") };
            };
            // A return address may be the first of the next function if the call never returns: look at the
            // call itself. An interrupted frame stands exactly where it is.
            let at = if exact { pc } else { pc.wrapping_sub(1) };
            let step = self.step(&mut context, &registry, at, read_word);
            let step = match step {
                Ok(step) => step,
                Err(why) => {
                    frames.push(Frame { pc, cfa: 0, is_signal_frame: false });
                    return Walk { frames, end: End::Unknown { why } };
                }
            };
            frames.push(Frame { pc, cfa: step.cfa, is_signal_frame: step.is_signal_frame });
            let Some(next) = step.caller else { return Walk { frames, end: End::Complete } };
            if !step.is_signal_frame && last_cfa.is_some_and(|last| step.cfa <= last) {
                return Walk { frames, end: unknown("the stack does not grow from frame to frame") };
            }
            // A handler may run on another stack than the frame it interrupted.
            last_cfa = (!step.is_signal_frame).then_some(step.cfa);
            exact = step.is_signal_frame;
            registry = next;
        }
        Walk { frames, end: End::Unknown { why: format!("more than {limit} frames") } }
    }

    fn step(
        &self,
        context: &mut UnwindContext<usize>,
        registry: &Registry,
        at: u64,
        read_word: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Step, String> {
        let module = self.modules.iter().rev().find(|m| m.contains(at));
        let module = module.ok_or_else(|| format!("no module with unwind tables at {at:#x}"))?;
        let said = |e: gimli::Error| format!("unwind tables at {at:#x}: {e}");
        let eh_frame = EhFrame::new(&module.eh_frame.1, LittleEndian);
        let mut bases = BaseAddresses::default().set_eh_frame(module.eh_frame.0);
        let none = || gimli::Error::NoUnwindInfoForAddress;
        let fde = match &module.search {
            Search::Header(address, bytes) => {
                bases = bases.set_eh_frame_hdr(*address);
                let header = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8).map_err(said)?;
                let table = header.table().ok_or_else(none).map_err(said)?;
                let entry = table.lookup(at, &bases).and_then(|entry| entry.direct()).map_err(said)?;
                // gimli's own way subtracts without a look at which is larger.
                let offset = entry.checked_sub(module.eh_frame.0).ok_or_else(none).map_err(said)?;
                let offset = gimli::EhFrameOffset(offset as usize);
                let fde = eh_frame.fde_from_offset(&bases, offset, EhFrame::cie_from_offset);
                fde.and_then(|fde| if fde.contains(at) { Ok(fde) } else { Err(none()) })
            }
            Search::List(list) => {
                let index = list.partition_point(|e| e.0 <= at).checked_sub(1);
                let entry = index.map(|i| list[i]).filter(|e| at < e.1).ok_or_else(none).map_err(said)?;
                eh_frame.fde_from_offset(&bases, gimli::EhFrameOffset(entry.2), EhFrame::cie_from_offset)
            }
        }
        .map_err(said)?;
        let row = fde.unwind_info_for_address(&eh_frame, &bases, context, at).map_err(said)?;
        let machine = Machine { eh_frame: &eh_frame, registry, read_word };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                machine.register(*register)?.wrapping_add(*offset as u64)
            }
            CfaRule::Expression(e) => machine.evaluate(e, None)?,
        };
        let return_register = fde.cie().return_address_register();
        let is_signal_frame = fde.is_signal_trampoline();
        if row.register(return_register) == Some(RegisterRule::Undefined) {
            return Ok(Step { cfa, is_signal_frame, caller: None });
        }
        let mut caller: Registry = [None; 17];
        for (number, value) in caller.iter_mut().enumerate() {
            *value = machine.caller_register(row, Register(number as u16), cfa)?;
        }
        if return_register.0 as usize != RETURN_ADDRESS {
            return Err(format!("odd return address column {} at {at:#x}", return_register.0));
        }
        Ok(Step { cfa, is_signal_frame, caller: Some(caller) })
    }
}

fn unknown(why: &str) -> End {
    End::Unknown { why: why.to_owned() }
}

struct Step {
    cfa: u64,
    is_signal_frame: bool,
    caller: Option<Registry>,
}

/// What rules are evaluated with: one frame's registers, and memory.
struct Machine<'m> {
    eh_frame: &'m EhFrame<Slice<'m>>,
    registry: &'m Registry,
    read_word: &'m dyn Fn(u64) -> Option<u64>,
}

impl Machine<'_> {
    fn register(&self, register: Register) -> Result<u64, String> {
        let value = self.registry.get(register.0 as usize).copied().flatten();
        value.ok_or_else(|| format!("register {} is needed and was not kept", register.0))
    }

    fn word(&self, address: u64) -> Result<u64, String> {
        (self.read_word)(address).ok_or_else(|| format!("the stack can't be read at {address:#x}"))
    }

    fn caller_register(&self, row: &Row, register: Register, cfa: u64) -> Result<Option<u64>, String> {
        let number = register.0 as usize;
        Ok(match row.register(register) {
            // Unspecified: the ABI has callees keep rbx, rbp and r12-r15; rsp is the CFA by definition.
            None => match number {
                3 | 6 | 12..=15 => self.registry[number],
                RSP => Some(cfa),
                _ => None,
            },
            Some(RegisterRule::Undefined) => None,
            Some(RegisterRule::SameValue) => self.registry[number],
            Some(RegisterRule::Offset(offset)) => Some(self.word(cfa.wrapping_add(offset as u64))?),
            Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add(offset as u64)),
            Some(RegisterRule::Register(other)) => self.registry.get(other.0 as usize).copied().flatten(),
            Some(RegisterRule::Expression(e)) => {
                let address = self.evaluate(&e, Some(cfa))?;
                Some(self.word(address)?)
            }
            Some(RegisterRule::ValExpression(e)) => Some(self.evaluate(&e, Some(cfa))?),
            Some(RegisterRule::Constant(value)) => Some(value),
            Some(_) => return Err(format!("a rule for register {number} that is not known")),
        })
    }

    fn evaluate(&self, expression: &UnwindExpression<usize>, initial: Option<u64>) -> Result<u64, String> {
        let said = |e: gimli::Error| format!("an expression of the unwind tables: {e}");
        let code = expression.get(self.eh_frame).map_err(said)?;
        let mut evaluation: Evaluation<Slice<'_>> = code.evaluation(ENCODING);
        evaluation.set_max_iterations(1000);
        if let Some(value) = initial {
            evaluation.set_initial_value(value);
        }
        let mut result = evaluation.evaluate().map_err(said)?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, size, space: None, .. } => {
                    let word = self.sized_word(address, size)?;
                    evaluation.resume_with_memory(Value::Generic(word)).map_err(said)?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(self.register(register)?);
                    evaluation.resume_with_register(value).map_err(said)?
                }
                _ => return Err("an expression of the unwind tables asks for more than is known".to_owned()),
            };
        }
        match evaluation.value_result() {
            Some(Value::Generic(value)) => Ok(value),
            _ => Err("an expression of the unwind tables gives no address".to_owned()),
        }
    }

    /// The `size` bytes at an address, zero-extended, without touching memory behind them.
    fn sized_word(&self, address: u64, size: u8) -> Result<u64, String> {
        if size == 8 {
            return self.word(address);
        }
        let bits = u32::from(size) * 8;
        let (aligned, shift) = (address & !7, (address & 7) as u32 * 8);
        if !(1..8).contains(&size) || shift + bits > 64 {
            return Err(format!("an odd read of {size} bytes at {address:#x}"));
        }
        Ok(self.word(aligned)? >> shift & ((1 << bits) - 1))
    }
}
