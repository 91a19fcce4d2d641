//# opt: O0,O2
//# strict
//# before: 5
//# after: 12
// A function takes more; all its callers are replaced with it, and no pointer to it is left.
#include <stdio.h>
#include "case.h"

#ifdef V2
KEEP static int scale(int x, int by) { return x * by; }
KEEP int value(int x) { return scale(x, 4); }
#else
KEEP static int scale(int x) { return x + 2; }
KEEP int value(int x) { return scale(x); }
#endif

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(3)); }
