//# opt: O0,O2
//# before: kept 12 passed 21
//# after: kept 112 passed 121
//# strict
// A std::function made before the update runs the new body of its lambda, with what it captured.
#include <cstdio>
#include <functional>
#include "case.h"

KEEP std::function<int(int)> make(int by) {
    return [by](int x) {
#ifdef V2
        return x + by + 100;
#else
        return x + by;
#endif
    };
}
KEEP int call(const std::function<int(int)> &function, int x) { return function(x); }
static const std::function<int(int)> kept = make(10);
void answer(char *out, unsigned long room) {
    snprintf(out, room, "kept %d passed %d", call(kept, 2), call(make(20), 1));
}
