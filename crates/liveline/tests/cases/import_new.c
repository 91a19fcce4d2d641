//# opt: O0,O2
//# modes: pie,nopie,shared,dlopen
//# strict
//# before: plain
//# after: parent yes path yes data yes errno 9
// New code calls functions and reads data of other modules that the program never imported.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "case.h"

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    char path[256];
    int parent = getppid() > 0;
    int has_path = getcwd(path, sizeof path) != 0;
    int data = program_invocation_name != 0 && environ != 0;
    errno = 0;
    close(-1);
    snprintf(out, room, "parent %s path %s data %s errno %d", parent ? "yes" : "no", has_path ? "yes" : "no",
             data ? "yes" : "no", errno);
#else
    snprintf(out, room, "plain");
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
