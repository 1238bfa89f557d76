/* SPDX-License-Identifier: PostgreSQL
 * The page of show-wals: page.html, which is part of the program, with the JSON of wals_json.c in
 * the place that it keeps for it. All drawing is done there, by the browser. */
#include "base/file.h"
#include "command/page_html.h"
#include "command/wals.h"

/* Nothing in it may end the element that it stands in, nor begin another one. */
static int
append_data(Str *page, const json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!text)
        return fail(ERR_DATA, "the page's data cannot be written as JSON");
    for (const char *p = text; *p;) {
        size_t plain = strcspn(p, "<>&");
        str_append_part(page, p, plain);
        p += plain;
        if (*p)
            str_appendf(page, "\\u%04x", (unsigned char)*p++);
    }
    free(text);
    return 0;
}

static int
make_page(const json_t *data, Str *page)
{
    static const char place[] = "@DATA@";
    const char *at = strstr(page_html, place);
    assert(at);
    str_append_part(page, page_html, (size_t)(at - page_html));
    TRY(append_data(page, data));
    str_append(page, at + strlen(place));
    return 0;
}

int
wals_write_page(const json_t *data, const char *path)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    AUTO(str) Str page = {0};
    AUTO(free) char *directory = mem_dup(path);
    struct stat st;
    /* It takes the place of what is there, which must not be /dev/stdout. */
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return fail(ERR_USAGE, "'%s' is not a regular file", path);
    char *slash = strrchr(directory, '/');
    const char *name = path + (slash ? slash + 1 - directory : 0);
    if (!*name)
        return fail(ERR_USAGE, "'%s' is not the name of a file", path);
    if (slash)
        slash[slash == directory] = '\0';
    TRY(make_page(data, &page));
    TRY(atomic_open(slash ? directory : ".", name, 0666, &file));
    TRY(file_write(file.fd, str_text(&page), page.length, path));
    return atomic_replace(&file);
}
