/* A process with a choice of conditions, for tests of the engine.
 *
 * server [WORD…]: busy=N threads that call all the time; sleepers=N threads asleep in system calls; storm:
 * threads are born and die; spawn: children are started by posix_spawn; signals: timers and queued signals;
 * mdwe, systemd, sandbox: memory-deny-write-execute by prctl, as systemd's filter, and a filter that kills.
 * VERSION says which functions differ: 1 to 9 change value(), 11 other(), 21 hold(). */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))

#if VERSION < 10
#define VALUE VERSION
#else
#define VALUE 1
#endif

static unsigned long calls, wrong;
static int gate, inside;
static unsigned long ticks, queued, received, out_of_order, births, children;

KEEP int value(int x) {
#if VALUE > 1
    static unsigned long count;
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
#endif
    return x * 10 + VALUE;
}

KEEP int other(int x) {
#if VERSION == 11
    return x * 10 + 2 + (errno == 12345);
#else
    return x * 10 + 1 + (errno == 12345);
#endif
}

/* Unchanged in every version: what a parked thread sleeps in. */
KEEP void wait_for_gate(int *word) {
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
}

KEEP int hold(int x) {
    __atomic_add_fetch(&inside, 1, __ATOMIC_RELEASE);
    if (x) wait_for_gate(&gate);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_RELEASE);
#if VERSION == 21
    return x + 20;
#else
    return x + 10;
#endif
}

static void call_all(void) {
    int result = value(4);
    if (result < 41 || result > 49) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    result = other(4);
    if (result < 41 || result > 42) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
}

static void *busy(void *unused) {
    for (unsigned turn = 0;; turn++) {
        call_all();
        if (turn % 1000 == 0) usleep(200);
    }
    return unused;
}

static void *asleep(void *unused) {
    for (;;) {
        call_all();
        if (poll(0, 0, 20) < 0) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void *short_life(void *unused) {
    for (int turn = 0; turn < 20; turn++) call_all();
    __atomic_add_fetch(&births, 1, __ATOMIC_RELAXED);
    return unused;
}

static void *storm(void *unused) {
    for (;;) {
        pthread_t threads[8];
        int made = 0;
        while (made < 8 && !pthread_create(&threads[made], 0, short_life, 0)) made++;
        for (int i = 0; i < made; i++) pthread_join(threads[i], 0);
    }
    return unused;
}

extern char **environ;

static void *spawner(void *unused) {
    char *const words[] = {"true", 0};
    for (;;) {
        pid_t child;
        int status = 0;
        call_all();
        if (posix_spawn(&child, "/bin/true", 0, 0, words, environ)) continue;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        __atomic_add_fetch(status ? &wrong : &children, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void on_tick(int number) {
    int saved = errno;
    (void)number;
    call_all();
    ticks++;
    errno = saved;
}

static void on_queued(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    if ((unsigned long)info->si_value.sival_int != received) out_of_order++;
    received++;
    call_all();
}

static void own_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGALRM);
    sigaddset(set, SIGRTMIN + 1);
}

/* Takes the queued signals, one after the other, on a stack of its own. */
static void *receiver(void *unused) {
    static char stack[64 * 1024];
    stack_t other_stack = {.ss_sp = stack, .ss_size = sizeof stack};
    sigset_t set;
    sigaltstack(&other_stack, 0);
    own_signals(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, 0);
    for (;;) call_all();
    return unused;
}

static int sending = 1;

static void *sender(void *unused) {
    for (;;) {
        union sigval number = {.sival_int = (int)queued};
        if (__atomic_load_n(&sending, __ATOMIC_ACQUIRE) && queued - *(volatile unsigned long *)&received < 100 &&
            !sigqueue(getpid(), SIGRTMIN + 1, number))
            queued++;
        usleep(300);
    }
    return unused;
}

static void start_thread(void *(*run)(void *)) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    if (pthread_create(&thread, &attributes, run, 0)) exit(2);
}

static void start_signals(void) {
    struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigaction take = {.sa_sigaction = on_queued, .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &tick, 0);
    sigaction(SIGRTMIN + 1, &take, 0);
    start_thread(receiver);
    start_thread(sender);
    setitimer(ITIMER_REAL, &every, 0);
}

static void install(struct sock_filter *filter, unsigned short length) {
    struct sock_fprog program = {length, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) exit(2);
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARGUMENT(index) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[index]))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define BITS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, value, yes, no)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)

/* What systemd's MemoryDenyWriteExecute= installs: no mapping that is writable and executable at once, no
 * memory made executable later. */
static void deny_as_systemd(void) {
    struct sock_filter filter[] = {
        LOAD(nr),
        EQUAL(SYS_mmap, 0, 4),
        ARGUMENT(2),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
        EQUAL(PROT_WRITE | PROT_EXEC, 5, 0),
        RETURN(SECCOMP_RET_ALLOW),
        EQUAL(SYS_mprotect, 1, 0),
        EQUAL(SYS_pkey_mprotect, 0, 3),
        ARGUMENT(2),
        BITS(PROT_EXEC, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ALLOW),
    };
    install(filter, sizeof filter / sizeof *filter);
}

/* Kills the process at any call but the few it makes itself. */
static void allow_few(void) {
    static const int allowed[] = {SYS_read, SYS_write, SYS_futex, SYS_poll, SYS_exit, SYS_exit_group,
                                  SYS_clock_nanosleep, SYS_nanosleep, SYS_rt_sigreturn, SYS_newfstatat};
    struct sock_filter filter[2 * sizeof allowed / sizeof *allowed + 2] = {LOAD(nr)};
    unsigned short length = 1;
    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        filter[length++] = (struct sock_filter)EQUAL(allowed[i], 0, 1);
        filter[length++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    }
    filter[length++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
    install(filter, length);
}

static void *parked(void *argument) {
    int result = hold(*(int *)argument);
    printf("left %d\n", result);
    fflush(stdout);
    return 0;
}

static void park(void) {
    static int one = 1;
    pthread_t thread;
    int already = __atomic_load_n(&inside, __ATOMIC_ACQUIRE);
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
    if (pthread_create(&thread, 0, parked, &one)) return;
    pthread_setname_np(thread, "parked-one");
    while (__atomic_load_n(&inside, __ATOMIC_ACQUIRE) == already) usleep(1000);
    puts("parked");
}

static void leave(void) {
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &gate, FUTEX_WAKE_PRIVATE, 1000, 0, 0, 0);
}

static int to_child[2], from_child[2];

static void make_child(void) {
    if (pipe(to_child) || pipe(from_child)) exit(2);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(to_child[0], &byte, 1) == 1) {
            int answer = value(0);
            if (write(from_child[1], &answer, sizeof answer) != sizeof answer) break;
        }
        _exit(0);
    }
    printf("%d\n", child);
}

static void ask_child(void) {
    int answer = -1;
    if (write(to_child[1], "?", 1) != 1 || read(from_child[0], &answer, sizeof answer) != sizeof answer) answer = -1;
    printf("%d\n", answer);
}

static void check(void) {
    unsigned long before = calls;
    __atomic_store_n(&sending, 0, __ATOMIC_RELEASE);
    for (int i = 0; i < 2000 && *(volatile unsigned long *)&received != *(volatile unsigned long *)&queued; i++) usleep(5000);
    for (int i = 0; i < 2000 && *(volatile unsigned long *)&calls == before && before; i++) usleep(5000);
    int stuck = before && calls == before;
    printf("wrong %lu disordered %lu lost %lu stuck %d\n", wrong, out_of_order, queued - received, stuck);
    __atomic_store_n(&sending, 1, __ATOMIC_RELEASE);
}

static void option(const char *word) {
    int number = strchr(word, '=') ? atoi(strchr(word, '=') + 1) : 0;
    if (!strncmp(word, "busy=", 5)) while (number--) start_thread(busy);
    else if (!strncmp(word, "sleepers=", 9)) while (number--) start_thread(asleep);
    else if (!strcmp(word, "storm")) start_thread(storm), start_thread(storm);
    else if (!strcmp(word, "spawn")) start_thread(spawner);
    else if (!strcmp(word, "signals")) start_signals();
    else if (!strcmp(word, "systemd")) deny_as_systemd();
    else if (!strcmp(word, "sandbox")) allow_few();
    else if (!strcmp(word, "mdwe")) {
        if (prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0)) exit(77);
    } else exit(2);
}

int main(int count, char **words) {
    char line[64];
    sigset_t set;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    own_signals(&set);
    sigprocmask(SIG_BLOCK, &set, 0);
    puts("ready");
    for (int i = 1; i < count; i++) option(words[i]);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "ask\n")) printf("value %d other %d hold %d\n", value(0), other(0), hold(0));
        else if (!strcmp(line, "check\n")) check();
        else if (!strcmp(line, "progress\n")) printf("%lu %lu %lu %lu\n", calls, births, children, ticks);
        else if (!strcmp(line, "park\n")) park();
        else if (!strcmp(line, "leave\n")) leave();
        else if (!strcmp(line, "fork\n")) make_child();
        else if (!strcmp(line, "child\n")) ask_child();
        else puts("?");
        fflush(stdout);
    }
    return 0;
}
