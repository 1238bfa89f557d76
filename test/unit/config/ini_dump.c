/* SPDX-License-Identifier: PostgreSQL
 * Prints what the parser sees in each file, for test_ini.py: "FILE\tname", then
 * "LINE\tsection\tkey\tvalue" with backslash, tab and line ends escaped, or "ERROR\ttext". */
#include "base/file.h"
#include "config/ini.h"

static void
print_escaped(const char *text, char end)
{
    for (; *text; text++)
        if (*text == '\n')
            fputs("\\n", stdout);
        else if (*text == '\r')
            fputs("\\r", stdout);
        else if (*text == '\t')
            fputs("\\t", stdout);
        else if (*text == '\\')
            fputs("\\\\", stdout);
        else
            putchar(*text);
    putchar(end);
}

static int
dump(const char *path)
{
    AUTO(str) Str text = {0};
    AUTO(arena) Arena *arena = arena_new();
    IniFile file;
    TRY(file_read_text(path, MIB(1), &text));
    TRY(ini_parse(path, str_text(&text), text.length, arena, &file));
    for (size_t i = 0; i < file.count; i++) {
        printf("%d\t", file.lines[i].number);
        print_escaped(file.lines[i].section, '\t');
        print_escaped(file.lines[i].key, '\t');
        print_escaped(ini_unquote(arena, file.lines[i].value), '\n');
    }
    return 0;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        printf("FILE\t%s\n", argv[i]);
        if (dump(argv[i]) < 0) {
            printf("ERROR\t");
            print_escaped(error_last()->text, '\n');
        }
    }
    return 0;
}
