/* SPDX-License-Identifier: PostgreSQL
 * Downloads that survive broken connections. Each byte is handed on once and in order; when the
 * object was replaced on the way, or a store answers from somewhere else, the download fails. */
#include "cloud/fetch.h"

#include "base/str.h"

#include <inttypes.h>

void
fetch_done(Fetch *fetch)
{
    free(fetch->version);
    digest_free(fetch->digest);
}

static const char *
version_header(const Fetch *fetch)
{
    return fetch->version_header ? fetch->version_header : "etag";
}

static int
begin_first(Fetch *fetch, const HttpAnswer *answer)
{
    const char *version = http_header(answer, version_header(fetch));
    int64_t length = http_header_number(answer, "content-length");
    if (answer->status != 200 || length < 0)
        return fail(ERR_DATA, "the answer (status %d) does not say how long the object is",
                    answer->status);
    fetch->size = length;
    fetch->version = mem_dup(version);
    fetch->info = (ObjectInfo){.size = length};
    fetch->on_first(fetch, answer);
    return fetch->md5[0] ? digest_begin(DIGEST_MD5, &fetch->digest) : 0;
}

int
fetch_begin(void *context, const HttpAnswer *answer)
{
    Fetch *fetch = context;
    if (fetch->size < 0)
        return begin_first(fetch, answer);
    if (fetch->offset == 0 && answer->status == 200) { /* nothing came of the first */
        free(take(fetch->version));
        digest_free(take(fetch->digest));
        fetch->md5[0] = '\0';
        fetch->size = -1;
        return begin_first(fetch, answer);
    }
    const char *range = http_header(answer, "content-range");
    const char *version = http_header(answer, version_header(fetch));
    char wanted[96], from[32];
    snprintf(from, sizeof(from), "bytes %" PRId64 "-", fetch->offset);
    snprintf(wanted, sizeof(wanted), "%s%" PRId64 "/%" PRId64, from, fetch->size - 1, fetch->size);
    if (answer->status != 206 || !range || !str_starts(range, from))
        return fail(ERR_DATA,
                    "the store does not continue where the connection broke, at byte %" PRId64,
                    fetch->offset);
    if (strcmp(range, wanted) != 0)
        return fail(ERR_IO, "the store goes on with '%.80s', not with '%s'", range, wanted);
    if (fetch->version && (!version || strcmp(version, fetch->version) != 0))
        return fail(ERR_IO, "the object was replaced while it was read");
    return 0;
}

int
fetch_take(void *context, const void *data, size_t size)
{
    Fetch *fetch = context;
    if (fetch->digest)
        TRY(digest_add(fetch->digest, data, size));
    TRY(fetch->sink(fetch->context, data, size));
    fetch->offset += (int64_t)size;
    return 0;
}

int
fetch_finish(Fetch *fetch)
{
    if (fetch->offset != fetch->size)
        return fail(ERR_IO, "%" PRId64 " bytes came of %" PRId64, fetch->offset, fetch->size);
    if (!fetch->digest)
        return 0;
    char hex[MD5_HEX_ROOM];
    TRY(digest_end_hex(fetch->digest, hex));
    if (strcmp(hex, fetch->md5) != 0)
        return fail(ERR_DATA, "what came has the MD5 %s, the store says %s", hex, fetch->md5);
    return 0;
}

void
fetch_headers(const Fetch *fetch, StrList *headers)
{
    if (fetch->offset == 0)
        return;
    strlist_addf(headers, "Range: bytes=%" PRId64 "-", fetch->offset);
    if (fetch->version && !fetch->version_header)
        strlist_addf(headers, "If-Match: %s", fetch->version);
}
