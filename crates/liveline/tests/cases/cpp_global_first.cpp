//# matrix
//# before: 5
//# after: 12 made 1
// A new global object in a file that had none to be constructed: its constructor runs, once.
#include <cstdio>
#include "case.h"

static volatile int base = 5;
KEEP int five() { return base; }
#ifdef V2
static int made;
struct Limit {
    int value;
    explicit Limit(int value) : value(value) { made++; }
};
Limit extra(five() + 2);
#endif
KEEP void step(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, "%d made %d", five() + extra.value, made);
#else
    snprintf(out, room, "%d", five());
#endif
}
void answer(char *out, unsigned long room) { step(out, room); }
