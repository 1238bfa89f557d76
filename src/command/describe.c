/* SPDX-License-Identifier: PostgreSQL
 * Nothing is left out when a server does not answer: its keys are null then, so that scripts find
 * the same keys every time. */
#include "command/describe.h"

#include "wal/name.h"

#include <inttypes.h>

/* The JSON value of an option that is written as text. */
static json_t *
typed_option(const OptionInfo *option, const char *text)
{
    int64_t number = 0;
    if (!text)
        return json_null();
    if (strcmp(option->kind, "BOOL") == 0)
        return json_boolean(strcmp(text, "true") == 0);
    if ((strcmp(option->kind, "COUNT") == 0 || strcmp(option->kind, "SECONDS") == 0) &&
        int_parse(text, INT64_MIN, INT64_MAX, &number))
        return json_integer(number);
    return report_text(text);
}

json_t *
describe_config(const Config *config, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    json_t *object = json_object(), *messages = json_array();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(
            object, options[i].name,
            typed_option(&options[i], option_value(&options[i], config, server, arena)));
    for (size_t i = 0; i < server->messages.count; i++)
        json_array_append_new(messages, report_text(server->messages.items[i]));
    json_object_set_new(object, "name", report_text(server->name));
    json_object_set_new(object, "disabled", json_boolean(server->disabled));
    json_object_set_new(object, "msg_list", messages);
    return object;
}

static json_t *
typed_status(const PgStatus *status, PgStatusKey key)
{
    const char *text = pg_status_text(status, key);
    if (!text)
        return json_null();
    switch (pg_status_type(key)) {
    case PG_INTEGER:
        return json_integer(strtoll(text, NULL, 10));
    case PG_NUMBER:
        return json_real(strtod(text, NULL));
    case PG_BOOL:
        return json_boolean(pg_status_is(status, key));
    case PG_TIME: {
        char time[TIME_ROOM];
        time_format((time_t)strtod(text, NULL), time);
        return json_string(time);
    }
    case PG_TEXT:
        break;
    }
    return report_text(text);
}

static void
describe_status(const PgStatus *status, json_t *object)
{
    for (PgStatusKey key = 0; key < PG_STATUS_COUNT; key++)
        json_object_set_new(object, pg_status_name(key), typed_status(status, key));
}

static void
describe_stream(const ServerState *state, json_t *object)
{
    Part part = state->asked[PART_WAL_STREAM] ? PART_WAL_STREAM : PART_STREAM;
    const PgSystem *system = part == PART_STREAM ? &state->stream : &state->wal_stream;
    bool streaming = state_has(state, part);
    char id[24], position[LSN_ROOM];
    if (!state->asked[part])
        return;
    snprintf(id, sizeof(id), "%" PRIu64, system->id);
    lsn_format(system->flush, position);
    json_object_set_new(object, "streaming", json_boolean(streaming));
    json_object_set_new(object, "streaming_supported", json_true());
    json_object_set_new(object, "streaming_systemid", streaming ? json_string(id) : json_null());
    json_object_set_new(object, "timeline",
                        streaming ? json_integer(system->timeline) : json_null());
    json_object_set_new(object, "xlogpos", streaming ? json_string(position) : json_null());
}

static json_t *
answer_value(Answer answer)
{
    return answer == ANSWER_UNKNOWN ? json_null() : json_boolean(answer == ANSWER_YES);
}

/* Under Barman's names, which are older than pg_receivewal's. */
static void
describe_receiver(const ReceiverState *receiver, json_t *object)
{
    json_object_set_new(object, "pg_receivexlog_installed", json_boolean(receiver->installed));
    json_object_set_new(object, "pg_receivexlog_path",
                        receiver->path[0] ? report_text(receiver->path) : json_null());
    json_object_set_new(object, "pg_receivexlog_version",
                        receiver->version[0] ? report_text(receiver->version) : json_null());
    json_object_set_new(object, "pg_receivexlog_compatible", answer_value(receiver->compatible));
    json_object_set_new(object, "pg_receivexlog_supports_slots",
                        answer_value(receiver->supports_slots));
    json_object_set_new(object, "pg_receivexlog_synchronous", answer_value(receiver->synchronous));
}

void
describe_live(const ServerState *state, json_t *object)
{
    if (state->asked[PART_SQL])
        describe_status(&state->sql, object);
    describe_stream(state, object);
    if (state->asked[PART_RECEIVER])
        describe_receiver(&state->receiver, object);
    json_object_set_new(object, "passive_node", json_false());
    json_object_set_new(object, "active_model", json_null());
    for (Part part = 0; part < PART_COUNT; part++)
        if (state->asked[part] && !state_has(state, part))
            json_object_set_new(object, "connection_error",
                                report_text(state->parts[part].error.text));
}
