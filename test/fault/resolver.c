/* SPDX-License-Identifier: PostgreSQL
 * A name server that keeps silent about WALDEN_FAULT_SLOW_HOST, for longer than any test lasts. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SILENCE_S = 600 };

EXPORT int
getaddrinfo(const char *restrict host, const char *restrict service,
            const struct addrinfo *restrict asked, struct addrinfo **restrict found)
{
    __typeof__(getaddrinfo) *real = (__typeof__(getaddrinfo) *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *slow = getenv("WALDEN_FAULT_SLOW_HOST");
    if (slow && host && strcmp(host, slow) == 0 && !(asked && asked->ai_flags & AI_NUMERICHOST))
        sleep(SILENCE_S);
    return real(host, service, asked, found);
}
