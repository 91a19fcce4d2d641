//# refused: its layout changed
//# opt: O0,O2
// A lambda captures more: what was made before the update has no room for it.
#include <cstdio>
#include <functional>
#include "case.h"

KEEP std::function<int(int)> make(int by, int more) {
#ifdef V2
    return [by, more](int x) { return x + by + more; };
#else
    return [by](int x) { return x + by; };
#endif
}
static const std::function<int(int)> kept = make(10, 5);
void answer(char *out, unsigned long room) { snprintf(out, room, "%d", kept(2)); }
