//# matrix
//# stateful
//# before: count 1 seed 40 made 1
//# before: count 2 seed 40 made 1
//# after: count 13 seed 40 made 1 fresh 100 own 1
//# after: count 24 seed 40 made 1 fresh 101 own 2
//# reverted: count 25 seed 40 made 1
// Function statics keep their values, guards stay passed; a new static is made once; a thread_local stays.
#include <cstdio>
#include "case.h"

static int made;
struct Seed {
    int value;
    Seed() : value(40) { made++; }
};
static int hundred() { return 100; }
thread_local int calls;

KEEP int seed() {
    static Seed one;
#ifdef V2
    calls += 10;
#endif
    return one.value;
}

KEEP int count() {
    static int number;
#ifdef V2
    number += 11;
#else
    number += 1;
#endif
    return number;
}

KEEP void more(char *out, unsigned long room) {
#ifdef V2
    static int fresh = hundred();
    snprintf(out, room, " fresh %d own %d", fresh++, calls / 10);
#else
    (void)hundred;
    (void)calls;
    snprintf(out, room, "%s", "");
#endif
}

void answer(char *out, unsigned long room) {
    char rest[64];
    int value = seed();
    int number = count();
    more(rest, sizeof rest);
    snprintf(out, room, "count %d seed %d made %d%s", number, value, made, rest);
}
