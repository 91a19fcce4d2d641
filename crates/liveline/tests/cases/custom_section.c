//# either
//# modes: pie,shared
//# strict
//# before: 1 2
//# after: 10 20
// Functions that the source puts into sections of their own, and cold ones.
#include <stdio.h>
#include "case.h"

KEEP __attribute__((section(".text.special"))) int special(void) {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}

KEEP __attribute__((cold)) int cold(void) {
#ifdef V2
    return 20;
#else
    return 2;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d %d", special(), cold()); }
