//# opt: O0,O2
//# refused: by a cast
// New code gets at a changed structure by a cast: the debug information of the function does not say so.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

struct conn {
    long id, from, to;
#ifdef V2
    long fresh;
#endif
    long last;
};

KEEP void *first(void) {
    static void *all;
    if (!all) all = calloc(1, 64);
    return all;
}

KEEP long last(void *c) { return ((struct conn *)c)->last; }

KEEP int value(void *c) {
#ifdef V2
    return last(c) + 2;
#else
    return last(c) + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
