/* Threads that live in one system call, fed by one thread that wakes them.
 *
 * sleepers KIND THREADS. `ask` prints the version of the code, `check` what went wrong so far: results that
 * were wrong, EINTR seen, sleeps that ended early, wake-ups lost, and then the number of calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))
#define MOST 600
#define WAIT_MS 200

static const char *kind;
static int threads;
static unsigned long wrong, interrupted, early, calls;
static struct slot {
    pthread_t thread;
    int fd, epoll, feed;
    unsigned sent, got, word;
    char pad[32];
} slots[MOST];

KEEP int work(int x) {
    static unsigned long count;
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return x * 10 + VERSION;
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void add(unsigned long *what) { __atomic_add_fetch(what, 1, __ATOMIC_RELAXED); }

/* Judges a wait that ended with `error` (0: woken) and must else have lasted `ms`. */
static void judge(long long started, int ms, int error, int timeout_error) {
    if (error == EINTR) add(&interrupted);
    else if (error == timeout_error) {
        if (now() - started < ms * 1000000LL) add(&early);
    } else if (error && error != EAGAIN) add(&wrong);
}

static void take_event(struct slot *slot) {
    unsigned long long value = 0;
    if (read(slot->fd, &value, sizeof value) == sizeof value) slot->got += value;
}

static void wait_once(struct slot *slot, int index) {
    long long started = now();
    struct timespec limit = {0, WAIT_MS * 1000000L};
    int result;
    if (!strcmp(kind, "nanosleep")) {
        int ms = 5 + index % 7;
        struct timespec time = {0, ms * 1000000L};
        result = nanosleep(&time, 0);
        judge(started, ms, result ? errno : ETIMEDOUT, ETIMEDOUT);
    } else if (!strcmp(kind, "clock_nanosleep")) {
        int ms = 5 + index % 7;
        long long end = started + ms * 1000000LL;
        struct timespec time = {end / 1000000000, end % 1000000000};
        result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, 0);
        judge(started, ms, result ? result : ETIMEDOUT, ETIMEDOUT);
    } else if (!strcmp(kind, "epoll_wait")) {
        struct epoll_event event;
        result = epoll_wait(slot->epoll, &event, 1, WAIT_MS);
        judge(started, WAIT_MS, result < 0 ? errno : result ? 0 : ETIMEDOUT, ETIMEDOUT);
        take_event(slot);
    } else if (!strcmp(kind, "poll")) {
        struct pollfd entry = {slot->fd, POLLIN, 0};
        result = poll(&entry, 1, WAIT_MS);
        judge(started, WAIT_MS, result < 0 ? errno : result ? 0 : ETIMEDOUT, ETIMEDOUT);
        take_event(slot);
    } else if (!strcmp(kind, "futex")) {
        unsigned seen = slot->got;
        result = syscall(SYS_futex, &slot->word, FUTEX_WAIT_PRIVATE, seen, &limit, 0, 0);
        judge(started, WAIT_MS, result ? errno : 0, ETIMEDOUT);
        slot->got = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
    } else if (!strcmp(kind, "read")) {
        char bytes[64];
        result = read(slot->fd, bytes, sizeof bytes);
        judge(started, 0, result < 0 ? errno : 0, -1);
        if (result > 0) slot->got += result;
    } else if (!strcmp(kind, "accept")) {
        result = accept(slot->fd, 0, 0);
        judge(started, 0, result < 0 ? errno : 0, -1);
        if (result >= 0) close(result), slot->got++;
    } else if (!strcmp(kind, "sigtimedwait")) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGRTMIN);
        result = sigtimedwait(&set, 0, &limit);
        judge(started, WAIT_MS, result < 0 ? errno : 0, EAGAIN);
        if (result > 0) slot->got++;
    } else if (!strcmp(kind, "receive")) {
        char bytes[64];
        result = recv(slot->fd, bytes, sizeof bytes, 0);
        judge(started, WAIT_MS, result < 0 ? errno : 0, EAGAIN);
        if (result > 0) slot->got += result;
    } else {
        abort();
    }
}

static void *sleeper(void *argument) {
    long index = (long)argument;
    for (;;) {
        int result = work((int)index) - (int)index * 10;
        if (result != 1 && result != 2) add(&wrong);
        wait_once(&slots[index], (int)index);
        add(&calls);
    }
    return 0;
}

static void prepare(struct slot *slot, int index) {
    int pair[2];
    slot->fd = slot->feed = -1;
    if (!strcmp(kind, "epoll_wait") || !strcmp(kind, "poll")) {
        slot->fd = slot->feed = eventfd(0, EFD_NONBLOCK);
        slot->epoll = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN};
        epoll_ctl(slot->epoll, EPOLL_CTL_ADD, slot->fd, &event);
    } else if (!strcmp(kind, "read")) {
        if (pipe(pair)) abort();
        slot->fd = pair[0], slot->feed = pair[1];
    } else if (!strcmp(kind, "receive")) {
        struct timeval limit = {0, WAIT_MS * 1000};
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) abort();
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        slot->fd = pair[0], slot->feed = pair[1];
    } else if (!strcmp(kind, "accept")) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "liveline-%d-%d", getpid(), index);
        slot->fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(slot->fd, (struct sockaddr *)&name, sizeof name) || listen(slot->fd, 64)) abort();
    }
}

static void feed(struct slot *slot, int index) {
    unsigned long long one = 1;
    if (!strcmp(kind, "epoll_wait") || !strcmp(kind, "poll")) {
        if (write(slot->feed, &one, sizeof one) != sizeof one) return;
    } else if (!strcmp(kind, "read") || !strcmp(kind, "receive")) {
        if (write(slot->feed, "x", 1) != 1) return;
    } else if (!strcmp(kind, "futex")) {
        __atomic_add_fetch(&slot->word, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &slot->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    } else if (!strcmp(kind, "accept")) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "liveline-%d-%d", getpid(), index);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        int failed = connect(fd, (struct sockaddr *)&name, sizeof name);
        close(fd);
        if (failed) return;
    } else if (!strcmp(kind, "sigtimedwait")) {
        union sigval value = {.sival_int = index};
        if (pthread_sigqueue(slot->thread, SIGRTMIN, value)) return;
    } else {
        return;
    }
    slot->sent++;
}

static pthread_mutex_t feeding = PTHREAD_MUTEX_INITIALIZER;

static void *feeder(void *unused) {
    for (;;) {
        pthread_mutex_lock(&feeding);
        for (int i = 0; i < threads; i++) feed(&slots[i], i);
        pthread_mutex_unlock(&feeding);
        usleep(15000 + threads * 600);
    }
    return unused;
}

/* Wake-ups sent but not received within ten seconds. */
static unsigned long lost(void) {
    unsigned long missing = 0;
    for (int try = 0; try < 1000; try++) {
        missing = 0;
        for (int i = 0; i < threads; i++) missing += slots[i].sent - *(volatile unsigned *)&slots[i].got;
        if (!missing) break;
        usleep(10000);
    }
    return missing;
}

int main(int count, char **words) {
    char line[64];
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t set;
    struct rlimit files = {4096, 4096};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 3) return 2;
    setrlimit(RLIMIT_NOFILE, &files);
    kind = words[1], threads = atoi(words[2]);
    if (threads > MOST) return 2;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    for (long i = 0; i < threads; i++) {
        prepare(&slots[i], (int)i);
        if (pthread_create(&slots[i].thread, &attributes, sleeper, (void *)i)) return 2;
    }
    if (pthread_create(&thread, 0, feeder, 0)) return 2;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "ask\n")) printf("%d\n", work(0));
        else if (!strcmp(line, "check\n")) {
            pthread_mutex_lock(&feeding);
            unsigned long missing = lost();
            printf("wrong %lu interrupted %lu early %lu lost %lu calls %lu\n", wrong, interrupted, early, missing, calls);
            pthread_mutex_unlock(&feeding);
        } else puts("?");
        fflush(stdout);
    }
    return 0;
}
