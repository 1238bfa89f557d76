/* SPDX-License-Identifier: PostgreSQL
 * A server that says what a test wrote down, in the frames of PostgreSQL's protocol 3.0. */
#ifndef WALDEN_TEST_SERVER_H
#define WALDEN_TEST_SERVER_H

#include "../unit.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { SERVER_PORT = 5432 };

typedef struct Server {
    char *directory; /* where the socket is */
    int fd;          /* listens */
    pid_t pid;       /* the child that answers, or 0 */
} Server;

/* A socket that takes connections; nobody answers before server_play. */
static inline Server
server_listen(void)
{
    Server server = {.directory = scratch_make()};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%d", server.directory,
             SERVER_PORT);
    server.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(server.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_return_code(listen(server.fd, 1), 0);
    return server;
}

static inline void
server_end(Server *server)
{
    if (server->pid) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    close(server->fd);
    scratch_remove(server->directory);
}

/* One message: its type, its length, its body. */
static inline void
message(Str *out, char type, const char *body, size_t length)
{
    uint32_t size = htonl((uint32_t)length + 4);
    str_append_part(out, &type, 1);
    str_append_part(out, (const char *)&size, sizeof(size));
    str_append_part(out, body, length);
}
#define MESSAGE(out, type, literal) message(out, type, literal, sizeof(literal) - 1)

static inline void
say_welcome(Str *out)
{
    MESSAGE(out, 'R', "\0\0\0\0");
    MESSAGE(out, 'S', "server_version\00018.1\0");
    MESSAGE(out, 'Z', "I");
}

/* A child takes one connection; to each thing that it is sent it answers the next of the answers,
 * and closes after the last. The first thing is sent by connecting. */
static inline void
server_play(Server *server, const Str *answers, size_t count)
{
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid)
        return;
    alarm(60);
    int fd = accept(server->fd, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        char heard[4096];
        if (read(fd, heard, sizeof(heard)) <= 0 ||
            write(fd, str_text(&answers[i]), answers[i].length) < 0)
            break;
    }
    _exit(0);
}

#endif
