//# refused: and another module in the new build
// The program's own `labs` is gone: new code would mean the C library's.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"
KEEP long size(long x) {
    long (*volatile own)(long) = labs;
#ifdef V2
    return own(x) + 1;
#else
    return own(x);
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", size(-3)); }
//# file: b.c
#ifndef V2
long labs(long x) { return x * 100; }
#endif
long unused_otherwise;
