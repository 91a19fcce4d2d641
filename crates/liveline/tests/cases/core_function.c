//# matrix
//# strict
//# before: old 7 of 3
//# after: new 21 of 3 plus 4 calls>0
//# verdict: describe changed
//# verdict: triple new
//# verdict: answer none
// A changed function that needs a new function, a new string, a new global and a new static local.
#include <stdio.h>
#include "case.h"

static int base = 3;

#ifdef V2
int extra = 4;
static KEEP int triple(int value) { return 3 * value; }
#endif

KEEP int describe(char *out, unsigned long room, int value) {
#ifdef V2
    static int calls = 0;
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    return snprintf(out, room, "new %d of %d plus %d calls%s", triple(value), base, extra, calls > 0 ? ">0" : "=0");
#else
    return snprintf(out, room, "old %d of %d", value, base);
#endif
}

KEEP void answer(char *out, unsigned long room) { describe(out, room, 7); }
