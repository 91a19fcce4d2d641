//# opt: O0,O2
//# refused: old code can still call it
// A function takes more, and the program may hold a pointer to it.
#include <stdio.h>
#include "case.h"

#ifdef V2
KEEP static int scale(int x, int by) { return x * by; }
KEEP static int start(int x) { return scale(x, 4); }
#else
KEEP static int scale(int x) { return x + 2; }
#define start scale
#endif

static int (*volatile kept)(int) = start;

KEEP int value(int x) {
#ifdef V2
    return kept(x) + 1;
#else
    return kept(x);
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(3)); }
