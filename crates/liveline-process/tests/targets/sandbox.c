/* Installs a seccomp filter and sleeps: mode "mmap" kills the process at mmap, "sigreturn" at rt_sigreturn,
   "log" logs mmap, "strict" is strict mode (then it only spins). Counter 0: rounds. */
#include "counters.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

int main(int argc, char **argv) {
    counters_open(argv[1]);
    int log_only = !strcmp(argv[2], "log"), strict = !strcmp(argv[2], "strict");
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, strcmp(argv[2], "sigreturn") ? SYS_mmap : SYS_rt_sigreturn, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, log_only ? SECCOMP_RET_LOG : SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 4, code };
    ready();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (strict) prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    else if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 3;
    for (;;) {
        if (strict) for (volatile int i = 0; i < 100000; i++);
        else usleep(1000);
        add(0);
    }
}
