//# opt: O0,O2
//# nothing
//# verdict: checked line-only
// Only line numbers differ: an assertion and a log line moved down.
#include <assert.h>
#include <stdio.h>
#include "case.h"
#ifdef V2
#line 300
#endif

KEEP int checked(int x) {
    assert(x >= 0);
    if (x > 1000) fprintf(stderr, "%s:%d: too large\n", __FILE__, __LINE__);
    return x + 1;
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", checked(1)); }
