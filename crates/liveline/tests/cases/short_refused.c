//# compilers: gcc
//# opt: Os
//# refused: room|short
// An empty function of one byte with another right behind it: no room for a detour.
#include <stdio.h>
#include "case.h"

int count;

KEEP void empty(void) {
#ifdef V2
    count++;
#endif
}
KEEP int next(int x) { return x + count; }

KEEP void answer(char *out, unsigned long room) {
    empty();
    snprintf(out, room, "%d", next(1));
}
