/* One thread sends numbered real-time signals to another, which counts them in its handler while it works,
   sleeps and waits. Counters: 0 received, 1 out of order or doubled, 2 sent, 3 EINTR without a handler run,
   4 epoll_wait returned EINTR. On SIGTERM prints "sent N received M". */
#include "counters.h"
#include <sys/epoll.h>

static volatile sig_atomic_t done, runs;

static void on_signal(int s, siginfo_t *info, void *context) {
    (void)s; (void)context;
    static int last = 0;
    if (info->si_value.sival_int != last + 1) add(1);
    last = info->si_value.sival_int;
    runs = runs + 1;
    add(0);
}

static pthread_t receiver;
static volatile sig_atomic_t stop_sending;

static void *sender(void *arg) {
    (void)arg;
    for (int i = 1; !stop_sending; ) {
        union sigval v = { .sival_int = i };
        if (!pthread_sigqueue(receiver, SIGRTMIN, v)) { i++; add(2); }
        usleep(150);
    }
    /* Let the last ones arrive. */
    for (int i = 0; i < 2000 && counter[0] != counter[2]; i++) usleep(1000);
    printf("sent %lu received %lu\n", (unsigned long)counter[2], (unsigned long)counter[0]);
    fflush(stdout);
    _exit(0);
}

static void on_term(int s) { (void)s; stop_sending = 1; }

int main(int argc, char **argv) {
    counters_open(argv[1]);
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigaction(SIGRTMIN, &sa, 0);
    signal(SIGTERM, on_term);
    receiver = pthread_self();
    int ep = epoll_create1(0);
    pthread_t t;
    pthread_create(&t, 0, sender, 0);
    ready();
    struct epoll_event ev;
    for (;;) {
        int before = runs;
        int r = epoll_wait(ep, &ev, 1, 3);
        if (r < 0 && errno == EINTR) { if (runs == before && !stop_sending) add(3); else add(4); }
        for (volatile int i = 0; i < 20000; i++);
        before = runs;
        struct timespec ts = { 0, 1000000 };
        if (nanosleep(&ts, 0) && runs == before && !stop_sending) add(3);
    }
}
