//# opt: O0,O2
//# modes: pie,nopie,shared
//# strict
//# before: none
//# after: aligned 0 0 0 0
// New code and data with large alignments.
#include <stdint.h>
#include <stdio.h>
#include "case.h"

#ifdef V2
int cache_line __attribute__((aligned(64))) = 7;
static char page[100] __attribute__((aligned(4096)));
static const double constant[4] __attribute__((aligned(32))) = {1, 2, 3, 4};
static KEEP __attribute__((aligned(256))) int code(void) { return cache_line + page[0] + (int)constant[0]; }
#endif

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    const double *volatile view = constant;
    int (*volatile call)(void) = code;
    int *volatile line = &cache_line;
    char *volatile bytes = page;
    if (call() != 8) return;
    snprintf(out, room, "aligned %d %d %d %d", (int)((uintptr_t)line % 64), (int)((uintptr_t)bytes % 4096),
             (int)((uintptr_t)view % 32), (int)((uintptr_t)call % 256));
#else
    snprintf(out, room, "none");
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
