/* A small key-value server: lines in, lines out, one epoll loop a thread.
     SET key ttl_ms value | GET key | ADD key n | DELETE key   ->   OK | VALUE v | NONE | NUMBER n | ERROR why
   usage: server THREADS   (prints "port N" and serves on 127.0.0.1 until it is killed) */
#define _GNU_SOURCE
#include "store.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

struct connection {
    int socket;
    size_t have;
    char line[LINE_MAX_BYTES];
};

static int answer(char *line, char *out, size_t room) {
    char *rest = NULL;
    char *verb = strtok_r(line, " ", &rest);
    char *key = strtok_r(NULL, " ", &rest);
    if (!verb || !key || strlen(key) >= KEY_MAX) return snprintf(out, room, "ERROR no key\n");
    if (strcmp(verb, "GET") == 0) {
        char value[VALUE_MAX];
        if (store_get(key, value)) return snprintf(out, room, "VALUE %s\n", value);
        return snprintf(out, room, "NONE\n");
    }
    if (strcmp(verb, "SET") == 0) {
        char *ttl = strtok_r(NULL, " ", &rest);
        if (!ttl || strlen(rest) >= VALUE_MAX) return snprintf(out, room, "ERROR no value\n");
        if (store_set(key, rest, strtoull(ttl, NULL, 10))) return snprintf(out, room, "ERROR no memory\n");
        return snprintf(out, room, "OK\n");
    }
    if (strcmp(verb, "ADD") == 0)
        return snprintf(out, room, "NUMBER %" PRId64 "\n", store_add(key, strtoll(rest, NULL, 10)));
    if (strcmp(verb, "DELETE") == 0) return snprintf(out, room, store_delete(key) ? "OK\n" : "NONE\n");
    return snprintf(out, room, "ERROR unknown command\n");
}

static int serve(struct connection *c) {
    ssize_t got = recv(c->socket, c->line + c->have, sizeof c->line - c->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got <= 0) return -1;
    c->have += (size_t)got;
    char *start = c->line, *end;
    while ((end = memchr(start, '\n', c->have - (size_t)(start - c->line)))) {
        char out[VALUE_MAX + 32];
        *end = 0;
        int length = answer(start, out, sizeof out);
        if (send(c->socket, out, (size_t)length, MSG_NOSIGNAL) != length) return -1;
        start = end + 1;
    }
    c->have -= (size_t)(start - c->line);
    memmove(c->line, start, c->have);
    return c->have == sizeof c->line ? -1 : 0;
}

static void *worker(void *argument) {
    int poll = *(int *)argument;
    for (;;) {
        struct epoll_event events[32];
        int n = epoll_wait(poll, events, 32, -1);
        if (n < 0) {
            perror("epoll_wait"); /* even EINTR: nobody signals these threads, so it must not happen */
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (serve(c)) {
                close(c->socket);
                free(c);
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 4;
    if (threads < 1 || threads > 512) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with whoever started it */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 512) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        perror("listen");
        return 1;
    }
    int *polls = calloc((size_t)threads, sizeof *polls);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        polls[i] = epoll_create1(EPOLL_CLOEXEC);
        if (polls[i] < 0 || pthread_create(&thread, NULL, worker, &polls[i])) {
            perror("thread");
            return 1;
        }
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int next = 0;; next = (next + 1) % threads) {
        int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (s < 0) {
            perror("accept");
            continue;
        }
        int one = 1;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->socket = s;
        if (epoll_ctl(polls[next], EPOLL_CTL_ADD, s, &event)) {
            perror("epoll_ctl");
            return 1;
        }
    }
}
