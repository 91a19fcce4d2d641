//# cc-target: -DOTHER
//# refused: not the|differ|match
// The old objects are not those of the program that runs.
#include <stdio.h>
#include "case.h"
#ifdef OTHER
#define OTHER_BUILD + other()
KEEP int other(void) { return 4; }
#else
#define OTHER_BUILD
#endif

KEEP int value(void) {
#ifdef V2
    return 2;
#else
    return 1 OTHER_BUILD;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
