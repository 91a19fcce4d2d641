//# opt: O0,O2
//# refused: type of live data
// A variable of the same size holds something else.
#include <stdio.h>
#include "case.h"

#ifdef V2
static volatile float table[2];
#else
static volatile int table[2];
#endif

KEEP int value(int step) {
#ifdef V2
    return (int)(table[0] += (float)step) * 0 + 2;
#else
    return (table[0] += step) * 0 + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(1)); }
