//# refused: is a new thread-local
//# opt: O0,O2
// A new thread_local: the running threads have no room for it.
#include <cstdio>
#include <string>
#include "case.h"
#ifdef V2
thread_local std::string word = "none";
#endif
KEEP int length() {
#ifdef V2
    return static_cast<int>(word.size());
#else
    return 1;
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%d", length()); }
