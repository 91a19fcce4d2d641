//# stateful
//# compilers: gcc,clang
//# opt: O0,O2
//# before: 1 10 20
//# before: 2 30 40
//# after: 3 50 -1
//# after: 4 60 -1
//# reverted: 5 70 80
// Two variables of one name in one function: each block keeps its own.
#include <stdio.h>
#include "case.h"

KEEP int count(int which) {
#ifdef V2
    if (which < 0)
        return -1;
#endif
    if (which == 1) {
        static int n;
        return ++n;
    } else {
        static int n;
        return n += 10;
    }
}

KEEP void answer(char *out, unsigned long room) {
    int one = count(1), two = count(2), three = count(-1);
    snprintf(out, room, "%d %d %d", one, two, three);
}
