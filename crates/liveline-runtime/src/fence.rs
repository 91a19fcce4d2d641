//! The two halves of an asymmetric fence: nothing for callers, a system call for whoever swaps.
//!
//! A caller stores "I am in this object" and then reads the object's state; a swapper stores the state and then
//! reads who is in it. One of the two must see the other. With two full fences that costs each call about 6 ns;
//! `membarrier` lets the swapper run the fence on every CPU that executes this program, so that callers only
//! have to keep the compiler from exchanging the two.
#![allow(unsafe_code)]

use crate::sync::{SeqCst, fence};

/// The caller's half: free where the swapper's half is a system call.
#[inline(always)]
pub(crate) fn light() {
    // Loom and Miri know no membarrier: there both halves are full fences.
    #[cfg(any(loom, miri))]
    fence(SeqCst);
    #[cfg(not(any(loom, miri)))]
    std::sync::atomic::compiler_fence(SeqCst);
}

/// The swapper's half. False if the kernel refuses `membarrier`, which a sandbox may do: then nothing may be
/// swapped, since callers could not be seen.
#[cfg(any(loom, miri))]
pub(crate) fn heavy() -> bool {
    fence(SeqCst);
    true
}

/// The swapper's half. False if the kernel refuses `membarrier`, which a sandbox may do: then nothing may be
/// swapped, since callers could not be seen.
#[cfg(not(any(loom, miri)))]
pub(crate) fn heavy() -> bool {
    fence(SeqCst);
    let done = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        // The first time in this process, or in a child made by fork.
        || (membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
            && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    fence(SeqCst);
    done
}

#[cfg(not(any(loom, miri)))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: membarrier(2) takes numbers only and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    #[test]
    fn the_kernel_gives_the_fence() {
        assert!(super::heavy());
    }
}
