//# modes: nopie
//# opt: O0,O2
//# strict
//# before: same 1
//# after: same 2 more 2
// A variable of libc that the linker copied into the program, and one that new code reads for the first time.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "case.h"

KEEP FILE *remembered(void) { return stdout; }

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, "same %d more %d", 1 + (stdout == remembered()), 1 + (program_invocation_short_name != 0));
#else
    snprintf(out, room, "same %d", stdout == remembered());
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
