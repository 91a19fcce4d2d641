//# opt: O0,O2
//# strict
//# before: 1
//# after: 2
// A structure changes that new code does not get at; who uses it was compiled to the same code.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

struct other {
    int id;
#ifdef V2
    long more;
#endif
};

KEEP int use(struct other *p) { return p->id; }

KEEP int value(void) {
#ifdef V2
    return 2;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
