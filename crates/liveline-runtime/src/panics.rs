//! Panics between a program and its modules.
//!
//! Each copy of the standard library aborts the program when it catches a panic that another copy began. So what
//! leaves an object, or anything else of a module, is always a panic of the program's: a module turns its own into
//! one of those ([`outward`]), and those that come in into its own ([`inward`]). For that it catches both, and
//! looks whose they are. Nothing of this costs a program anything: there is but one kind in it.
#![allow(unsafe_code)]

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::shared::{host, is_module};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// How a program takes panics, and makes them.
pub(crate) struct Panics {
    take: fn(Raised) -> Payload,
    raise: fn(Payload) -> !,
}

/// Those of this copy.
pub(crate) const OWN: Panics = Panics { take: both::take, raise: resume_unwind };

/// Runs code that may panic by this copy or by the program's.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Payload> {
    match host() {
        None => catch_unwind(AssertUnwindSafe(work)),
        Some(program) => both::attempt(work).map_err(|raised| {
            if raised.is_own() { both::take(raised) } else { (program.panics.take)(raised) }
        }),
    }
}

/// Runs code of this copy for another: a panic in it becomes one of the program's.
#[doc(hidden)]
pub fn outward<R>(work: impl FnOnce() -> R) -> R {
    let Some(program) = host() else { return work() };
    match caught(work) {
        Ok(answer) => answer,
        Err(payload) => (program.panics.raise)(payload),
    }
}

/// Runs code of another copy: a panic in it becomes one of this copy's.
#[inline(always)]
pub(crate) fn inward<R>(work: impl FnOnce() -> R) -> R {
    if is_module() { inward_to_module(work) } else { work() }
}

#[cold]
#[inline(never)]
fn inward_to_module<R>(work: impl FnOnce() -> R) -> R {
    caught(work).unwrap_or_else(|payload| resume_unwind(payload))
}

/// An object of a module, as the program has it.
#[doc(hidden)]
#[repr(transparent)]
#[derive(Debug)]
pub struct Guarded<T>(ManuallyDrop<T>);

impl<T> Guarded<T> {
    /// Whether this copy's objects are to be guarded.
    pub fn is_needed() -> bool {
        is_module()
    }

    /// The object, guarded.
    pub fn over(object: Box<T>) -> Box<Self> {
        // SAFETY: the two have one layout (`repr(transparent)`), so the box is freed as it was made.
        unsafe { Box::from_raw(Box::into_raw(object).cast::<Self>()) }
    }

    /// The object itself.
    pub fn object(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: it is dropped here, and used no more.
        outward(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// An async call of a guarded object.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct GuardedCall<'call, R>(pub Pin<Box<dyn Future<Output = R> + Send + 'call>>);

impl<R> Future for GuardedCall<'_, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        outward(|| self.0.as_mut().poll(context))
    }
}

pub(crate) use both::Raised;

/// Catching a panic without asking whose it is: the standard library's own catch asks, and aborts.
#[cfg(all(panic = "unwind", target_arch = "x86_64", not(miri)))]
mod both {
    use std::arch::global_asm;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::OnceLock;

    use super::Payload;

    /// That the two can live in one process.
    pub(crate) const SUPPORTED: bool = true;

    /// A panic on its way, stopped.
    pub(crate) struct Raised(*mut Exception);

    /// What the unwinder knows of it, and behind that what tells whose it is: an address in the copy of the
    /// standard library that began it.
    #[repr(C)]
    struct Exception {
        class: u64,
        cleanup: usize,
        private: [usize; 2],
        origin: usize,
    }

    impl Raised {
        /// Whether this copy began it.
        pub(super) fn is_own(&self) -> bool {
            self.origin() == own_origin()
        }

        fn origin(&self) -> usize {
            // SAFETY: the personality stops only Rust's panics, which begin with these words.
            unsafe { (*self.0).origin }
        }
    }

    /// What this copy's panics have there: learned from one.
    fn own_origin() -> usize {
        static ORIGIN: OnceLock<usize> = OnceLock::new();
        *ORIGIN.get_or_init(|| match attempt(|| -> () { resume_unwind(Box::new(())) }) {
            Ok(()) => 0,
            Err(raised) => {
                let origin = raised.origin();
                drop(take(raised));
                origin
            }
        })
    }

    type Work = unsafe extern "C-unwind" fn(*mut u8);
    type Number = libc::c_int;

    unsafe extern "C-unwind" {
        /// Calls `work(data)`. Null, or the panic that came out.
        fn liveline_runtime_attempt(work: Work, data: *mut u8) -> *mut Exception;
        fn _Unwind_RaiseException(exception: *mut Exception) -> Number;
        fn _Unwind_SetGR(frame: *mut u8, register: Number, value: usize);
        fn _Unwind_SetIP(frame: *mut u8, address: usize);
        fn _Unwind_GetRegionStart(frame: *mut u8) -> usize;
        fn _Unwind_GetLanguageSpecificData(frame: *mut u8) -> *const usize;
    }

    global_asm!(
        r#".pushsection .text.liveline_runtime_attempt,"ax",@progbits"#,
        ".globl liveline_runtime_attempt",
        ".hidden liveline_runtime_attempt",
        ".type liveline_runtime_attempt,@function",
        "liveline_runtime_attempt:",
        ".cfi_startproc",
        ".cfi_personality 0x1b, {personality}",
        ".cfi_lsda 0x1b, .Lliveline_runtime_landing_at",
        "push rbx",
        ".cfi_adjust_cfa_offset 8",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        ".Lliveline_runtime_landing:",
        "pop rbx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        ".size liveline_runtime_attempt, . - liveline_runtime_attempt",
        ".popsection",
        r#".pushsection .rodata.liveline_runtime_attempt,"a",@progbits"#,
        ".p2align 3",
        ".Lliveline_runtime_landing_at:",
        ".quad .Lliveline_runtime_landing - liveline_runtime_attempt",
        ".popsection",
        personality = sym personality,
    );

    /// What the unwinder asks of the frame above: it stops every Rust panic, and nothing else.
    ///
    /// # Safety
    /// The unwinder calls it.
    unsafe extern "C" fn personality(
        _version: Number,
        actions: Number,
        class: u64,
        exception: *mut Exception,
        frame: *mut u8,
    ) -> Number {
        const SEARCH: Number = 1;
        const HANDLER: Number = 4;
        const FORCED: Number = 8;
        const FOUND: Number = 6;
        const INSTALL: Number = 7;
        const GO_ON: Number = 8;
        if class != u64::from_ne_bytes(*b"MOZ\0RUST") || actions & FORCED != 0 {
            return GO_ON;
        }
        if actions & SEARCH != 0 {
            return FOUND;
        }
        if actions & HANDLER == 0 {
            return GO_ON;
        }
        // SAFETY: the frame is the one above, whose data is the landing's place in the function. Register 0 is rax.
        unsafe {
            let landing = _Unwind_GetRegionStart(frame) + *_Unwind_GetLanguageSpecificData(frame);
            _Unwind_SetGR(frame, 0, exception.expose_provenance());
            _Unwind_SetIP(frame, landing);
        }
        INSTALL
    }

    /// Runs the work; a panic that comes out is stopped, whoever began it.
    pub(super) fn attempt<F: FnOnce() -> R, R>(work: F) -> Result<R, Raised> {
        struct Job<F, R> {
            work: Option<F>,
            answer: Option<R>,
        }
        unsafe extern "C-unwind" fn run<F: FnOnce() -> R, R>(job: *mut u8) {
            // SAFETY: it is the job below, which nobody else uses meanwhile.
            let job = unsafe { &mut *job.cast::<Job<F, R>>() };
            job.answer = job.work.take().map(|work| work());
        }
        let mut job = Job { work: Some(work), answer: None };
        // SAFETY: `run` gets the job that it is made for.
        let exception = unsafe { liveline_runtime_attempt(run::<F, R>, (&raw mut job).cast()) };
        job.answer.ok_or(Raised(exception))
    }

    /// What a panic of this copy carries.
    pub(super) fn take(raised: Raised) -> Payload {
        let again = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: it was stopped and is nobody else's; it goes on from here to the catch around.
            unsafe { _Unwind_RaiseException(raised.0) };
        }));
        match again {
            Err(payload) => payload,
            // The unwinder found no way, which leaves none.
            Ok(()) => std::process::abort(),
        }
    }
}

/// Elsewhere no module is loaded, and so there is but one kind of panic.
#[cfg(not(all(panic = "unwind", target_arch = "x86_64", not(miri))))]
mod both {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Payload;

    /// Where a panic ends the program nothing has to be caught.
    pub(crate) const SUPPORTED: bool = cfg!(panic = "abort");

    /// A panic on its way, stopped.
    pub(crate) struct Raised(Payload);

    impl Raised {
        pub(super) fn is_own(&self) -> bool {
            true
        }
    }

    pub(super) fn attempt<R>(work: impl FnOnce() -> R) -> Result<R, Raised> {
        catch_unwind(AssertUnwindSafe(work)).map_err(Raised)
    }

    pub(super) fn take(raised: Raised) -> Payload {
        raised.0
    }
}

pub(crate) use both::SUPPORTED;
