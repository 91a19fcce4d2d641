//# either
//# before: 1
//# after: 2
// A constructor that is new would never run: refused, or said; what it does is not needed here.
#include <stdio.h>
#include "case.h"

#ifdef V2
int prepared;
__attribute__((constructor)) static void prepare(void) { prepared = 1; }
#endif

KEEP int value(void) {
#ifdef V2
    return 2;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
