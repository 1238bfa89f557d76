/* SPDX-License-Identifier: PostgreSQL
 * XML by expat, whose functions are found at run time. No document type is accepted, so no entity
 * can grow. */
#include "cloud/xml.h"

#include "base/library.h"

#include <expat.h>

enum { DEPTH_MAX = 16, TEXT_MAX = 64 << 10 };

#define EXPAT_FUNCTIONS(X)                                                                         \
    X(XML_ErrorString)                                                                             \
    X(XML_GetErrorCode)                                                                            \
    X(XML_Parse)                                                                                   \
    X(XML_ParserCreate)                                                                            \
    X(XML_ParserFree)                                                                              \
    X(XML_SetCharacterDataHandler)                                                                 \
    X(XML_SetElementHandler)                                                                       \
    X(XML_SetStartDoctypeDeclHandler)                                                              \
    X(XML_SetUserData)                                                                             \
    X(XML_StopParser)

static struct Expat {
    EXPAT_FUNCTIONS(LIBRARY_FIELD)
} expat;

typedef struct Parse {
    XML_Parser parser;
    XmlVisit *visit;
    void *context;
    Str path;
    size_t ends[DEPTH_MAX]; /* lengths of the path above each open element */
    size_t depth;
    Str text; /* of the innermost element, as long as it has no element in it */
    int result;
} Parse;

static Library library = {LIBRARY("libexpat.so.1", "libexpat1", EXPAT_FUNCTIONS, expat)};

static void
end_parse(Parse *parse, int result)
{
    parse->result = result;
    expat.XML_StopParser(parse->parser, XML_FALSE);
}

static void
on_start(void *context, const char *name, const char **attributes)
{
    (void)attributes;
    Parse *parse = context;
    if (parse->result)
        return;
    if (parse->depth == DEPTH_MAX) {
        end_parse(parse, fail(ERR_DATA, "the answer's XML is nested too deeply"));
        return;
    }
    const char *colon = strrchr(name, ':');
    parse->ends[parse->depth++] = parse->path.length;
    str_appendf(&parse->path, "%s%s", parse->path.length ? "/" : "", colon ? colon + 1 : name);
    str_clear(&parse->text);
}

static void
on_end(void *context, const char *name)
{
    (void)name;
    Parse *parse = context;
    if (parse->result)
        return;
    int result = parse->visit(parse->context, parse->path.data, str_text(&parse->text));
    parse->path.length = parse->ends[--parse->depth];
    parse->path.data[parse->path.length] = '\0';
    str_clear(&parse->text);
    if (result)
        end_parse(parse, result);
}

static void
on_text(void *context, const char *text, int length)
{
    Parse *parse = context;
    if (parse->result)
        return;
    if (parse->text.length + (size_t)length > TEXT_MAX)
        end_parse(parse, fail(ERR_DATA, "the answer's XML has an overlong text"));
    else
        str_append_part(&parse->text, text, (size_t)length);
}

static void
on_doctype(void *context, const char *name, const char *system, const char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    end_parse(context, fail(ERR_DATA, "the answer's XML has a document type"));
}

int
xml_parse(const char *text, size_t size, XmlVisit *visit, void *context)
{
    TRY(library_need(&library));
    Parse parse = {.visit = visit, .context = context};
    parse.parser = expat.XML_ParserCreate(NULL);
    if (!parse.parser)
        mem_exhausted(0);
    expat.XML_SetUserData(parse.parser, &parse);
    expat.XML_SetElementHandler(parse.parser, on_start, on_end);
    expat.XML_SetCharacterDataHandler(parse.parser, on_text);
    expat.XML_SetStartDoctypeDeclHandler(parse.parser, on_doctype);
    if (expat.XML_Parse(parse.parser, text ? text : "", (int)size, 1) != XML_STATUS_OK &&
        !parse.result)
        parse.result = fail(ERR_DATA, "the answer is no whole XML: %s",
                            expat.XML_ErrorString(expat.XML_GetErrorCode(parse.parser)));
    expat.XML_ParserFree(parse.parser);
    str_done(&parse.path);
    str_done(&parse.text);
    return parse.result;
}

void
xml_escape(const char *text, Str *out)
{
    for (; *text; text++) {
        static const char special[] = "&<>\"'";
        static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
        const char *found = strchr(special, *text);
        if (found)
            str_append(out, names[found - special]);
        else if ((unsigned char)*text < ' ')
            str_appendf(out, "&#%d;", *text);
        else
            str_append_part(out, text, 1);
    }
}
