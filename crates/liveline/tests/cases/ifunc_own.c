//# opt: O0,O2
//# modes: pie,nopie,static,shared
//# strict
//# before: chosen 1 through 2
//# after: chosen 10 through 30
// The program's own IFUNC: the chosen implementation changes, and so does one of its callers.
#include <stdio.h>
#include "case.h"

KEEP int plain(void) {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}
KEEP int other(void) { return 5; }

static int (*choose(void))(void) { return plain; }
int chosen(void) __attribute__((ifunc("choose")));

KEEP int through(void) {
#ifdef V2
    return chosen() * 3;
#else
    return chosen() * 2;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "chosen %d through %d", chosen(), through()); }
