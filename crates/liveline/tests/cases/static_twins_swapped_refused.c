//# compilers: gcc,clang
//# opt: O0,O2
//# refused: cannot be told
// Two variables of one name in one function, whose blocks the fix puts the other way round: by number, by line and by the order
// in which they are used each would be taken for the other.
#include <stdio.h>
#include "case.h"

KEEP int count(int which) {
#ifdef V2
    if (which != 1) {
        static int n;
        return n += 10;
    } else {
        static int n;
        return ++n;
    }
#else
    if (which == 1) {
        static int n;
        return ++n;
    } else {
        static int n;
        return n += 10;
    }
#endif
}

KEEP void answer(char *out, unsigned long room) {
    int one = count(1), two = count(2);
    snprintf(out, room, "%d %d", one, two);
}
