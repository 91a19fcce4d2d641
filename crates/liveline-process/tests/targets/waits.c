/* Loops in one kind of waiting call, or in all of them at once, a thread each ("all").
   Counters: 0 rounds, 1 EINTR seen, 2 woken too early, 3 other wrong results, 4 mask or alternate stack changed;
   from 16 on: rounds by kind. */
#include "counters.h"
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

enum { WAIT_MS = 30 };
enum kind { EPOLL, EPOLL_PWAIT, EPOLL_PWAIT2, POLL, PPOLL, SELECT, NANOSLEEP, CLOCK, FUTEX, SIGWAIT, SEM, RECV,
            ACCEPT, AIO, READ, EPOLL_ENDLESS, FUTEX_ENDLESS, POLL_ENDLESS, KINDS };
static const char *names[KINDS] = { "epoll", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "nanosleep",
    "clock", "futex", "sigwait", "sem", "recv", "accept", "aio", "read", "epoll_endless", "futex_endless",
    "poll_endless" };
static int wake[KINDS][2];
static int word;

static void *waker(void *arg) {
    (void)arg;
    for (;;) {
        usleep(5000);
        for (int k = READ; k < KINDS; k++)
            if (k != FUTEX_ENDLESS && wake[k][1] && write(wake[k][1], "x", 1) != 1) add(3);
        __atomic_add_fetch(&word, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 100, 0, 0, 0);
    }
    return 0;
}

static void take(int fd) { char c; if (read(fd, &c, 1) != 1) add(errno == EINTR ? 1 : 3); }

static void *loop(void *arg) {
    enum kind k = (long)arg;
    struct timespec ts = { 0, WAIT_MS * 1000000l };
    struct timeval tv = { 0, WAIT_MS * 1000 };
    int ep = epoll_create1(0), p[2];
    if (pipe(p)) exit(8);
    struct epoll_event ev = { .events = EPOLLIN };
    int in = k >= READ && k != FUTEX_ENDLESS ? wake[k][0] : p[0];
    epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev);
    sigset_t set, mask, mask_now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    int sem = k == SEM ? semget(IPC_PRIVATE, 1, 0600) : -1;
    int sock = socket(AF_INET, SOCK_DGRAM, 0), listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(sock, (void *)&any, sizeof any) || listen(listener, 1)) exit(7);
    aio_context_t aio = 0;
    if (k == AIO && syscall(SYS_io_setup, 1, &aio)) exit(6);
    static __thread char other_stack[32768];
    stack_t alt = { .ss_sp = other_stack, .ss_size = sizeof other_stack }, alt_now;
    sigaltstack(&alt, 0);
    pthread_sigmask(SIG_SETMASK, 0, &mask);
    if (sem >= 0) { struct semid_ds d; semctl(sem, 0, IPC_RMID, &d); sem = semget(IPC_PRIVATE, 1, 0600); }
    for (;;) {
        int64_t begin = now_us();
        long r = 0, timed = 1, late_error = 0;
        errno = 0;
        struct pollfd fd = { .fd = in, .events = POLLIN };
        switch (k) {
        case EPOLL: r = epoll_wait(ep, &ev, 1, WAIT_MS); break;
        case EPOLL_PWAIT: r = epoll_pwait(ep, &ev, 1, WAIT_MS, &set); break;
        case EPOLL_PWAIT2: r = syscall(SYS_epoll_pwait2, ep, &ev, 1, &ts, 0, 8); break;
        case POLL: r = poll(&fd, 1, WAIT_MS); break;
        case PPOLL: r = ppoll(&fd, 1, &ts, &set); break;
        case SELECT: { struct timeval t = tv; r = select(0, 0, 0, 0, &t); break; }
        case NANOSLEEP: r = syscall(SYS_nanosleep, &ts, 0); break;
        case CLOCK: { struct timespec t = ts; r = nanosleep(&t, &t); break; }
        case FUTEX: { int own = 0; r = syscall(SYS_futex, &own, FUTEX_WAIT_PRIVATE, 0, &ts, 0, 0); late_error = ETIMEDOUT; break; }
        case SIGWAIT: r = sigtimedwait(&set, 0, &ts); late_error = EAGAIN; break;
        case SEM: { struct sembuf op = { 0, -1, 0 }; r = semtimedop(sem, &op, 1, &ts); late_error = EAGAIN; break; }
        case RECV: { char c; r = recv(sock, &c, 1, 0); late_error = EAGAIN; break; }
        case ACCEPT: r = accept(listener, 0, 0); late_error = EAGAIN; break;
        case AIO: { struct io_event e; r = syscall(SYS_io_getevents, aio, 1, 1, &e, &ts); break; }
        case READ: timed = 0; take(in); break;
        case EPOLL_ENDLESS: timed = 0; r = epoll_wait(ep, &ev, 1, -1); if (r == 1) take(in); else if (r == 0) add(2); break;
        case POLL_ENDLESS: timed = 0; r = poll(&fd, 1, -1); if (r == 1) take(in); else if (r == 0) add(2); break;
        case FUTEX_ENDLESS: { timed = 0; int v = __atomic_load_n(&word, __ATOMIC_SEQ_CST);
            r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, v, 0, 0, 0); if (r && errno == EAGAIN) r = 0; break; }
        default: break;
        }
        if (r < 0 && errno == EINTR) add(1);
        else if (timed && late_error ? r != -1 || errno != late_error : timed ? r != 0 : r < 0) add(3);
        if (timed && now_us() - begin < WAIT_MS * 1000 - 1000 * (k == RECV || k == ACCEPT) * 8) add(2);
        pthread_sigmask(SIG_SETMASK, 0, &mask_now);
        sigaltstack(0, &alt_now);
        if (memcmp(&mask, &mask_now, 8) || alt_now.ss_sp != other_stack || alt_now.ss_flags) add(4);
        add(0);
        add(16 + k);
    }
    return 0;
}

int main(int argc, char **argv) {
    counters_open(argv[1]);
    signal(SIGCHLD, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    for (int k = READ; k < KINDS; k++) if (pipe(wake[k])) return 5;
    int all = !strcmp(argv[2], "all");
    pthread_t t;
    long chosen = -1;
    for (long k = 0; k < KINDS; k++) {
        if (all) pthread_create(&t, 0, loop, (void *)k);
        else if (!strcmp(argv[2], names[k])) chosen = k;
        else if (k >= READ) wake[k][1] = 0;
    }
    if (!all && chosen < 0) return 4;
    if (all || chosen >= READ) pthread_create(&t, 0, waker, 0);
    ready();
    if (all) for (;;) pause();
    loop((void *)chosen);
}
