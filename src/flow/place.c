/* SPDX-License-Identifier: PostgreSQL
 * From a server's options to the place of its archive, once for all that open it. */
#include "flow/place.h"

#include "config/tags.h"

/* Never more than the whole transfer may take */
static int64_t
limited(int64_t seconds, int64_t limit_ms)
{
    int64_t ms = seconds * 1000;
    return limit_ms > 0 && (ms <= 0 || limit_ms < ms) ? limit_ms : ms;
}

static const char *const *
tags_of(const char *text, Arena *arena)
{
    size_t count = 0;
    return text ? (const char *const *)tags_parse(text, arena, &count) : NULL;
}

static StorePlace
place_of(const ServerConfig *server, int64_t limit_ms, Arena *arena)
{
    const char *kms_key =
        server->aws_sse_kms_key_id ? server->aws_sse_kms_key_id : server->cloud_kms_key;
    return (StorePlace){
        .wals = server->wals_directory,
        .server = server->name,
        .bucket = {.endpoint_url = server->cloud_endpoint_url,
                   .region = server->aws_region,
                   .profile = server->aws_profile,
                   .ca_file = server->cloud_ca_file,
                   .addressing = server->cloud_addressing,
                   .credential = server->azure_credential,
                   .storage_class = server->cloud_storage_class,
                   .encryption = server->aws_encryption,
                   .kms_key = kms_key,
                   .customer_key_file = server->cloud_customer_key_file,
                   .tags = tags_of(server->cloud_tags, arena),
                   .part_size = server->cloud_part_size,
                   .idle_timeout_ms = limited(server->aws_read_timeout, limit_ms),
                   .total_timeout_ms = limited(server->cloud_timeout, limit_ms)},
        .history_tags = tags_of(server->cloud_history_tags, arena),
        .staging_directory = server->cloud_staging_directory,
        .removal_batch = server->cloud_delete_batch_size,
        .uploads = (int)server->cloud_upload_workers,
    };
}

int
archive_open(const ServerConfig *server, Store **ret_store)
{
    AUTO(arena) Arena *arena = arena_new();
    StorePlace place = place_of(server, 0, arena);
    return store_open(&place, ret_store);
}

int
archive_bucket(const ServerConfig *server, char **ret_place)
{
    AUTO(arena) Arena *arena = arena_new();
    StorePlace place = place_of(server, 0, arena);
    return bucket_place(place.wals, &place.bucket, ret_place);
}

static int
find(const ServerConfig *server, int64_t limit_ms, Store **ret_store)
{
    AUTO(arena) Arena *arena = arena_new();
    StorePlace place = place_of(server, limit_ms, arena);
    return store_open_existing(&place, ret_store);
}

int
archive_find(const ServerConfig *server, Store **ret_store)
{
    return find(server, 0, ret_store);
}

int
archive_need(const ServerConfig *server, int64_t limit_ms, Store **ret_store)
{
    int found = find(server, limit_ms, ret_store);
    return found == STORE_MISSING
               ? hint(fail(ERR_IO, "the archive '%s' does not exist", server->wals_directory),
                      "check that its file system is mounted and that wals_directory is right")
               : found;
}

int
archive_fail_empty(const ServerConfig *server)
{
    return hint(
        fail(ERR_IO, "the archive '%s' is empty and has no catalog", server->wals_directory),
        server_is_remote(server)
            ? "check that the URL in wals_directory is right"
            : "check that its file system is mounted and that wals_directory is right");
}
