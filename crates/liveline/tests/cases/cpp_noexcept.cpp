//# opt: O0,O2
//# before: 1 signal 6
//# after: 2 signal 6
// An exception that meets noexcept ends the program, with new code as with old: tried in a child.
#include <csignal>
#include <cstdio>
#include <sys/wait.h>
#include <unistd.h>
#include "case.h"

KEEP void thrower(int code) { throw code; }
KEEP int strict(int code) noexcept {
#ifdef V2
    if (code < 0) return 2;
    thrower(code + 1);
    return 3;
#else
    if (code < 0) return 1;
    thrower(code);
    return 1;
#endif
}
KEEP int ending() {
    int child = fork();
    if (child == 0) {
        close(2);
        signal(SIGABRT, SIG_DFL);
        try {
            strict(1);
        } catch (...) {
        }
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%d signal %d", strict(-1), ending()); }
