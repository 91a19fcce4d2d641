//# archive
//# strict
//# before: 1 and 2
//# after: 10 and 2
// Objects given as an archive.
#include <stdio.h>
#include "case.h"

int other(void);

KEEP int value(void) {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d and %d", value(), other()); }
//# file: b.c
__attribute__((noinline)) int other(void) { return 2; }
