//# strict
//# before: 14 7
//# after: 28 14
//# opt: O0,O2
// A function with a jump table was its file's own, and the new build uses it from another file as well: it runs already, and does not change.
#include <stdio.h>
#include "case.h"

int other(int x);
#ifdef V2
#define OWN
int shape(int x);
#else
#define OWN static
#endif
__attribute__((noinline)) OWN int shape(int x) {
    switch (x) {
    case 0: return 3;
    case 1: puts("never"); return 9;
    case 2: return 27;
    case 3: return 7;
    case 4: fputs("never", stderr); return 1;
    case 5: return 44;
    case 6: return 12;
    default: return 0;
    }
}
KEEP int mine(int x) {
#ifdef V2
    return shape(x) * 4;
#else
    return shape(x) * 2;
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%d %d", mine(3), other(3)); }
//# file: b.c
int shape(int x);
__attribute__((noinline)) int other(int x) {
#ifdef V2
    return shape(x) * 2;
#else
    static volatile int calls;
    calls++;
    return x + 4;
#endif
}
