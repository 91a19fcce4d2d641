//# opt: O0,O2
//# before: limit 5 step 1
//# after: limit 5 step 2
//# reverted: limit 5 step 1
//# stateful
//# note: it constructs limit, which was done when the program started
// A global object would be constructed in another way: that was done at the start and is reported, not applied.
#include <cstdio>
#include <string>
#include "case.h"

static volatile int base = 5;
KEEP int five() { return base; }
struct Limit {
    int value;
    explicit Limit(int value) : value(value) {}
};
#ifdef V2
Limit limit(five() + 1);
#else
Limit limit(five());
#endif
KEEP int step() {
#ifdef V2
    return 2;
#else
    return limit.value > 100 ? 100 : 1;
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "limit %d step %d", limit.value, step()); }
