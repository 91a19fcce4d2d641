//# compilers: gcc,clang
//# opt: Os,O2,O3
//# either
//# before: 5
//# after: 6
// A loop that jumps back into the first instructions: patched rightly or refused.
#include <stdio.h>
#include "case.h"

KEEP int count(const char *text, int total) {
    do {
        total++;
    } while (*++text);
#ifdef V2
    total++;
#endif
    return total;
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", count("hello", 0)); }
