//# opt: O0,O2
//# stateful
//# before: 41 made 1 plain 6
//# before: 42 made 1 plain 7
//# after: 53 made 1 plain 108 fresh 71
//# after: 64 made 1 plain 209 fresh 72
//# reverted: 65 made 1 plain 210
// Statics of a function are constructed already: another initialiser does not run; one that is new does, once.
#include <cstdio>
#include "case.h"

static int made;
KEEP int start(int x) {
    made++;
    return x;
}
struct Seed {
    int value;
    explicit Seed(int x) : value(start(x)) {}
    ~Seed() { value = -1; }
};
KEEP int seed() {
#ifdef V2
    static Seed one(1000);
    return one.value += 11;
#else
    static Seed one(40);
    return one.value += 1;
#endif
}
KEEP int plain() {
#ifdef V2
    static int number = 9000;
    return number += 101;
#else
    static int number = 5;
    return number += 1;
#endif
}
KEEP void more(char *out, unsigned long room) {
#ifdef V2
    static int before = made;
    static Seed fresh(70);
    made = before;
    snprintf(out, room, " fresh %d", fresh.value += 1);
#else
    snprintf(out, room, "%s", "");
#endif
}
void answer(char *out, unsigned long room) {
    char rest[64];
    int a = seed(), b = plain();
    more(rest, sizeof rest);
    snprintf(out, room, "%d made %d plain %d%s", a, made, b, rest);
}
