/* SPDX-License-Identifier: PostgreSQL
 * Signature Version 4. libcurl's own signer is not used: Debian 12's sorts some headers wrongly and
 * signs paths and queries as they are given. */
#include "cloud/sign_v4.h"

#include "cloud/digest.h"

#include <ctype.h>

enum { DATE_ROOM = 17, DAY_LENGTH = 8 };

const SignDialect sign_amazon = {"AWS4", "aws4_request", "x-amz-"};
const SignDialect sign_google = {"GOOG4", "goog4_request", "x-goog-"};

static bool
is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.~", c));
}

void
uri_encode(const char *text, bool keep_slash, Str *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        char code[] = {'%', digits[byte >> 4], digits[byte & 15]};
        if (is_unreserved(*text) || (keep_slash && *text == '/'))
            str_append_part(out, text, 1);
        else
            str_append_part(out, code, sizeof(code));
    }
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

void
uri_decode(char *text)
{
    char *to = text;
    for (; *text; text++) {
        int high = text[0] == '%' ? hex_digit(text[1]) : -1;
        int low = high >= 0 ? hex_digit(text[2]) : -1;
        if (low >= 0)
            *to++ = (char)(high << 4 | low);
        else
            *to++ = *text;
        text += low >= 0 ? 2 : 0;
    }
    *to = '\0';
}

static int
compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Encoded names hold nothing below '=' but '-', '.', '%' and digits, so that sorting whole pairs
 * would put "a-b" before "a": the names are told apart by a byte that is below all of them. */
void
sign_v4_query(const StrList *pairs, Str *out)
{
    StrList sorted = {0};
    for (size_t i = 0; i + 1 < pairs->count; i += 2) {
        Str pair = {0};
        uri_encode(pairs->items[i], false, &pair);
        str_append(&pair, "\1");
        uri_encode(pairs->items[i + 1], false, &pair);
        strlist_own(&sorted, pair.data);
    }
    if (sorted.count)
        qsort(sorted.items, sorted.count, sizeof(char *), compare_texts);
    for (size_t i = 0; i < sorted.count; i++) {
        *strchr(sorted.items[i], '\1') = '=';
        str_appendf(out, "%s%s", i ? "&" : "", sorted.items[i]);
    }
    strlist_done(&sorted);
}

/* "Name:  some   value " as "name\1some value": the mark sorts "x-a" before "x-a-b". */
static char *
canonical_header(const char *header)
{
    const char *colon = strchr(header, ':');
    Str line = {0};
    for (const char *c = header; c < colon; c++) {
        char lower = (char)tolower((unsigned char)*c);
        str_append_part(&line, &lower, 1);
    }
    str_append(&line, "\1");
    size_t start = line.length;
    for (const char *c = colon + 1; *c; c++) {
        bool blank = *c == ' ' || *c == '\t';
        if (blank && (line.length == start || c[1] == ' ' || c[1] == '\t' || !c[1]))
            continue;
        str_append_part(&line, blank ? " " : c, 1);
    }
    return line.data;
}

void
sign_v4_canonical(const char *method, const char *path, const char *query, const StrList *headers,
                  const char *payload, Str *out, Str *signed_names)
{
    StrList lines = {0};
    for (size_t i = 0; i < headers->count; i++)
        strlist_own(&lines, canonical_header(headers->items[i]));
    if (lines.count)
        qsort(lines.items, lines.count, sizeof(char *), compare_texts);
    str_appendf(out, "%s\n%s\n%s\n", method, path, query);
    for (size_t i = 0; i < lines.count; i++) {
        char *mark = strchr(lines.items[i], '\1');
        str_append(signed_names, i ? ";" : "");
        str_append_part(signed_names, lines.items[i], (size_t)(mark - lines.items[i]));
        *mark = ':';
        str_appendf(out, "%s\n", lines.items[i]);
    }
    str_appendf(out, "\n%s\n%s", str_text(signed_names), payload);
    strlist_done(&lines);
}

static void
format_date(time_t now, char *ret_date)
{
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(ret_date, DATE_ROOM, "%Y%m%dT%H%M%SZ", &parts);
}

static void
scope(const SignV4 *with, const char *date, Str *out)
{
    str_append_part(out, date, DAY_LENGTH);
    str_appendf(out, "/%s/%s/%s", with->region, with->service, with->dialect->request);
}

int
sign_v4_signature(const SignV4 *with, const char *canonical, char *ret_hex)
{
    char date[DATE_ROOM], hash[SHA256_HEX_ROOM];
    format_date(with->now, date);
    TRY(digest_hex_of(DIGEST_SHA256, canonical, strlen(canonical), hash));
    AUTO(str) Str text = {0};
    str_appendf(&text, "%s-HMAC-SHA256\n%s\n", with->dialect->name, date);
    scope(with, date, &text);
    str_appendf(&text, "\n%s", hash);

    AUTO(free) char *first = mem_printf("%s%s", with->dialect->name, with->secret_key);
    unsigned char key[SHA256_SIZE];
    TRY(hmac_sha256(first, strlen(first), date, DAY_LENGTH, key));
    const char *const steps[] = {with->region, with->service, with->dialect->request, text.data};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        TRY(hmac_sha256(key, sizeof(key), steps[i], strlen(steps[i]), key));
    hex_format(key, sizeof(key), ret_hex);
    return 0;
}

int
sign_v4(const SignV4 *with, const char *method, const char *host, const char *path,
        const char *query, const char *payload, StrList *headers)
{
    char date[DATE_ROOM], signature[SHA256_HEX_ROOM];
    format_date(with->now, date);
    strlist_addf(headers, "%sdate: %s", with->dialect->headers, date);
    strlist_addf(headers, "Host: %s", host);
    AUTO(str) Str canonical = {0};
    AUTO(str) Str names = {0};
    AUTO(str) Str where = {0};
    sign_v4_canonical(method, path, query, headers, payload, &canonical, &names);
    TRY(sign_v4_signature(with, canonical.data, signature));
    scope(with, date, &where);
    strlist_addf(headers,
                 "Authorization: %s-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                 with->dialect->name, with->access_key, where.data, names.data, signature);
    return 0;
}
