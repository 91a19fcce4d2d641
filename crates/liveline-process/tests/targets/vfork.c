/* One thread waits for its vfork child (which sleeps), another works. Counter 0: rounds. */
#include "counters.h"
#include <sys/prctl.h>

static void *parent(void *arg) {
    if (vfork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); pause(); _exit(0); }
    return arg;
}

int main(int argc, char **argv) {
    counters_open(argv[1]);
    pthread_t t;
    pthread_create(&t, 0, parent, 0);
    ready();
    for (;;) { usleep(1000); add(0); }
}
