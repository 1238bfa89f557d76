/* SPDX-License-Identifier: PostgreSQL
 * The stores' answers in XML: small, flat, and cut short when a connection broke. */
#ifndef WALDEN_CLOUD_XML_H
#define WALDEN_CLOUD_XML_H

#include "base/error.h"
#include "base/str.h"

/* Called at the end of each element with its path from the root ("Error/Code", without name space
 * prefixes) and its own text, unescaped. What it answers other than 0 ends the parsing. */
typedef int XmlVisit(void *context, const char *path, const char *text);

/* Loads expat on use. ERR_DATA for what is no whole XML document, or has a document type. */
int xml_parse(const char *text, size_t size, XmlVisit *visit, void *context);

/* Appends text with the five characters escaped that XML knows names for, and control characters as
 * numbers. */
void xml_escape(const char *text, Str *out);

#endif
