//# cc: -fpatchable-function-entry=9,4
//# opt: O0,O2
//# modes: pie,nopie,shared
//# strict
//# before: 1 through 2
//# after: 10 through 20
// Patchable entries: no-ops before and behind the symbol.
#include <stdio.h>
#include "case.h"

KEEP int value(void) {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}
KEEP int twice(int (*call)(void)) {
#ifdef V2
    __asm__ volatile("nop");
#endif
    return 2 * call();
}

KEEP void answer(char *out, unsigned long room) {
    int (*volatile call)(void) = value;
    snprintf(out, room, "%d through %d", value(), twice(call));
}
