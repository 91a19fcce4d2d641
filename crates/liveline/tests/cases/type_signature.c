//# opt: O0,O2
//# strict
//# before: 5
//# after: 12
// A function takes more; all its callers are replaced with it, and no pointer to it is left.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

/* A jump table refers to the inside of the function: that is no pointer to it. */
#define CASES(result) \
    ({ int out; switch (result) { case 1: out = puts("a"); break; case 2: out = getenv("b") != 0; break; \
       case 3: out = rand(); break; case 4: out = abs(x); break; case 6: out = puts("c") + 7; break; \
       case 7: out = puts("d") + 1; break; default: out = result; } out; })

#ifdef V2
KEEP static int scale(int x, int by) { return CASES(x * by); }
KEEP int value(int x) { return scale(x, 4); }
#else
KEEP static int scale(int x) { return CASES(x + 2); }
KEEP int value(int x) { return scale(x); }
#endif

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(3)); }
