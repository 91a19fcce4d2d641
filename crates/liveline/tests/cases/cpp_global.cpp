//# matrix
//# before: log 1
//# after: log 1 extra 77 1
//# strict
// A new file with a global object: its constructor runs once, those of old objects do not run again.
#include <cstdio>
#include "case.h"

int constructed;
struct Log {
    int opened;
    Log() : opened(++constructed) {}
};
Log log_file;
#ifdef V2
int extra();
extern int made;
#endif

KEEP void more(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, " extra %d %d", extra(), made);
#else
    snprintf(out, room, "%s", "");
#endif
}
void answer(char *out, unsigned long room) {
    char rest[64];
    more(rest, sizeof rest);
    snprintf(out, room, "log %d%s", log_file.opened, rest);
}
//# new-file: b.cpp
#include "case.h"
int made;
static int seventy() { return 70; }
struct Extra {
    int value;
    Extra() : value(seventy() + 7) { made++; }
    ~Extra() { value = 0; }
};
static Extra one;
int extra() { return one.value; }
