//# opt: O0,O2
//# modes: pie,nopie,shared
//# strict
//# before: 3 eq 1 const 2
//# after: 33 eq 1 const 22
// Functions reached through tables of pointers, in old data and in new constant data.
#include <stdio.h>
#include "case.h"

typedef int handler(int);

KEEP int first(int x) {
#ifdef V2
    return x * 11;
#else
    return x;
#endif
}
KEEP int second(int x) { return x + 1; }

handler *live_table[] = {first, second};

KEEP int through(int key, int x) {
#ifdef V2
    static handler *const table[] = {second, first, 0};
#else
    static handler *const table[] = {second, first};
#endif
    return table[key](x);
}

KEEP int same(void) {
#ifdef V2
    handler *mine = first;
    return mine == live_table[0];
#else
    return live_table[0] == first;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "%d eq %d const %d", live_table[0](3), same(), through(1, 2));
}
