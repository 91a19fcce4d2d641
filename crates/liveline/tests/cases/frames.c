//# opt: O0,O2
//# modes: pie,shared
//# strict
//# before: jumped 3 sum 10 depth 1
//# after: jumped 33 sum 20 depth 1
// Frames of varying size, jumps out of several frames.
#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include "case.h"

static __thread jmp_buf place;

KEEP void jump(int value) { longjmp(place, value); }

KEEP int caught(int value) {
    int result = setjmp(place);
    if (result) {
#ifdef V2
        return result * 11;
#else
        return result;
#endif
    }
    jump(value);
    return -1;
}

KEEP int sum(int count) {
    int *list = alloca(count * sizeof *list);
    int table[count];
    for (int i = 0; i < count; i++) list[i] = i;
    memcpy(table, list, count * sizeof *list);
    int total = 0;
    for (int i = 0; i < count; i++) total += table[i];
#ifdef V2
    total *= 2;
#endif
    return total;
}

KEEP void answer(char *out, unsigned long room) {
    volatile int three = 3, five = 5;
    snprintf(out, room, "jumped %d sum %d depth %d", caught(three), sum(five), __builtin_frame_address(0) != 0);
}
