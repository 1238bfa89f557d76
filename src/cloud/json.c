/* SPDX-License-Identifier: PostgreSQL
 * JSON as the stores and the givers of tokens write it, by jansson. */
#include "cloud/json.h"

#include "base/str.h"

int
json_read(const char *text, size_t size, const char *who, json_t **ret_root)
{
    json_error_t error;
    json_t *root = json_loadb(text ? text : "", size, 0, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return fail(ERR_DATA, "what %s says is no object in JSON", who);
    }
    *ret_root = root;
    return 0;
}

const char *
json_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

int64_t
json_number(const json_t *object, const char *name, int64_t missing)
{
    const json_t *value = json_object_get(object, name);
    int64_t number = missing;
    if (json_is_integer(value))
        return json_integer_value(value);
    if (json_is_string(value))
        int_parse(json_string_value(value), 0, INT64_MAX, &number);
    return number;
}

char *
json_reason(const char *text, size_t size)
{
    enum { LONGEST = 300 };
    AUTO(json) json_t *root = json_loadb(text ? text : "", size, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    const char *reason =
        json_is_object(error) ? json_text(error, "message") : json_text(root, "error");
    const char *more = json_text(root, "error_description");
    char *found =
        *reason ? mem_printf(": %.*s%s%.*s", LONGEST, reason, *more ? ": " : "", LONGEST, more)
                : mem_dup("");
    str_make_utf8(found); /* it may have been cut inside of a character */
    for (char *c = found; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return found;
}
