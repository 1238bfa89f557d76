/* SPDX-License-Identifier: PostgreSQL
 * getaddrinfo knows no deadline and cannot be ended: it is called in a thread that nobody waits
 * for. What such a thread works on belongs to it and to whoever asked; the last one to let go frees
 * it. */
#include "pg/resolve.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

enum {
    HOSTS_MAX = 16,     /* of one string */
    ADDRESSES_MAX = 16, /* of one host */
    ADDRESS_ROOM = 64,
    LOOK_MS = 500, /* a signal wakes one thread only */
};

typedef struct Lookup {
    atomic_int owners;
    int event_fd; /* readable when there is an answer */
    char *host;
    int error; /* of getaddrinfo */
    size_t count;
    char addresses[ADDRESSES_MAX][ADDRESS_ROOM];
} Lookup;

static void
lookup_release(Lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->owners, 1) > 1)
        return;
    close(lookup->event_fd);
    free(lookup->host);
    free(lookup);
}

static void *
lookup_main(void *argument)
{
    Lookup *lookup = argument;
    struct addrinfo *found = NULL, asked = {.ai_socktype = SOCK_STREAM};
    lookup->error = getaddrinfo(lookup->host, NULL, &asked, &found);
    for (struct addrinfo *a = found; a && lookup->count < ADDRESSES_MAX; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, lookup->addresses[lookup->count], ADDRESS_ROOM,
                        NULL, 0, NI_NUMERICHOST) == 0)
            lookup->count++;
    if (found)
        freeaddrinfo(found);
    (void)eventfd_write(lookup->event_fd, 1);
    lookup_release(lookup);
    return NULL;
}

/* NULL when no thread can be had: then libpq has to find out by itself. */
static Lookup *
lookup_start(const char *host)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    Lookup *lookup = mem_alloc(sizeof(*lookup));
    lookup->host = mem_dup(host);
    lookup->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lookup->owners = 2;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Signals are for those who can heed them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool runs =
        lookup->event_fd >= 0 && pthread_create(&thread, &attributes, lookup_main, lookup) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (runs)
        return lookup;
    lookup->owners = 1;
    lookup_release(lookup);
    return NULL;
}

/* LOOKUP_LATE: there was no answer before the deadline. */
enum { LOOKUP_LATE = 1 };
static int
lookup_wait(const Lookup *lookup, int64_t deadline)
{
    struct pollfd event = {.fd = lookup->event_fd, .events = POLLIN};
    for (;;) {
        TRY(stop_check());
        int64_t left = deadline - clock_ms();
        if (stop_poll(&event, 1, left < 0 ? 0 : left < LOOK_MS ? left : LOOK_MS) > 0)
            return 0;
        if (left <= 0)
            return LOOKUP_LATE;
    }
}

static bool
is_name(const char *host)
{
    struct addrinfo *found = NULL, asked = {.ai_flags = AI_NUMERICHOST};
    if (!*host || *host == '/' || *host == '@') /* sockets of this machine */
        return false;
    if (getaddrinfo(host, NULL, &asked, &found) != 0)
        return true;
    freeaddrinfo(found);
    return false;
}

static void
split(const char *list, StrList *items)
{
    for (;; list++) {
        size_t length = strcspn(list, ",");
        strlist_addf(items, "%.*s", (int)length, list);
        list += length;
        if (!*list)
            return;
    }
}

/* The lists of a connection string */
typedef struct Hosts {
    StrList names, ports;
    Lookup *lookups[HOSTS_MAX]; /* NULL: it is no name */
    Str found, addresses, found_ports;
    size_t count; /* of what was found */
} Hosts;

static inline void
auto_hosts(Hosts *hosts)
{
    for (size_t i = 0; i < COUNT_OF(hosts->lookups); i++)
        if (hosts->lookups[i])
            lookup_release(hosts->lookups[i]);
    strlist_done(&hosts->names);
    strlist_done(&hosts->ports);
    str_done(&hosts->found);
    str_done(&hosts->addresses);
    str_done(&hosts->found_ports);
}

static void
add_host(Hosts *hosts, size_t i, const char *address)
{
    const char *comma = hosts->count++ > 0 ? "," : "";
    str_appendf(&hosts->found, "%s%s", comma, hosts->names.items[i]);
    str_appendf(&hosts->addresses, "%s%s", comma, address);
    if (hosts->ports.count > 1)
        str_appendf(&hosts->found_ports, "%s%s", comma, hosts->ports.items[i]);
}

/* Its addresses, if there are any. The failure that it leaves otherwise is told if no other host is
 * there. */
static int
add_answer(Hosts *hosts, size_t i, int64_t deadline, int64_t timeout_ms, Error *failure)
{
    const Lookup *lookup = hosts->lookups[i];
    if (!lookup) {
        add_host(hosts, i, "");
        return 0;
    }
    int result = lookup_wait(lookup, deadline);
    if (result < 0)
        return result;
    for (size_t a = 0; result == 0 && a < lookup->count; a++)
        add_host(hosts, i, lookup->addresses[a]);
    if (result == 0 && lookup->count > 0)
        return 0;
    if (result == LOOKUP_LATE)
        fail(ERR_TIMEOUT, "host name '%s' was not resolved in %lld ms", lookup->host,
             (long long)timeout_ms);
    else
        fail(ERR_IO, "could not translate host name '%s' to address: %s", lookup->host,
             gai_strerror(lookup->error));
    log_debug("%s", error_last()->text);
    *failure = *error_last();
    return 0;
}

/* False when there is nothing that libpq would look up, or it is not known what. */
static bool
start(Hosts *hosts, const Conninfo *conninfo)
{
    const char *names = conninfo_value(conninfo, "host");
    const char *ports = conninfo_value(conninfo, "port");
    bool any = false;
    if (!names || conninfo_value(conninfo, "hostaddr") || conninfo_value(conninfo, "service") ||
        getenv("PGHOSTADDR") || getenv("PGSERVICE"))
        return false;
    split(names, &hosts->names);
    split(ports ? ports : "", &hosts->ports);
    if (hosts->names.count > HOSTS_MAX ||
        (hosts->ports.count > 1 && hosts->ports.count != hosts->names.count))
        return false;
    for (size_t i = 0; i < hosts->names.count; i++) {
        if (is_name(hosts->names.items[i]))
            hosts->lookups[i] = lookup_start(hosts->names.items[i]);
        any |= hosts->lookups[i] != NULL;
    }
    return any;
}

int
resolve_hosts(Conninfo *conninfo, int64_t timeout_ms)
{
    int64_t deadline = clock_ms() + timeout_ms;
    AUTO(hosts) Hosts hosts = {0};
    Error failure = {0};
    if (!start(&hosts, conninfo))
        return RESOLVE_NOTHING;
    for (size_t i = 0; i < hosts.names.count; i++)
        TRY(add_answer(&hosts, i, deadline, timeout_ms, &failure));
    if (hosts.count == 0) {
        error_restore(&failure);
        return -1;
    }
    conninfo_set(conninfo, "host", str_text(&hosts.found));
    conninfo_set(conninfo, "hostaddr", str_text(&hosts.addresses));
    if (hosts.ports.count > 1)
        conninfo_set(conninfo, "port", str_text(&hosts.found_ports));
    return 0;
}
