//# opt: O0,O2
//# before: kept 12 fresh 13
//# after: kept 12 fresh 13 1003
//# strict
//# note: closures made before the update keep the code they had
// A lambda is put in before another: the compiler numbers them anew, and what was made before must stay what it was.
#include <cstdio>
#include <functional>
#include "case.h"

struct Made {
    std::function<int(int)> plus, thousand;
};
KEEP Made make(int by) {
    Made made;
#ifdef V2
    made.thousand = [by](int x) { return x + by + 990; };
#endif
    made.plus = [by](int x) { return x + by; };
    return made;
}
static const Made kept = make(10);
KEEP void report(char *out, unsigned long room) {
    Made fresh = make(10);
#ifdef V2
    snprintf(out, room, "kept %d fresh %d %d", kept.plus(2), fresh.plus(3), fresh.thousand(3));
#else
    snprintf(out, room, "kept %d fresh %d", kept.plus(2), fresh.plus(3));
#endif
}
void answer(char *out, unsigned long room) { report(out, room); }
