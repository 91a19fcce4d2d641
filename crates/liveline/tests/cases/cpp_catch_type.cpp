//# matrix
//# before: passed on
//# after: caught
//# strict
// Only the table of catch clauses differs: the code is the same to the byte.
#include <cstdio>
#include "case.h"

struct One {
    int code;
};
struct Other {
    int code;
};
#ifdef V2
typedef One Caught;
#else
typedef Other Caught;
#endif
KEEP void thrower(int code) {
    if (code > 100) throw Other{code};
    throw One{code};
}
KEEP const char *inner(int code) {
    try {
        thrower(code);
    } catch (const Caught &) {
        return "caught";
    }
    return "nothing";
}
void answer(char *out, unsigned long room) {
    try {
        snprintf(out, room, "%s", inner(1));
    } catch (const One &) {
        snprintf(out, room, "passed on");
    } catch (const Other &) {
        snprintf(out, room, "mistaken");
    }
}
