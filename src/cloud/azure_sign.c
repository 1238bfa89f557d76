/* SPDX-License-Identifier: PostgreSQL
 * The text to sign has a line for each of eleven standard headers, then the x-ms headers, then the
 * resource with its parameters, both sorted by name. Where the account is part of the path (an
 * emulator's URL) it is there twice, and a body of no bytes has no length: the service knows no
 * other way. Nothing here sends anything. */
#include "cloud/azure_sign.h"

#include "cloud/digest.h"

#include <ctype.h>

typedef struct Field {
    const char *name;
    size_t length; /* of the name */
    const char *value;
} Field;

static Field
header_field(const char *line)
{
    Field field = {line, strcspn(line, ":"), ""};
    if (line[field.length])
        field.value = line + field.length + 1 + strspn(line + field.length + 1, " \t");
    return field;
}

static bool
is_named(const Field *field, const char *name)
{
    return field->length == strlen(name) && strncasecmp(field->name, name, field->length) == 0;
}

static int
compare_fields(const void *left_field, const void *right_field)
{
    const Field *left = left_field, *right = right_field;
    size_t common = left->length < right->length ? left->length : right->length;
    int order = strncasecmp(left->name, right->name, common);
    return order ? order : (left->length > right->length) - (left->length < right->length);
}

/* "name:value", the name in lower case. */
static void
append_field(const Field *field, Str *text)
{
    for (size_t i = 0; i < field->length; i++) {
        char c = (char)tolower((unsigned char)field->name[i]);
        str_append_part(text, &c, 1);
    }
    str_appendf(text, ":%s", field->value);
}

static void
append_standard(const AzureSigned *request, const Field *headers, size_t count, Str *text)
{
    static const char *const names[] = {"content-encoding",
                                        "content-language",
                                        "content-length",
                                        "content-md5",
                                        "content-type",
                                        "date",
                                        "if-modified-since",
                                        "if-match",
                                        "if-none-match",
                                        "if-unmodified-since",
                                        "range"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (size_t j = 0; j < count; j++)
            if (is_named(&headers[j], names[i]))
                str_append(text, headers[j].value);
        if (strcmp(names[i], "content-length") == 0 && request->body_size > 0)
            str_appendf(text, "%zu", request->body_size);
        str_append(text, "\n");
    }
}

void
azure_text_to_sign(const AzureSigned *request, Str *text)
{
    size_t header_count = request->headers->count, count = request->query->count / 2;
    AUTO(free) Field *headers = mem_alloc((header_count + 1) * sizeof(*headers));
    AUTO(free) Field *parameters = mem_alloc((count + 1) * sizeof(*parameters));
    for (size_t i = 0; i < header_count; i++)
        headers[i] = header_field(request->headers->items[i]);
    for (size_t i = 0; i < count; i++) {
        const char *name = request->query->items[2 * i];
        parameters[i] = (Field){name, strlen(name), request->query->items[2 * i + 1]};
    }
    qsort(headers, header_count, sizeof(*headers), compare_fields);
    qsort(parameters, count, sizeof(*parameters), compare_fields);

    str_appendf(text, "%s\n", request->method);
    append_standard(request, headers, header_count, text);
    for (size_t i = 0; i < header_count; i++)
        if (strncasecmp(headers[i].name, "x-ms-", 5) == 0) {
            append_field(&headers[i], text);
            str_append(text, "\n");
        }
    str_appendf(text, "/%s%s", request->account, request->path);
    for (size_t i = 0; i < count; i++) {
        str_append(text, "\n");
        append_field(&parameters[i], text);
    }
}

int
azure_sign(const AzureSigned *request, const char *key, Str *value)
{
    AUTO(str) Str text = {0};
    AUTO(free) unsigned char *bytes = NULL;
    size_t size = 0;
    unsigned char mac[SHA256_SIZE];
    if (!base64_parse(key, &bytes, &size) || size == 0)
        return fail(ERR_CONFIG, "the key of account '%s' is not in base64", request->account);
    azure_text_to_sign(request, &text);
    TRY(hmac_sha256(bytes, size, text.data, text.length, mac));
    AUTO(free) char *signature = base64_format(mac, sizeof(mac));
    str_appendf(value, "SharedKey %s:%s", request->account, signature);
    return 0;
}
