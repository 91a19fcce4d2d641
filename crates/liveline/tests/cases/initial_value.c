//# opt: O0,O2
//# modes: pie,shared
//# before: limit 10 code 1
//# after: limit 10 code 2
//# verdict: limit data-value
//# note: limit
// The initial value of live data differs: said, not applied.
#include <stdio.h>
#include "case.h"

#ifdef V2
int limit = 20;
#else
int limit = 10;
#endif

KEEP int code(void) {
#ifdef V2
    return 2;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "limit %d code %d", limit, code()); }
