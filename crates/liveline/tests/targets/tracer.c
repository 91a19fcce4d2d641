/* tracer PID: traces the process and does nothing else, until it is killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 2 || ptrace(PTRACE_SEIZE, atoi(words[1]), 0, 0)) {
        perror("tracer");
        return 2;
    }
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
