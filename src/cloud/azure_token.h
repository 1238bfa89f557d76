/* SPDX-License-Identifier: PostgreSQL
 * Tokens of Microsoft Entra ID for Azure's storage: from the environment's application or workload
 * identity, from the machine's managed identity, from the azure-cli of somebody who logged in. */
#ifndef WALDEN_CLOUD_AZURE_TOKEN_H
#define WALDEN_CLOUD_AZURE_TOKEN_H

#include "cloud/http.h"

typedef struct AzureTokens AzureTokens;

/* credential: "managed-identity" or "azure-cli" for this one alone; "default" or NULL for the first
 * that has one. ERR_CONFIG for another word. Nothing is sent yet. */
int azure_tokens_open(const char *credential, Http *http, AzureTokens **ret_tokens);
void azure_tokens_free(AzureTokens *tokens);

/* A token that is good now; free it. ERR_CONFIG when nobody gives one. */
int azure_tokens_get(AzureTokens *tokens, int64_t deadline, char **ret_token);

/* This token was refused. */
void azure_tokens_refused(AzureTokens *tokens, const char *token);

#endif
