//# opt: O0,O2
//# modes: pie,nopie,shared
//# strict
//# before: 13 offsets 5
//# after: 113 offsets 55
// Addresses of labels, absolute and as differences, in static tables.
#include <stdio.h>
#include "case.h"

KEEP int interpret(const unsigned char *code) {
    static const void *const step[] = {&&halt, &&one, &&ten};
    int value = 0;
    goto *step[*code++];
one:
    value += 1;
    goto *step[*code++];
ten:
    value += 10;
    goto *step[*code++];
halt:
#ifdef V2
    value += 100;
#endif
    return value;
}

KEEP int offsets(int key) {
    static const int step[] = {&&low - &&low, &&high - &&low};
    goto *(&&low + step[key]);
low:
    return 3;
high:
#ifdef V2
    return 55;
#else
    return 5;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    volatile int key = 1;
    snprintf(out, room, "%d offsets %d", interpret((const unsigned char[]){1, 2, 1, 1, 0}), offsets(key));
}
