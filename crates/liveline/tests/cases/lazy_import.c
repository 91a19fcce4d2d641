//# modes: pie,nopie,shared,dlopen
//# ld: -Wl,-z,lazy
//# strict
//# before: 1
//# after: 31 and 255
// New code calls a function that is imported already, but whose first call has not come yet.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

KEEP long never_called(const char *text) { return strtol(text, 0, 2); }

KEEP void compose(char *out, unsigned long room, int key) {
#ifdef V2
    long (*volatile parse)(const char *, char **, int) = strtol;
    snprintf(out, room, "%ld and %ld", strtol("1f", 0, 16), parse("ff", 0, 16) + 0 * never_called("1"));
#else
    snprintf(out, room, "%ld", key ? never_called("1") : 1);
#endif
}

KEEP void answer(char *out, unsigned long room) {
    volatile int zero = 0;
    compose(out, room, zero);
}
