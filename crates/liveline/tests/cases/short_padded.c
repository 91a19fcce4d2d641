//# compilers: gcc
//# opt: O2
//# modes: pie,nopie,static,shared
//# strict
//# before: 1
//# after: 3
// An empty function of one byte whose padding has room for a detour.
#include <stdio.h>
#include "case.h"

static __thread int count;

KEEP void empty(void) {
#ifdef V2
    count += 2;
#endif
}
KEEP int next(int x) { return x + count; }

KEEP void answer(char *out, unsigned long room) {
    count = 0;
    empty();
    snprintf(out, room, "%d", next(1));
}
