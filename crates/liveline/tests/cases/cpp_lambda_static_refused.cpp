//# refused: cannot be told
//# opt: O0,O2
// A lambda with a static gets another number: which of the running statics is its own is not known.
#include <cstdio>
#include "case.h"

typedef int Step();
KEEP void steps(Step **first, Step **second) {
#ifdef V2
    *second = [] {
        static int number = 100;
        return number += 2;
    };
#else
    *second = nullptr;
#endif
    *first = [] {
        static int number = 10;
        return number += 1;
    };
}
void answer(char *out, unsigned long room) {
    Step *first, *second;
    steps(&first, &second);
    snprintf(out, room, "%d %d", first(), second ? second() : 0);
}
