//# cc-objects: -g0
//# diff: --no-types
//# note: --no-types asks
//# before: 1
//# after: 2
// Without debug information, at a person's wish.
#include <stdio.h>
#include "case.h"

KEEP int value(void) {
#ifdef V2
    return 2;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
