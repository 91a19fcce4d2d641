//# strict
//# before: with helper 3
//# after: without 4
//# verdict: helper removed
// A function that is gone from the new build stays in memory; nothing new calls it.
#include <stdio.h>
#include "case.h"

#ifndef V2
KEEP int helper(int x) { return x + 1; }
#endif

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, "without %d", 4);
#else
    snprintf(out, room, "with helper %d", helper(2));
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
