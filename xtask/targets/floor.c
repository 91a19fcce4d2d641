/* The floor of `bench pause`: the least that a patcher costs which stops every thread. It stops all of them, reads the
   registers and 16 KiB of stack of each, writes 8 bytes of code (the ones that are there), and lets all go on.
   usage: floor PID ADDRESS(hex)    prints the time from the first stop to the last release, in µs */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096

static pid_t threads[MOST];
static int count;

static double clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int known(pid_t thread) {
    for (int i = 0; i < count; i++)
        if (threads[i] == thread) return 1;
    return 0;
}

/* Attaches to threads until a look at the list finds no new one. */
static void seize_all(int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    for (int found = 1; found;) {
        found = 0;
        DIR *tasks = opendir(path);
        if (!tasks) exit(1);
        for (struct dirent *entry; (entry = readdir(tasks));) {
            pid_t thread = atoi(entry->d_name);
            if (thread > 0 && count < MOST && !known(thread) && !ptrace(PTRACE_SEIZE, thread, 0, 0)) {
                threads[count++] = thread;
                found = 1;
            }
        }
        closedir(tasks);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int pid = atoi(argv[1]);
    off_t address = (off_t)strtoull(argv[2], NULL, 16);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int memory = open(path, O_RDWR);
    seize_all(pid);
    if (memory < 0 || count == 0) return 1;
    static char stack[16384];
    double began = clock_us();
    for (int i = 0; i < count; i++) ptrace(PTRACE_INTERRUPT, threads[i], 0, 0);
    for (int i = 0; i < count; i++) waitpid(threads[i], NULL, __WALL);
    for (int i = 0; i < count; i++) {
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, threads[i], 0, &registers);
        struct iovec here = {stack, sizeof stack}, there = {(void *)registers.rsp, sizeof stack};
        process_vm_readv(pid, &here, 1, &there, 1, 0);
    }
    char code[8];
    if (pread(memory, code, sizeof code, address) != sizeof code) return 1;
    if (pwrite(memory, code, sizeof code, address) != sizeof code) return 1;
    for (int i = 0; i < count; i++) ptrace(PTRACE_DETACH, threads[i], 0, 0);
    printf("%.1f\n", clock_us() - began);
    return 0;
}
