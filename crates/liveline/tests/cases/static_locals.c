//# stateful
//# opt: O0,O2
//# modes: pie,nopie,shared
//# before: kept 1 twin 101 201 inlined 301 gone 401
//# before: kept 2 twin 102 202 inlined 302 gone 402
//# after: kept 13 twin 103 213 inlined 303 fresh 501
//# after: kept 14 twin 104 214 inlined 304 fresh 502
//# reverted: kept 5 twin 105 205 inlined 305 gone 403
// The six shapes of static locals: kept in a changed function, the same name in two functions, one in an
// inlined helper of a changed and an unchanged caller, one removed, one new, one in an unchanged function.
#include <stdio.h>
#include "case.h"

KEEP int kept(void) {
    static int count;
#ifdef V2
    return ++count + 10;
#else
    return ++count;
#endif
}

KEEP int twin_one(void) {
    static int count = 100;
    return ++count;
}

KEEP int twin_two(void) {
    static int count = 200;
#ifdef V2
    return ++count + 10;
#else
    return ++count;
#endif
}

static inline int helper(int step) {
    static int total = 300;
    total += step;
    return total;
}

KEEP int inlined_unchanged(void) { return helper(0); }
KEEP int inlined_changed(void) {
#ifdef V2
    __asm__ volatile("nop");
#endif
    return helper(1) == inlined_unchanged() ? inlined_unchanged() : -1;
}

KEEP int last(const char **name) {
#ifdef V2
    static int fresh = 500;
    *name = "fresh";
    return ++fresh;
#else
    static int gone = 400;
    *name = "gone";
    return ++gone;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    const char *name;
    int one = kept(), two = twin_one(), three = twin_two(), four = inlined_changed(), five = last(&name);
    snprintf(out, room, "kept %d twin %d %d inlined %d %s %d", one, two, three, four, name, five);
}
