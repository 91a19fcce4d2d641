//# refused: is a new global object, and its file's constructors have run already
//# opt: O0,O2
// A new global object in a file whose other objects were constructed at the start.
#include <cstdio>
#include "case.h"

static volatile int base = 5;
KEEP int five() { return base; }
struct Limit {
    int value;
    explicit Limit(int value) : value(value) {}
};
Limit limit(five());
#ifdef V2
Limit extra(five() + 2);
#endif
KEEP int step() {
#ifdef V2
    return limit.value + extra.value;
#else
    return limit.value;
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%d", step()); }
