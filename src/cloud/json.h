/* SPDX-License-Identifier: PostgreSQL
 * Answers and credentials in JSON, read without trust. */
#ifndef WALDEN_CLOUD_JSON_H
#define WALDEN_CLOUD_JSON_H

#include "base/error.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>

AUTO_DEFINE(json, json_t *, json_decref)

/* An object out of the text; json_decref it. `who` sent it. ERR_DATA. */
int json_read(const char *text, size_t size, const char *who, json_t **ret_root);

/* The text under the name, "" when there is none. */
const char *json_text(const json_t *object, const char *name);

/* The number under the name, also when it is written as a text. */
int64_t json_number(const json_t *object, const char *name, int64_t missing);

/* What an answer says of its failure, in the forms of OAuth 2 and of Google's stores: ": TEXT", or
 * "" when it says nothing that we understand. Free it. */
char *json_reason(const char *text, size_t size);

#endif
