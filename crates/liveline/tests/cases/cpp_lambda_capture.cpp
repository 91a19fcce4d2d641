//# stateful
//# opt: O0,O2
//# either
//# before: kept 12 fresh 13
//# after: kept 12 fresh 18
// A lambda captures more: what was made before the update has no room for it and keeps its code, or it is all refused.
#include <cstdio>
#include <functional>
#include "case.h"

KEEP std::function<int(int)> make(int by, int more) {
#ifdef V2
    return [by, more](int x) { return x + by + more; };
#else
    (void)more;
    return [by](int x) { return x + by; };
#endif
}
static const std::function<int(int)> kept = make(10, 5);
void answer(char *out, unsigned long room) {
    snprintf(out, room, "kept %d fresh %d", kept(2), make(10, 5)(3));
}
