//# opt: O0,O2
//# modes: pie,nopie,shared
//# strict
//# before: 8 local 3
//# after: 16 local 6
// Inline assembly: instructions, local labels and a pushed section.
#include <stdio.h>
#include "case.h"

KEEP long shift(long x) {
#ifdef V2
    __asm__("shl $2, %0" : "+r"(x));
#else
    __asm__("shl $1, %0" : "+r"(x));
#endif
    return x;
}

KEEP long loop(long count) {
    long total = 0;
    // A loop that began within the first five bytes would leave no room for a detour: see loop_head.c.
    __asm__ volatile("test %%rdi, %%rdi\n test %%rdi, %%rdi\n" ::: "cc");
    __asm__ volatile("1:\n add $1, %0\n dec %1\n jnz 1b\n" : "+r"(total), "+r"(count));
#ifdef V2
    total *= 2;
#endif
    return total;
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%ld local %ld", shift(4), loop(3)); }
