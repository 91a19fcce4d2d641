//# opt: O0,O2,Os
//# modes: pie,nopie,shared
//# strict
//# before: alpha|beta|tail of a long common tail
//# after: alpha|GAMMA|common tail
// Strings that are merged by content: a suffix of another, the same text in two functions, a changed one.
#include <stdio.h>
#include "case.h"

KEEP const char *first(void) { return "alpha"; }
KEEP const char *second(void) {
#ifdef V2
    return "GAMMA";
#else
    return "beta";
#endif
}
KEEP const char *third(void) {
#ifdef V2
    return "common tail";
#else
    return "tail of a long common tail";
#endif
}
KEEP const char *fourth(void) { return "a long common tail"; }

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "%s|%s|%s%.0s", first(), second(), third(), fourth());
}
