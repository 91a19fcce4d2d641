//# opt: O2
//# strict
//# before: 24
//# after: 36
// The new build has a .constprop clone that the old one had not: both callers pass the same constant now.
#include <stdio.h>
#include "case.h"

volatile int zero;

static NOINLINE int scale(int value, int factor) {
    int total = zero;
    for (int i = 0; i < factor; i++) total += value;
    return total;
}

KEEP int one(int x) { return scale(x, 4); }
#ifdef V2
KEEP int two(int x) { return scale(x, 4) * 2; }
#else
KEEP int two(int x) { return scale(x, x + 1); }
#endif

KEEP void answer(char *out, unsigned long room) {
    volatile int three = 3;
    snprintf(out, room, "%d", one(three) + two(three));
}
