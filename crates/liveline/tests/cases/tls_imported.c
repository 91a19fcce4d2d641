//# compilers: gcc,clang
//# modes: pie,shared
//# ld: -lpthread
//# strict
//# before: errno 1
//# after: errno 22 1
// A thread-local of another module, reached as the program reaches it.
#include <errno.h>
#include <stdio.h>
#include "case.h"

KEEP void compose(char *out, unsigned long room) {
    errno = 1;
#ifdef V2
    int first = errno;
    errno = 22;
    snprintf(out, room, "errno %d %d", errno, first);
#else
    snprintf(out, room, "errno %d", errno);
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
